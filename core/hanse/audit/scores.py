"""Scores that a log says were given, and those of them that were withheld after all (docs/adr/0061)."""

from collections import Counter
from dataclasses import dataclass, field

from hanse.audit.entry import Entry
from hanse.audit.event import EventType

_Answers = tuple[str | None, ...]


@dataclass(slots=True)
class Scores:
    """Counts what was given, by agreement, model, caller and purpose.

    Attributes:
        given: Subjects.
    """

    given: Counter[_Answers] = field(default_factory=Counter)

    def withheld_too_many(self, entry: Entry) -> bool:
        """Takes the next entry of a member's log, of a scorer.

        Args:
            entry: The entry.

        Returns:
            Whether it withholds what was not given before it.
        """
        counts = entry.counts
        if counts is None or not isinstance(counts.rows_in, int) or not isinstance(counts.rows_out, int):
            return False
        key = (entry.agreement, entry.model_in, entry.peer, entry.purpose)
        if entry.type is EventType.SCORE_ANSWERED:
            self.given[key] += counts.rows_out
        if entry.type is not EventType.SCORE_WITHHELD:
            return False
        is_too_many = counts.rows_in > self.given[key]
        self.given[key] -= counts.rows_in - (counts.rows_out if entry.decision == "permit" else 0)
        return is_too_many
