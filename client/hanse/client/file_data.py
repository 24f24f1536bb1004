"""A Parquet or CSV file, queried by DuckDB: what the query does not name never leaves the file."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from hanse.enforcement import Columns
from hanse.errors import ConfigurationError

_TYPES = {"numeric": "DOUBLE", "categorical": "VARCHAR"}


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
        with self._querying():
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
        # A numpy array is scanned in place; a Python list would be converted value by value.
        admitted: dict[str, npt.NDArray[np.generic]] = {
            "id": np.array(subject_ids, dtype=object),
            "place": np.arange(len(subject_ids)),
        }
        selected = []
        for number, (name, kind) in enumerate(columns.items()):
            value = f"CAST(s.{_quoted(name)} AS {_TYPES[kind]})"
            if name in hidden:
                admitted[f"h{number}"] = hidden[name]
                value = f"CASE WHEN a.h{number} THEN NULL ELSE {value} END"
            selected.append(f"{value} AS c{number}")
        on = f"CAST(s.{_quoted(subject_column)} AS VARCHAR) = a.id"
        source = f"{self._scan()} s JOIN admitted a ON {on}"
        sql = f"SELECT {', '.join(selected)} FROM {source} ORDER BY a.place"  # noqa: S608 - quoted names
        with self._querying():
            self._connection.register("admitted", admitted)
            table = self._connection.execute(sql).fetchnumpy()
        return {
            name: _numbers(table[f"c{number}"]) if kind == "numeric" else _text(table[f"c{number}"])
            for number, (name, kind) in enumerate(columns.items())
        }

    def _scan(self) -> str:
        path = str(self._path).replace("'", "''")
        if path.endswith(".parquet"):
            return f"read_parquet('{path}')"
        return f"read_csv('{path}', header=true, all_varchar=true)"

    @contextmanager
    def _querying(self) -> Iterator[None]:
        """Around a query and the fetching of its result: rows that do not parse may be met in either."""
        if not self._path.is_file():
            raise ConfigurationError("config.missing-file", f"data file {self._path} is missing")
        try:
            yield
        except duckdb.Error as error:
            # DuckDB quotes the offending value; only the kind of problem may go on.
            raise ConfigurationError(
                "config.bad-data",
                f"{self._path} does not hold what its manifest declares ({type(error).__name__}); "
                "check names and kinds of the columns",
            ) from None


def _numbers(column: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    numbers: npt.NDArray[np.float64] = np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)
    return numbers


def _text(column: npt.NDArray[np.generic]) -> npt.NDArray[np.str_]:
    filled: npt.NDArray[np.object_] = np.ma.filled(np.ma.asarray(column, dtype=object), "")
    return np.asarray(["" if value is None else str(value) for value in filled], dtype=np.str_)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
