"""Consent events from CSV files that others wrote, plain or gzip, line by line.

One line is one event. A line that cannot be one is refused with its number and a reason, and the next one is
read as if nothing had happened: that is why a quoted cell cannot span lines, where one stray quote would
swallow everything after it. Reasons name columns and never repeat a value.
"""

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from hanse.errors import ConfigurationError, PolicyError
from hanse.policies.consent import ConsentEvent
from hanse.policies.ledger.intake import (
    FORMULA_STARTS,
    IDENTIFIER,
    ROW_COLUMNS,
    Block,
    Cells,
    Refusals,
    Row,
    block_of,
)

MAX_LINE_BYTES: Final = 1 << 16
MAX_EXPANSION: Final = 50
"""How many times as large as its file the content of a gzip file may be (content below 16 MiB is taken)."""
LIST_SEPARATOR: Final = "|"
_FREE_BYTES: Final = 1 << 24
_CHUNK_BYTES: Final = 1 << 16  # what fits the caches is taken apart faster
LISTS: Final = frozenset({"purposes", "recipients", "categories", "hidden_columns", "hidden_categories"})
FLAGS: Final = frozenset({"preticked", "bundled", "conditional"})
_FLAG_VALUES: Final = {"true": True, "false": False}
NUMBERS: Final = frozenset({"age_at_least"})
_NUMBER: Final = re.compile("[0-9]{1,3}")
_NOT_UTF8: Final = "not UTF-8; save the file as UTF-8"
COLUMNS: Final = frozenset(ConsentEvent.model_fields) - {"recorded_at"}
REQUIRED: Final = frozenset({"event_id", "subject_ref", "state", "purposes"})


def check_header(names: Sequence[str], where: str) -> bool:
    """Whether a source names subjects by identifiers; refuses columns without which no row means anything.

    Args:
        names: Names of the columns.
        where: Where the source names them, for the message.

    Raises:
        PolicyError: ``policy.invalid``.
    """
    named = ["subject_ref" if name == IDENTIFIER else name for name in names]
    if not REQUIRED <= set(named) <= COLUMNS or len(set(named)) != len(named):
        raise PolicyError(
            "policy.invalid",
            f"{where}: the header must name each column once: {', '.join(sorted(REQUIRED))}, and any of "
            f"{', '.join(sorted(COLUMNS - REQUIRED))}",
        )
    return IDENTIFIER in names


class CsvSource:
    """The lines of a CSV file (RFC 4180 without line breaks in cells) in UTF-8.

    The header names columns by the fields of :class:`hanse.policies.ConsentEvent` except ``recorded_at``. An
    empty cell is a missing value; lists are separated by ``|``; flags are ``true`` or ``false``. A file of
    this site may name subjects by their identifiers, in a column ``subject`` in the place of ``subject_ref``.

    Args:
        file: The file.
        max_bytes: How much of it is read.

    Raises:
        PolicyError: ``policy.invalid`` if the header does not name the columns.
    """

    def __init__(self, file: BinaryIO, max_bytes: int | None = None) -> None:
        self._file = file
        self._left = max_bytes
        line = file.readline(MAX_LINE_BYTES)
        cells = _cells(line.removeprefix(codecs.BOM_UTF8)) if _is_whole(line) else ""
        names = [] if isinstance(cells, str) else cells
        self.has_identifiers = check_header(names, "line 1")
        self._names = names
        self._places = [self._place(name) for name in ROW_COLUMNS]
        # Cells up to the last of the four are looked at one by one; what follows is one key as it stands.
        self._cut = max(place for place in self._places if place is not None) + 1
        self._splits = min(self._cut, len(names) - 1)
        self._shared = [place for place in range(self._cut) if place not in self._places]

    def _place(self, name: str) -> int | None:
        if name == "subject_ref" and self.has_identifiers:
            name = IDENTIFIER
        return self._names.index(name) if name in self._names else None

    def cells(self, form: Hashable) -> Cells | str:
        """See :class:`hanse.policies.ledger.intake.Source`."""
        *shared, rest = cast("tuple[Any, ...]", form)
        tail = rest.split(",") if isinstance(rest, str) else rest
        if self._cut + len(tail) != len(self._names):
            return self._count(self._cut + len(tail))
        names = [self._names[place] for place in self._shared] + self._names[self._cut :]
        cells = {name: cell for name, cell in zip(names, [*shared, *tail], strict=True) if cell}
        formulas = [name for name, cell in cells.items() if cell.startswith(FORMULA_STARTS)]
        if formulas:
            return f"{formulas[0]}: begins like a spreadsheet formula; write plain text"
        return {name: value_of(name, cell) for name, cell in cells.items()}

    def blocks(self) -> Iterator[Block]:
        """See :class:`hanse.policies.ledger.intake.Source`."""
        number = 2
        for chunk in _chunks(self._file, self._left):
            block = self._plain_block(number, chunk) or self._mixed_block(number, chunk)
            yield block
            number += chunk.count(b"\n") + 1

    def _plain_block(self, first: int, chunk: bytes) -> Block | None:
        """All lines at once, if none of them needs a second look."""
        if not chunk.strip():
            return block_of((), [])
        try:
            text = chunk.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if "\r" in text:
            text = text.replace("\r\n", "\n").removesuffix("\r")
        lines = text.split("\n")
        # A character has up to four bytes.
        if '"' in text or "\r" in text or max(map(len, lines)) > MAX_LINE_BYTES // 4:
            return None
        rows = [line.split(",", self._splits) for line in lines]
        if set(map(len, rows)) != {self._splits + 1}:
            return None
        columns = list(zip(*rows, strict=True))
        missing = ("",) * len(rows)
        event_ids, subjects, given, expires = (
            missing if place is None else columns[place] for place in self._places
        )
        shared = [columns[place] for place in self._shared]
        shared += columns[self._cut :] or [((),) * len(rows)]
        forms = list(zip(*shared, strict=True))
        return Block(range(first, first + len(rows)), event_ids, subjects, given, expires, forms, [])

    def _mixed_block(self, first: int, chunk: bytes) -> Block:
        """Line by line."""
        rows: list[Row] = []
        refused: Refusals = []
        for number, line in enumerate(chunk.split(b"\n"), start=first):
            if len(line) >= MAX_LINE_BYTES:
                refused.append((number, f"longer than {MAX_LINE_BYTES} bytes"))
            elif line.strip():
                row = self._row(number, line)
                if isinstance(row, str):
                    refused.append((number, row))
                else:
                    rows.append(row)
        return block_of(rows, refused)

    def _row(self, number: int, line: bytes) -> Row | str:
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return _NOT_UTF8
        text = text.rstrip("\r\n")
        plain = '"' not in text and "\r" not in text
        cells = text.split(",", self._splits) if plain else _quoted(text)
        if isinstance(cells, str):
            return cells
        cut = self._cut
        tail: Hashable = cells[cut] if plain and len(cells) > cut else tuple(cells[cut:])
        if len(cells) != (self._splits + 1 if plain else len(self._names)):
            return self._count(len(cells))
        event_id, subject, given, expires = ["" if place is None else cells[place] for place in self._places]
        shared = tuple([cells[place] for place in self._shared])
        return number, event_id, subject, given, expires, (*shared, tail)

    def _count(self, found: int) -> str:
        return f"has {found} cells, the header has {len(self._names)}"


def _is_whole(line: bytes) -> bool:
    return len(line) < MAX_LINE_BYTES or line.endswith(b"\n")


def _chunks(file: BinaryIO, max_bytes: int | None) -> Iterator[bytes]:
    """Whole lines, a bounded number of bytes at a time; of one that is too long only so much as to tell.

    Raises:
        ConfigurationError: ``config.bad-data`` after everything before the place where the file is damaged.
    """
    rest, taken = b"", 0
    while True:
        data, problem = _read(file)
        taken += len(data)
        if max_bytes is not None and taken > max_bytes:
            problem = f"its content is more than {MAX_EXPANSION} times as large as the file"
        whole, newline, rest = (rest + data).rpartition(b"\n")
        if newline:
            yield whole
        if problem is not None:
            raise ConfigurationError("config.bad-data", problem)
        if not data:
            if rest:
                yield rest
            return
        rest = rest[:MAX_LINE_BYTES]


def _read(file: BinaryIO) -> tuple[bytes, str | None]:
    """The next bytes, and what is wrong with those behind them."""
    pieces: list[bytes] = []
    size = 0
    try:
        # One piece after the other: what came before damage is not lost with it.
        while size < _CHUNK_BYTES and (piece := file.read1(_CHUNK_BYTES - size)):  # type: ignore[attr-defined]
            pieces.append(piece)
            size += len(piece)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return b"".join(pieces), "the gzip file is damaged or was cut off"
    return b"".join(pieces), None


def _cells(line: bytes) -> list[str] | str:
    """The cells of one line, or why there are none."""
    try:
        return _quoted(line.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError:
        return _NOT_UTF8


def _quoted(text: str) -> list[str] | str:
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return "not one CSV row; quote marks must be closed on the same line"


def value_of(name: str, cell: object) -> object:
    """A cell as the type of its column; what does not fit stays as it is and is refused by the model."""
    if not isinstance(cell, str):
        return cell
    if name in LISTS:
        return tuple(cell.split(LIST_SEPARATOR))
    if name in FLAGS:
        return _FLAG_VALUES.get(cell, cell)
    if name in NUMBERS and _NUMBER.fullmatch(cell):
        return int(cell)
    return cell


@contextmanager
def open_csv(path: Path) -> Iterator[CsvSource]:
    """Opens a CSV file; one whose name ends in ``.gz`` is unpacked on the way.

    Raises:
        PolicyError: ``policy.invalid`` if the header does not name the columns.
        ConfigurationError: ``config.missing-file`` if the file cannot be read, ``config.bad-data`` if it is
            not gzip and says so.
    """
    try:
        with path.open("rb") as file:
            if path.suffix != ".gz":
                yield CsvSource(file)
                return
            limit = max(_FREE_BYTES, MAX_EXPANSION * path.stat().st_size)
            with gzip.open(file) as unpacked:
                yield CsvSource(cast("BinaryIO", unpacked), limit)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ConfigurationError("config.bad-data", f"{path} is not a gzip file, or is damaged") from error
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error
