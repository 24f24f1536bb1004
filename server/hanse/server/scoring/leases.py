"""How replicas share a day's quota: each takes a lease of some rows, and spends it by itself.

A lease is taken in a transaction that sees all others, and never are more rows out on leases than the quota
has. What a replica spends is what it took before. So nothing that happens to replicas, in whatever order,
lets a caller have more than its quota; what is lost is lost to the caller: a replica that is killed takes the
rest of its lease with it.

Pure: what is leased, and for which day, follows from arguments alone.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from hanse.errors import ServingError

BLOCK_SHARE: Final = 100
"""A lease is a hundredth of the quota, or as much as its call needs where that is more."""
LOW_SHARE: Final = 4
"""A lease of which less than a quarter is left is renewed before it is used up."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a quota is counted for.

    Attributes:
        agreement: The id of the agreement, the same for all its versions: an amendment begins no new day.
        caller: Name of the caller.
    """

    agreement: str
    caller: str


@dataclass(slots=True)
class Lease:
    """Rows that one replica may answer.

    Attributes:
        lease_id: Names it in the store.
        day: The day that they count for.
        quota: The quota that it was taken from.
        rows: How many.
        spent: How many of them were answered.
    """

    lease_id: str
    day: date
    quota: int
    rows: int
    spent: int = 0

    @property
    def left(self) -> int:
        """Rows that may still be answered."""
        return self.rows - self.spent

    def covers(self, rows: int, quota: int, clock_day: date) -> bool:
        """Whether a call can be charged to it.

        Args:
            rows: Subjects of the call.
            quota: What the agreement says now.
            clock_day: Today, by the replica's clock. A clock that was turned back stays with the lease's day.
        """
        return rows <= self.left and quota == self.quota and clock_day <= self.day

    def runs_low(self, charged: int) -> bool:
        """Whether it is to be renewed now, so that nobody has to wait for that.

        Args:
            charged: What was charged to it last: as much may come again. A call that needs more than a
                hundredth takes a lease of its own, and renewing helps it nothing.
        """
        block = block_rows(self.quota)
        return charged <= block and self.left < max(charged, block // LOW_SHARE)


def day_of(now: datetime) -> date:
    """The day in UTC that a time is on.

    Args:
        now: Aware.
    """
    return now.astimezone(UTC).date()


def day_to_charge(clock_day: date, newest: date | None) -> date:
    """The day that a lease is for: never one before the newest that any replica has begun.

    Args:
        clock_day: Today, by the replica's clock.
        newest: The newest day in the store; None if there is none.

    Returns:
        The later of the two. A replica whose clock is ahead begins a day early, and all others go with it.

    Raises:
        ServingError: ``scoring.quota-store`` if the store is more than a day ahead: one of the clocks is
            wrong, and which one is for a person to find out.
    """
    if newest is None or newest <= clock_day:
        return clock_day
    if newest - clock_day > timedelta(days=1):
        raise ServingError(
            "scoring.quota-store", f"quotas were spent for {newest}, and this clock says {clock_day}"
        )
    return newest


def block_rows(quota: int) -> int:
    """How many rows a lease has, unless a call needs more or the day has fewer.

    Args:
        quota: Rows of the day.
    """
    return -(-quota // BLOCK_SHARE)


def added_rows(quota: int, out: int, left: int) -> int:
    """How many rows to add to what is left of a lease, so that it has as many as a new one.

    Args:
        quota: Rows of the day.
        out: Rows that are out on leases already, those of this lease among them.
        left: Rows of it that may still be answered.

    Returns:
        With ``out``, at most ``quota``; 0 if there are none, or none are missing.
    """
    return max(0, min(block_rows(quota) - left, quota - out))


def lease_rows(quota: int, out: int, wanted: int) -> int:
    """How many rows to lease.

    Args:
        quota: Rows of the day.
        out: Rows that are out on leases already, without those given back.
        wanted: Rows of the call that needs them; at least one.

    Returns:
        At least ``wanted`` and, with ``out``, at most ``quota``; 0 if there are not so many.
    """
    left = quota - out
    if wanted > left:
        return 0
    return min(max(wanted, block_rows(quota)), left)
