"""Audit entries of many calls in one commit to disk, from an event loop.

The log shares its commits between the calls that wait (:mod:`hanse.audit.commits`); here they wait without
holding up the loop.
"""

import asyncio

from hanse.audit import AuditLog, Event


class GroupCommit:
    """Appends to an audit log from an event loop.

    Args:
        log: The log; its append returns once the entries are on disk.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._waiting = 0
        self._writer: asyncio.Task[None] | None = None

    async def append(self, event: Event) -> int:
        """Writes one entry.

        Args:
            event: What happened. It is written even when the waiting call is cancelled.

        Returns:
            Index of the entry, which is on disk.

        Raises:
            AuditError: ``audit.unavailable`` or ``audit.integrity``; nothing may be answered then.
        """
        indices = self._log.submit(event)
        self._waiting += 1
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        # Not cancelled with the call: what is queued is written. Then nobody may be left to see a failure.
        written = asyncio.wrap_future(indices)
        written.add_done_callback(lambda done: done.cancelled() or done.exception())
        return (await asyncio.shield(written)).start

    async def close(self) -> None:
        """Waits until everything that was handed in is on disk."""
        while self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        """Commits until nothing waits; runs while anything does."""
        try:
            while self._waiting:
                self._waiting = 0
                await asyncio.to_thread(self._log.flush)
        finally:
            self._writer = None
