"""One run as a member's own log tells it: every step with the decision before it.

The node writes ``agreement.accepted`` with the run, plans its budget (``budget.planned``), and then, before
each step touches a row, ``round.admitted`` or ``round.denied``; the step itself follows as ``run.prepared``,
``round.trained`` or ``run.evaluated``. A step that fails after its admission leaves a refusal or an end.
After ``run.resumed`` the last step may be taken again; a member that came late says with ``member.joined``
which round is its first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hanse.audit.entry import Entry
from hanse.audit.event import EventType
from hanse.audit.figures import differences, excluded_too_many_or_few, rows_of
from hanse.audit.findings import Finding
from hanse.audit.shared_runs import round_in_order

STEPS: Final = {
    EventType.RUN_PREPARED: "prepared",
    EventType.ROUND_TRAINED: "trained",
    EventType.RUN_EVALUATED: "evaluated",
}
"""Entries of steps that were done, with the name that a statement gives them."""

_GIVEN_UP: Final = frozenset({EventType.ROUND_DENIED, EventType.RUN_REFUSED, EventType.RUN_FAILED})
_ROUNDING: Final = 1 + 1e-9


@dataclass(slots=True)
class MemberRun:
    """A run that goes on at one member; see the module docstring.

    Attributes:
        log: Name of the member.
        run: The run.
        agreement: Digest of its agreement.
        last: Index of the run's last entry: whatever the node does next, it began after that one.
        admission: The decision whose step is yet to come, and where it is.
        planned: Epsilon that the run may have cost in the end; None without a plan.
        prepared: Whether the run is prepared.
        round: The last round that was trained; 0 before the first.
        evaluated: Whether an evaluation came after it.
        refused: Whether a command was refused since the last step: the coordinator may have gone on without.
        resumed: Whether the run was resumed since the last step.
    """

    log: str
    run: str
    agreement: str | None
    last: int
    admission: tuple[int, Entry] | None = None
    planned: float | None = None
    prepared: bool = False
    round: int = 0
    evaluated: bool = False
    refused: bool = False
    resumed: bool = False

    def follow(self, index: int, entry: Entry) -> Iterator[Finding]:
        """Takes the next entry of the run.

        Args:
            index: Its place in the log.
            entry: It.

        Yields:
            What does not follow from what was there.
        """
        if entry.agreement and self.agreement and entry.agreement != self.agreement:
            yield self._finding("agreement-differs", index, entry, "not the agreement that it began under")
        if entry.type is EventType.BUDGET_PLANNED and entry.privacy is not None:
            self.planned = entry.privacy.epsilon
        elif entry.type is EventType.ROUND_ADMITTED:
            yield from self._admitted(index, entry)
        elif entry.type in STEPS:
            yield from self._step(index, entry)
        elif entry.type in _GIVEN_UP:
            self.admission = None
            self.refused = True
        elif entry.type is EventType.MEMBER_JOINED:
            self.round = max(self.round, (entry.round or 1) - 1)
        elif entry.type is EventType.RUN_RESUMED:
            self.admission = None
            self.resumed = True
        elif entry.type is EventType.RUN_FINISHED:
            yield from self._unused("the run finished")
            if not self.evaluated:
                yield self._finding("run-unevaluated", index, entry, "it finished without that")
        self.last = index

    def _admitted(self, index: int, entry: Entry) -> Iterator[Finding]:
        yield from self._unused(f"the next admission is entry {index}")
        self.admission = (index, entry)
        yield from self._rows(index, entry)
        if entry.counts is not None and excluded_too_many_or_few(entry.counts):
            detail = "rows in less rows out are not the rows left out by rule"
            yield self._finding("rows-differ", index, entry, detail)

    def _step(self, index: int, entry: Entry) -> Iterator[Finding]:
        yield from self._rows(index, entry)
        name = STEPS[entry.type]
        if self.admission is None or self.admission[1].round != entry.round:
            yield self._finding("step-unadmitted", index, entry, f"{name} without a decision before it")
        else:
            both = rows_of(self.admission[1]) | {f"{name}: {what}": n for what, n in rows_of(entry).items()}
            for difference in differences(both):
                yield self._finding("rows-differ", index, entry, difference)
        self.admission, self.refused = None, False
        yield from self._budget(index, entry)
        yield from self._progress(index, entry)

    def _rows(self, index: int, entry: Entry) -> Iterator[Finding]:
        for difference in differences(rows_of(entry)):
            yield self._finding("rows-differ", index, entry, difference)

    def _budget(self, index: int, entry: Entry) -> Iterator[Finding]:
        if entry.privacy is None:
            return
        if self.planned is None:
            yield self._finding("budget-unplanned", index, entry, "the run has no plan before this")
            self.planned = float("inf")
        elif entry.privacy.epsilon > self.planned * _ROUNDING:
            detail = f"epsilon {entry.privacy.epsilon:.6g}, planned {self.planned:.6g}"
            yield self._finding("budget-overspent", index, entry, detail)

    def _progress(self, index: int, entry: Entry) -> Iterator[Finding]:
        self.evaluated = entry.type is EventType.RUN_EVALUATED
        if entry.type is EventType.ROUND_TRAINED:
            if not self.resumed or entry.round != self.round:
                yield from round_in_order(self.log, index, entry, self.round)
            self.round = max(self.round, entry.round or 0)
        if not self.prepared and entry.type is not EventType.RUN_PREPARED:
            yield self._finding("run-unprepared", index, entry, f"{STEPS[entry.type]} before that")
        self.prepared, self.resumed = True, False

    def _unused(self, reason: str) -> Iterator[Finding]:
        if self.admission is not None:
            index, entry = self.admission
            if not self.resumed:  # of a step that is taken again, all may have been known
                yield self._finding("step-unused", index, entry, reason)
            self.admission = None

    def _finding(self, kind: str, index: int, entry: Entry, detail: str) -> Finding:
        return Finding(kind, index, self.log, detail, self.run, entry.round)
