"""What commands print: tables for people, one JSON document for machines, never both."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hanse.errors import HanseError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

EXIT_CODES = {
    "internal": 1,
    "config": 3,
    "policy": 4,
    "privacy": 5,
    "audit": 6,
    "run": 7,
    "exchange": 7,
    "sum": 7,
    "alignment": 7,
    "sealed": 7,
    "vertical": 7,
    "identity": 8,
    "protocol": 8,
    "model": 9,
    "scoring": 9,
}
"""Exit code per error area; 0 is success, 2 is a usage error (docs/ref-cli.md)."""


def console() -> Console:
    """The console for people: standard output."""
    return Console(highlight=False)


def say(text: str) -> None:
    """Prints a sentence for people: as it is, names and paths in it included, and not broken into lines."""
    console().print(text, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON values
    """Prints one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, whole: Sequence[str] = ()
) -> Table:
    """A table with one style for all commands; what others wrote is shown as it is, never as markup.

    Args:
        title: Its title.
        columns: Headings.
        rows: Cells, row by row.
        whole: Headings of columns whose cells are not broken into lines.
    """
    built = Table(title=escape(title), title_justify="left", header_style="bold")
    for column in columns:
        built.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in rows:
        built.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return built


def report_error(error: HanseError, *, as_json: bool) -> int:
    """Prints a deliberate error to the person at this site, detail included; returns the exit code."""
    if as_json:
        facts = {
            "code": error.code,
            "detail": error.detail,
            "rule": error.rule,
            "message": error.spec.public_message,
        }
        print_json({"error": facts})
    else:
        rule = f" (rule {error.rule})" if error.rule else ""
        errors = Console(stderr=True, highlight=False)
        errors.print(f"[bold red]error[/] {error.code}{rule}: {error.spec.public_message}", soft_wrap=True)
        errors.print(f"  {error.detail}", markup=False, soft_wrap=True)
    return EXIT_CODES.get(error.code.split(".")[0], 1)
