"""Opens a database: SQLite in a file, or PostgreSQL by URL; and what differs between the two.

Durability is set here and not left to defaults: SQLite in WAL mode with ``synchronous=FULL``, PostgreSQL with
``synchronous_commit=on`` on a server that has ``fsync`` on. The consent ledger and the audit log are both
opened this way; a :class:`Use` says what is different between them.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hanse.errors import ConfigurationError, HanseError

POSTGRESQL_DRIVER: Final = "postgresql+psycopg"
BUSY_TIMEOUT_S: Final = 30
_SILENCE_S: Final = 10
"""A server that acknowledges nothing for so long is gone: whoever waits for it goes on, and tries anew."""
_DAMAGE: Final = (ValueError, TypeError, KeyError, IndexError)


@dataclass(frozen=True, slots=True)
class Use:
    """What a database is for.

    Attributes:
        name: What it is called in messages, as ``the consent ledger``.
        setting: The setting that its URL is given by.
        failure: Makes the error for whatever the database, or damage in it, raises. Takes the short name of
            the cause, which quotes no value, and the text for people.
        lock: Number of the lock by which writers exclude each other on a PostgreSQL server.
        file_mode: Permissions of a new file.
        writer_cache_kib: Memory of a writer for SQLite's pages, at most, as far as they are touched.
        reader_cache_kib: Likewise, of a reader.
        checkpoint_pages: SQLite copies what was written from its log to the file once per so many pages.
        kept_log_bytes: How much of that log's file stays for the next writes.
    """

    name: str
    setting: str
    failure: Callable[[str, str], HanseError]
    lock: int
    file_mode: int = 0o600
    writer_cache_kib: int = 16_384
    reader_cache_kib: int = 16_384
    checkpoint_pages: int = 4_000
    kept_log_bytes: int = 32 << 20


class Database:
    """One database with two kinds of transactions: one writer at a time, and readers with a stable view.

    Args:
        place: A file for SQLite, or a URL that starts with ``postgresql+psycopg://``.
        use: What it is for.
        create: Whether a file that is not there is made.

    Raises:
        HanseError: What ``use`` makes of a file that cannot be made, or is not there.
        ConfigurationError: ``config.invalid`` if the URL is for no database that is supported.
    """

    def __init__(self, place: Path | str, use: Use, *, create: bool = True) -> None:
        url = _url(place, use)
        self._use = use
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            path = Path(str(url.database))
            _touch(path, use, create=create)
            self._writers = _sqlite_engine(path, use, writes=True)
            self._readers = _sqlite_engine(path, use, writes=False)
        else:
            self._writers = _postgresql_engine(url, use, writes=True)
            self._readers = _postgresql_engine(url, use, writes=False)
        self._driver_error: type[Exception] = self._writers.dialect.loaded_dbapi.Error

    @property
    def begin_writing(self) -> str:
        """What excludes other writers, for who begins transactions on the driver's own connection."""
        return _begin_writing(self._use, is_sqlite=self.is_sqlite)

    def writer(self) -> Connection:
        """A connection whose transactions exclude every other writer, of any process."""
        return self._writers.connect()

    def reader(self) -> Connection:
        """A connection that cannot write, whose transactions see one moment of the database."""
        return self._readers.connect()

    def dispose(self) -> None:
        """Closes what is still open."""
        self._writers.dispose()
        self._readers.dispose()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what the database raises, and what damaged rows raise, into the error of its use."""
        try:
            yield
        except (SQLAlchemyError, self._driver_error, *_DAMAGE) as error:
            # The text of a database's error may quote a value; its class does not.
            cause = _cause(error)
            raise self._use.failure(cause, f"{self._use.name} cannot be used: {cause}") from error


def _begin_writing(use: Use, *, is_sqlite: bool) -> str:
    return "BEGIN IMMEDIATE" if is_sqlite else f"SELECT pg_advisory_xact_lock({use.lock})"


def _cause(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return str(state or type(cause).__name__)


def _url(place: Path | str, use: Use) -> URL:
    """The database that is meant; a plain string is a file."""
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(place)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError("config.invalid", f"{use.setting} is not a database URL") from error
    if url.drivername != POSTGRESQL_DRIVER:
        # The URL is not repeated: it may hold a password.
        raise ConfigurationError(
            "config.invalid", f"write {use.setting} as {POSTGRESQL_DRIVER}://host/database"
        )
    return url


def _touch(path: Path, use: Use, *, create: bool) -> None:
    """Makes a file that others cannot read, before SQLite would make one that they can.

    A file that exists is never opened here: closing it would release the locks by which SQLite, elsewhere in
    this process, keeps other processes from removing what it wrote (POSIX locks belong to the process).
    """
    try:
        if create and not path.exists():
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            with suppress(FileExistsError):
                os.close(os.open(path, flags, use.file_mode))
        path.stat()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise use.failure(reason, f"cannot open {use.name}, {path}: {reason}") from error


def _sqlite_engine(path: Path, use: Use, *, writes: bool) -> Engine:
    # hide_parameters: an error must not carry rows.
    engine = create_engine(
        "sqlite://",
        creator=lambda: _sqlite(path, use, writes=writes),
        poolclass=NullPool,
        hide_parameters=True,
    )

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(_begin_writing(use, is_sqlite=True) if writes else "BEGIN")

    return engine


def _sqlite(path: Path, use: Use, *, writes: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{'mode=rw' if writes else _reading(path)}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,
        isolation_level=None,  # transactions begin as we say, above
    )
    pragmas = [f"cache_size = -{use.writer_cache_kib if writes else use.reader_cache_kib}"]
    if writes:
        pragmas += [
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"wal_autocheckpoint = {use.checkpoint_pages}",
            f"journal_size_limit = {use.kept_log_bytes}",
        ]
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _reading(path: Path) -> str:
    """A file that nobody can write to, as on a reviewer's medium, is read without further files beside it."""
    still = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return "immutable=1" if still else "mode=ro"


def _postgresql_engine(url: URL, use: Use, *, writes: bool) -> Engine:
    try:
        engine = create_engine(
            url,
            poolclass=NullPool,
            isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
            hide_parameters=True,
            connect_args={
                "connect_timeout": _SILENCE_S,
                "tcp_user_timeout": _SILENCE_S * 1000,
                "keepalives_idle": _SILENCE_S // 2,
                "keepalives_interval": 1,
                "keepalives_count": _SILENCE_S // 2,
            },
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigurationError(
            "config.invalid", "PostgreSQL needs its driver; install it: pip install 'hanse[postgres]'"
        ) from error

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:  # noqa: ANN401 - a driver's connection
        connection.autocommit = True
        connection.execute("SET synchronous_commit = on")
        connection.execute(f"SET lock_timeout = '{BUSY_TIMEOUT_S}s'")
        connection.execute(f"SET default_transaction_read_only = {'off' if writes else 'on'}")
        durable = connection.execute("SHOW fsync").fetchone()[0]
        connection.autocommit = False
        if durable != "on":
            raise use.failure(
                "fsync", f"{use.name}: the server runs with fsync off; it could lose what it took"
            )

    if writes:

        @event.listens_for(engine, "begin")
        def lock(connection: Connection) -> None:
            connection.exec_driver_sql(_begin_writing(use, is_sqlite=False))

    return engine
