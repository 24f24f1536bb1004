"""How many subjects a caller may ask about."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from hanse.server.scoring.leases import Account


class Quota(Protocol):
    """Counts the subjects that each caller asks about."""

    async def charge(self, account: Account, daily_quota: int, rows: int, now: datetime) -> None:
        """Charges a call, before anything is decided about its subjects: all of it, or nothing.

        Args:
            account: Who asks, under which agreement.
            daily_quota: Subjects that it may ask about in a day.
            rows: Subjects of this call.
            now: Time of the call.

        Raises:
            HanseError: If the quota is used up, or cannot be known.
        """
        ...

    def spend(self, account: Account, daily_quota: int, rows: int, now: datetime, /) -> bool:
        """As :meth:`charge`, if that needs no waiting.

        Args:
            account: Who asks, under which agreement.
            daily_quota: Subjects that it may ask about in a day.
            rows: Subjects of this call, or of several.
            now: Time of the call.

        Returns:
            Whether it was charged; if not, :meth:`charge` says what is so.
        """
        ...

    def when_ready(self, caller: str, rows: int, then: Callable[[], None], /) -> None:
        """Waits a moment if there will soon be more that :meth:`spend` can charge; promises nothing.

        Args:
            caller: Who asks.
            rows: Subjects of a call.
            then: Is called once: now, or then.
        """
        ...

    def left(self, now: datetime, /) -> Mapping[Account, int]:
        """Subjects that may still be asked about today. Safe for threads.

        Args:
            now: The time.

        Returns:
            Rows that this replica holds or can lease, per account that has been charged today.

        Raises:
            ServingError: ``scoring.quota-store``.
        """
        ...

    def take_back(self, account: Account, rows: int, now: datetime) -> None:
        """Undoes a charge whose call came to nobody's data.

        Args:
            account: As it was charged.
            rows: Likewise.
            now: Likewise.
        """
        ...


class Uncounted:
    """Charges nothing."""

    async def charge(self, account: Account, daily_quota: int, rows: int, now: datetime) -> None:
        """See :meth:`Quota.charge`."""

    def spend(self, _account: Account, _daily_quota: int, _rows: int, _now: datetime) -> bool:
        """See :meth:`Quota.spend`."""
        return True

    def when_ready(self, _caller: str, _rows: int, then: Callable[[], None]) -> None:
        """See :meth:`Quota.when_ready`."""
        then()

    def left(self, _now: datetime) -> Mapping[Account, int]:
        """See :meth:`Quota.left`."""
        return {}

    def take_back(self, account: Account, rows: int, now: datetime) -> None:
        """See :meth:`Quota.take_back`."""
