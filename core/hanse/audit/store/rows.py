"""What a transaction on an audit log reads and writes, as plain rows. Nothing of it is verified here.

The statements go to the driver directly: a commit has four of them and takes less time than SQLAlchemy would
take to pass them on. They are the same text on SQLite and on PostgreSQL but for the sign of a parameter.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection

from hanse.audit.entry import MAX_ENTRY_BYTES
from hanse.audit.hashes import Node
from hanse.audit.store import tables
from hanse.audit.tree import HASH_BYTES
from hanse.errors import AuditError
from hanse.pieces.summary import CHUNK_ENTRIES, Piece

MAX_HASHES_BYTES: Final = 64 * HASH_BYTES
_DATA: Final = f"CASE WHEN length(data) <= {MAX_ENTRY_BYTES} THEN data END"
_HASHES: Final = f"CASE WHEN length(hashes) <= {MAX_HASHES_BYTES} THEN hashes END"
_LOOKUP: Final = 500  # below the limit of variables of every build of SQLite


class Head(NamedTuple):
    """The newest commit.

    Attributes:
        size: Number of entries.
        note: Checkpoint over them, signed by the log.
    """

    size: int
    note: bytes


class StoredEntry(NamedTuple):
    """A row of the log.

    Attributes:
        entry: Its index, from 0.
        data: The canonical bytes of the entry.
        hashes: The nodes of the tree that it completes, 32 bytes each, its leaf hash first.
    """

    entry: int
    data: bytes
    hashes: bytes


PlainRow: TypeAlias = tuple[int, bytes, bytes]
"""What :class:`StoredEntry` has, as a plain tuple: the driver takes and gives those faster."""


class Rows:
    """Reads, in the transaction of a connection. Also the :class:`hanse.audit.hashes.Hashes` of the log.

    Args:
        connection: In a transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self.is_sqlite = connection.dialect.name == "sqlite"
        driver: Any = connection.connection.driver_connection
        self._driver = driver
        if self.is_sqlite:
            # A text in the place of bytes is damage to be named, not an error of the driver.
            driver.text_factory = _text_of

    def meta(self, key: str) -> str:
        """A fact about the log; see :data:`hanse.audit.store.tables.meta`."""
        return str(self._one("SELECT value FROM audit_meta WHERE key = ?", key)[0])

    def head(self) -> Head:
        """The newest commit."""
        size, note = self._one("SELECT size, note FROM audit_head WHERE id = 1")
        if type(size) is not int or type(note) is not bytes:
            raise AuditError("audit.integrity", "the head of the log is not one")
        return Head(size, note)

    def entries(self, first: int, end: int) -> Iterator[Piece]:
        """The entries from ``first`` up to and without ``end``, in order, in pieces; see :meth:`piece`."""
        for start in range(first, end, CHUNK_ENTRIES):
            yield self.piece(start, min(start + CHUNK_ENTRIES, end))

    def piece(self, first: int, end: int) -> Piece:
        """The entries from ``first`` up to and without ``end``, in order; at least one.

        What is longer than an entry can be stays in the database, so that a piece takes 140 MB at most.

        Raises:
            AuditError: ``audit.integrity`` if one is missing, is not bytes or is too long.
        """
        found = self._fetch(
            f"SELECT entry, {_DATA}, {_HASHES} FROM audit_entries"  # noqa: S608
            " WHERE entry >= ? AND entry < ? ORDER BY entry",
            first,
            end,
        )
        numbers, data, hashes = zip(*found, strict=True) if found else ((), (), ())
        if numbers != tuple(range(first, end)) or {*map(type, data), *map(type, hashes)} != {bytes}:
            raise self._missing(found, first)
        return Piece(first, data, hashes)

    @staticmethod
    def _missing(found: Sequence[tuple[Any, ...]], first: int) -> AuditError:
        """Names the first entry that is not as expected."""
        for entry, data, hashes in found:
            if entry != first or type(data) is not bytes or type(hashes) is not bytes:
                break
            first += 1
        return AuditError(
            "audit.integrity", f"entry {first} is missing, or not the bytes that an entry has", entry=first
        )

    def read(self, nodes: Sequence[Node]) -> Sequence[bytes]:
        """See :meth:`hanse.audit.hashes.Hashes.read`: a node is in the row of the last entry below it."""
        if any(node.level < 0 for node in nodes):
            raise AuditError("audit.integrity", "a tree has no level below its leaves")
        wanted = sorted({((node.index + 1) << node.level) - 1 for node in nodes})
        stored: dict[int, bytes] = {}
        for start in range(0, len(wanted), _LOOKUP):
            part = wanted[start : start + _LOOKUP]
            marks = ", ".join("?" * len(part))
            stored.update(
                self._fetch(f"SELECT entry, {_HASHES} FROM audit_entries WHERE entry IN ({marks})", *part)  # noqa: S608
            )
        return [_node(node, stored) for node in nodes]

    def last_entry(self, actor: str) -> int | None:
        """Index of the last entry of an actor, given by its canonical JSON."""
        found = self._fetch("SELECT last_entry FROM audit_actors WHERE actor = ?", actor)
        return int(found[0][0]) if found else None

    def actors(self) -> dict[str, int]:
        """Each actor's last entry."""
        return dict(self._fetch("SELECT actor, last_entry FROM audit_actors"))

    def checkpoints(self, size: int = 0) -> list[Head]:
        """The checkpoints that are kept beside the head, from a size on, in order."""
        return [
            Head._make(row)
            for row in self._fetch(
                "SELECT size, note FROM audit_checkpoints WHERE size >= ? ORDER BY size", size
            )
        ]

    def checkpoint(self, size: int) -> bytes | None:
        """The kept checkpoint of a size, without cosignatures."""
        found = self._fetch("SELECT note FROM audit_checkpoints WHERE size = ?", size)
        return found[0][0] if found else None

    def cosignatures(self, size: int) -> list[str]:
        """The witnesses' lines for the checkpoint of a size, in the order of arrival."""
        return [
            str(row[0])
            for row in self._fetch("SELECT line FROM audit_cosignatures WHERE size = ? ORDER BY id", size)
        ]

    def cosigned_sizes(self) -> set[int]:
        """Sizes of the checkpoints that have cosignatures."""
        return {row[0] for row in self._fetch("SELECT DISTINCT size FROM audit_cosignatures")}

    def beyond(self, size: int) -> int:
        """Number of rows of entries that are not below a size."""
        return int(self._one("SELECT count(*) FROM audit_entries WHERE entry < 0 OR entry >= ?", size)[0])

    def guards(self) -> set[tuple[str, str]]:
        """The triggers that are in force: names, and what they do."""
        if self.is_sqlite:
            return set(self._fetch("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        names = [table.name for table in tables.metadata.sorted_tables]
        found = self._fetch(
            "SELECT tgname, tgenabled::text || prosrc FROM pg_trigger"
            " JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_proc ON pg_proc.oid = tgfoid"
            " WHERE NOT tgisinternal AND relname = ANY (?)",
            names,
        )
        return {(str(name), str(body)) for name, body in found}

    def is_log(self) -> bool:
        """Whether this is an audit log of this version."""
        if self.is_sqlite:
            found = self._one("SELECT * FROM pragma_application_id, pragma_user_version")
            return found == (tables.APPLICATION_ID, tables.SCHEMA_VERSION)
        return not self.is_empty() and self.meta("version") == str(tables.SCHEMA_VERSION)

    def is_empty(self) -> bool:
        """Whether there is no log in the database yet."""
        if self.is_sqlite:
            return self._one("SELECT count(*) FROM sqlite_master") == (0,)
        return self._one("SELECT to_regclass('audit_meta')") == (None,)

    def _one(self, sql: str, *values: object) -> tuple[Any, ...]:
        found = self._fetch(sql, *values)
        if len(found) != 1:
            raise AuditError("audit.integrity", "a row that every audit log has is missing")
        return found[0]

    def _fetch(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        fetched: list[tuple[Any, ...]] = self._driver.execute(_text(sql, self.is_sqlite), values).fetchall()
        return fetched

    def _run(self, sql: str, *values: object) -> None:
        self._driver.execute(_text(sql, self.is_sqlite), values)


class WritableRows(Rows):
    """Writes, in the transaction of a writer."""

    def begin(self, statement: str) -> None:
        """Begins a transaction with the statement that excludes other writers."""
        self._driver.execute(statement)

    def commit(self) -> None:
        """Makes the transaction durable."""
        if self.is_sqlite:
            self._driver.execute("COMMIT")  # prepared once; commit() prepares it every time
        else:
            self._driver.commit()

    def insert_entries(self, rows: Sequence[PlainRow]) -> None:
        """Adds entries at the end."""
        insert = _text("INSERT INTO audit_entries (entry, data, hashes) VALUES (?, ?, ?)", self.is_sqlite)
        cursor = self._driver.cursor()
        cursor.executemany(insert, rows)
        cursor.close()

    def set_head(self, head: Head) -> None:
        """Replaces the newest commit by a larger one."""
        self._run("UPDATE audit_head SET size = ?, note = ? WHERE id = 1", *head)

    def set_last_entry(self, actor: str, entry: int) -> None:
        """Notes the last entry of an actor."""
        self._run(
            "INSERT INTO audit_actors (actor, last_entry) VALUES (?, ?)"
            " ON CONFLICT (actor) DO UPDATE SET last_entry = excluded.last_entry",
            actor,
            entry,
        )

    def keep(self, checkpoint: Head) -> None:
        """Keeps a checkpoint when the head goes on."""
        self._run(
            "INSERT INTO audit_checkpoints (size, note) VALUES (?, ?) ON CONFLICT (size) DO NOTHING",
            *checkpoint,
        )

    def add_cosignature(self, size: int, line: str) -> None:
        """Adds a witness' line to the checkpoint of a size."""
        self._run("INSERT INTO audit_cosignatures (size, line) VALUES (?, ?)", size, line)


def _text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@functools.cache
def _text(sql: str, is_sqlite: bool) -> str:  # noqa: FBT001 - the key of a cache
    """The statement as the driver has it; none of ours has a question or percent sign of its own."""
    return sql if is_sqlite else sql.replace("?", "%s")


def _node(node: Node, stored: dict[int, bytes]) -> bytes:
    last = ((node.index + 1) << node.level) - 1
    hashes = stored.get(last, b"")
    start = node.level * HASH_BYTES
    if type(hashes) is not bytes or len(hashes) < start + HASH_BYTES:
        raise AuditError("audit.integrity", f"the hashes of entry {last} are missing", entry=last)
    return hashes[start : start + HASH_BYTES]
