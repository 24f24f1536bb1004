"""Audit entries of many calls in one commit to disk, from an event loop.

While a commit is under way, in a thread of its own, what is handed in gathers and goes with the next. Between
loop and thread there are two hand-overs for a commit, however many calls wait for it.

An entry that comes when nothing has been written for a while is committed in the loop itself, where the disk
is quick: nobody else is held up by that, and who waits for it saves both hand-overs (docs/adr/0057).
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

from hanse.audit import AuditLog, Event

NOTED_S: Final = 0.01
"""After so long an entry that nobody waits for is committed, if nothing else was until then, seconds."""
ALONE_S: Final = 0.002
"""Who comes so long after the commit before, seconds, is alone."""
QUICK_S: Final = 0.002
"""A disk is quick whose last commit took less, seconds."""


class _HandedIn(NamedTuple):
    events: tuple[Event, ...]
    done: "asyncio.Future[int] | None"  # nobody waits if None


class GroupCommit:
    """Appends to an audit log from an event loop.

    Args:
        log: The log; its append returns once the entries are on disk.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._committed: Callable[[float], None] = _ignore
        self._handed_in: list[_HandedIn] = []
        self._thread = ThreadPoolExecutor(1, "audit-log")
        self._idle: asyncio.Future[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._ended = 0.0
        self._took = math.inf

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
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._handed_in.append(_HandedIn(events, done))
        self._begin(here=True)
        return await done

    def note(self, event: Event) -> None:
        """Hands in one entry without waiting for it: what is appended after it is on disk after it.

        It goes with the next commit. One of its own would be one more that those have to wait for.

        Args:
            event: What happened.
        """
        self._handed_in.append(_HandedIn((event,), None))
        if self._idle is None and self._later is None:
            self._later = asyncio.get_running_loop().call_later(NOTED_S, self._begin)

    async def close(self) -> None:
        """Waits until everything that was handed in is on disk."""
        if self._handed_in:
            self._begin()
        while self._idle is not None:
            await asyncio.wait([self._idle])

    def _begin(self, *, here: bool = False) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._idle is not None:
            return
        self._idle = asyncio.get_running_loop().create_future()
        self._commit(here=here)

    def _commit(self, *, here: bool = False) -> None:
        """Commits what was handed in: in the loop, where that is allowed and nobody is held up, or not."""
        handed_in, self._handed_in = self._handed_in, []
        began = time.perf_counter()
        indices = [self._log.submit(*one.events) for one in handed_in]
        alone = here and self._took < QUICK_S and began - self._ended > ALONE_S
        if alone and self._log.flush_at_once():
            self._tell(handed_in, indices, time.perf_counter() - began)
        else:
            self._thread.submit(self._flush, handed_in, indices, asyncio.get_running_loop())

    def _flush(
        self,
        handed_in: Sequence[_HandedIn],
        indices: Sequence[Future[range]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """In the thread."""
        began = time.perf_counter()
        try:
            self._log.flush()
        finally:
            loop.call_soon_threadsafe(self._tell, handed_in, indices, time.perf_counter() - began)

    def _tell(self, handed_in: Sequence[_HandedIn], indices: Sequence[Future[range]], seconds: float) -> None:
        """In the loop: tells those who wait, and begins with what has gathered."""
        self._ended, self._took = time.perf_counter(), seconds
        for one, written in zip(handed_in, indices, strict=True):
            error = written.exception()
            if one.done is None or one.done.done():
                continue
            if error is None:
                one.done.set_result(written.result().start)
            else:
                one.done.set_exception(error)
        self._committed(seconds)
        if self._handed_in:
            self._commit()
        elif self._idle is not None:
            self._idle.set_result(None)
            self._idle = None


def _ignore(_seconds: float) -> None:
    """Nobody asked."""
