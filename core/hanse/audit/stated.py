"""Checks of the checkpoints that members state of their own logs: within the shared log, they only grow."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hanse.audit.checkpoint import Checkpoint, parse_checkpoint
from hanse.audit.entry import Entry
from hanse.audit.findings import Finding
from hanse.crypto import unverified_text


def stated_checkpoint(entry: Entry) -> Checkpoint | None:
    """The checkpoint of a member's log that an entry carries; whose signature is on it is not checked."""
    if entry.member_checkpoint is None:
        return None
    return parse_checkpoint(unverified_text(entry.member_checkpoint.encode()))


@dataclass(slots=True)
class StatedCheckpoints:
    """The last checkpoint of every member."""

    last: dict[str, tuple[int, Checkpoint]] = field(default_factory=dict)

    def follow(self, index: int, entry: Entry) -> Iterator[Finding]:
        """Takes the next entry of the shared log.

        Args:
            index: Its place in the log.
            entry: It.

        Yields:
            Where a member's log goes back, or forks.
        """
        checkpoint = stated_checkpoint(entry)
        if checkpoint is None or entry.peer is None:
            return
        place, last = self.last.get(entry.peer, (index, checkpoint))
        if checkpoint.size < last.size:
            detail = f"{entry.peer}: {checkpoint.size} entries, {last.size} at entry {place}"
            yield Finding("checkpoint-back", index, "shared", detail, entry.run, entry.round)
        elif checkpoint.size == last.size and checkpoint.root != last.root:
            detail = f"{entry.peer}: another root for {last.size} entries than at entry {place}"
            yield Finding("checkpoint-fork", index, "shared", detail, entry.run, entry.round)
        if checkpoint.size >= last.size:
            self.last[entry.peer] = (index, checkpoint)
