"""Where a site keeps what it must never lose: one way to open a database, durably.

* :mod:`hanse.storage.database`: SQLite in a file, or PostgreSQL by URL.
* :mod:`hanse.storage.guards`: triggers that keep a table append-only.
* :mod:`hanse.storage.turns`: in which order writers of one machine come to a file.
"""

from hanse.storage.database import BUSY_TIMEOUT_S, POSTGRESQL_DRIVER, Database, Use
from hanse.storage.turns import WouldWaitError, turn

__all__ = ["BUSY_TIMEOUT_S", "POSTGRESQL_DRIVER", "Database", "Use", "WouldWaitError", "turn"]
