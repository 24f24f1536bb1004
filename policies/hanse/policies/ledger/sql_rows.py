"""Consent events from a query on another database."""

import json
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hanse.errors import ConfigurationError
from hanse.policies.ledger.csv_rows import MAX_LINE_BYTES, check_header, value_of
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

_BLOCK_ROWS: Final = 10_000


class SqlSource:
    """The rows of a query; its columns are those of a CSV file.

    A list is text separated by ``|``; NULL is a missing value; a time is text, or has a time zone.

    Args:
        connection: A connection of the other database.
        query: One SELECT.

    Raises:
        PolicyError: ``policy.invalid`` if the query does not name the columns.
        SQLAlchemyError: It cannot be run.
    """

    def __init__(self, connection: Connection, query: str) -> None:
        self._result = connection.execution_options(yield_per=_BLOCK_ROWS).execute(text(query))
        self._names = list(self._result.keys())
        self.has_identifiers = check_header(self._names, "the query")
        own = {IDENTIFIER if name == "subject_ref" and self.has_identifiers else name for name in ROW_COLUMNS}
        self._shared = [place for place, name in enumerate(self._names) if name not in own]

    def cells(self, form: Hashable) -> Cells | str:
        """See :class:`hanse.policies.ledger.intake.Source`."""
        names = [self._names[place] for place in self._shared]
        cells = {name: cell for name, cell in zip(names, json.loads(str(form)), strict=True) if cell != ""}
        for name, cell in cells.items():
            if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
                return f"{name}: begins like a spreadsheet formula; write plain text"
        return {name: value_of(name, cell) for name, cell in cells.items()}

    def blocks(self) -> Iterator[Block]:
        """See :class:`hanse.policies.ledger.intake.Source`."""
        number = 1
        parts = self._result.partitions()
        while True:
            try:
                part = next(parts, None)
            except (SQLAlchemyError, ValueError) as error:
                raise ConfigurationError(
                    "config.bad-data", f"the query failed after row {number - 1}: {type(error).__name__}"
                ) from error
            if part is None:
                return
            yield self._block(number, part)
            number += len(part)

    def _block(self, first: int, part: Sequence[Sequence[object]]) -> Block:
        rows: list[Row] = []
        refused: Refusals = []
        for number, row in enumerate(part, start=first):
            cells = [_cell(cell) for cell in row]
            unfit = [name for name, cell in zip(self._names, cells, strict=True) if cell is None]
            if unfit:
                refused.append((number, f"{unfit[0]}: write text, a truth value, a whole number or a time"))
                continue
            own = dict(zip(self._names, map(str, cells), strict=True))
            subject = own[IDENTIFIER if self.has_identifiers else "subject_ref"]
            times = (own.get("given_at", ""), own.get("expires_at", ""))
            shared = json.dumps([cells[place] for place in self._shared])
            rows.append((number, own["event_id"], subject, *times, shared))
        return block_of(rows, refused)


def _cell(value: object) -> str | bool | int | None:
    """A cell as plain text, a truth value or a number; None for what cannot be a cell."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            return value.isoformat()  # refused by its column: a time has a zone
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, str):
        return value if len(value.encode("utf-8", "surrogatepass")) < MAX_LINE_BYTES else None
    return value if isinstance(value, (bool, int)) else None


@contextmanager
def open_sql(url: str, query: str) -> Iterator[SqlSource]:
    """Runs a query on another database.

    Args:
        url: Its SQLAlchemy URL.
        query: One SELECT.

    Raises:
        PolicyError: ``policy.invalid`` if the query does not name the columns.
        ConfigurationError: ``config.invalid`` if the URL is none or its driver is not installed,
            ``config.bad-data`` if the query cannot be run.
    """
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    except (ArgumentError, ModuleNotFoundError, SQLAlchemyError, ValueError) as error:
        # The URL is not repeated: it may hold a password.
        raise ConfigurationError(
            "config.invalid", "the URL is not a database URL, or its driver is not installed"
        ) from error
    try:
        with engine.connect() as connection:
            yield SqlSource(connection, query)
    except SQLAlchemyError as error:
        raise ConfigurationError("config.bad-data", f"the query failed: {type(error).__name__}") from error
    finally:
        engine.dispose()
