"""How an audit log is stored: in a SQLite file, or in PostgreSQL.

* :mod:`hanse.audit.store.tables`: the tables, and the guards around them.
* :mod:`hanse.audit.store.rows`: what a transaction reads and writes.
* :mod:`hanse.audit.store.database`: transactions.
"""

from hanse.audit.store.database import LogStore, create_store, read_only, require_log
from hanse.audit.store.rows import Head, PlainRow, Rows, StoredEntry, WritableRows
from hanse.pieces.summary import CHUNK_ENTRIES, Piece

__all__ = [
    "CHUNK_ENTRIES",
    "Head",
    "LogStore",
    "Piece",
    "PlainRow",
    "Rows",
    "StoredEntry",
    "WritableRows",
    "create_store",
    "read_only",
    "require_log",
]
