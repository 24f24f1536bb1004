"""Where a site keeps what it must never lose: one way to open a database, durably.

* :mod:`hanse.storage.database`: SQLite in a file, or PostgreSQL by URL.
* :mod:`hanse.storage.guards`: triggers that keep a table append-only.
"""

from hanse.storage.database import POSTGRESQL_DRIVER, Database, Use

__all__ = ["POSTGRESQL_DRIVER", "Database", "Use"]
