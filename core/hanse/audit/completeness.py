"""Whether a log leaves something out, told from the entries that are there.

A log that verifies is as it was written. Whether all was written is another question, which no hash answers:
these checks hold the entries against each other, and one log against another. They read the entries once, in
order, and keep what goes on, not what is over.

What they cannot show: that an entry says what happened, or that something was neither done in public nor
written down. The last entries of an actor can be missing without a trace in the log itself; a checkpoint that
a reviewer saved, a witness, or the other side's log shows that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from hanse.audit.comparison import check_against, roots_at, stated_sizes
from hanse.audit.consent_heads import ConsentHeads
from hanse.audit.entry import Entry
from hanse.audit.event import EventType
from hanse.audit.figures import excluded_too_many_or_few
from hanse.audit.findings import Finding
from hanse.audit.member_runs import MemberRun
from hanse.audit.order import Order
from hanse.audit.scores import Scores
from hanse.audit.shared_runs import ENDS, SHARED, TRIAL, SharedRun
from hanse.audit.stated import StatedCheckpoints

_SCORED = frozenset(
    {
        EventType.SCORE_ANSWERED,
        EventType.SCORE_DENIED,
        EventType.SCORE_WITHHELD,
        EventType.PART_ANSWERED,
        EventType.PART_DENIED,
    }
)
"""What a scorer answers, and what a feature holder answers a scorer."""

__all__ = ["Finding", "check_against", "check_member", "check_shared", "roots_at", "stated_sizes"]


def check_shared(entries: Iterable[Entry], *, now: datetime | None = None) -> list[Finding]:
    """Checks a coordinator's shared log.

    Args:
        entries: All of it, verified before; in order.
        now: Time of the check, aware; without one, no entry is too late.

    Returns:
        What it does not account for, in the order of the entries at which that shows.
    """
    return list(_Shared(Order(SHARED, now)).check(entries))


def check_member(
    entries: Iterable[Entry], member: str = "member", *, now: datetime | None = None
) -> list[Finding]:
    """Checks a member's own log.

    Args:
        entries: All of it, verified before; in order.
        member: Name of the member, for the findings.
        now: Time of the check, aware; without one, no entry is too late.

    Returns:
        What it does not account for, in the order of the entries at which that shows.
    """
    return list(_Member(member, Order(member, now), ConsentHeads(member)).check(entries))


@dataclass(slots=True)
class _Shared:
    """A shared log so far; see :func:`check_shared`."""

    order: Order
    stated: StatedCheckpoints = field(default_factory=StatedCheckpoints)
    agreements: set[str] = field(default_factory=set)
    open: dict[str, tuple[int, SharedRun]] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    tried: dict[str, EventType] = field(default_factory=dict)

    def check(self, entries: Iterable[Entry]) -> Iterator[Finding]:
        for index, entry in enumerate(entries):
            yield from self.order.follow(index, entry)
            yield from self.stated.follow(index, entry)
            if entry.run is not None:
                yield from self._of_run(index, entry, entry.run)
            elif entry.type is EventType.AGREEMENT_ACCEPTED and entry.agreement is not None:
                self.agreements.add(entry.agreement)
        for run, (index, _) in self.open.items():
            yield Finding("run-open", index, SHARED, "it began here", run)

    def _of_run(self, index: int, entry: Entry, run: str) -> Iterator[Finding]:
        if entry.type is EventType.RUN_STARTED:
            yield from self._started(index, entry, run)
        elif self._chosen(entry, run):
            self.tried[run] = entry.type
        elif run in self.over:
            yield Finding("run-after-end", index, SHARED, entry.type.value, run, entry.round)
        elif run in self.open:
            yield from self.open[run][1].follow(index, entry)
        elif entry.type is not EventType.RUN_FAILED:  # a run can fail before it starts
            yield Finding("run-unstarted", index, SHARED, f"it first shows as {entry.type}", run, entry.round)
            self.open[run] = (index, SharedRun(run, entry.agreement, prepared=True))
            yield from self.open[run][1].follow(index, entry)
        if entry.type in ENDS:
            self.open.pop(run, None)
            self.over.add(run)
        if entry.type is EventType.RUN_FINISHED and entry.detail == TRIAL:
            self.tried[run] = entry.type

    def _chosen(self, entry: Entry, run: str) -> bool:
        """Whether a model is registered, or then withheld, of a trial that has ended: each once."""
        before = {
            EventType.MODEL_REGISTERED: EventType.RUN_FINISHED,
            EventType.MODEL_WITHHELD: EventType.MODEL_REGISTERED,
        }.get(entry.type)
        return before is not None and self.tried.get(run) is before

    def _started(self, index: int, entry: Entry, run: str) -> Iterator[Finding]:
        if run in self.open or run in self.over:
            yield Finding("run-repeated", index, SHARED, "it had begun before", run)
        if entry.agreement not in self.agreements:
            yield Finding("agreement-unaccepted", index, SHARED, "not accepted before this run", run)
        for other, (began, _) in self.open.items():  # a coordinator conducts one run at a time
            if other != run:
                yield Finding("run-unended", began, SHARED, f"{run} began at entry {index}", other)
                self.over.add(other)
        self.open = {run: (index, SharedRun(run, entry.agreement))}


@dataclass(slots=True)
class _Member:
    """A member's log so far; see :func:`check_member`."""

    log: str
    order: Order
    consent: ConsentHeads
    signed: set[str] = field(default_factory=set)
    scorers: set[tuple[str | None, str | None]] = field(default_factory=set)
    scores: Scores = field(default_factory=Scores)
    open: dict[str, tuple[int, MemberRun]] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    refusal: int | None = None

    def check(self, entries: Iterable[Entry]) -> Iterator[Finding]:
        for index, entry in enumerate(entries):
            yield from self.order.follow(index, entry)
            if index == 0 and entry.type is not EventType.MEMBER_INITIALISED:
                yield Finding("log-headless", index, self.log, f"it begins with {entry.type}", entry.run)
            yield from self._decision(index, entry)
            if entry.run is not None:
                yield from self._of_run(index, entry, entry.run)
            else:
                yield from self._of_site(index, entry)
        yield from self.consent.finish()
        for run, (index, going) in self.open.items():
            if not going.refused:
                yield self._finding("run-open", index, "it began here", run)

    def _decision(self, index: int, entry: Entry) -> Iterator[Finding]:
        """Holds a decision about rows against what was known when it certainly had not begun yet."""
        going = self.open.get(entry.run or "")
        began_after = going[1].last if going and entry.type is EventType.ROUND_ADMITTED else None
        yield from self.consent.follow(index, entry, began_after)
        if began_after is not None and self.refusal is not None and self.refusal < began_after:
            detail = f"refused at entry {self.refusal}"
            yield Finding("round-after-refusal", index, self.log, detail, entry.run, entry.round)

    def _of_site(self, index: int, entry: Entry) -> Iterator[Finding]:
        if entry.type is EventType.AGREEMENT_SIGNED and entry.agreement is not None:
            self.signed.add(entry.agreement)
        elif entry.type is EventType.WITNESS_REFUSED:
            self.refusal = index if self.refusal is None else self.refusal
        elif entry.type is EventType.WITNESS_REVIEWED:
            self.refusal = None
        elif entry.type in {EventType.SCORER_STARTED, EventType.MODEL_LOADED}:
            self.scorers.add((entry.agreement, entry.model_in))
        elif entry.type in _SCORED:
            yield from self._score(index, entry)

    def _score(self, index: int, entry: Entry) -> Iterator[Finding]:
        served = (entry.agreement, entry.model_in)
        if served not in self.scorers:
            yield self._finding("scorer-unstarted", index, "no start for this model and agreement before it")
            self.scorers.add(served)
        if entry.counts is not None and excluded_too_many_or_few(entry.counts):
            yield self._finding("rows-differ", index, "subjects asked for are not those answered and denied")
        if self.scores.withheld_too_many(entry):
            yield self._finding("score-unanswered", index, "more are withheld than were answered before it")

    def _of_run(self, index: int, entry: Entry, run: str) -> Iterator[Finding]:
        if entry.type is EventType.AGREEMENT_ACCEPTED:
            yield from self._accepted(index, entry, run)
        elif entry.type is EventType.RUN_REFUSED and run not in self.open:
            return  # refused before it began, or after its end
        elif run in self.over:
            yield self._finding("run-after-end", index, entry.type.value, run)
        elif run in self.open:
            yield from self.open[run][1].follow(index, entry)
        elif entry.type is not EventType.RUN_FAILED:
            yield self._finding("run-unstarted", index, f"it first shows as {entry.type}", run)
            self.open[run] = (index, MemberRun(self.log, run, entry.agreement, index, prepared=True))
            yield from self.open[run][1].follow(index, entry)
        if entry.type in ENDS:
            self.open.pop(run, None)
            self.over.add(run)

    def _accepted(self, index: int, entry: Entry, run: str) -> Iterator[Finding]:
        if run in self.open or run in self.over:
            yield self._finding("run-repeated", index, "it had begun before", run)
        if entry.agreement not in self.signed:
            yield self._finding("agreement-unsigned", index, "approved elsewhere, if at all", run)
        for other, (began, going) in self.open.items():  # a node takes part in one run at a time
            if other != run:
                self.over.add(other)
                if not going.refused:
                    yield self._finding("run-unended", began, f"{run} began at entry {index}", other)
        self.open = {run: (index, MemberRun(self.log, run, entry.agreement, index))}

    def _finding(self, kind: str, index: int, detail: str, run: str | None = None) -> Finding:
        return Finding(kind, index, self.log, detail, run)
