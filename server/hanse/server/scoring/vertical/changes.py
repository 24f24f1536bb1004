"""Notices whose consents have changed in a ledger that other processes write to."""

import asyncio
import logging
from collections.abc import Callable, Collection, Hashable
from functools import partial
from typing import Final, TypeVar

from hanse.errors import HanseError
from hanse.policies import ConsentLedger

_MOST_EVENTS: Final = 10_000
_Read = TypeVar("_Read")

_log = logging.getLogger(__name__)


async def watch_consents(
    ledger: ConsentLedger,
    changed: Callable[[Collection[str] | None], None],
    period_s: float,
    needed: Callable[[], bool] = lambda: True,
) -> None:
    """Runs until it is cancelled.

    Args:
        ledger: The ledger.
        changed: Told the pseudonyms of those whom new events are about; None for anybody: there are too many,
            or the ledger cannot be read, because then nobody knows.
        period_s: How often to look, seconds.
        needed: Whether anybody wants to be told yet; told then of all that has happened since the start.
    """
    head, watch = ledger.head(), ledger.watch()
    seen: Hashable = None
    while True:
        if not needed():
            await asyncio.sleep(period_s)
            continue
        try:
            version = watch.version() if watch.is_quick else await _in_thread(watch.version)
            if version != seen:
                changes = await _in_thread(partial(ledger.changes, head, _MOST_EVENTS))
                if changes.head != head:
                    changed(changes.touched)
                head, seen = changes.head, version
        except HanseError as error:
            _log.warning("the consent ledger cannot be followed: %s", error.code)
            seen = None
            changed(None)
        await asyncio.sleep(period_s)


async def _in_thread(read: Callable[[], _Read]) -> _Read:
    """What is read in a thread; who cancels it gets it back when nothing reads the ledger any more."""
    reading = asyncio.ensure_future(asyncio.to_thread(read))
    try:
        return await asyncio.shield(reading)
    finally:
        # A thread cannot be cancelled, and the ledger is closed when this has ended.
        await asyncio.wait([reading])
