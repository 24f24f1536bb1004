"""Calls that arrive together share a commit: the disk takes as long for one entry as for a hundred."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple, TypeAlias

from hanse.audit.event import Event
from hanse.errors import AuditError
from hanse.storage import WouldWaitError

MAXIMUM_COMMIT_ENTRIES: Final = 100
Commit: TypeAlias = Callable[[Sequence[Event]], range]


class _Call(NamedTuple):
    events: Sequence[Event]
    indices: Future[range]


class CommitQueue:
    """Hands the events of many threads to one commit after the other.

    While a commit is under way, the events of other calls gather and go with the next. Nobody waits for
    company: a call that comes alone is committed at once, so nothing waits longer than for the commit that is
    under way and its own.

    """

    def __init__(self) -> None:
        self._waiting: deque[_Call] = deque()
        self._committing = threading.Lock()

    def submit(self, events: Sequence[Event]) -> Future[range]:
        """Queues events; somebody must :meth:`drain`.

        Args:
            events: At least one; they go into one commit.

        Returns:
            Their indices, once they are committed.
        """
        call = _Call(events, Future())
        self._waiting.append(call)
        return call.indices

    def drain(self, commit: Commit, until: Future[range] | None = None, *, wait: bool = True) -> None:
        """Commits what waits.

        Args:
            commit: Commits events, all or none, and gives their indices. Called by one thread at a time.
            until: Stop when this is done, whatever else waits.
            wait: Whether to wait for another thread that commits.

        Raises:
            WouldWaitError: Where that is not wanted, or as ``commit``: what was not committed waits still.
        """
        if not self._committing.acquire(blocking=wait):
            raise WouldWaitError
        try:
            while self._waiting and not (until is not None and until.done()):
                self._commit_next(commit)
        finally:
            self._committing.release()

    def _commit_next(self, commit: Commit) -> None:
        """One commit, of one call at least and of as many as fit."""
        calls = [self._waiting.popleft()]
        count = len(calls[0].events)
        while self._waiting and count + len(self._waiting[0].events) <= MAXIMUM_COMMIT_ENTRIES:
            calls.append(self._waiting.popleft())
            count += len(calls[-1].events)
        self._commit_calls(calls, commit)

    def _commit_calls(self, calls: Sequence[_Call], commit: Commit) -> None:
        """All of them or, where an entry is too large, each alone: it is nobody else's fault."""
        try:
            first = commit([event for call in calls for event in call.events]).start
        except WouldWaitError:
            self._waiting.extendleft(reversed(calls))
            raise
        except BaseException as error:
            if len(calls) > 1 and isinstance(error, AuditError) and error.code == "audit.entry-size":
                for call in calls:
                    self._commit_calls([call], commit)
                return
            for call in calls:
                call.indices.set_exception(error)
            if not isinstance(error, Exception):
                raise  # an interrupt is for this thread; the others only learn that nothing was committed
            return
        for call in calls:
            call.indices.set_result(range(first, first + len(call.events)))
            first += len(call.events)
