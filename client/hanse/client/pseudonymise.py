"""Replaces a site's own identifiers in a consent file by pseudonyms, line by line, before it is ingested."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

IDENTIFIER_COLUMN = "subject_id"
PSEUDONYM_COLUMN = "subject_ref"
MAX_LINE_BYTES = 64 * 1024


def replace_identifiers(source: Path, target: Path, ref: Callable[[str], str]) -> None:
    """Copies a consent file; a column ``subject_id`` becomes ``subject_ref``.

    A file without that column is copied as it is, and so is a line that does not parse: the ledger refuses
    it with its line number.

    Args:
        source: CSV file, one event per line.
        target: File to write.
        ref: The site's pseudonym of an identifier.
    """
    with source.open("rb") as lines, target.open("wb") as out:
        header = lines.readline(MAX_LINE_BYTES)
        names = _cells(header)
        place = names.index(IDENTIFIER_COLUMN) if names and IDENTIFIER_COLUMN in names else None
        if place is None or names is None:
            out.write(header + lines.read())
            return
        out.write(_line([PSEUDONYM_COLUMN if name == IDENTIFIER_COLUMN else name for name in names]))
        while line := lines.readline(MAX_LINE_BYTES):
            cells = _cells(line)
            if cells is not None and len(cells) == len(names) and cells[place]:
                cells[place] = ref(cells[place])
                line = _line(cells)  # noqa: PLW2901 - the line that goes out
            out.write(line)


def _cells(line: bytes) -> list[str] | None:
    try:
        return next(csv.reader([line.decode("utf-8-sig").rstrip("\r\n")], strict=True), None)
    except (UnicodeDecodeError, csv.Error):
        return None


def _line(cells: list[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode()
