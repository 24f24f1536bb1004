"""Checks that hold for any log: every actor's numbers have no gap, and times go forward."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from hanse.audit.entry import Actor, Entry, format_time
from hanse.audit.event import Restored
from hanse.audit.findings import Finding

CLOCK_SLACK: Final = timedelta(minutes=5)
"""By how much the clocks of two machines may differ; a choice of ours."""

_NOTABLE_MS: Final = 1000


class Order:
    """Goes through one log.

    Args:
        log: Whose log, for the findings.
        now: Time of the check, aware; without one, no entry is too late.
    """

    def __init__(self, log: str, now: datetime | None = None) -> None:
        self._log = log
        self._latest = None if now is None else format_time(now + CLOCK_SLACK)
        self._next: dict[Actor, int] = {}
        self._time = ""

    def follow(self, index: int, entry: Entry) -> Iterator[Finding]:
        """Takes the next entry.

        Args:
            index: Its place in the log.
            entry: It.

        Yields:
            What is wrong with it.
        """
        yield from self._sequence(index, entry)
        if entry.time < self._time:
            yield self._finding("time-back", index, f"{entry.time} after {self._time}", entry)
        if self._latest is not None and entry.time > self._latest:
            yield self._finding("time-future", index, f"{entry.time} is yet to come", entry)
        if (entry.clock_behind_ms or 0) >= _NOTABLE_MS:
            yield self._finding("clock-behind", index, f"by {entry.clock_behind_ms} ms", entry)
        if entry.restored is not None:
            yield from self._restored(index, entry, entry.restored)
        self._time = max(self._time, entry.time)

    def _restored(self, index: int, entry: Entry, restored: Restored) -> Iterator[Finding]:
        if restored.known_size is not None and restored.known_size > restored.size:
            detail = f"entries {restored.size} to {restored.known_size - 1} of the log before"
            yield self._finding("log-lost", index, detail, entry)
        else:
            yield self._finding("log-restored", index, f"with {restored.size} entries", entry)

    def _sequence(self, index: int, entry: Entry) -> Iterator[Finding]:
        due, actor = self._next.get(entry.actor, 0), entry.actor
        who = f"{actor.role} with key {actor.key_id}"
        if entry.seq > due:
            missing = f"number {due}" if entry.seq == due + 1 else f"numbers {due} to {entry.seq - 1}"
            yield self._finding("sequence-gap", index, f"{missing} of the {who} missing before this", entry)
        elif entry.seq < due:
            detail = f"number {entry.seq} of the {who} after number {due - 1}"
            yield self._finding("sequence-repeated", index, detail, entry)
        self._next[actor] = max(due, entry.seq + 1)

    def _finding(self, kind: str, index: int, detail: str, entry: Entry) -> Finding:
        return Finding(kind, index, self._log, detail, entry.run, entry.round)
