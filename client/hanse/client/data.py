"""The member's data source: declared columns only, of the subjects asked for only, and nothing hidden.

Files are queried by DuckDB and tables by their database, so that the choice of columns, rows and cells is
part of the query: a column that is not asked for, a row of a subject who is not admitted, or a value that a
subject hides is not materialised in this process.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from hanse.client.file_data import FileTable
from hanse.client.sql_data import SqlTable
from hanse.enforcement import Columns
from hanse.errors import ConfigurationError

Hidden: TypeAlias = Mapping[str, npt.NDArray[np.bool_]]
"""By column, in which of the subjects that are asked for it must not be read."""

ColumnKind: TypeAlias = Literal["numeric", "categorical"]


class DeclaredColumn(BaseModel):
    """A column that this site declares for collaborations; anything else in the file is never read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: ColumnKind
    classification: Literal["basic", "behavioural", "transaction", "sensitive"]


class DatasetManifest(BaseModel):
    """What a member's data set is called, where it lies and what is declared of it.

    Attributes:
        name: Name of the population; privacy budgets are kept per population and purpose.
        path: Parquet or CSV file (``.parquet``, ``.csv``, ``.csv.gz``), one row per subject.
        url: In the place of a file, a database as SQLAlchemy writes it, ``postgresql+psycopg://host/crm``.
            One with a password belongs into the environment (``HANSE_NODE_DATASET__URL``), not into a file.
        table: Table or view of the database, ``customers`` or ``schema.customers``, one row per subject.
        subject_column: Column with the site's own identifier of a subject.
        label_column: Column with the label; none at a member whose partners have it.
        identifiers: Columns by which others know the same people, by the kind of identifier that agreements
            name, as ``email`` or ``phone``; read for an alignment alone, of people who are admitted to it.
        columns: Declared columns; none declared is none that an agreement can have.
        note: Free text for people, for example that identifiers were generated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=1)
    path: Path | None = None
    url: SecretStr | None = None
    table: str | None = None
    subject_column: str
    label_column: str | None = None
    identifiers: Mapping[str, str] = Field(default_factory=dict)
    columns: tuple[DeclaredColumn, ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.url is None) or (self.url is None) != (self.table is None):
            raise ValueError("write either path, or url and table")
        return self

    @property
    def place(self) -> str:
        """Where the data lies, for messages; never the database's URL, which may hold a password."""
        return str(self.path) if self.table is None else f"table {self.table}"


class IdentifierColumn(NamedTuple):
    """A column of identifiers: its name and its values as they are stored, None where there is none."""

    name: str
    values: list[object]


class Table(Protocol):
    """A place with one row per subject."""

    def subject_ids(self, subject_column: str) -> list[str | None]:
        """The values of one column as text, in the table's order."""
        ...

    def read(
        self,
        columns: Mapping[str, ColumnKind],
        subject_column: str,
        subject_ids: Sequence[str],
        hidden: Hidden,
    ) -> Columns:
        """Columns of the given subjects, in the order given, missing where they are hidden."""
        ...

    def raw(
        self, columns: Sequence[str], subject_column: str, subject_ids: Sequence[str]
    ) -> dict[str, list[object]]:
        """Columns of the given subjects, in the order given, as they are stored."""
        ...


class DataSource:
    """Reads a data set as its manifest declares it.

    Args:
        manifest: The declaration.

    Raises:
        ConfigurationError: ``config.invalid`` if the database is of a kind that is not installed.
    """

    def __init__(self, manifest: DatasetManifest) -> None:
        self.manifest = manifest
        self._kinds: dict[str, ColumnKind] = {column.name: column.kind for column in manifest.columns}
        self._table: Table
        if manifest.path is not None:
            self._table = FileTable(manifest.path)
        elif manifest.url is not None and manifest.table is not None:
            self._table = SqlTable(manifest.url.get_secret_value(), manifest.table)

    def subject_ids(self) -> list[str]:
        """The site's own subject identifiers, in their order; all that is read before admission.

        Raises:
            ConfigurationError: ``config.bad-data`` when a subject is missing or has more than one row,
                because then a record would not be a person.
        """
        found = self._table.subject_ids(self.manifest.subject_column)
        ids = [value for value in found if value]
        missing, repeated = len(found) - len(ids), len(ids) - len(set(ids))
        if missing or repeated:
            raise ConfigurationError(
                "config.bad-data",
                f"{self.manifest.place}: column {self.manifest.subject_column} has {missing} empty and "
                f"{repeated} repeated values; give every subject exactly one row",
            )
        return ids

    @property
    def label_column(self) -> str:
        """The column with the label.

        Raises:
            ConfigurationError: ``config.bad-data`` when the manifest names none.
        """
        if self.manifest.label_column is None:
            raise ConfigurationError(
                "config.bad-data", f"{self.manifest.place} has no label_column; name it in the manifest"
            )
        return self.manifest.label_column

    def texts(self, column: str) -> list[str | None]:
        """The values of any column as text, in the order of the data set, declared or not.

        For this site's own search for values that must not be in its logs, and for nothing that leaves it.

        Raises:
            ConfigurationError: ``config.bad-data`` when there is no such column.
        """
        return self._table.subject_ids(column)

    def identifiers(self, kinds: Sequence[str], subject_ids: Sequence[str]) -> dict[str, IdentifierColumn]:
        """Reads identifiers of the given subjects, in the order given, as they are stored.

        Args:
            kinds: Kinds of identifiers, as the agreement names them.
            subject_ids: Whose.

        Returns:
            By kind the column's name, and of each subject its value, None where there is none. A fraction or
            a truth value stays one: its text would be another identifier.

        Raises:
            ConfigurationError: ``config.bad-data`` when a kind is not declared, or its column is not there.
        """
        undeclared = [kind for kind in kinds if kind not in self.manifest.identifiers]
        if undeclared:
            raise ConfigurationError(
                "config.bad-data",
                f"no identifier {', '.join(undeclared)} in the manifest; name its column under "
                "[node.dataset.identifiers]",
            )
        columns = {kind: self.manifest.identifiers[kind] for kind in kinds}
        names = list(dict.fromkeys(columns.values()))
        read = self._table.raw(names, self.manifest.subject_column, subject_ids)
        return {kind: IdentifierColumn(name, read[name]) for kind, name in columns.items()}

    def row_of(self, subject_id: str) -> int:
        """In which row a subject is, from 1, without a heading; for messages to this site's own people."""
        return self._table.subject_ids(self.manifest.subject_column).index(subject_id) + 1

    def read(
        self, columns: Sequence[str], subject_ids: Sequence[str], hidden: Hidden
    ) -> tuple[Columns, npt.NDArray[np.str_]]:
        """Reads the label and the given declared columns of the given subjects, in the order given.

        Args:
            columns: Names of declared columns.
            subject_ids: Whose.
            hidden: What not to read.

        Returns:
            The columns (numeric ones float64 with NaN for missing, categorical ones str with "" for missing)
            and the labels as str, each of shape ``(len(subject_ids),)``.

        Raises:
            ConfigurationError: ``config.bad-data`` when a column is not declared or does not hold what is
                declared. Whether all subjects were there is for the caller to check.
        """
        label = self.label_column
        kinds: dict[str, ColumnKind] = {**self._declared(columns), label: "categorical"}
        read = self._table.read(kinds, self.manifest.subject_column, subject_ids, hidden)
        labels = np.asarray(read[label], dtype=np.str_)
        return {name: read[name] for name in columns}, labels

    def read_unlabelled(self, columns: Sequence[str], subject_ids: Sequence[str], hidden: Hidden) -> Columns:
        """As :meth:`read`, without the label, which another member has."""
        return self._table.read(self._declared(columns), self.manifest.subject_column, subject_ids, hidden)

    def look_up(self, columns: Sequence[str], subject_ids: Sequence[str]) -> tuple[list[str], Columns]:
        """Reads declared columns of those of the given subjects who are in the data set.

        Args:
            columns: Names of declared columns.
            subject_ids: Whose, each once.

        Returns:
            The identifiers that were found, in the order given, and the columns of these as :meth:`read`
            gives them.

        Raises:
            ConfigurationError: As :meth:`read`; also if a subject has more than one row.
        """
        own = self.manifest.subject_column
        kinds: dict[str, ColumnKind] = {**self._declared(columns), own: "categorical"}
        read = self._table.read(kinds, own, subject_ids, {})
        found = [str(value) for value in read[own].tolist()]
        if len(set(found)) != len(found):
            raise ConfigurationError(
                "config.bad-data", f"{self.manifest.place}: a subject has several rows; give each exactly one"
            )
        return found, {name: read[name] for name in columns}

    def _declared(self, columns: Sequence[str]) -> dict[str, ColumnKind]:
        undeclared = [name for name in columns if name not in self._kinds]
        if undeclared:
            raise ConfigurationError(
                "config.bad-data", f"not declared in the manifest: {', '.join(undeclared)}"
            )
        return {name: self._kinds[name] for name in columns}
