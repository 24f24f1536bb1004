"""Audit entries of many calls in one commit to disk, from an event loop.

The log shares its commits between the calls that wait (:mod:`hanse.audit.commits`); here they wait without
holding up the loop.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from hanse.audit import AuditLog, Event

NOTED_S: Final = 0.01
"""After so long an entry that nobody waits for is committed, if nothing else was until then, seconds."""


class GroupCommit:
    """Appends to an audit log from an event loop.

    Args:
        log: The log; its append returns once the entries are on disk.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._committed: Callable[[float], None] = _ignore
        self._waiting = 0
        self._writer: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None

    def watch(self, committed: Callable[[float], None]) -> None:
        """Tells somebody of commits.

        Args:
            committed: Is told how long each took, seconds.
        """
        self._committed = committed

    async def append(self, *events: Event) -> int:
        """Writes entries, next to each other.

        Args:
            *events: What happened. It is written even when the waiting call is cancelled.

        Returns:
            Index of the first entry, which is on disk, as all of them are.

        Raises:
            AuditError: ``audit.unavailable`` or ``audit.integrity``; nothing may be answered then.
        """
        indices = self._log.submit(*events)
        self._waiting += 1
        self._begin()
        # Not cancelled with the call: what is queued is written. Then nobody may be left to see a failure.
        written = asyncio.wrap_future(indices)
        written.add_done_callback(lambda done: done.cancelled() or done.exception())
        return (await asyncio.shield(written)).start

    def note(self, event: Event) -> None:
        """Hands in one entry without waiting for it: what is appended after it is on disk after it.

        It goes with the next commit. One of its own would be one more that those have to wait for.

        Args:
            event: What happened.
        """
        self._log.submit(event).add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting += 1
        if self._writer is None and self._later is None:
            self._later = asyncio.get_running_loop().call_later(NOTED_S, self._begin)

    async def close(self) -> None:
        """Waits until everything that was handed in is on disk."""
        if self._waiting:
            self._begin()
        while self._writer is not None:
            await asyncio.wait([self._writer])

    def _begin(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Commits until nothing waits; runs while anything does."""
        try:
            while self._waiting:
                self._waiting = 0
                began = time.perf_counter()
                await asyncio.to_thread(self._log.flush)
                self._committed(time.perf_counter() - began)
        finally:
            self._writer = None


def _ignore(_seconds: float) -> None:
    """Nobody asked."""
