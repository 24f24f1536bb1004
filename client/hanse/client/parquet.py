"""Consent events from Parquet files, read by DuckDB within a limit of memory.

The columns are those of a CSV file. A list is a list of texts, or text separated by ``|``; a flag is a truth
value, or ``true`` or ``false``; a time is text, or a timestamp with time zone.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb

from hanse.errors import ConfigurationError, PolicyError
from hanse.policies.fields import from_ms
from hanse.policies.ledger.csv_rows import FLAGS, LISTS, MAX_LINE_BYTES, NUMBERS, check_header, value_of
from hanse.policies.ledger.intake import FORMULA_STARTS, IDENTIFIER, ROW_COLUMNS, Block, Cells

MAX_MEMORY_MIB: Final = 512
"""What DuckDB may hold of a file; one that needs more ends the import."""
MAX_CHUNK_BYTES: Final = 1 << 27
"""What one column of a row group may hold, unpacked; DuckDB unpacks it in one piece."""
MAX_ROWS: Final = 1_000_000
"""Rows that any file may have; more only as many as it has bytes, since every event has an id of its own."""
_GROUPS: Final = (
    "SELECT any_value(row_group_num_rows), max(total_uncompressed_size) FROM parquet_metadata(?)"
    " GROUP BY row_group_id ORDER BY row_group_id"
)
_BLOCK_ROWS: Final = 2_048
_NO_INSTANT: Final = 1 << 60  # in the place of an infinite time; no event has one
_TIMES: Final = frozenset({"given_at", "expires_at", "notice_published_at"})
_TEXT: Final = "VARCHAR"
_TEXTS: Final = "VARCHAR[]"
_INSTANT: Final = "TIMESTAMP WITH TIME ZONE"
_INTEGERS: Final = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
)
# Between cells, and between the items of a list; text that a person can read has neither.
_CELL: Final = "\x1f"
_ITEM: Final = "\x1e"


class ParquetSource:
    """The rows of a Parquet file, numbered from 1.

    Args:
        connection: A connection of DuckDB.
        path: The file.

    Raises:
        PolicyError: ``policy.invalid`` if it does not name the columns, or one has a type that is not read.
        duckdb.Error: It is not a Parquet file.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._connection, self._path = connection, path
        described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
        self._types = {name: kind for name, kind, *_ in described}
        self.has_identifiers = check_header(list(self._types), "the Parquet schema")
        for name, kind in self._types.items():
            _check_type(name, kind)
        own = {IDENTIFIER if name == "subject_ref" and self.has_identifiers else name for name in ROW_COLUMNS}
        self._shared = [name for name in self._types if name not in own]

    def cells(self, form: Hashable) -> Cells | str:
        """See :class:`hanse.policies.ledger.intake.Source`."""
        cells = str(form).split(_CELL)
        if len(cells) != len(self._shared):
            return f"longer than {MAX_LINE_BYTES} bytes, or with characters that cannot be seen"
        found: dict[str, object] = {}
        for name, cell in zip(self._shared, cells, strict=True):
            if cell.startswith(FORMULA_STARTS):
                return f"{name}: begins like a spreadsheet formula; write plain text"
            if cell:
                found[name] = self._value(name, cell)
        return found

    def _value(self, name: str, cell: str) -> object:
        kind = self._types[name]
        if kind == _TEXTS:
            count, *items = cell.split(_ITEM)
            return tuple(items) if int(count) == len(items) else cell
        if kind == _INSTANT:
            return from_ms(int(cell)) if cell.removeprefix("-").isdigit() else cell
        return value_of(name, cell)

    def blocks(self) -> Iterator[Block]:
        """See :class:`hanse.policies.ledger.intake.Source`."""
        number = 1
        try:
            readable, problem = self._readable()
            rows = self._connection.execute(self._query(readable), [str(self._path)])
            while number <= readable and (part := rows.fetchmany(_BLOCK_ROWS)):
                ids, subjects, given, expires, keys = map(_without_nulls, zip(*part, strict=True))
                yield Block(range(number, number + len(part)), ids, subjects, given, expires, keys, [])
                number += len(part)
        except (duckdb.Error, ValueError, OverflowError) as error:
            # DuckDB quotes values; only the kind of problem may go on.
            raise ConfigurationError(
                "config.bad-data", f"the file cannot be read after row {number - 1}: {type(error).__name__}"
            ) from error
        if problem is not None:
            raise ConfigurationError("config.bad-data", f"row {number}: {problem}")

    def _readable(self) -> tuple[int, str | None]:
        """How many rows are read, and what is wrong with the one behind them."""
        allowed = max(MAX_ROWS, self._path.stat().st_size)
        groups = self._connection.execute(_GROUPS, [str(self._path)]).fetchall()
        before = 0
        for rows, largest in groups:
            if largest > MAX_CHUNK_BYTES:
                return before, f"a column of its row group holds more than {MAX_CHUNK_BYTES >> 20} MiB"
            before += rows
            if before > allowed:
                return allowed, f"the file has more than {allowed} rows, more than its size can hold"
        return before, None

    def _query(self, readable: int) -> str:
        subject = IDENTIFIER if self.has_identifiers else "subject_ref"
        own = [self._own(name) for name in ("event_id", subject, "given_at", "expires_at")]
        cells = [self._as_text(name) for name in self._shared]
        # One call: a chain of || would copy the cells once per column.
        separator = f", '{_CELL}', "
        key = _held(
            f"concat({separator.join(cells)})", " + ".join(f"coalesce(strlen({cell}), 0)" for cell in cells)
        )
        # Not LIMIT, for which DuckDB would hold all rows at once.
        source = f"read_parquet(?, file_row_number = true) WHERE file_row_number < {readable}"
        return f"SELECT {', '.join(own)}, {key} FROM {source}"  # noqa: S608 - checked names

    def _own(self, name: str) -> str:
        """A cell that differs from row to row."""
        if name not in self._types:
            return "''"
        if self._types[name] == _INSTANT:
            return (
                f"CASE WHEN {name} IS NULL OR isfinite({name}) THEN epoch_ms({name}) ELSE {_NO_INSTANT} END"
            )
        return _held(name, f"strlen({name})")

    def _as_text(self, name: str) -> str:
        """A cell as text; NULL, which concat takes as "", if it is missing."""
        kind = self._types[name]
        if kind == _TEXTS:
            items = f"len({name}) || '{_ITEM}' || array_to_string({name}, '{_ITEM}')"
            return f"CASE WHEN len({name}) > 0 THEN {items} ELSE '' END"
        if kind == _INSTANT:
            return _milliseconds(name)
        return name if kind == _TEXT else f"{name}::VARCHAR"


def _held(text: str, size: str) -> str:
    """Text that is handed on; in the place of one that is far too long, one that nobody takes.

    It is measured before it is copied, or a small file could fill the memory with copies.
    """
    return f"CASE WHEN {size} < {MAX_LINE_BYTES} THEN {text} WHEN {size} IS NOT NULL THEN '{_CELL}' END"


def _without_nulls(column: tuple[Any, ...]) -> Sequence[Any]:
    return ["" if cell is None else cell for cell in column] if None in column else column


def _milliseconds(name: str) -> str:
    """Milliseconds since 1970 as text; of an infinite time, which no event has, the word."""
    return f"CASE WHEN isfinite({name}) THEN epoch_ms({name})::VARCHAR ELSE {name}::VARCHAR END"


def _check_type(name: str, kind: str) -> None:
    allowed = {_TEXT}
    if name in LISTS:
        allowed.add(_TEXTS)
    elif name in FLAGS:
        allowed.add("BOOLEAN")
    elif name in NUMBERS:
        allowed |= _INTEGERS
    elif name in _TIMES:
        allowed.add(_INSTANT)
    if kind not in allowed:
        raise PolicyError(
            "policy.invalid", f"the column {name} has a type that is not read; write it as text"
        )


@contextmanager
def open_parquet(path: Path) -> Iterator[ParquetSource]:
    """Opens a Parquet file.

    Args:
        path: The file.

    Raises:
        PolicyError: ``policy.invalid`` if it does not name the columns, or one has a type that is not read.
        ConfigurationError: ``config.missing-file`` if it cannot be read, ``config.bad-data`` if it is not
            Parquet.
    """
    if not path.is_file():
        raise ConfigurationError("config.missing-file", f"cannot read {path}: no such file")
    config: dict[str, Any] = {
        "threads": 1,
        "memory_limit": f"{MAX_MEMORY_MIB}MiB",
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "preserve_insertion_order": True,
    }
    with duckdb.connect(":memory:", config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            source = ParquetSource(connection, path)
        except duckdb.Error as error:
            raise ConfigurationError("config.bad-data", f"{path} is not a Parquet file") from error
        yield source
