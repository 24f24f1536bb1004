"""An audit log's database: made once, then written in transactions of which each is a commit."""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from hanse.audit.store import tables
from hanse.audit.store.rows import Rows, WritableRows
from hanse.crypto.files import sync_folder
from hanse.errors import AuditError, ConfigurationError
from hanse.storage import BUSY_TIMEOUT_S, Database, Use, WouldWaitError, turn

_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CONSTRAINT", "SQLITE_ERROR", "SQLITE_MISMATCH")
_POSTGRESQL_DAMAGE: Final = ("23", "42", "P0", "XX")  # constraint, no such table, a guard, corrupted
_PYTHON_DAMAGE: Final = ("ValueError", "TypeError", "KeyError", "IndexError")


def _failure(cause: str, text: str) -> AuditError:
    damaged = cause.startswith(_DAMAGE) or cause in _PYTHON_DAMAGE or cause[:2] in _POSTGRESQL_DAMAGE
    return AuditError("audit.integrity" if damaged else "audit.unavailable", text)


USE: Final = Use(
    name="the audit log",
    setting="audit_url",
    failure=_failure,
    lock=0x48414E41,
    file_mode=0o640,
    # Who only appends comes back to the last pages and those above them, and to no other.
    writer_cache_kib=2_048,
)
_abandoned: Final[list[Connection]] = []


def create_store(place: Path | str, origin: str, key: str, note: bytes) -> None:
    """Makes the tables of an empty log.

    A file gets its name only when all is in it.

    Args:
        place: A file that does not exist, or the URL of a database without audit log.
        origin: Name of the log.
        key: The verifier key that it begins with.
        note: The signed checkpoint over no entries.

    Raises:
        ConfigurationError: ``config.exists`` if there is one, ``config.unwritable`` if the folder refuses.
        AuditError: ``audit.unavailable`` if the database refuses.
    """
    if isinstance(place, str) and "://" in place:
        _fill(place, origin, key, note)
        return
    path = Path(place)
    for there in (path, path.with_name(f"{path.name}-wal")):  # SQLite would play the second into the first
        if there.exists():
            raise ConfigurationError("config.exists", f"{there} exists")
    making = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            making.touch(mode=USE.file_mode)
            _fill(making, origin, key, note)
            os.link(making, path)
        finally:
            for leftover in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    making.with_name(making.name + leftover).unlink()
        sync_folder(path.parent)
    except FileExistsError as error:
        raise ConfigurationError("config.exists", f"{path} exists") from error
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot write {path}: {error.strerror}") from error


def _fill(place: Path | str, origin: str, key: str, note: bytes) -> None:
    database = Database(place, USE)
    facts = {"version": str(tables.SCHEMA_VERSION), "origin": origin, "key": key}
    with database.errors(), database.writer() as connection, connection.begin():
        if not Rows(connection).is_empty():
            raise ConfigurationError("config.exists", "the database has an audit log already")
        tables.metadata.create_all(connection, checkfirst=False)
        connection.execute(tables.meta.insert(), [{"key": name, "value": facts[name]} for name in facts])
        connection.execute(tables.head.insert(), {"id": 1, "size": 0, "note": note})
        guards = tables.sqlite_guards() if database.is_sqlite else tables.postgresql_guards()
        for statement in guards.values():
            connection.exec_driver_sql(statement)
        if database.is_sqlite:
            connection.exec_driver_sql(f"PRAGMA application_id = {tables.APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {tables.SCHEMA_VERSION}")


class LogStore:
    """The database of one log, for a writer. Not safe for threads: the log has one commit at a time.

    Tests that make the disk refuse override :meth:`begin`, :meth:`commit`, or what :meth:`begin` returns.

    Args:
        place: Where the log is.

    Raises:
        AuditError: ``audit.unavailable`` if it is not there.
        ConfigurationError: ``config.invalid`` if a URL is not supported.
    """

    def __init__(self, place: Path | str) -> None:
        self._database = Database(place, USE, create=False)
        self._file = None if isinstance(place, str) and "://" in place else Path(place)
        self._connection: Connection | None = None
        self._rows: WritableRows | None = None  # of that connection
        self._opened: tuple[int, int, int] | None = None
        self._waits = True  # that connection, for other writers

    @contextmanager
    def transaction(self, *, wait: bool = True) -> Iterator[WritableRows]:
        """One transaction: durable when the block is left, or nothing of it.

        Args:
            wait: Whether to wait for other writers, or to connect.

        Yields:
            Reads and writes, while no other writer of any process is at work.

        Raises:
            AuditError: ``audit.unavailable`` if the disk or the server refuses, ``audit.integrity`` if the
                database is damaged or a guard refuses.
            WouldWaitError: If that is not wanted and had to be; a server always has to be waited for.
        """
        if not wait and (self._file is None or self._connection is None):
            raise WouldWaitError
        queue = nullcontext() if self._file is None else turn(self._file, wait=wait)
        with queue, self._database.errors():
            try:
                self._be_patient(wait)
                try:
                    rows = self.begin()
                except sqlite3.OperationalError as error:
                    if not wait and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:  # or a kind of it
                        raise WouldWaitError from None
                    raise
                yield rows
                self.commit()
            except BaseException:
                self.close()
                raise

    def _be_patient(self, wait: bool) -> None:  # noqa: FBT001 - nobody else calls it
        """Has SQLite wait for writers that take no turns, or not; a new connection does."""
        if self._connection is None:
            self._waits = True
        elif wait is not self._waits:
            self._waits = wait
            _driver(self._connection).execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000 * wait}")

    def begin(self) -> WritableRows:
        """Begins a transaction that excludes other writers."""
        opened = self._identity()
        if self._connection is not None and opened != self._opened:
            if self._opened is not None and opened[0] != self._opened[0]:
                # A connection must not cross a fork. Closing it would close it for the parent as well.
                _abandoned.append(self._connection)
                self._connection = self._rows = None
            else:
                self.close()  # the file was replaced by another
        self._opened = opened
        if self._connection is not None:
            try:
                return self._begin_on(self._connection)
            except Exception:
                # A server that was restarted meanwhile: nothing was written yet, so it may be tried again.
                if not self._is_broken(self._connection):
                    raise
                self.close()
        self._connection = self._database.writer()
        return self._begin_on(self._connection)

    def _begin_on(self, connection: Connection) -> WritableRows:
        """On the driver's own connection: SQLAlchemy's transactions would take longer than the statements."""
        if self._rows is None:
            self._rows = WritableRows(connection)
        self._rows.begin(self._database.begin_writing)
        return self._rows

    def _is_broken(self, connection: Connection) -> bool:
        return not self._database.is_sqlite and bool(_driver(connection).closed)

    def _identity(self) -> tuple[int, int, int]:
        """What a connection is good for: this process, and the file that is now at the place.

        Raises:
            AuditError: ``audit.unavailable`` if there is none. What is written to a file that was moved away
                would be durable, and nobody would find it.
        """
        if self._file is None:
            return os.getpid(), 0, 0
        try:
            found = os.stat(self._file)  # noqa: PTH116 - for every commit, and half as long
        except OSError as error:
            self.close()
            raise AuditError("audit.unavailable", f"the audit log, {self._file}: {error.strerror}") from error
        return os.getpid(), found.st_dev, found.st_ino

    def commit(self) -> None:
        """Makes the transaction durable."""
        if self._rows is None:
            raise AuditError("audit.unavailable", "the audit log has no transaction")
        self._rows.commit()

    def close(self) -> None:
        """Ends what was not committed, and gives the connection up; the next transaction makes another."""
        connection, self._connection, self._rows = self._connection, None, None
        if connection is not None:
            with suppress(DBAPIError):
                connection.close()


def _driver(connection: Connection) -> Any:  # noqa: ANN401 - a connection of either driver
    return connection.connection.driver_connection


@contextmanager
def read_only(place: Path | str) -> Iterator[Rows]:
    """One view of a log, for as long as the block lasts; writers go on meanwhile.

    Args:
        place: Where the log is. A file may be one that nobody can write to.

    Yields:
        Reads.

    Raises:
        AuditError: ``audit.unavailable`` if it cannot be read, ``audit.integrity`` if it is damaged or no
            audit log of this version.
        ConfigurationError: ``config.invalid`` if a URL is not supported.
    """
    database = Database(place, USE, create=False)
    with database.errors(), database.reader() as connection, connection.begin():
        rows = Rows(connection)
        require_log(rows)
        yield rows


def require_log(rows: Rows) -> None:
    """Checks that a database is an audit log with all its guards.

    Args:
        rows: In a transaction.

    Raises:
        AuditError: ``audit.integrity`` if it is not, or if a guard was dropped or changed.
    """
    if not rows.is_log():
        raise AuditError("audit.integrity", "the database is not an audit log of this version")
    changed = {name for name, _ in tables.expected_guards(sqlite=rows.is_sqlite) ^ rows.guards()}
    if changed:
        raise AuditError("audit.integrity", f"guards were dropped or changed: {', '.join(sorted(changed))}")
