"""Notices whose consents have changed in a ledger that other processes write to."""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Final

from hanse.errors import HanseError
from hanse.policies import ConsentLedger
from hanse.policies.ledger.watching import LedgerChanges

_MOST_EVENTS: Final = 10_000

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
    head = ledger.head()
    while True:
        if not needed():
            await asyncio.sleep(period_s)
            continue
        try:
            changes = await _read(ledger, head)
            if changes.head != head:
                changed(changes.touched)
            head = changes.head
        except HanseError as error:
            _log.warning("the consent ledger cannot be followed: %s", error.code)
            changed(None)
        await asyncio.sleep(period_s)


async def _read(ledger: ConsentLedger, head: int) -> LedgerChanges:
    """What happened since a head; who cancels it gets it back when nothing reads the ledger any more."""
    reading = asyncio.ensure_future(asyncio.to_thread(ledger.changes, head, _MOST_EVENTS))
    try:
        return await asyncio.shield(reading)
    finally:
        # A thread cannot be cancelled, and the ledger is closed when this has ended.
        await asyncio.wait([reading])
