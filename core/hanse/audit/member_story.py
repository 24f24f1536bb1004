"""What a member's own log says of its runs, as far as another log can be held against it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from hanse.audit.entry import Entry
from hanse.audit.event import EventType
from hanse.audit.member_runs import STEPS
from hanse.audit.shared_runs import ENDS

_INTERRUPTED: Final = frozenset({EventType.RUN_RESUMED, EventType.RUN_REFUSED, *ENDS})

Step = tuple[str, str, int | None]
"""Run, name of the step as statements give it, and round."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step in the member's log.

    Attributes:
        decided: The decision before it.
        since: Place of that entry.
        at: Place of the entry of the step itself; the decision's if the step was not completed.
        entry: That entry.
    """

    decided: Entry
    since: int
    at: int
    entry: Entry


@dataclass(slots=True)
class MemberStory:
    """What a member's log says of runs.

    Attributes:
        size: Number of entries.
        steps: Every step; several times if it was taken again after an interruption.
        began: Where the member took part in a run first.
        ends: How runs ended.
        went_on: From where the training of a run went on last, if it was interrupted: digest by run.
    """

    size: int = 0
    steps: dict[Step, list[Done]] = field(default_factory=dict)
    began: dict[str, int] = field(default_factory=dict)
    ends: dict[str, Entry] = field(default_factory=dict)
    went_on: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Reads a member's own log."""
        story, pending = cls(), dict[str, tuple[int, Entry]]()
        for index, entry in enumerate(entries):
            story.size = index + 1
            run = entry.run
            if run is None:
                continue
            if entry.type is EventType.AGREEMENT_ACCEPTED:
                story.began.setdefault(run, index)
            elif entry.type is EventType.ROUND_ADMITTED:
                if run in pending:
                    story._given_up(run, *pending.pop(run))
                pending[run] = (index, entry)
            elif entry.type in STEPS and run in pending:
                since, decided = pending.pop(run)
                story._add((run, STEPS[entry.type], entry.round), Done(decided, since, index, entry))
            elif entry.type in _INTERRUPTED and run in pending:
                story._given_up(run, *pending.pop(run))
            story._note(run, entry)
        for run, (since, decided) in pending.items():
            story._given_up(run, since, decided)
        return story

    def _note(self, run: str, entry: Entry) -> None:
        """Ends, and from where a run went on."""
        if entry.type in ENDS:
            self.ends[run] = entry
        elif entry.type is EventType.RUN_RESUMED and entry.model_in is not None:
            self.went_on[run] = entry.model_in

    def find(self, step: Step, size: int | None) -> Done | None:
        """The step as it was in the log when that had so many entries, if it was taken several times."""
        taken = self.steps.get(step, [])
        before = [done for done in taken if size is None or done.since < size]
        return before[-1] if before else next(iter(taken), None)

    def _add(self, step: Step, done: Done) -> None:
        self.steps.setdefault(step, []).append(done)

    def _given_up(self, run: str, since: int, decided: Entry) -> None:
        """A step that was decided on, stated perhaps, and then interrupted."""
        prepared = (run, "prepared", None) in self.steps
        name = "trained" if decided.round else "evaluated" if prepared else "prepared"
        self._add((run, name, decided.round), Done(decided, since, since, decided))
