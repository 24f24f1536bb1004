"""Whether a ledger has changed since somebody looked: a question that every scoring call asks."""

from collections.abc import Hashable
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from hanse.policies.ledger import history
from hanse.storage import Database

_DATA_VERSION: Final = "PRAGMA data_version"


class LedgerChanges(NamedTuple):
    """What happened in a ledger since a head.

    Attributes:
        head: Number of the last event, 0 if there is none.
        root: Digest of the whole history up to ``head``, 64 hex digits.
        synced_at: When a source last fed the ledger, or said that there is nothing new; None if never.
        touched: Pseudonyms of the subjects whom events were about; None if there were too many events.
    """

    head: int
    root: str
    synced_at: datetime | None
    touched: frozenset[str] | None


class LedgerWatch:
    """Looks at a ledger, on a connection of its own. Not safe for threads.

    Args:
        database: The ledger's.
        connection: A reader, kept for this.
    """

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection
        self._driver: Any = connection.connection.driver_connection

    @property
    def is_quick(self) -> bool:
        """Whether looking takes microseconds, which an event loop may do; a server is to be waited for."""
        return self._database.is_sqlite

    def version(self) -> Hashable:
        """Differs from every earlier one if anything was committed in between, by any process.

        SQLite counts for a connection what others commit (``PRAGMA data_version``), which costs a few
        microseconds; on PostgreSQL it is the newest batch and the last word of a source, one round trip.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be read.
        """
        if not self._database.is_sqlite:
            with self._database.errors(), self._connection.begin():
                return history.read_head(self._connection), history.read_meta(self._connection, "synced_ms")
        try:
            return int(self._driver.execute(_DATA_VERSION).fetchone()[0])
        except Exception:
            with self._database.errors():
                raise
            raise
