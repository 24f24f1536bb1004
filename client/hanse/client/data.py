"""The member's data source: declared columns only, and only of the subjects that are asked for.

The query engine is DuckDB, so that projection and row filter are pushed into the scan: a column that is
not asked for, or a row of a subject who is not admitted, is not materialised in this process.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import duckdb
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from hanse.errors import ConfigurationError

Columns = Mapping[str, npt.NDArray[np.generic]]


class DeclaredColumn(BaseModel):
    """A column that this site declares for collaborations; anything else in the file is never read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["numeric", "categorical"]
    classification: Literal["basic", "behavioural", "transaction", "sensitive"]


class DatasetManifest(BaseModel):
    """What a member's data set is called, where it lies and what is declared of it.

    Attributes:
        name: Name of the population; privacy budgets are kept per population and purpose.
        path: Parquet or CSV file (``.parquet``, ``.csv``, ``.csv.gz``), one row per subject.
        subject_column: Column with the site's own identifier of a subject.
        label_column: Column with the label.
        columns: Declared columns.
        note: Free text for people, for example that identifiers were generated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    path: Path
    subject_column: str
    label_column: str
    columns: tuple[DeclaredColumn, ...]
    note: str = ""


class DataSource:
    """Reads a data set as its manifest declares it."""

    def __init__(self, manifest: DatasetManifest) -> None:
        self.manifest = manifest
        self._kinds = {column.name: column.kind for column in manifest.columns}
        self._connection = duckdb.connect(":memory:", config={"threads": 1})

    def subject_ids(self) -> list[str]:
        """The site's own subject identifiers, in file order; the only column that is read before admission.

        Raises:
            ConfigurationError: ``config.bad-data`` when a subject is missing or has more than one row,
                because then a record would not be a person.
        """
        name = _quoted(self.manifest.subject_column)
        sql = f"SELECT CAST({name} AS VARCHAR) FROM {self._scan()}"  # noqa: S608 - quoted name
        with self._querying():
            ids = [row[0] for row in self._connection.execute(sql).fetchall()]
        missing, repeated = sum(value is None for value in ids), len(ids) - len(set(ids))
        if missing or repeated:
            raise ConfigurationError(
                "config.bad-data",
                f"{self.manifest.path}: column {self.manifest.subject_column} has {missing} empty and "
                f"{repeated} repeated values; give every subject exactly one row",
            )
        return ids

    def read(
        self, columns: Sequence[str], subject_ids: Sequence[str]
    ) -> tuple[Columns, npt.NDArray[np.str_]]:
        """Reads the label and the given declared columns of the given subjects, in the order given.

        Returns:
            The columns (numeric ones float64 with NaN for missing, categorical ones str with "" for missing)
            and the labels as str, each of shape ``(len(subject_ids),)``.

        Raises:
            ConfigurationError: ``config.bad-data`` when a column is not declared or does not hold what is
                declared. Whether all subjects were there is for the caller to check.
        """
        undeclared = [name for name in columns if name not in self._kinds]
        if undeclared:
            raise ConfigurationError(
                "config.bad-data", f"not declared in the manifest: {', '.join(undeclared)}"
            )
        selected = [f"{self._cast(name)} AS c{index}" for index, name in enumerate(columns)]
        label = f"CAST(s.{_quoted(self.manifest.label_column)} AS VARCHAR) AS label"
        on = f"CAST(s.{_quoted(self.manifest.subject_column)} AS VARCHAR) = a.id"
        source = f"{self._scan()} s JOIN admitted a ON {on}"
        sql = f"SELECT {', '.join([*selected, label])} FROM {source} ORDER BY a.place"  # noqa: S608 - quoted names
        # A numpy array is scanned in place; a Python list would be converted value by value.
        admitted = {"id": np.array(subject_ids, dtype=object), "place": np.arange(len(subject_ids))}
        with self._querying():
            self._connection.register("admitted", admitted)
            table = self._connection.execute(sql).fetchnumpy()
        values = {name: self._values(name, table[f"c{index}"]) for index, name in enumerate(columns)}
        return values, _text(table["label"])

    def _cast(self, name: str) -> str:
        kind = "DOUBLE" if self._kinds[name] == "numeric" else "VARCHAR"
        return f"CAST(s.{_quoted(name)} AS {kind})"

    def _values(self, name: str, column: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        if self._kinds[name] == "numeric":
            numbers: npt.NDArray[np.float64] = np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)
            return numbers
        return _text(column)

    def _scan(self) -> str:
        path = str(self.manifest.path).replace("'", "''")
        if path.endswith(".parquet"):
            return f"read_parquet('{path}')"
        return f"read_csv('{path}', header=true, all_varchar=true)"

    @contextmanager
    def _querying(self) -> Iterator[None]:
        """Around a query and the fetching of its result: rows that do not parse may be met in either."""
        if not self.manifest.path.is_file():
            raise ConfigurationError("config.missing-file", f"data file {self.manifest.path} is missing")
        try:
            yield
        except duckdb.Error as error:
            # DuckDB quotes the offending value; only the kind of problem may go on.
            raise ConfigurationError(
                "config.bad-data",
                f"{self.manifest.path} does not hold what its manifest declares ({type(error).__name__}); "
                "check names and kinds of the columns",
            ) from None


def _text(column: npt.NDArray[np.generic]) -> npt.NDArray[np.str_]:
    filled: npt.NDArray[np.object_] = np.ma.filled(np.ma.asarray(column, dtype=object), "")
    return np.asarray(["" if value is None else str(value) for value in filled], dtype=np.str_)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
