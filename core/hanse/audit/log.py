"""Append events durably, then act: nothing that is logged happens before :meth:`AuditLog.append` returns."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from hanse.audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from hanse.audit.commits import CommitQueue
from hanse.audit.entry import Actor, Frame, format_time, milliseconds_between, read_frame, write_entry
from hanse.audit.event import Event
from hanse.audit.hashes import consistency_proof, frontier_at, root_at
from hanse.audit.reader import LogReader
from hanse.audit.store import Head, LogStore, Rows, StoredEntry, WritableRows, create_store, require_log
from hanse.audit.tree import EMPTY_ROOT, Frontier, check_consistency
from hanse.crypto import SigningKey
from hanse.crypto.note import SignatureLine
from hanse.errors import AuditError, HanseError


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
        self._queue = CommitQueue(self._commit)
        with self._transaction() as rows:
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
                one that this process last saw.
            ValueError: If there is no event.
        """
        future = self.submit(*events)
        self._queue.drain(until=future)
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
        self._queue.drain()

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
        with self._transaction() as rows:
            if rows.checkpoint(size) is None:
                rows.keep(self._checkpoint_at(rows, size))
            rows.add_cosignature(size, line)

    def close(self) -> None:
        """Gives the database up; appending opens it again."""
        with self._guard:
            self._store.close()

    @contextmanager
    def _transaction(self) -> Iterator[WritableRows]:
        with self._guard, self._store.transaction() as rows:
            yield rows

    def _commit(self, events: Sequence[Event]) -> range:
        """One transaction."""
        with self._transaction() as rows:
            head = rows.head()
            state = self._state if head == self._state.head else self._catch_up(rows, head)
            entries, tree, last_time = self._entries(state, events)
            note = sign_checkpoint(Checkpoint(self._origin, tree.size, tree.root()), self._key)
            new = _State(Head(tree.size, note), tree, last_time, state.next_seq + len(events))
            rows.insert_entries(entries)
            rows.set_last_entry(self._actor, tree.size - 1)
            rows.set_head(new.head)
        self._state = new
        return range(head.size, new.head.size)

    def _entries(self, state: _State, events: Sequence[Event]) -> tuple[list[StoredEntry], Frontier, str]:
        """The next entries of this process' actor, the tree with them, and the time of the last."""
        tree, last_time, entries = state.tree.copy(), state.last_time, []
        for seq, event in enumerate(events, state.next_seq):
            now = format_time(self._clock())
            behind_ms = milliseconds_between(now, last_time) if now < last_time else None
            last_time = max(now, last_time)
            data = write_entry(event, Frame(self._actor, seq, last_time), behind_ms)
            entries.append(StoredEntry(tree.size, data, tree.append(data)))
        return entries, tree, last_time

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
        last = None if head.size == 0 else _frame(rows, head.size - 1)
        return _State(head, tree, "" if last is None else last.time, self._next_seq(rows, head.size))

    def _next_seq(self, rows: Rows, size: int) -> int:
        """How many entries this process' actor has written."""
        entry = rows.last_entry(self._actor)
        if entry is None:
            return 0
        frame = _frame(rows, entry)
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
        checkpoint = Checkpoint(self._origin, size, root_at(size, rows))
        return Head(size, sign_checkpoint(checkpoint, self._key))


def _frame(rows: Rows, entry: int) -> Frame:
    """The frame of a stored entry."""
    [stored] = rows.chunk(entry, entry + 1)
    frame = read_frame(stored.data)
    if frame is None:
        raise AuditError("audit.integrity", f"entry {entry} cannot be read", entry=entry)
    return frame
