"""Checks that a member's log accounts for its consent ledger: no change without an entry, none overlooked.

Every command that changes the ledger logs by how many events, and the ledger's head after them. A decision
names the head that it was taken on. A decision that was under way while a change was logged may rest on the
state before; one that began after it may not.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from hanse.audit.entry import Entry
from hanse.audit.event import EventType
from hanse.audit.findings import Finding

_CHANGES: Final = frozenset(
    {
        EventType.CONSENT_RECORDED,
        EventType.CONSENT_WITHDRAWN,
        EventType.CONSENT_FOLDED,
        EventType.CONSENT_EXPIRED,
        EventType.CONSENT_SYNCED,
    }
)


class ConsentHeads:
    """Goes through one member's log.

    Args:
        log: Name of the member.
    """

    def __init__(self, log: str) -> None:
        self._log = log
        self._at: list[int] = []  # where a new highest head was logged
        self._heads: list[int] = []  # which one, ascending
        self._accounted = 0  # events of the ledger that entries account for
        self._highest: tuple[int, int, Entry] | None = None  # head, place and entry of the newest state used

    def follow(self, index: int, entry: Entry, began_after: int | None) -> Iterator[Finding]:
        """Takes the next entry.

        Args:
            index: Its place in the log.
            entry: It.
            began_after: For a decision, the entry after which it certainly began; None if unknown.
        """
        if entry.consent is None:
            return
        head = entry.consent.head
        if entry.type in _CHANGES:
            self._accounted += entry.consent.size
            if not self._heads or head > self._heads[-1]:
                self._at.append(index)
                self._heads.append(head)
            return
        if self._highest is None or head > self._highest[0]:
            self._highest = (head, index, entry)
        if began_after is not None and head < (known := self._known(began_after)):
            detail = f"decided on ledger event {head}, {known} was logged before"
            yield Finding("consent-stale", index, self._log, detail, entry.run, entry.round)

    def finish(self) -> Iterator[Finding]:
        """Tells whether a state was used that no entry accounts for."""
        if self._highest is None:
            return
        head, index, entry = self._highest
        if head > self._accounted:
            detail = f"decided on ledger event {head}, entries account for {self._accounted} events"
            yield Finding("consent-unlogged", index, self._log, detail, entry.run, entry.round)

    def _known(self, index: int) -> int:
        """The highest head that was logged before an entry."""
        place = bisect_left(self._at, index)
        return self._heads[place - 1] if place else 0
