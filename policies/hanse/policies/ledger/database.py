"""Opens the ledger's database: SQLite in a file, or PostgreSQL by URL; and what differs between the two.

Durability is set here and not left to defaults: SQLite in WAL mode with ``synchronous=FULL``, PostgreSQL with
``synchronous_commit=on`` on a server that has ``fsync`` on.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hanse.errors import ConfigurationError, PolicyError

POSTGRESQL_DRIVER: Final = "postgresql+psycopg"
_BUSY_TIMEOUT_S: Final = 30
# At most, as far as it is touched: an import writes pages all over the indexes, a reader passes once.
_WRITER_CACHE_KIB: Final = 262_144
_READER_CACHE_KIB: Final = 16_384
# An import touches the same pages again and again; each is copied to the file once per so many.
_CHECKPOINT_PAGES: Final = 128_000
_KEPT_LOG_BYTES: Final = 128 << 20
_WRITER_LOCK: Final = 0x48414E43


class Database:
    """One database with two kinds of transactions: one writer at a time, and readers with a stable view.

    Args:
        place: A file for SQLite, or a URL that starts with ``postgresql+psycopg://``.

    Raises:
        PolicyError: ``policy.ledger`` if the file cannot be made.
        ConfigurationError: ``config.invalid`` if the URL is for no database that is supported.
    """

    def __init__(self, place: Path | str) -> None:
        url = _url(place)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            _make_private(Path(str(url.database)))
            self._writers = _sqlite_engine(url, "BEGIN IMMEDIATE", _WRITER_CACHE_KIB)
            self._readers = _sqlite_engine(url, "BEGIN", _READER_CACHE_KIB)
        else:
            self._writers = _postgresql_engine(url, "READ COMMITTED", locked=True)
            self._readers = _postgresql_engine(url, "REPEATABLE READ", locked=False)

    def writer(self) -> Connection:
        """A connection whose transactions exclude every other writer, of any process."""
        return self._writers.connect()

    def reader(self) -> Connection:
        """A connection whose transactions see one moment of the ledger."""
        return self._readers.connect()

    def dispose(self) -> None:
        """Closes what is still open."""
        self._writers.dispose()
        self._readers.dispose()


@contextmanager
def ledger_errors() -> Iterator[None]:
    """Turns what a database raises, and what damaged rows raise, into ``policy.ledger``."""
    try:
        yield
    except (SQLAlchemyError, ValueError, TypeError, KeyError, IndexError) as error:
        # The text of a database's error may quote a value; its class does not.
        raise PolicyError("policy.ledger", f"the consent ledger cannot be used: {_kind(error)}") from error


def _kind(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return str(state or type(cause).__name__)


def _url(place: Path | str) -> URL:
    """The database that is meant; a plain string is a file."""
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(place)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError("config.invalid", "consent_url is not a database URL") from error
    if url.drivername != POSTGRESQL_DRIVER:
        # The URL is not repeated: it may hold a password.
        raise ConfigurationError(
            "config.invalid", f"write consent_url as {POSTGRESQL_DRIVER}://host/database"
        )
    return url


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise PolicyError("policy.ledger", f"cannot open the consent ledger: {error.strerror}") from error


def _sqlite_engine(url: URL, begin: str, cache_kib: int) -> Engine:
    arguments = {"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}
    # hide_parameters: an error must not carry rows.
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:  # noqa: ANN401 - a driver's connection
        connection.isolation_level = None  # transactions begin as we say, below
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"cache_size = -{cache_kib}",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {_KEPT_LOG_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgresql_engine(url: URL, isolation: str, *, locked: bool) -> Engine:
    try:
        engine = create_engine(
            url,
            poolclass=NullPool,
            isolation_level=isolation,
            hide_parameters=True,
            connect_args={"connect_timeout": _BUSY_TIMEOUT_S},
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigurationError(
            "config.invalid", "PostgreSQL needs its driver; install it: pip install 'hanse[postgres]'"
        ) from error

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:  # noqa: ANN401 - a driver's connection
        connection.autocommit = True
        connection.execute("SET synchronous_commit = on")
        connection.execute(f"SET lock_timeout = '{_BUSY_TIMEOUT_S}s'")
        durable = connection.execute("SHOW fsync").fetchone()[0]
        connection.autocommit = False
        if durable != "on":
            raise PolicyError("policy.ledger", "the server runs with fsync off; a withdrawal could be lost")

    if locked:

        @event.listens_for(engine, "begin")
        def lock(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")

    return engine
