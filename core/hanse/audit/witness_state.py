"""What a witness must never forget, in one SQLite file: what it cosigned.

Two tables:

* ``cosigned``: one row per log and size, so that two roots of one size cannot both be in it. A row is never
  changed but for the time of the newest cosignature, and a smaller size is never added after a larger one.
  About 400 bytes for each cosigned checkpoint; nothing is removed.
* ``cosigner``: the time of the last cosignature by each key of the witness; it never goes back.

What it refused is for a person to read: whoever runs a witness keeps the notes of a refusal as files.

Triggers keep it so against mistakes of this program. They do not stop the operator of the witness, who owns
the file: that is what a quorum of several witnesses is for. A witness whose file is lost or was set back has
forgotten what it signed, and must go on with a new key only: :meth:`WitnessState.open` refuses a missing
file, and a witness that is shown a later cosignature of its own refuses to go on with an older copy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection

from hanse.audit.checkpoint import parse_checkpoint
from hanse.audit.witness_rules import Cosigned, Past
from hanse.crypto import unverified_text
from hanse.errors import AuditError, ConfigurationError, ProtocolError
from hanse.storage import Database, Use

_FORM: Final = 1
_STATEMENTS: Final = """\
CREATE TABLE cosigned (
    origin TEXT NOT NULL, size INTEGER NOT NULL, note BLOB NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (origin, size)
) STRICT

CREATE TABLE cosigner (key_id TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT

CREATE TRIGGER cosigned_stays BEFORE DELETE ON cosigned
BEGIN SELECT RAISE(ABORT, 'kept for ever'); END

CREATE TRIGGER cosigned_is_fixed BEFORE UPDATE ON cosigned
WHEN new.origin <> old.origin OR new.size <> old.size OR new.note <> old.note
BEGIN SELECT RAISE(ABORT, 'cosigned once'); END

CREATE TRIGGER cosigned_grows BEFORE INSERT ON cosigned
WHEN new.size < (SELECT max(size) FROM cosigned WHERE origin = new.origin)
BEGIN SELECT RAISE(ABORT, 'a smaller size'); END

CREATE TRIGGER time_goes_on BEFORE UPDATE ON cosigner WHEN new.last < old.last
BEGIN SELECT RAISE(ABORT, 'an earlier time'); END
"""
_NEWEST: Final = "SELECT note, at FROM cosigned WHERE origin = ? ORDER BY size DESC LIMIT 1"
_SAME_SIZE: Final = "SELECT note, at FROM cosigned WHERE origin = ? AND size = ?"
_LAST_TIME: Final = "SELECT last FROM cosigner WHERE key_id = ?"
_KEEP: Final = (
    "INSERT INTO cosigned (origin, size, note, at) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (origin, size) DO UPDATE SET at = excluded.at"
)
_KEEP_TIME: Final = (
    "INSERT INTO cosigner (key_id, last) VALUES (?, ?)"
    " ON CONFLICT (key_id) DO UPDATE SET last = excluded.last"
)


def _failure(_: str, text: str) -> AuditError:
    return AuditError("audit.unavailable", text)


_USE: Final = Use(name="the memory of the witness", setting="witness", failure=_failure, lock=0)


class Turn:
    """A witness's memory of a log while nobody else can change it. Made by :meth:`WitnessState.turn`."""

    def __init__(self, connection: Connection, origin: str, key_id: str) -> None:
        self._connection = connection
        self._origin = origin
        self._key_id = key_id

    def past(self, size: int) -> Past:
        """What bears on a checkpoint of a size."""
        last = self._connection.exec_driver_sql(_LAST_TIME, (self._key_id,)).first()
        return Past(
            newest=_cosigned(self._connection, _NEWEST, self._origin),
            same_size=_cosigned(self._connection, _SAME_SIZE, self._origin, size),
            last_time=None if last is None else _time(last.last),
        )

    def keep(self, cosigned: Cosigned, *others: str) -> None:
        """Remembers what is about to be cosigned; durable once the turn has ended without an error.

        Args:
            cosigned: It.
            *others: Ids of further keys of this witness that cosign it at the same time.
        """
        at = int(cosigned.at.timestamp())
        row = (self._origin, cosigned.checkpoint.size, cosigned.note, at)
        self._connection.exec_driver_sql(_KEEP, row)
        for key_id in (self._key_id, *others):
            self._connection.exec_driver_sql(_KEEP_TIME, (key_id, at))


class WitnessState:
    """The memory of a witness, shared by any number of threads and processes.

    Use :meth:`create` once, then :meth:`open`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def create(cls, path: Path) -> Self:
        """Makes the memory of a witness that has signed nothing yet.

        Args:
            path: A file that does not exist yet, in a folder that does.

        Returns:
            The memory.

        Raises:
            ConfigurationError: ``config.exists`` if there is one already.
            AuditError: ``audit.unavailable`` if the disk refuses.
        """
        state = cls(Database(path, _USE))
        with state._writing() as connection:
            # A file without a form was left by an interrupted creation.
            if _form(connection):
                raise ConfigurationError("config.exists", f"{path} is there: a witness keeps its memory")
            for statement in _STATEMENTS.split("\n\n"):
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql(f"PRAGMA user_version = {_FORM}")
        return state

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens the memory of a witness.

        Args:
            path: The file that :meth:`create` made.

        Returns:
            The memory.

        Raises:
            AuditError: ``audit.unavailable`` if it is missing, unreadable or something else.
        """
        state = cls(Database(path, _USE, create=False))
        with state._reading() as connection:
            if _form(connection) != _FORM:
                raise AuditError("audit.unavailable", f"{path} is no witness's memory of this version")
        return state

    @contextmanager
    def turn(self, origin: str, key_id: str) -> Iterator[Turn]:
        """Excludes everybody else from the first look to the last write.

        Args:
            origin: The log.
            key_id: The witness's key.

        Yields:
            The memory. What is kept in it is on the disk once the block has ended without an error, and not
            at all otherwise.

        Raises:
            AuditError: ``audit.unavailable`` if the disk refuses or others hold the file for 30 s.
        """
        with self._writing() as connection:
            yield Turn(connection, origin, key_id)

    def newest(self, origin: str) -> Cosigned | None:
        """The largest checkpoint of a log that was cosigned; None before the first.

        Raises:
            AuditError: ``audit.unavailable`` if it cannot be read.
        """
        with self._reading() as connection:
            return _cosigned(connection, _NEWEST, origin)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._database.errors(), self._database.writer() as connection, connection.begin():
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._database.errors(), self._database.reader() as connection, connection.begin():
            yield connection


def _form(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _cosigned(connection: Connection, query: str, *values: str | int) -> Cosigned | None:
    """The checkpoint that a query finds; damage is not taken for an empty memory."""
    row = connection.exec_driver_sql(query, values).first()
    if row is None:
        return None
    try:
        return Cosigned(parse_checkpoint(unverified_text(row.note)), row.note, _time(row.at))
    except ProtocolError as error:
        raise AuditError("audit.unavailable", f"{_USE.name} is damaged") from error


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
