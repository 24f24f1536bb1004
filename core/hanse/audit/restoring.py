"""Puts a log back from a backup, and shows what was lost: nothing, or how many entries. Never silently.

A backup is older than the log was. What was appended since is gone from the site, but others hold signed
checkpoints of it: whoever verified the log and kept one, the shared log with the members' checkpoints in it,
the witnesses. Each of them is compared with the backup. If one is of another history, the backup is not of
this log. If one is ahead, entries are missing, and their number is known.

Assumption: somebody else has a checkpoint. Limit: entries after the newest checkpoint that is found leave no
trace, so the comparison is worth as much as the checkpoints that are brought to it.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from hanse.audit.backup import copy_log, gather, require_unused
from hanse.audit.checkpoint import Checkpoint, parse_checkpoint
from hanse.audit.entry import Actor, Entry
from hanse.audit.event import Event, EventType, Restored
from hanse.audit.hashes import root_at
from hanse.audit.log import AuditLog
from hanse.audit.reader import LogReader
from hanse.audit.verify import VerifiedLog, verify_log
from hanse.crypto import SigningKey, VerifierKey, open_note, unverified_text
from hanse.crypto.files import sync_folder
from hanse.errors import AuditError, ConfigurationError, HanseError

LOG_MODE: Final = 0o640
_BESIDE: Final = ("-wal", "-shm")  # what SQLite keeps beside a database's file


class Kept(NamedTuple):
    """A checkpoint of a log that was found outside of the backup.

    Attributes:
        holder: Where it was found, for people.
        checkpoint: What the log's key signed.
    """

    holder: str
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Restoration:
    """What came of putting a log back.

    Attributes:
        size: Number of entries in the backup.
        root: Root of their tree, 32 bytes.
        newest: The newest checkpoint found elsewhere; None if none was found, so that nothing is known.
        replaced: Where the log is now that was in the place before; None if none was.
    """

    size: int
    root: bytes
    newest: Kept | None
    replaced: Path | None

    @property
    def missing(self) -> int | None:
        """Entries that are known to be lost; None if nothing is known."""
        return None if self.newest is None else max(0, self.newest.checkpoint.size - self.size)


def notes_about(origin: str, leaves: Iterable[bytes]) -> Iterator[bytes]:
    """Finds a log's signed checkpoints in the shared log, where its owner handed them in.

    Args:
        origin: Name of the log.
        leaves: The entries of the shared log, as stored.

    Yields:
        Notes that claim to be of that log; whether it signed them is not checked here.

    Raises:
        ProtocolError: ``protocol.malformed`` if an entry cannot be read.
    """
    for leaf in leaves:
        if b'"member_checkpoint"' not in leaf:  # parsing every entry would take a hundred times as long
            continue
        note = Entry.parse(leaf).member_checkpoint
        if note is not None and parse_checkpoint(unverified_text(note.encode())).origin == origin:
            yield note.encode()


def compare(size: int, root_of: Callable[[int], bytes], kept: Iterable[Kept]) -> Kept | None:
    """Compares a backup with what others have of the same log.

    Args:
        size: Number of entries in the backup.
        root_of: The root of the tree of its first so many entries.
        kept: Checkpoints that were found elsewhere.

    Returns:
        The newest of them.

    Raises:
        AuditError: ``audit.integrity`` if one is of another history, or two of them contradict each other;
            the message says who has it.
    """
    newest: Kept | None = None
    for found in sorted(kept, key=lambda one: one.checkpoint.size):
        stated = found.checkpoint
        if stated.size <= size and root_of(stated.size) != stated.root:
            raise AuditError(
                "audit.integrity",
                f"the backup is not of the log that {found.holder} knows: "
                f"its first {stated.size} entries are others",
            )
        if newest is not None and newest.checkpoint.size == stated.size and newest.checkpoint != stated:
            raise AuditError(
                "audit.integrity",
                f"{newest.holder} and {found.holder} know two different histories of {stated.size} entries",
            )
        newest = found
    return newest


def restore_log(
    backup: Path,
    place: Path,
    key: SigningKey,
    actor: Actor,
    clock: Callable[[], datetime],
    *,
    origin: str,
    former: Sequence[SigningKey] = (),
    notes: Sequence[tuple[str, bytes]] = (),
    accept_loss: bool = False,
) -> Restoration:
    """Puts a log back from a backup, unless entries would be lost that somebody knows of.

    The log that is in the place now is compared too, as far as it can be read, and is kept under another
    name. The restored log's next entry is ``log.restored``: what was restored, and what is known to be
    missing.

    Args:
        backup: What :func:`hanse.audit.backup.write_backup` wrote.
        place: The log's file; no process may have it open.
        key: The log's key.
        actor: In whose name the restoration is logged.
        clock: Gives the time, aware.
        origin: Name of the log.
        former: Keys that the log had before. A backup that was made under one of them goes on under it, and
            is handed over to ``key`` again: the entry by which that was done before is lost.
        notes: Signed checkpoints of the log that others kept, each with where it was found.
        accept_loss: Whether to go on if entries are missing, or if there is nothing to compare with.

    Returns:
        What was restored.

    Raises:
        AuditError: ``audit.integrity`` if the backup does not verify, or a checkpoint is of another history;
            ``audit.loss`` if entries are missing, or nothing is known about it, and that is not
            accepted; ``audit.unavailable`` if a file cannot be read, or another process has the log open. In
            each case nothing was changed.
        IdentityError: If the log's key did not sign a checkpoint.
        ProtocolError: If one is no checkpoint.
        ConfigurationError: ``config.unwritable`` if the file system refuses.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as folder:
            staged = Path(folder) / place.name
            copy_log(backup, staged, LOG_MODE)
            writer = _writer(staged, [key, *former])
            verified = verify_log(staged, writer.verifier, origin=origin)
            keys = tuple(dict.fromkeys([*verified.keys, *(one.verifier for one in (key, *former))]))
            newest = _newest(staged, verified, keys, [*notes, *_present(place)])
            _check_loss(verified.size, newest, accepted=accept_loss)
            _record(staged, writer, actor, clock, verified, newest)
            if key.verifier not in verified.keys:
                _hand_over(staged, writer, key, actor, clock)
            replaced = _set_aside(place, clock())
            staged.rename(place)
        sync_folder(place.parent)
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot restore {place}: {error.strerror}") from error
    return Restoration(verified.size, verified.root, newest, replaced)


def _writer(staged: Path, keys: Sequence[SigningKey]) -> SigningKey:
    """The key that signed the backup last: only with it can the log go on.

    Raises:
        AuditError: ``audit.integrity`` if it is none of these.
    """
    with LogReader.open(staged) as reader:
        last = reader.keys()[-1]
    for key in keys:
        if key.verifier == last:
            return key
    raise AuditError(
        "audit.integrity",
        f"the backup ends under the key {last.name}+{last.key_id}, which is none of this site's: if it was "
        "made before the log's key was changed, restore a newer one, or put the key of that time back into "
        "keys/former/",
    )


def _present(place: Path) -> list[tuple[str, bytes]]:
    """The checkpoint of the log that is to be replaced, if it can still be read."""
    with suppress(HanseError), LogReader.open(place) as reader:
        return [("the log that is in its place now", reader.note)]
    return []


def _newest(
    staged: Path, verified: VerifiedLog, keys: Sequence[VerifierKey], notes: Sequence[tuple[str, bytes]]
) -> Kept | None:
    """Opens every checkpoint and compares it."""
    kept = [Kept(holder, parse_checkpoint(open_note(note, *keys).text)) for holder, note in notes]
    for found in kept:
        if found.checkpoint.origin != verified.origin:
            raise AuditError("audit.integrity", f"{found.holder} has a checkpoint of another log")
    with LogReader.open(staged) as reader:
        return compare(verified.size, lambda size: root_at(size, reader.hashes), kept)


def _check_loss(size: int, newest: Kept | None, *, accepted: bool) -> None:
    """Refuses to lose what nobody agreed to lose."""
    if accepted:
        return
    if newest is None:
        raise AuditError(
            "audit.loss",
            "there is nothing to compare the backup with, so nobody can tell what is missing: "
            "give a checkpoint that somebody kept, or accept the loss",
        )
    missing = newest.checkpoint.size - size
    if missing > 0:
        raise AuditError(
            "audit.loss",
            f"{missing} entries are missing: the backup has {size}, {newest.holder} knows "
            f"{newest.checkpoint.size}; find a newer backup, or accept the loss",
        )


def _record(
    staged: Path,
    key: SigningKey,
    actor: Actor,
    clock: Callable[[], datetime],
    verified: VerifiedLog,
    newest: Kept | None,
) -> None:
    """Says in the log itself what happened, before the log is in its place."""
    known = None if newest is None else newest.checkpoint
    restored = Restored(
        size=verified.size,
        root=verified.root.hex(),
        known_size=None if known is None else known.size,
        known_root=None if known is None else known.root.hex(),
    )
    log = AuditLog.open(staged, key, actor, clock)
    log.append(Event(type=EventType.LOG_RESTORED, restored=restored))
    _close(log, staged)


def _hand_over(
    staged: Path, old: SigningKey, key: SigningKey, actor: Actor, clock: Callable[[], datetime]
) -> None:
    """Changes the key once more: that it was changed before is among what was lost."""
    log = AuditLog.open(staged, old, actor, clock)
    log.rotate(key)
    _close(log, staged)


def _close(log: AuditLog, staged: Path) -> None:
    log.close()
    with closing(sqlite3.connect(staged)) as connection:
        gather(connection)


def _set_aside(place: Path, now: datetime) -> Path | None:
    """Gives the log that is in the place a second name: it is evidence, whatever is wrong with it."""
    there = place.exists()
    if there:
        require_unused(place)
    aside = place.with_name(f"{place.name}.replaced-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    if aside.exists():
        raise ConfigurationError("config.exists", f"{aside} exists; wait a second and try again")
    for ending in _BESIDE:  # of a log that is damaged or gone; SQLite would play them into the restored one
        file = place.with_name(place.name + ending)
        if file.exists():
            file.rename(aside.with_name(aside.name + ending))
    if not there:
        return None
    aside.hardlink_to(place)  # the caller's rename takes the first name away: there is a log at every moment
    return aside
