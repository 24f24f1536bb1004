"""Consent events from CSV files that others wrote, row by row.

One line is one event. A line that cannot be an event is refused with its number and a reason, and the next
one is read as if nothing had happened: that is why a quoted cell cannot span lines, where one stray quote
would swallow everything after it. Reasons name columns and never repeat a value.
"""

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final, NamedTuple

from pydantic import ValidationError

from hanse.errors import ConfigurationError, PolicyError
from hanse.policies.consent import ConsentEvent
from hanse.policies.fields import problems
from hanse.policies.subjects import Pseudonymiser

MAX_LINE_BYTES: Final = 1 << 16
MAX_LISTED_REFUSALS: Final = 10_000
LIST_SEPARATOR: Final = "|"
_LISTS: Final = frozenset({"purposes", "recipients", "categories", "hidden_columns", "hidden_categories"})
_FLAGS: Final = frozenset({"preticked", "bundled", "conditional"})
_NUMBERS: Final = frozenset({"age_at_least"})
_NUMBER: Final = re.compile("[0-9]{1,3}")
_FLAG_VALUES: Final = {"true": True, "false": False}
_COLUMNS: Final = frozenset(ConsentEvent.model_fields) - {"recorded_at"}
_IDENTIFIER: Final = "subject"
_REF: Final = "subject_ref"
_REQUIRED: Final = frozenset({"event_id", _REF, "state", "purposes"})
# A cell that starts so is run as a formula by spreadsheets, where people look at exports of the ledger.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t")


class Refusal(NamedTuple):
    """A row that was not taken, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a file.

    Attributes:
        accepted: Events that are new in the ledger.
        repeated: Events that the ledger had already.
        refused_total: Rows that were refused.
        refused: The first 10,000 of them, with line numbers from 1 (the header).
    """

    accepted: int
    repeated: int
    refused_total: int
    refused: tuple[Refusal, ...]


def read_events(
    file: BinaryIO, now: datetime, pseudonymiser: Pseudonymiser | None = None
) -> Iterator[tuple[int, ConsentEvent | str]]:
    """Reads events one by one, holding one line at a time.

    The header names columns by the fields of :class:`hanse.policies.ConsentEvent` except ``recorded_at``,
    which is ``now``. An empty cell is a missing value; lists are separated by ``|``; flags are ``true`` or
    ``false``. A file of this site may name subjects by their identifiers, in a column ``subject`` in the
    place of ``subject_ref``; the identifiers go no further than the line they are on.

    Args:
        file: CSV (RFC 4180 without line breaks in cells) in UTF-8.
        now: When the events are recorded.
        pseudonymiser: Needed if the file has a column ``subject``.

    Yields:
        Line number, and the event or the reason why there is none. Blank lines are left out.

    Raises:
        PolicyError: ``policy.invalid`` if the header does not name the columns.
    """
    lines = _lines(file)
    header = _read_header(next(lines, (1, b""))[1])
    if _IDENTIFIER in header and pseudonymiser is None:
        raise PolicyError("policy.invalid", "line 1: name subjects by subject_ref, not by subject")
    for number, line in lines:
        if line is None:
            yield number, f"longer than {MAX_LINE_BYTES} bytes"
        elif line.strip():
            yield number, _read_row(header, line, now, pseudonymiser)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Lines with numbers from 1; None for one that is too long, which is skipped without being held."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        yield number, line if len(line) < MAX_LINE_BYTES or line.endswith(b"\n") else None
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)


def _read_header(line: bytes | None) -> tuple[str, ...]:
    """Names of the columns; without them no row means anything, so this refuses the whole file."""
    cells = [] if line is None else _cells(line.removeprefix(codecs.BOM_UTF8))
    named = [_REF if cell == _IDENTIFIER else cell for cell in cells]
    if isinstance(cells, str) or not _REQUIRED <= set(named) <= _COLUMNS or len(set(named)) != len(named):
        raise PolicyError(
            "policy.invalid",
            f"line 1: the header must name each column once: {', '.join(sorted(_REQUIRED))}, and any of "
            f"{', '.join(sorted(_COLUMNS - _REQUIRED))}",
        )
    return tuple(cells)


def _cells(line: bytes) -> list[str] | str:
    """The cells of one line, or why there are none."""
    try:
        text = line.decode("utf-8").rstrip("\r\n")
        return next(csv.reader([text], strict=True), [])
    except UnicodeDecodeError:
        return "not UTF-8; save the file as UTF-8"
    except csv.Error:
        return "not one CSV row; quote marks must be closed on the same line"


def _read_row(
    header: tuple[str, ...], line: bytes, now: datetime, pseudonymiser: Pseudonymiser | None
) -> ConsentEvent | str:
    """The event of one line, or why there is none."""
    cells = _cells(line)
    if isinstance(cells, str):
        return cells
    if len(cells) != len(header):
        return f"has {len(cells)} cells, the header has {len(header)}"
    formulas = [name for name, cell in zip(header, cells, strict=True) if cell.startswith(_FORMULA_STARTS)]
    if formulas:
        return f"{formulas[0]}: begins like a spreadsheet formula; write plain text"
    given = {name: _value(name, cell) for name, cell in zip(header, cells, strict=True) if cell}
    try:
        if pseudonymiser is not None and _IDENTIFIER in header:
            given[_REF] = pseudonymiser.ref(str(given.pop(_IDENTIFIER, "")))
        return ConsentEvent.model_validate({**given, "recorded_at": now})
    except ConfigurationError as error:
        return f"{_IDENTIFIER}: {error.detail}"
    except ValidationError as error:
        return "; ".join(problems(error))


def _value(name: str, cell: str) -> object:
    """A cell as the type of its column; what does not fit stays text and is refused by the model."""
    if name in _LISTS:
        return tuple(cell.split(LIST_SEPARATOR))
    if name in _FLAGS:
        return _FLAG_VALUES.get(cell, cell)
    if name in _NUMBERS and _NUMBER.fullmatch(cell):
        return int(cell)
    return cell
