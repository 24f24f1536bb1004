"""A table of a database, queried by the database itself: what the query does not name never leaves it.

Whom to read, and what not, goes into a temporary table of the session, so that the database joins.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hanse.enforcement import Columns
from hanse.errors import ConfigurationError

_BATCH_ROWS: Final = 10_000
_ADMITTED: Final = "hanse_admitted"


class SqlTable:
    """One table or view.

    Args:
        url: The database, as SQLAlchemy writes it.
        table: Name of the table, with its schema if it needs one.

    Raises:
        ConfigurationError: ``config.invalid`` if the URL is none, or needs a driver that is not installed.
    """

    def __init__(self, url: str, table: str) -> None:
        self._name = table
        schema, _, name = table.rpartition(".")
        self._table = sa.table(sa.quoted_name(name, quote=True), schema=schema or None)
        try:
            # hide_parameters: an error must not carry identifiers.
            self.engine = sa.create_engine(url, poolclass=NullPool, hide_parameters=True)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError):
            # The URL is not repeated: it may hold a password.
            raise ConfigurationError(
                "config.invalid", "node.dataset.url is no database URL, or its driver is not installed"
            ) from None

    def subject_ids(self, subject_column: str) -> list[str | None]:
        """The values of one column as text, in the table's order.

        Raises:
            ConfigurationError: ``config.bad-data``.
        """
        query = sa.select(sa.cast(_column(subject_column), sa.String())).select_from(self._table)
        with self._querying() as connection:
            return list(connection.execute(query).scalars())

    def read(
        self,
        columns: Mapping[str, str],
        subject_column: str,
        subject_ids: Sequence[str],
        hidden: Mapping[str, npt.NDArray[np.bool_]],
    ) -> Columns:
        """Columns (name to kind) of the given subjects, in the order given, missing where they are hidden.

        Raises:
            ConfigurationError: ``config.bad-data``.
        """
        found = self._admitted(list(columns), subject_column, subject_ids, hidden)
        return {name: self._values(name, kind, found[name]) for name, kind in columns.items()}

    def raw(
        self, columns: Sequence[str], subject_column: str, subject_ids: Sequence[str]
    ) -> dict[str, list[object]]:
        """Columns of the given subjects, in the order given, as they are stored; None where there is nothing.

        Raises:
            ConfigurationError: ``config.bad-data``.
        """
        found = self._admitted(columns, subject_column, subject_ids, {})
        return {name: [_plain(value) for value in values] for name, values in found.items()}

    def _admitted(
        self,
        columns: Sequence[str],
        subject_column: str,
        subject_ids: Sequence[str],
        hidden: Mapping[str, npt.NDArray[np.bool_]],
    ) -> dict[str, list[object]]:
        """Columns of the given subjects as the database gives them."""
        flags = {name: f"h{number}" for number, name in enumerate(columns) if name in hidden}
        admitted = sa.Table(
            _ADMITTED,
            sa.MetaData(),
            sa.Column("id", sa.String(400), primary_key=True),
            sa.Column("place", sa.Integer()),
            *(sa.Column(flag, sa.SmallInteger()) for flag in flags.values()),
            prefixes=["TEMPORARY"],
        )
        own = self._table.alias("s")
        values = [
            sa.case((admitted.c[flags[name]] == 0, _column(name, own))).label(f"c{number}")
            if name in flags
            else _column(name, own).label(f"c{number}")
            for number, name in enumerate(columns)
        ]
        same = sa.cast(_column(subject_column, own), sa.String()) == admitted.c.id
        query = sa.select(*values).select_from(own.join(admitted, same)).order_by(admitted.c.place)
        with self._querying() as connection:
            admitted.create(connection)
            rows = _rows(subject_ids, {flags[name]: hidden[name] for name in flags})
            while part := list(islice(rows, _BATCH_ROWS)):
                connection.execute(admitted.insert(), part)
            found = connection.execute(query).all()
            connection.rollback()
        return {name: [row[number] for row in found] for number, name in enumerate(columns)}

    def _values(self, name: str, kind: str, values: Sequence[object]) -> npt.NDArray[np.generic]:
        if kind == "categorical":
            return np.asarray([_text(value) for value in values], dtype=np.str_)
        try:
            return np.array([_number(value) for value in values], dtype=np.float64)
        except (TypeError, ValueError):
            raise ConfigurationError(
                "config.bad-data", f"column {name} of table {self._name} does not hold numbers only"
            ) from None

    @contextmanager
    def _querying(self) -> Iterator[sa.Connection]:
        """A connection of its own, whose transaction changes nothing."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            # The database may quote a value; only the kind of problem may go on.
            raise ConfigurationError(
                "config.bad-data",
                f"table {self._name} cannot be read as its manifest declares ({type(error).__name__}); "
                "check the address of the database and the names of the columns",
            ) from None


def _column(name: str, table: sa.FromClause | None = None) -> sa.ColumnElement[Any]:
    column: sa.ColumnClause[Any] = sa.column(sa.quoted_name(name, quote=True))
    column.table = table
    return column


def _rows(
    subject_ids: Sequence[str], flags: Mapping[str, npt.NDArray[np.bool_]]
) -> Iterator[dict[str, object]]:
    for place, subject_id in enumerate(subject_ids):
        yield {
            "id": subject_id,
            "place": place,
            **{flag: int(hidden[place]) for flag, hidden in flags.items()},
        }


def _text(value: object) -> str:
    """A value as text; NaN, by which other tools write that there is none, is none."""
    missing = value is None or (isinstance(value, float | Decimal) and math.isnan(value))
    return "" if missing else str(value)


def _plain(value: object) -> object:
    """Text, a whole number, a fraction, a truth value or bytes; anything else as its text."""
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, memoryview):
        return bytes(value)
    return value if value is None or isinstance(value, str | int | float | bytes) else str(value)


def _number(value: object) -> float:
    """A number, or text that is one; no value is NaN."""
    if value is None or value == "":
        return float("nan")
    if isinstance(value, int | float | Decimal | str):
        return float(value)
    raise TypeError
