"""Charges for what is about to leave, ahead, so that not every step waits for the disk.

A step takes milliseconds and a durable commit as long. So a block of releases is written down as spent
before the first of them leaves. After a crash what is left of the block has been paid for and is lost: the
safe side.
"""

from collections.abc import Mapping
from dataclasses import replace

from hanse.errors import PrivacyError
from hanse.privacy.events import GaussianRelease, PrivacyEvent, times
from hanse.privacy.ledger import LedgerKey, PrivacyLedger


class ChargedReleases:
    """The releases of one planned run, charged before they leave. A callable, by the kind of release.

    Args:
        ledger: The member's ledger, in which the run is planned.
        key: Population and purpose.
        run: Name of the run.
        planned: By kind, all releases of the run, as they were planned.
        ahead: Most releases of one kind that are charged at once, from 1.
    """

    def __init__(
        self,
        ledger: PrivacyLedger,
        key: LedgerKey,
        run: str,
        planned: Mapping[str, PrivacyEvent],
        ahead: int = 20,
    ) -> None:
        self._ledger, self._key, self._run = ledger, key, run
        self._planned = dict(planned)
        self._ahead = ahead
        self._paid = dict.fromkeys(planned, 0)
        spent = ledger.spent_events(key, run)
        # A run that goes on after a crash has what the ledger says is left, whatever was done with the rest.
        self._left = {kind: times(event) - _times_spent(event, spent) for kind, event in planned.items()}

    def left(self, kind: str) -> int:
        """How many releases of a kind may still leave."""
        return self._left[kind] + self._paid[kind]

    def __call__(self, kind: str) -> None:
        """Charges for one release; it may leave only after this has returned.

        Args:
            kind: Of the release.

        Raises:
            PrivacyError: ``privacy.exhausted`` if none of that kind is left, ``privacy.unsupported`` for
                other kinds, and what :meth:`hanse.privacy.PrivacyLedger.spend` raises.
        """
        if kind not in self._planned:
            raise PrivacyError("privacy.unsupported", "a release of a kind that was not planned")
        if not self._paid[kind]:
            block = min(self._ahead, self._left[kind])
            if block < 1:
                raise PrivacyError("privacy.exhausted", "all planned releases of this kind have left")
            self._ledger.spend(self._key, self._run, [_repeated(self._planned[kind], block)])
            self._left[kind] -= block
            self._paid[kind] = block
        self._paid[kind] -= 1


def _repeated(event: PrivacyEvent, number: int) -> PrivacyEvent:
    if isinstance(event, GaussianRelease):
        return replace(event, count=number)
    return replace(event, steps=number)


def _times_spent(event: PrivacyEvent, spent: tuple[PrivacyEvent, ...]) -> int:
    return sum(times(known) for known in spent if _repeated(known, 1) == _repeated(event, 1))
