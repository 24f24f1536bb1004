"""Copies a log while it is written to, and checks the copy before it gets its name.

A copy that was never verified is a hope, not a backup: :func:`write_backup` replays every entry of the copy
before it says that there is one. The copy is one SQLite file of one moment, without files beside it, so that
it can be moved like any file.

Assumption: the log's key is known from elsewhere. Limit: a backup that verifies may still be an old one, or
one of two histories; only a checkpoint that somebody else keeps shows that (:mod:`hanse.audit.restoring`).
"""

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from hanse.audit.checkpoint import Checkpoint
from hanse.audit.store.database import USE
from hanse.audit.verify import verify_log
from hanse.crypto import VerifierKey
from hanse.crypto.files import sync_folder
from hanse.errors import AuditError, ConfigurationError
from hanse.storage import Database

BACKUP_MODE: Final = 0o440  # a backup is read, never written to
_STEP_PAGES: Final = 4096


def write_backup(
    place: Path, target: Path, verifier: VerifierKey, *, origin: str | None = None
) -> Checkpoint:
    """Writes a backup of a log, as of now; processes may append meanwhile.

    Args:
        place: The log's file.
        target: A file that does not exist yet, in a folder that does.
        verifier: The log's key.
        origin: Which log it must be; any of this key by default.

    Returns:
        What the backup holds, checked.

    Raises:
        AuditError: ``audit.integrity`` if the copy does not verify: then nothing was written.
            ``audit.unavailable`` if the log cannot be read.
        ConfigurationError: ``config.exists`` if the target exists, ``config.unwritable`` if it cannot be
            written.
    """
    if target.exists():
        raise ConfigurationError("config.exists", f"{target} exists; a backup gets a name of its own")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            copy = Path(folder) / target.name
            copy_log(place, copy, BACKUP_MODE)
            verified = verify_log(copy, verifier, origin=origin)
            target.hardlink_to(copy)  # unlike a rename, a link fails if the name was taken meanwhile
        sync_folder(target.parent)
    except FileExistsError as error:
        raise ConfigurationError(
            "config.exists", f"{target} exists; a backup gets a name of its own"
        ) from error
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot write {target}: {error.strerror}") from error
    return Checkpoint(verified.origin, verified.size, verified.root)


def copy_log(place: Path, target: Path, mode: int) -> None:
    """Copies one moment of a log into one file, which is on the disk when this returns.

    Args:
        place: The log's file; processes may append meanwhile.
        target: A file that does not exist yet.
        mode: Permission bits of the target.

    Raises:
        AuditError: ``audit.unavailable`` if the log cannot be read or the copy not be written.
        OSError: If the file system refuses.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    database = Database(place, USE, create=False)
    with (
        database.errors(),
        database.reader() as source,
        source.begin(),  # in one view, or a step would begin again whenever somebody writes
        closing(sqlite3.connect(target)) as copy,
    ):
        source.exec_driver_sql("SELECT count(*) FROM sqlite_master").all()
        driver = source.connection.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise AuditError("audit.unavailable", "a log in PostgreSQL is backed up by its server's tools")
        driver.backup(copy, pages=_STEP_PAGES)
        gather(copy)
    with target.open("rb") as file:
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def gather(connection: sqlite3.Connection) -> None:
    """Takes whatever SQLite keeps beside a database's file into that file.

    Raises:
        sqlite3.OperationalError: If anybody else has the database open.
    """
    (kind,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    if kind != "delete":
        raise sqlite3.OperationalError("database is locked")


def require_unused(place: Path) -> None:
    """Refuses while a process has a log open: it would go on with a file or key that is the log's no longer.

    Args:
        place: The log's file. One that is damaged is in nobody's use.

    Raises:
        AuditError: ``audit.unavailable`` if another process has it open.
    """
    try:
        with closing(sqlite3.connect(place, timeout=0)) as connection:
            gather(connection)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise AuditError(
                "audit.unavailable", f"another process has {place} open; stop the site's processes first"
            ) from error
    except sqlite3.DatabaseError:
        return  # damaged, which may be why it is replaced
