"""One run as the shared log tells it: who took part, which rounds there were, and how it ended.

The coordinator writes ``run.started``, then every member states each step before it answers it
(``round.submitted``), or leaves (``member.left``); ``run.prepared``, ``round.aggregated`` and
``run.evaluated`` complete a step. Who states the preparation takes part until it leaves; who was not there
states it later, and takes part from ``member.joined`` on. After
``run.resumed`` the step that was under way may be stated anew, with other rows; after ``member.returned`` by
that member, whose node was restarted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from hanse.audit.entry import Entry
from hanse.audit.event import EventType
from hanse.audit.figures import differences, rows_of
from hanse.audit.findings import Finding

SHARED: Final = "shared"
"""Name of the shared log in findings."""

ENDS: Final = frozenset({EventType.RUN_FINISHED, EventType.RUN_FAILED})
TRIAL: Final = "trial"
"""Detail of the end of a run that was a trial of a sweep: its model, if it is the one that is kept, is
registered when all trials have ended."""

_COMPLETED: Final = {
    EventType.RUN_PREPARED: "prepared",
    EventType.ROUND_AGGREGATED: "aggregated",
    EventType.RUN_EVALUATED: "evaluated",
}


@dataclass(slots=True)
class SharedRun:
    """A run that goes on; see the module docstring.

    Attributes:
        run: Its identifier.
        agreement: Digest of its agreement.
        members: Who takes part.
        left: In which round each of the others left; 0 before the first.
        stated: Statements of the step that goes on.
        prepared: Whether it is prepared.
        round: The last aggregated round; 0 before the first.
        unaggregated: Rounds that were stated and not aggregated, with their entries.
        evaluated: Whether it was evaluated after its last round.
        model: Digest of the registered model.
        resumed: Whether the run was resumed since the last step was completed.
    """

    run: str
    agreement: str | None = None
    members: set[str] = field(default_factory=set)
    left: dict[str, int] = field(default_factory=dict)
    stated: dict[str, Entry] = field(default_factory=dict)
    prepared: bool = False
    round: int = 0
    unaggregated: dict[int, int] = field(default_factory=dict)
    evaluated: bool = False
    model: str | None = None
    resumed: bool = False

    def follow(self, index: int, entry: Entry) -> Iterator[Finding]:
        """Takes the next entry of the run.

        Args:
            index: Its place in the log.
            entry: It.

        Yields:
            What does not follow from what was there.
        """
        if self.agreement and entry.agreement and entry.agreement != self.agreement:
            yield self._finding("agreement-differs", index, entry, "not the agreement that it began under")
        if entry.type is EventType.ROUND_SUBMITTED:
            yield from self._statement(index, entry)
        elif entry.peer is not None:
            self._member(entry.type, entry.peer, entry.round or self.round)
        elif entry.type is EventType.RUN_RESUMED:
            self.resumed = True
        elif entry.type in _COMPLETED:
            yield from self._completed(index, entry)
        elif entry.type is EventType.MODEL_REGISTERED:
            self.model = entry.model_out
            if not self.evaluated:
                yield self._finding("run-unevaluated", index, entry, "a model was registered before that")
        elif entry.type is EventType.RUN_FINISHED:
            yield from self._finished(index, entry)

    def _member(self, kind: EventType, member: str, number: int) -> None:
        """A member comes or goes."""
        if kind is EventType.MEMBER_LEFT:
            self.members.discard(member)
            self.left.setdefault(member, number)
        elif kind is EventType.MEMBER_JOINED:
            self.left.pop(member, None)
            self.members.add(member)
        elif kind is EventType.MEMBER_RETURNED:
            self.stated.pop(member, None)

    def _statement(self, index: int, entry: Entry) -> Iterator[Finding]:
        yield from self._rows(index, entry)
        member, number = entry.peer, entry.round or 0
        if member is None:
            yield self._finding("statement-unexpected", index, entry, "a statement that names no member")
            return
        if member in self.left:  # one on its way when its member was given up is late, no more
            if number > self.left[member]:
                yield self._finding("statement-unexpected", index, entry, f"{member} had left")
            return
        if number and not self.prepared:
            yield self._finding("run-unprepared", index, entry, f"{member} stated a round before that")
            self.prepared = True
        if not self.prepared:
            self.members.add(member)
        elif member not in self.members:
            yield self._finding("statement-unexpected", index, entry, f"{member} stated no preparation")
        if number:
            self.unaggregated.setdefault(number, index)
        before = self.stated.get(member)
        same = before is None or before.round != entry.round or _content(before) == _content(entry)
        if not same and not self.resumed:
            detail = f"{member} stated other rows or subjects for the same step before"
            yield self._finding("statements-differ", index, entry, detail)
        self.stated[member] = entry

    def _rows(self, index: int, entry: Entry) -> Iterator[Finding]:
        for difference in differences(rows_of(entry)):
            yield self._finding("rows-differ", index, entry, f"{entry.peer}: {difference}")
        if entry.round and None in (entry.rows_used, entry.subject_set_size, entry.subject_set_root):
            yield self._finding("rows-unstated", index, entry, f"{entry.peer} leaves out rows or subjects")

    def _completed(self, index: int, entry: Entry) -> Iterator[Finding]:
        """A step is done: every member that takes part must have stated it, all of them the same set."""
        if entry.type is EventType.ROUND_AGGREGATED:
            yield from self._aggregated(index, entry)
        # An evaluation may name the round whose state is kept; what members state of it names none.
        number = None if entry.type is EventType.RUN_EVALUATED else entry.round
        of_step = {name: stated for name, stated in self.stated.items() if stated.round == number}
        for member in sorted(self.members - set(of_step)):
            detail = f"{_COMPLETED[entry.type]} without a statement of {member}"
            yield self._finding("step-unstated", index, entry, detail)
        if not of_step:
            yield self._finding("step-unstated", index, entry, f"{_COMPLETED[entry.type]} without a member")
        yield from self._aligned(index, entry, of_step)
        self.stated.clear()
        self.resumed = False
        self.prepared = self.prepared or entry.type is EventType.RUN_PREPARED
        self.evaluated = entry.type is EventType.RUN_EVALUATED

    def _aggregated(self, index: int, entry: Entry) -> Iterator[Finding]:
        number = entry.round or 0
        if not self.prepared:
            yield self._finding("run-unprepared", index, entry, "a round was aggregated before that")
            self.prepared = True
        yield from round_in_order(SHARED, index, entry, self.round)
        self.unaggregated.pop(number, None)
        self.round = max(self.round, number)

    def _aligned(self, index: int, entry: Entry, of_step: dict[str, Entry]) -> Iterator[Finding]:
        roots = {name: stated.aligned_set_root for name, stated in sorted(of_step.items())}
        known = {root for root in roots.values() if root is not None}
        if len(known) > 1:
            yield self._finding("aligned-differ", index, entry, f"between {', '.join(roots)}")
        if missing := [name for name, root in roots.items() if root is None] if known else []:
            yield self._finding("aligned-missing", index, entry, f"not stated by {', '.join(missing)}")

    def _finished(self, index: int, entry: Entry) -> Iterator[Finding]:
        if not self.prepared:
            yield self._finding("run-unprepared", index, entry, "it finished without that")
        if self.round == 0:
            yield self._finding("run-empty", index, entry, "it finished before any round was aggregated")
        if not self.evaluated:
            yield self._finding("run-unevaluated", index, entry, "it finished without that")
        for number, at in sorted(self.unaggregated.items()):
            finding = self._finding("round-unaggregated", at, entry, "stated, and never aggregated")
            yield finding._replace(round=number)
        if self.model is None and entry.detail == TRIAL and entry.model_out is None:
            return
        if self.model is None:
            yield self._finding("model-unregistered", index, entry, "it finished without that")
        elif entry.model_out != self.model:
            yield self._finding("model-differs", index, entry, "registered one, finished with another")

    def _finding(self, kind: str, index: int, entry: Entry, detail: str) -> Finding:
        return Finding(kind, index, SHARED, detail, self.run, entry.round)


def round_in_order(log: str, index: int, entry: Entry, last: int) -> Iterator[Finding]:
    """Whether a round is the next one.

    Args:
        log: Whose log.
        index: Place of the entry that has the round.
        entry: It.
        last: Last round before; 0 if there was none.
    """
    number = entry.round or 0
    if number > last + 1:
        detail = f"round {number} after {last or 'the preparation'}"
        yield Finding("round-skipped", index, log, detail, entry.run, number)
    elif number <= last:
        detail = f"round {number} after round {last}"
        yield Finding("round-repeated", index, log, detail, entry.run, entry.round)


def _content(entry: Entry) -> tuple[object, ...]:
    return entry.rows_used, entry.subject_set_root, entry.subject_set_size, entry.aligned_set_root
