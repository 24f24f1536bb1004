"""Audit entries of many calls in one commit to disk.

A commit costs a disk flush of some milliseconds whatever it holds. While one is under way, the entries of
other calls gather and go with the next: at one call at a time nothing waits longer than its own flush, at
many calls the flushes are shared.
"""

import asyncio
from typing import Final

from hanse.audit import AuditLog, Event

MAXIMUM_COMMIT_ENTRIES: Final = 256


class GroupCommit:
    """Appends to an audit log from an event loop.

    Args:
        log: The log; its append returns once the entries are on disk.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._waiting: list[tuple[Event, asyncio.Future[int]]] = []
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
        entry: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, entry))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await entry

    async def close(self) -> None:
        """Waits until everything that was handed in is on disk."""
        while self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MAXIMUM_COMMIT_ENTRIES]
                del self._waiting[: len(batch)]
                await self._commit(batch)
        finally:
            self._writer = None

    async def _commit(self, batch: list[tuple[Event, asyncio.Future[int]]]) -> None:
        try:
            indices = await asyncio.to_thread(self._log.append, *(event for event, _ in batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, every waiting call must learn of it
            for _, entry in batch:
                if not entry.done():
                    entry.set_exception(error)
            return
        for index, (_, entry) in zip(indices, batch, strict=True):
            if not entry.done():
                entry.set_result(index)
