"""Append events durably, then act: nothing that is logged happens before :meth:`AuditLog.append` returns."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from hanse.audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from hanse.audit.commits import CommitQueue
from hanse.audit.entry import Actor, Frame, format_time, milliseconds_between, read_frame, write_entry
from hanse.audit.event import Event, EventType
from hanse.audit.hashes import consistency_proof, frontier_at, root_at
from hanse.audit.reader import LogReader
from hanse.audit.rotation import is_rotation, read_rotation
from hanse.audit.store import Head, LogStore, PlainRow, Rows, create_store, require_log
from hanse.audit.tree import EMPTY_ROOT, Frontier, check_consistency
from hanse.crypto import SigningKey, add_signature
from hanse.crypto.note import SignatureLine
from hanse.errors import AuditError, HanseError, ProtocolError
from hanse.storage import WouldWaitError


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _State:
    """The log as of its newest commit that this process knows of.

    Attributes:
        head: That commit.
        tree: The tree of its entries.
        last_time: Time of its last entry; empty without one.
        next_seq: The next sequence number of this process' actor.
    """

    head: Head
    tree: Frontier
    last_time: str
    next_seq: int


class AuditLog:
    """A log that this process appends to; other processes and threads may append to it at the same time.

    Each commit is one transaction of the database: entries, tree and signed checkpoint, or nothing. Calls of
    several threads that arrive together share a commit. A process that appends first looks whether others
    appended since, and then checks that their tree extends the one that it knows.

    If the clock is behind the last entry, the new entry carries that entry's time and says by how much the
    clock was behind: times in a log never go back, and a wrong clock is seen.

    Use :meth:`create` once, then :meth:`open`.
    """

    def __init__(
        self, place: Path | str, key: SigningKey, actor: Actor, clock: Callable[[], datetime], store: LogStore
    ) -> None:
        self._place = place
        self._key = key
        self._actor = actor.canonical()
        self._clock = clock
        self._store = store
        self._guard = threading.Lock()  # around the store
        self._queue = CommitQueue()
        with self._guard, self._store.transaction() as rows:
            require_log(rows)
            self._origin = rows.meta("origin")
            self._state = self._load(rows, rows.head())

    @staticmethod
    def create(place: Path | str, origin: str, key: SigningKey) -> None:
        """Makes an empty log.

        Args:
            place: A file that does not exist yet, in a folder that does; or the URL of a PostgreSQL database
                that has no audit log yet.
            origin: Name of the log, unique among all logs: no spaces, no ``+``.
            key: Signs its checkpoints.

        Raises:
            ConfigurationError: ``config.exists`` if there is one, ``config.unwritable`` if it cannot be made,
                ``config.invalid`` if the URL is not supported.
            ProtocolError: ``protocol.malformed`` if the origin is not valid.
            AuditError: ``audit.unavailable`` if the database refuses.
        """
        note = sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), key)
        create_store(place, origin, key.verifier.encode(), note)

    @classmethod
    def open(
        cls,
        place: Path | str,
        key: SigningKey,
        actor: Actor,
        clock: Callable[[], datetime] = _now,
        *,
        store: LogStore | None = None,
    ) -> Self:
        """Opens a log and checks its newest checkpoint: signature, and root over the stored tree.

        That takes O(log size). :func:`hanse.audit.verify_log` checks everything.

        Args:
            place: The file, or the URL.
            key: The log's key.
            actor: In whose name this process appends.
            clock: Gives the time, aware.
            store: How to write; the database at ``place`` by default.

        Returns:
            The log.

        Raises:
            AuditError: ``audit.integrity`` if it does not verify or has another key, ``audit.unavailable`` if
                it cannot be read or written.
            ConfigurationError: ``config.invalid`` if the URL is not supported.
        """
        return cls(place, key, actor, clock, LogStore(place) if store is None else store)

    @property
    def place(self) -> Path | str:
        """The file, or the URL of the database."""
        return self._place

    @property
    def size(self) -> int:
        """Number of entries that this process knows of."""
        return self._state.head.size

    def checkpoint(self) -> bytes:
        """The checkpoint over the entries that this process knows of: a note, signed by the log alone."""
        return self._state.head.note

    def reader(self) -> LogReader:
        """Opens the log for reading; see :meth:`LogReader.open`."""
        return LogReader.open(self._place)

    def append(self, *events: Event) -> range:
        """Appends events as part of one commit: all of them, next to each other and in this order, or none.

        Args:
            *events: At least one.

        Returns:
            The indices of their entries. They are on the disk.

        Raises:
            AuditError: ``audit.unavailable`` if the disk or the database refuses: then nothing was
                acknowledged and the caller must not act. ``audit.integrity`` if the log does not extend the
                one that this process last saw. ``audit.entry-size`` if an entry would be too large: nothing
                of this call was written.
            ValueError: If there is no event.
        """
        future = self.submit(*events)
        self._queue.drain(self._commit, until=future)
        return future.result()

    def submit(self, *events: Event) -> Future[range]:
        """As :meth:`append`, but only queues them, for callers that must not block; call :meth:`flush` then.

        Args:
            *events: At least one.

        Returns:
            What :meth:`append` returns or raises, once it is known.

        Raises:
            ValueError: If there is no event.
        """
        if not events:
            raise ValueError("append at least one event")
        return self._queue.submit(events)

    def flush(self) -> None:
        """Commits everything that was submitted; whether it succeeded stands in the futures."""
        self._queue.drain(self._commit)

    def flush_at_once(self) -> bool:
        """As :meth:`flush`, for who must not wait for other writers, of this process or another.

        Returns:
            Whether nothing waits any more. If something does, because another writer is at work or the log is
            not in a file, :meth:`flush` is to commit it.
        """
        try:
            self._queue.drain(self._commit_at_once, wait=False)
        except WouldWaitError:
            return False
        return True

    def cosign(self, size: int, line: str) -> None:
        """Keeps a witness' signature line for the checkpoint of a size.

        Args:
            size: Number of entries of that checkpoint.
            line: ``— name base64`` and a newline. The caller has verified it.

        Raises:
            ProtocolError: ``protocol.malformed`` if it is not a signature line.
            AuditError: ``audit.unavailable`` if it cannot be written, ``audit.integrity`` if the log has no
                such checkpoint.
        """
        SignatureLine.decode(line)
        with self._guard, self._store.transaction() as rows:
            if rows.checkpoint(size) is None:
                rows.keep(self._checkpoint_at(rows, size))
            rows.add_cosignature(size, line)

    def close(self) -> None:
        """Gives the database up; appending opens it again."""
        with self._guard:
            self._store.close()

    def rotate(self, new_key: SigningKey) -> int:
        """Changes the key that signs the log.

        An entry names the new key; the checkpoint over it is signed by both keys, all later ones by the new
        key alone. Whoever knows either key can follow. Other processes that have the log open can append
        again once they have opened it with the new key.

        Whoever gets hold of the old key later can still write another log that goes on from any moment before
        the change. Only checkpoints that others saved or co-signed tell the two apart.

        Args:
            new_key: Signs from now on.

        Returns:
            The index of the entry.

        Raises:
            ProtocolError: ``protocol.malformed`` if that is the key already.
            AuditError: As :meth:`append`.
        """
        if new_key.verifier == self._key.verifier:
            raise ProtocolError("protocol.malformed", "the log is signed by this key already")
        event = Event(type=EventType.LOG_KEY_ROTATED, new_key=new_key.verifier.encode())
        return self._write([event], new_key).start

    def _commit(self, events: Sequence[Event]) -> range:
        return self._write(events, None)

    def _commit_at_once(self, events: Sequence[Event]) -> range:
        return self._write(events, None, wait=False)

    def _write(self, events: Sequence[Event], new_key: SigningKey | None, *, wait: bool = True) -> range:
        """One transaction, and what this process knows afterwards."""
        if not self._guard.acquire(blocking=wait):
            raise WouldWaitError
        try:
            with self._store.transaction(wait=wait) as rows:
                head = rows.head()
                state = self._state if head == self._state.head else self._catch_up(rows, head)
                entries, tree, time = self._entries(state, events)
                note = sign_checkpoint(Checkpoint(self._origin, tree.size, tree.root()), self._key)
                if new_key is not None:
                    note = add_signature(note, new_key)
                    rows.keep(Head(tree.size, note))
                new = _State(Head(tree.size, note), tree, time, state.next_seq + len(events))
                rows.insert_entries(entries)
                rows.set_last_entry(self._actor, tree.size - 1)
                rows.set_head(new.head)
            self._state, self._key = new, new_key or self._key
        finally:
            self._guard.release()
        return range(head.size, new.head.size)

    def _entries(self, state: _State, events: Sequence[Event]) -> tuple[list[PlainRow], Frontier, str]:
        """The next rows of this process' actor, the tree with them, and their time."""
        now = format_time(self._clock())
        time = max(now, state.last_time)
        behind_ms = milliseconds_between(now, time) if now < time else None
        tree, entries = state.tree.copy(), []
        for seq, event in enumerate(events, state.next_seq):
            data = write_entry(event, Frame(self._actor, seq, time), behind_ms)
            entries.append((tree.size, data, tree.append(data)))
        return entries, tree, time

    def _catch_up(self, rows: Rows, head: Head) -> _State:
        """The log as another process left it, if that extends what this process knows."""
        known = self._state
        if head.size <= known.head.size:
            raise AuditError(
                "audit.integrity",
                "the log was cut or rewritten while open",
                entry=min(head.size, known.head.size),
            )
        state = self._load(rows, head)
        proof = consistency_proof(known.head.size, head.size, rows)
        check_consistency(known.head.size, known.tree.root(), head.size, state.tree.root(), proof)
        return state

    def _load(self, rows: Rows, head: Head) -> _State:
        """Reads the newest commit and checks it against its signature."""
        try:
            stated = open_checkpoint(head.note, self._key.verifier)
        except HanseError as error:
            raise AuditError(
                "audit.integrity", "the newest checkpoint is not signed by this key", entry=0
            ) from error
        tree = frontier_at(head.size, rows)
        if stated != Checkpoint(self._origin, tree.size, tree.root()):
            raise AuditError("audit.integrity", "the newest checkpoint was made for other entries")
        return _State(head, tree, self._last_time(rows, head.size), self._next_seq(rows, head.size))

    def _last_time(self, rows: Rows, size: int) -> str:
        """Time of the last entry; refuses a log that went over to another key with it."""
        if not size:
            return ""
        data = _entry(rows, size - 1)
        rotation = read_rotation(data)
        if rotation is not None and rotation != self._key.verifier:
            raise AuditError(
                "audit.integrity", "the log has changed its key; open it with the new one", entry=size - 1
            )
        return _frame(data, size - 1).time

    def _next_seq(self, rows: Rows, size: int) -> int:
        """How many entries this process' actor has written."""
        entry = rows.last_entry(self._actor)
        if entry is None:
            return 0
        frame = _frame(_entry(rows, entry), entry)
        if entry >= size or frame.actor != self._actor:
            raise AuditError("audit.integrity", f"entry {entry} is not its actor's", entry=entry)
        return frame.seq + 1

    def _checkpoint_at(self, rows: Rows, size: int) -> Head:
        """The checkpoint of a size, signed again: signatures of Ed25519 are always the same for one text."""
        head = rows.head()
        if not 0 <= size <= head.size:
            raise AuditError("audit.integrity", f"no checkpoint of {size} in a log of {head.size}")
        if size == head.size:
            return head
        if any(is_rotation(kept.note) for kept in rows.checkpoints(size)):
            raise AuditError("audit.integrity", f"the checkpoint of {size} was signed by an earlier key")
        checkpoint = Checkpoint(self._origin, size, root_at(size, rows))
        return Head(size, sign_checkpoint(checkpoint, self._key))


def _entry(rows: Rows, entry: int) -> bytes:
    """The bytes of a stored entry."""
    return rows.piece(entry, entry + 1).data[0]


def _frame(data: bytes, entry: int) -> Frame:
    """The frame of a stored entry."""
    frame = read_frame(data)
    if frame is None:
        raise AuditError("audit.integrity", f"entry {entry} cannot be read", entry=entry)
    return frame
