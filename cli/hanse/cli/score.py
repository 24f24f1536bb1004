"""``hanse score``: scores of all rows of a file, from a running scorer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.scoring.calls import NOT_A_NUMBER, ByColumns, BySubject, Question, connected
from hanse.client.scoring.job import PATIENCE_S, Job, Summary, run_job, state_path
from hanse.client.scoring.tables import InputFile, require_known
from hanse.errors import CATALOGUE
from hanse.policies import RULES


def score(
    source: Annotated[
        Path,
        typer.Option(
            "--in", help="File with one row per subject: .csv, .csv.gz or .parquet.", dir_okay=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="File to write, .csv, .csv.gz or .parquet.", dir_okay=False)
    ],
    model: Annotated[str, typer.Option(help="Name of the model, or name@version.")],
    purpose: Annotated[str, typer.Option(help="What the scores are for, as scoring.marketing.")],
    server: Annotated[
        str, typer.Option(envvar="HANSE_SCORE_SERVER", help="host:port of the scorer (`hanse serve`).")
    ] = "127.0.0.1:9300",
    caller: Annotated[
        Path,
        typer.Option(
            envvar="HANSE_SCORE_CALLER",
            file_okay=False,
            help="Folder of the calling system: tls.key, tls.crt, serving-authority.crt.",
        ),
    ] = Path(),
    id_column: Annotated[str, typer.Option(help="Column with the identifiers.")] = "subject_id",
    batch_rows: Annotated[
        int, typer.Option(min=1, max=65536, help="Rows of one call; no more than the scorer's maximum_rows.")
    ] = 1024,
    patience: Annotated[
        float, typer.Option(min=0, help="How long to wait for a scorer that does not answer, seconds.")
    ] = PATIENCE_S,
    *,
    columns: Annotated[
        bool,
        typer.Option("--columns", help="Send the file's columns; the scorer does not look values up then."),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget what an earlier process was answered.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output if it is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score all rows of a file, as a system that the agreement lists as a caller.

    Example: [bold]hanse score --in customers.parquet --out scores.parquet --model propensity --purpose
    scoring.marketing --caller crm[/]

    The scorer looks up what it knows of each subject; with --columns it takes the values of the file instead.
    Every row is in the output, in the order of the input: with a score, or with the rule that refused it. A
    command that was stopped goes on where it was when it is given again; no row is asked about twice then,
    but those whose answers were under way. Refused rows are no error: the exit code is 0.
    """
    require_known(out)
    if restart:
        state_path(out).unlink(missing_ok=True)
    name, _, version = model.partition("@")
    question = Question(name, version, purpose)
    with connected(server, caller) as channel:
        asking: BySubject | ByColumns
        sent: tuple[str, ...] | None = None
        if columns:
            asking = ByColumns(channel, question)
            sent = tuple(asking.columns())
        else:
            asking = BySubject(channel, question)
        job = Job(InputFile(source, id_column), out, question, sent, batch_rows, overwrite)
        with _bar(quiet=as_json) as progress:
            summary = run_job(job, asking, progress, patience)
    _show(summary, as_json=as_json)


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar beside the results, which may be for a machine."""
    shown = (
        TextColumn("scoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
    )
    with Progress(*shown, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, rows: progress.update(task, completed=done, total=rows)


def _show(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(summary), "output": str(summary.output)})
        return
    if summary.refused:
        rows = [(rule, count, _why(rule)) for rule, count in summary.refused.items()]
        console().print(table("refused rows", ["rule", "rows", "why"], rows))
    say(f"{summary.scored} of {summary.rows} rows have a score by {summary.model}, in {summary.output}")
    if summary.opt_out_available:
        say("Show whom you contact how to say no to it.")
    if summary.human_review_required:
        say("A decision on these scores affects people: a person has to look at each.")


def _why(rule: str) -> str:
    if rule == NOT_A_NUMBER:
        return "the file has no number where the model needs one"
    if rule in RULES:
        return RULES[rule].message.en
    return CATALOGUE[rule].public_message if rule in CATALOGUE else ""
