"""A Parquet or CSV file, queried by DuckDB: what the query does not name never leaves the file."""

import codecs
import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

from hanse.enforcement import Columns
from hanse.errors import ConfigurationError

_AS_IT_IS: Final = frozenset({"FLOAT", "DOUBLE", "BOOLEAN", "BLOB"})
"""Types whose text would look like an identifier and be another one: 17.0 for 17."""
_CHUNK_BYTES: Final = 1 << 20


class FileTable:
    """One file.

    Args:
        path: ``.parquet``, or CSV with a header (``.csv``, ``.csv.gz``).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = duckdb.connect(":memory:", config={"threads": 1})

    def subject_ids(self, subject_column: str) -> list[str | None]:
        """The values of one column as text, in the file's order.

        Raises:
            ConfigurationError: ``config.missing-file`` or ``config.bad-data``.
        """
        name = _quoted(subject_column)
        sql = f"SELECT CAST({name} AS VARCHAR) FROM {self._scan()}"  # noqa: S608 - quoted name
        with self._querying(subject_column):
            return [row[0] for row in self._connection.execute(sql).fetchall()]

    def read(
        self,
        columns: Mapping[str, str],
        subject_column: str,
        subject_ids: Sequence[str],
        hidden: Mapping[str, npt.NDArray[np.bool_]],
    ) -> Columns:
        """Columns (name to kind) of the given subjects, in the order given, missing where they are hidden.

        Raises:
            ConfigurationError: ``config.missing-file`` or ``config.bad-data``.
        """
        texts = {name: _number_or_text(name, kind) for name, kind in columns.items()}
        table = self._admitted(texts, subject_column, subject_ids, hidden)
        return {
            name: _numbers(values) if columns[name] == "numeric" else _text(values)
            for name, values in table.items()
        }

    def raw(
        self, columns: Sequence[str], subject_column: str, subject_ids: Sequence[str]
    ) -> dict[str, list[object]]:
        """Columns of the given subjects, in the order given, as they are stored; None where there is nothing.

        Whole numbers, dates and the like are text; fractions, truth values and bytes stay what they are.

        Raises:
            ConfigurationError: ``config.missing-file`` or ``config.bad-data``.
        """
        table: dict[str, list[object]] = {}
        for name in columns:
            # One by one: what is asked for as text and as it is stored differs by the column's type.
            values = {name: f"s.{_quoted(name)}"} if self._keeps_type(name) else {name: _as_text(name)}
            read = self._admitted(values, subject_column, subject_ids, {})[name].tolist()
            table[name] = [bytes(value) if isinstance(value, bytearray) else value for value in read]
        return table

    def _keeps_type(self, column: str) -> bool:
        """Whether a column is of a type that is not to become text."""
        sql = f"DESCRIBE SELECT {_quoted(column)} FROM {self._scan()}"  # noqa: S608 - quoted name
        with self._querying(column):
            kind = str(self._connection.execute(sql).fetchall()[0][1])
        return kind in _AS_IT_IS or (kind.startswith("DECIMAL") and not kind.endswith(",0)"))

    def _admitted(
        self,
        values: Mapping[str, str],
        subject_column: str,
        subject_ids: Sequence[str],
        hidden: Mapping[str, npt.NDArray[np.bool_]],
    ) -> dict[str, npt.NDArray[np.generic]]:
        """Of the given subjects the values of expressions, by column name."""
        # A numpy array is scanned in place; a Python list would be converted value by value.
        admitted: dict[str, npt.NDArray[np.generic]] = {
            "id": np.array(subject_ids, dtype=object),
            "place": np.arange(len(subject_ids)),
        }
        selected = []
        for number, (name, value) in enumerate(values.items()):
            shown = value
            if name in hidden:
                admitted[f"h{number}"] = hidden[name]
                shown = f"CASE WHEN a.h{number} THEN NULL ELSE {value} END"
            selected.append(f"{shown} AS c{number}")
        on = f"CAST(s.{_quoted(subject_column)} AS VARCHAR) = a.id"
        source = f"{self._scan()} s JOIN admitted a ON {on}"
        sql = f"SELECT {', '.join(selected)} FROM {source} ORDER BY a.place"  # noqa: S608 - quoted names
        with self._querying(subject_column, *values):
            self._connection.register("admitted", admitted)
            table = self._connection.execute(sql).fetchnumpy()
        return {name: table[f"c{number}"] for number, name in enumerate(values)}

    def _scan(self) -> str:
        path = str(self._path).replace("'", "''")
        if path.endswith(".parquet"):
            return f"read_parquet('{path}')"
        return f"read_csv('{path}', header=true, all_varchar=true)"

    @contextmanager
    def _querying(self, *columns: str) -> Iterator[None]:
        """Around a query and the fetching of its result: rows that do not parse may be met in either."""
        if not self._path.is_file():
            raise ConfigurationError("config.missing-file", f"data file {self._path} is missing")
        try:
            yield
        except duckdb.Error as error:
            # DuckDB quotes the offending value; only the kind of problem may go on.
            raise ConfigurationError("config.bad-data", self._why(error, columns)) from None

    def _why(self, error: duckdb.Error, columns: Sequence[str]) -> str:
        """What a user can do about an error; names columns that were asked for, and no other words of it."""
        if not self._path.stat().st_size:
            return f"{self._path} is empty: not even a heading is in it"
        if (line := self._not_utf8()) is not None:
            return f"{self._path}, line {line}: the bytes are not UTF-8; save the file in UTF-8"
        if isinstance(error, duckdb.BinderException) and (missing := self._missing(columns)):
            return (
                f"{self._path} has no column {', '.join(missing)}; write the column's name as it is in the "
                "file into the manifest"
            )
        if "encoding" in str(error).lower():  # of Parquet, whose texts have to be UTF-8
            return f"{self._path}: text in it is not UTF-8; write the file again with UTF-8 text"
        return (
            f"{self._path} does not hold what its manifest declares ({type(error).__name__}); "
            "check names and kinds of the columns"
        )

    def _not_utf8(self) -> int | None:
        """The first line, from 1, whose bytes are not UTF-8; None if there is none, or it is no CSV file."""
        if self._path.suffix == ".parquet":
            return None
        decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
        try:
            with (gzip.open if self._path.suffix == ".gz" else open)(self._path, "rb") as file:
                while data := file.read(_CHUNK_BYTES):
                    try:
                        decoder.decode(data)
                    except UnicodeDecodeError as error:
                        return line + error.object[: error.start].count(b"\n")
                    line += data.count(b"\n")
        except (OSError, EOFError):
            pass
        return None

    def _missing(self, columns: Sequence[str]) -> list[str]:
        """Which of the columns are not there."""
        try:
            described = self._connection.execute(f"DESCRIBE SELECT * FROM {self._scan()}").fetchall()  # noqa: S608
        except duckdb.Error:
            return []
        there = {str(row[0]).lower() for row in described}  # DuckDB takes no notice of case
        return [name for name in dict.fromkeys(columns) if name.lower() not in there]


def _number_or_text(name: str, kind: str) -> str:
    return f"CAST(s.{_quoted(name)} AS DOUBLE)" if kind == "numeric" else _as_text(name)


def _as_text(name: str) -> str:
    """A value as text; NaN, by which other tools write that there is none, is none."""
    value = f"s.{_quoted(name)}"
    text = f"CAST({value} AS VARCHAR)"
    missing = f"typeof({value}) IN ('FLOAT', 'DOUBLE') AND {text} = 'nan'"
    return f"CASE WHEN {missing} THEN NULL ELSE {text} END"


def _numbers(column: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    numbers: npt.NDArray[np.float64] = np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)
    return numbers


def _text(column: npt.NDArray[np.generic]) -> npt.NDArray[np.str_]:
    filled: npt.NDArray[np.object_] = np.ma.filled(np.ma.asarray(column, dtype=object), "")
    return np.asarray(["" if value is None else str(value) for value in filled], dtype=np.str_)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
