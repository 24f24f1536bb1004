"""The quota of a caller, shared with the other replicas: spent in memory, from leases.

A lease that runs low is renewed while calls go on to spend it, so that calls seldom wait for one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final

from hanse.errors import PolicyError
from hanse.server.scoring.lease_store import LeaseStore
from hanse.server.scoring.leases import Account, Lease, day_of

PATIENCE_S: Final = 0.02
"""So long a call that could go with others waits for a lease that covers all of them."""


@dataclass(slots=True)
class _Purse:
    """What this replica has of one account.

    Attributes:
        lease: What is being spent.
        taking: Held while another is taken.
        renewed: The lease that was to be renewed last; that is tried once.
        renewal: Does that.
        charged: What was charged to it before.
    """

    lease: Lease | None = None
    taking: asyncio.Lock = field(default_factory=asyncio.Lock)
    renewed: Lease | None = None
    renewal: "asyncio.Task[None] | None" = None
    charged: int = 0

    def covers(self, rows: int) -> bool:
        """Whether there is enough for a call, and for as much as was charged at once before."""
        return self.lease is not None and self.lease.left >= max(rows, self.charged)


class _Once:
    """Calls something the first time that it is called, with whatever."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then: Callable[[], None] | None = then

    def __call__(self, *_: object) -> None:
        then, self._then = self._then, None
        if then is not None:
            then()


class LeasedQuota:
    """Counts subjects in one event loop; see :mod:`hanse.server.scoring.leases` for what it promises.

    Args:
        store: The leases of all replicas.
        replica: Name of this one, for people.
    """

    def __init__(self, store: LeaseStore, replica: str = "") -> None:
        self._store = store
        self._replica = replica
        self._purses: dict[Account, _Purse] = {}
        self._renewing: dict[str, _Purse] = {}  # by name of the caller
        self._put_away: list[Lease] = []  # nothing more is spent of them

    async def charge(self, account: Account, daily_quota: int, rows: int, now: datetime) -> None:
        """Charges a call, all of it or nothing. See :meth:`hanse.server.scoring.quota.Quota.charge`.

        Args:
            account: Who asks, under which agreement.
            daily_quota: Subjects in a day.
            rows: Subjects of this call.
            now: Time of the call.

        Raises:
            PolicyError: ``scoring.quota`` (P27) if the day has not so many rows left.
            ServingError: ``scoring.quota-store`` if that cannot be known.
        """
        today = day_of(now)
        purse = self._purses.setdefault(account, _Purse())
        while not self.spend(account, daily_quota, rows, now):
            spent = purse.lease
            async with purse.taking:
                if purse.lease is spent:  # nobody else took one while this call waited
                    renewal = asyncio.create_task(self._renew(purse, account, daily_quota, rows, today))
                    # Not cancelled with the call: a lease that is taken must be found again.
                    renewal.add_done_callback(_hear)
                    await asyncio.shield(renewal)

    def spend(self, account: Account, daily_quota: int, rows: int, now: datetime) -> bool:
        """See :meth:`hanse.server.scoring.quota.Quota.spend`."""
        purse, today = self._purses.get(account), day_of(now)
        lease = None if purse is None else purse.lease
        if purse is None or lease is None or not lease.covers(rows, daily_quota, today):
            return False
        lease.spent += rows
        if lease is not purse.renewed and lease.runs_low(rows):
            purse.renewed, purse.charged = lease, rows
            purse.renewal = asyncio.create_task(self._renew_ahead(purse, account, lease, today))
            purse.renewal.add_done_callback(_hear)
            self._renewing[account.caller] = purse
        return True

    def when_ready(self, caller: str, rows: int, then: Callable[[], None]) -> None:
        """See :meth:`hanse.server.scoring.quota.Quota.when_ready`."""
        purse = self._renewing.get(caller)
        if purse is None or purse.renewal is None or purse.covers(rows):
            then()
            return
        once = _Once(then)
        purse.renewal.add_done_callback(once)
        asyncio.get_running_loop().call_later(PATIENCE_S, once)

    def take_back(self, account: Account, rows: int, now: datetime) -> None:
        """Undoes a charge whose call came to nobody's data.

        Args:
            account: As it was charged.
            rows: Likewise.
            now: Likewise.
        """
        lease = self._purses[account].lease
        # Without that lease, or on another day, it stays charged: fewer answers, never more.
        if lease is not None and lease.day == day_of(now) and lease.spent >= rows:
            lease.spent -= rows

    def left(self, now: datetime) -> dict[Account, int]:
        """See :meth:`hanse.server.scoring.quota.Quota.left`."""
        today = day_of(now)
        left = {use.account: use.left for use in self._store.usage(today) if use.day == today}
        for account, purse in list(self._purses.items()):
            lease = purse.lease
            if lease is not None and lease.day == today:
                left[account] = left.get(account, 0) + lease.left
        return left

    async def close(self) -> None:
        """Gives back what is left.

        Raises:
            ServingError: ``scoring.quota-store`` if it stays charged.
        """
        for purse in self._purses.values():
            async with purse.taking:
                self._put_aside(purse)
        if self._put_away:
            await asyncio.to_thread(self._store.give_back, self._put_away)
            self._put_away = []
        await asyncio.to_thread(self._store.close)

    async def _renew_ahead(self, purse: _Purse, account: Account, lease: Lease, today: date) -> None:
        """Renews a lease that is still spent. If that fails, or is refused, a call will hear of it later."""
        try:
            async with purse.taking:
                await self._take_over(purse, account, lease, today)
        finally:
            self._renewing.pop(account.caller, None)

    async def _take_over(self, purse: _Purse, account: Account, lease: Lease, today: date) -> None:
        if purse.lease is lease:
            before = replace(lease)
            taken = await asyncio.to_thread(self._store.renew, account, before, today, replica=self._replica)
            if taken is None:
                return
            # What was taken back meanwhile stays charged: fewer answers, never more.
            taken.spent = max(0, lease.spent - before.spent)
            if purse.lease is lease:
                purse.lease = taken
            else:  # put aside for a call which was cancelled meanwhile
                self._put_away.append(taken)

    async def _renew(self, purse: _Purse, account: Account, daily_quota: int, rows: int, today: date) -> None:
        self._put_aside(purse)
        lease = await asyncio.to_thread(self._exchange, account, daily_quota, rows, today)
        if lease is None:
            raise PolicyError("scoring.quota", "the quota of today does not cover the call", rule="P27")
        self._put_aside(purse)  # one that came for a call which was cancelled meanwhile
        purse.lease = lease

    def _put_aside(self, purse: _Purse) -> None:
        """From here on nothing is spent of the lease: only then may it be given back."""
        if purse.lease is not None:
            self._put_away.append(purse.lease)
            purse.lease = None

    def _exchange(self, account: Account, daily_quota: int, rows: int, today: date) -> Lease | None:
        """In a thread: gives back what was put aside, and takes another."""
        returned, self._put_away = self._put_away, []
        try:
            return self._store.take(
                account, daily_quota, rows, today, replica=self._replica, returned=returned
            )
        except BaseException:
            self._put_away += returned
            raise


def _hear(done: "asyncio.Task[None]") -> None:
    """Whatever it raises, somebody else is told, or will be."""
    if not done.cancelled():
        done.exception()
