"""What a member's own log says of its runs, as far as another log can be held against it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from hanse.audit.entry import Entry
from hanse.audit.event import EventType
from hanse.audit.member_runs import STEPS
from hanse.audit.shared_runs import ENDS

Step = tuple[str, str, int | None]
"""Run, name of the step as statements give it, and round."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step in the member's log.

    Attributes:
        decided: The decision before it.
        at: Place of the entry of the step itself; the decision's if the step was not completed.
        entry: That entry.
    """

    decided: Entry
    at: int
    entry: Entry


@dataclass(slots=True)
class MemberStory:
    """What a member's log says of runs.

    Attributes:
        size: Number of entries.
        steps: Every step.
        began: Where the member took part in a run first.
        ends: How runs ended.
    """

    size: int = 0
    steps: dict[Step, Done] = field(default_factory=dict)
    began: dict[str, int] = field(default_factory=dict)
    ends: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Reads a member's own log."""
        story, pending = cls(), dict[str, Entry]()
        for index, entry in enumerate(entries):
            story.size = index + 1
            run = entry.run
            if run is None:
                continue
            if entry.type is EventType.AGREEMENT_ACCEPTED:
                story.began.setdefault(run, index)
            elif entry.type is EventType.ROUND_ADMITTED:
                pending[run] = entry
            elif entry.type in STEPS and run in pending:
                done = Done(pending.pop(run), index, entry)
                story.steps.setdefault((run, STEPS[entry.type], entry.round), done)
            elif entry.type in ENDS:
                story.ends[run] = entry
        return story
