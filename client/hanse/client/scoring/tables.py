"""Files of rows to score, and of scores: CSV (``.csv``, ``.csv.gz``) and Parquet, a bounded part at a time.

Messages name rows, counted from 1 without the header, and never a value; of a file without a header the names
of its columns would be somebody's values as well.
"""

import csv
import gzip
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TextIO

import duckdb

from hanse.errors import ConfigurationError

MAX_IDENTIFIER_BYTES: Final = 512
_READ_BYTES: Final = 1 << 20
_ENDINGS: Final = (".csv", ".csv.gz", ".parquet")

Cells = tuple[str | None, ...]


class Batch(NamedTuple):
    """Rows that are asked about in one call.

    Attributes:
        sequence: Its number, from 0.
        subject_ids: Identifier of each row.
        columns: Texts of further columns, by name; None where there is nothing.
    """

    sequence: int
    subject_ids: tuple[str, ...]
    columns: Mapping[str, Cells]


class InputFile:
    """A file with one subject per row.

    Args:
        path: The file.
        id_column: Column with the identifiers.

    Raises:
        ConfigurationError: ``config.invalid`` for a name that is not read, ``config.missing-file``.
    """

    def __init__(self, path: Path, id_column: str) -> None:
        require_known(path)
        self.path = path
        self.id_column = id_column
        if not path.is_file():
            raise ConfigurationError("config.missing-file", f"cannot read {path}: no such file")

    def check(self) -> int:
        """Reads all of the file once.

        Returns:
            How many rows it has.

        Raises:
            ConfigurationError: ``config.bad-data`` naming the first row that cannot be asked about;
                ``config.missing-file``.
        """
        number = 0
        for number, (subject,) in enumerate(self._rows(()), 1):
            if subject is None or not subject.strip():
                raise self._bad(number, f"column {self.id_column} is empty")
            if len(subject.encode(errors="replace")) > MAX_IDENTIFIER_BYTES:
                raise self._bad(number, f"column {self.id_column} has more than {MAX_IDENTIFIER_BYTES} bytes")
        if not number:
            raise ConfigurationError("config.bad-data", f"{self.path} has no rows")
        return number

    def digest(self) -> str:
        """SHA-256 of the file, 64 hex digits."""
        digest = hashlib.sha256()
        with _reading(self.path), self.path.open("rb") as file:
            while part := file.read(_READ_BYTES):
                digest.update(part)
        return digest.hexdigest()

    def batches(self, rows: int, columns: Sequence[str] = (), first: int = 0) -> Iterator[Batch]:
        """The rows in their order.

        Args:
            rows: How many rows each batch has; the last one may have fewer.
            columns: Further columns to read.
            first: Number of the first batch.

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is not there, or a row does not parse;
                ``config.missing-file``.
        """
        source = islice(self._rows(columns), first * rows, None)
        sequence = first
        while part := list(islice(source, rows)):
            ids, *cells = zip(*part, strict=True)
            yield Batch(sequence, tuple(map(str, ids)), dict(zip(columns, cells, strict=True)))
            sequence += 1

    def _rows(self, columns: Sequence[str]) -> Iterator[Cells]:
        names = (self.id_column, *columns)
        if self.path.name.endswith(".parquet"):
            return self._parquet_rows(names)
        return self._csv_rows(names)

    def _csv_rows(self, names: Sequence[str]) -> Iterator[Cells]:
        number = 0
        with _reading(self.path), _text(self.path) as file:
            try:
                reader = csv.reader(file, strict=True)
                header = next(reader, [])
                places = self._places(header, names)
                for number, row in enumerate(reader, 1):
                    if len(row) != len(header):
                        raise self._bad(number, f"it has {len(row)} cells, the header has {len(header)}")
                    yield tuple(row[place] for place in places)
            except (csv.Error, UnicodeDecodeError) as error:
                # The text of the error may quote the row.
                raise self._bad(number + 1, f"it is not CSV in UTF-8 ({type(error).__name__})") from None

    def _parquet_rows(self, names: Sequence[str]) -> Iterator[Cells]:
        number = 0
        with duckdb.connect(":memory:", config={"threads": 1}) as connection:
            try:
                described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(self.path)])
                self._places([row[0] for row in described.fetchall()], names)
                wanted = ", ".join(f"CAST({_quoted(name)} AS VARCHAR)" for name in names)
                query = f"SELECT {wanted} FROM read_parquet(?)"  # noqa: S608 - quoted names
                rows = connection.execute(query, [str(self.path)])
                while part := rows.fetchmany(2048):
                    yield from part
                    number += len(part)
            except duckdb.Error as error:
                raise self._bad(number + 1, f"it is not Parquet ({type(error).__name__})") from None

    def _places(self, header: Sequence[str], names: Sequence[str]) -> list[int]:
        for name in names:
            if header.count(name) != 1:
                hint = "; name it with --id-column" if name == self.id_column else ""
                raise ConfigurationError(
                    "config.bad-data",
                    f"{self.path} has {header.count(name) or 'no'} columns {name} among its {len(header)}, "
                    f"where one is needed{hint}",
                )
        return [header.index(name) for name in names]

    def _bad(self, number: int, problem: str) -> ConfigurationError:
        return ConfigurationError("config.bad-data", f"{self.path}, row {number}: {problem}")


class Column(NamedTuple):
    """A column of an output: its name, and whether it holds numbers."""

    name: str
    numeric: bool


def write_table(path: Path, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """Writes a file of rows; it appears whole or not at all, readable by its owner alone.

    Args:
        path: The file, ``.csv``, ``.csv.gz`` or ``.parquet``.
        columns: Its columns.
        rows: Cells, in their order; None and "" are the same.

    Raises:
        ConfigurationError: ``config.unwritable``; ``config.invalid`` for a name that is not written.
    """
    require_known(path)
    try:
        # In a folder of its own, which others cannot enter: DuckDB gives its file the usual permissions.
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            written, packed = Path(folder) / "written", Path(folder) / "packed"
            compressed = path.name.endswith(".gz")
            with _writing(written, compressed=compressed) as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([column.name for column in columns])
                writer.writerows(rows)
            if path.name.endswith(".parquet"):
                _to_parquet(written, packed, columns)
                packed.replace(written)
            written.chmod(0o600)
            with written.open("rb") as done:
                os.fsync(done.fileno())
            written.replace(path)
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot write {path}: {error.strerror}") from error


def require_known(path: Path) -> None:
    """Refuses a name by which the form of a file is not known.

    Raises:
        ConfigurationError: ``config.invalid``.
    """
    if not path.name.endswith(_ENDINGS):
        raise ConfigurationError(
            "config.invalid", f"{path}: the name ends with none of {', '.join(_ENDINGS)}"
        )


def _to_parquet(plain: Path, packed: Path, columns: Sequence[Column]) -> None:
    kinds = ", ".join(f"'{_escaped(own.name)}': '{'FLOAT' if own.numeric else 'VARCHAR'}'" for own in columns)
    source = (
        f"read_csv('{_escaped(str(plain))}', auto_detect=false, header=true, delim=',', quote='\"', "
        f"escape='\"', nullstr='', new_line='\\n', columns={{{kinds}}})"
    )
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        try:
            connection.execute(f"COPY (SELECT * FROM {source}) TO '{_escaped(str(packed))}' (FORMAT parquet)")  # noqa: S608
        except duckdb.Error as error:
            raise ConfigurationError(
                "config.unwritable", f"cannot write Parquet ({type(error).__name__})"
            ) from None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationError(
            "config.missing-file", f"cannot read {path}: {reason or 'it is broken'}"
        ) from None


def _writing(path: Path, *, compressed: bool) -> TextIO:
    if compressed:
        return gzip.open(path, "wt", encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")


def _text(path: Path) -> TextIO:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _escaped(text: str) -> str:
    return text.replace("'", "''")
