"""Append events durably, then act: nothing that is logged happens before :meth:`AuditLog.append` returns."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from hanse.audit.entry import Actor, Entry, format_time, milliseconds_between
from hanse.audit.event import Cut, Event, EventType
from hanse.audit.replay import Replay, format_header, read_commits
from hanse.audit.storage import FileOperations, LockedFile, locked
from hanse.crypto import SigningKey, write_atomic
from hanse.errors import AuditError


def _now() -> datetime:
    return datetime.now(UTC)


class AuditLog:
    """A log that this process appends to; other processes and threads may append to it at the same time.

    Each commit goes to the file in one write, entries and seal, and is on the disk before anybody is told. A
    process that appends first reads what others appended since, and checks it.

    If the clock is behind the last entry, the new entry carries that entry's time and says by how much the
    clock was behind: times in a log never go back, and a wrong clock is seen.

    Use :meth:`create` once, then :meth:`open`.
    """

    def __init__(
        self,
        path: Path,
        key: SigningKey,
        actor: Actor,
        clock: Callable[[], datetime],
        operations: FileOperations,
    ) -> None:
        self._path = path
        self._key = key
        self._actor = actor
        self._clock = clock
        self._operations = operations
        self._guard = threading.Lock()  # guards all below
        self._state = Replay(key.verifier)  # as of the last seal that was read or written
        self._end_bytes = 0  # where that seal ends
        self._last_line = b""  # that seal

    @staticmethod
    def create(path: Path, origin: str, key: SigningKey) -> None:
        """Makes an empty log.

        Args:
            path: A file that does not exist yet, in a folder that does.
            origin: Name of the log, unique among all logs: no spaces, no ``+``.
            key: Signs its checkpoints.

        Raises:
            ConfigurationError: ``config.exists`` if the file exists, ``config.unwritable`` if it cannot be
                made.
            ProtocolError: ``protocol.malformed`` if the origin is not valid.
        """
        state = Replay(key.verifier, origin)
        seal = state.seal(key)
        write_atomic(path, format_header(origin, key.verifier) + seal, mode=0o640, overwrite=False)

    @classmethod
    def open(
        cls,
        path: Path,
        key: SigningKey,
        actor: Actor,
        clock: Callable[[], datetime] = _now,
        *,
        operations: FileOperations | None = None,
    ) -> Self:
        """Opens a log, checks all of it, and removes what an interrupted write left at its end.

        What is removed was never acknowledged; that it was removed becomes an entry.

        Args:
            path: The file.
            key: The log's key.
            actor: In whose name this process appends.
            clock: Gives the time, aware.
            operations: How to write; the operating system's calls by default.

        Returns:
            The log.

        Raises:
            AuditError: ``audit.integrity`` if the log does not verify or has another key,
                ``audit.unavailable`` if it cannot be read or written.
        """
        log = cls(path, key, actor, clock, operations or FileOperations())
        with log._guard, locked(path, log._operations) as file:
            log._catch_up(file)
        return log

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def size(self) -> int:
        """Number of entries that this process knows of."""
        with self._guard:
            return self._state.size

    def checkpoint(self) -> bytes:
        """The signed checkpoint, a note, over the entries that this process knows of."""
        with self._guard:
            return self._state.note

    def append(self, *events: Event) -> range:
        """Appends events as one commit: all of them, in this order, or none.

        Args:
            *events: At least one.

        Returns:
            The indices of their entries. They are on the disk.

        Raises:
            AuditError: ``audit.unavailable`` if the disk refuses: then nothing was acknowledged and the
                caller must not act. ``audit.integrity`` if the file is not as this process last saw it, with
                valid commits after that.
            ValueError: If there is no event.
        """
        if not events:
            raise ValueError("append at least one event")
        with self._guard, locked(self._path, self._operations) as file:
            self._catch_up(file)
            return self._commit(file, events)

    def _catch_up(self, file: LockedFile) -> None:
        """Reads what was appended since, cuts off what was interrupted, and logs the cut."""
        start_bytes = self._end_bytes - len(self._last_line)
        data = file.read_from(start_bytes)
        if not data.startswith(self._last_line):
            raise AuditError(
                "audit.integrity", "the log was cut or rewritten while open", entry=self._state.size
            )
        data = data[len(self._last_line) :]
        state, length = read_commits(self._state, data, self._key)
        torn = data[length:]
        if length:
            last_line = data[data.rindex(b"\n", 0, length - 1) + 1 : length]
            self._state, self._end_bytes, self._last_line = state, self._end_bytes + length, last_line
        if torn:
            file.cut(self._end_bytes)
            cut = Cut(size_bytes=len(torn), digest=hashlib.sha256(torn).hexdigest())
            self._commit(file, [Event(type=EventType.LOG_RECOVERED, cut=cut)])

    def _commit(self, file: LockedFile, events: Sequence[Event]) -> range:
        """Writes one commit at the end of the file, which is at the last seal."""
        state = self._state.copy()
        first = state.size
        lines = [state.add(self._entry(state, event)) for event in events]
        seal = state.seal(self._key)
        data = b"".join([*lines, seal])
        file.append(data)
        self._state, self._end_bytes, self._last_line = state, self._end_bytes + len(data), seal
        return range(first, state.size)

    def _entry(self, state: Replay, event: Event) -> Entry:
        """The next entry of this process' actor."""
        now = format_time(self._clock())
        behind_ms = milliseconds_between(now, state.last_time) if now < state.last_time else None
        return Entry.of(
            event,
            seq=state.sequences.get(self._actor, 0),
            time=max(now, state.last_time),
            actor=self._actor,
            clock_behind_ms=behind_ms,
        )
