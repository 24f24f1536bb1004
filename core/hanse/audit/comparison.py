"""Whether a member's own log and the shared log tell the same story of what the member did.

The member's log says what it decided, with exact numbers; the shared log keeps what it stated of that at the
time, signed. Neither side can change its version afterwards without contradicting the other, as long as
somebody compares the two. Two sides that agree to tell the same untruth are not found out here.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from hanse.audit.checkpoint import Checkpoint
from hanse.audit.entry import Entry, parse_time
from hanse.audit.event import EventType
from hanse.audit.figures import agree
from hanse.audit.findings import Finding
from hanse.audit.member_story import Done, MemberStory, Step
from hanse.audit.order import CLOCK_SLACK
from hanse.audit.shared_runs import ENDS, SHARED
from hanse.audit.stated import stated_checkpoint
from hanse.audit.statement import check_statement
from hanse.audit.tree import Frontier
from hanse.crypto import VerifierKey
from hanse.errors import HanseError


def check_against(
    shared: Iterable[Entry],
    member: str,
    entries: Iterable[Entry],
    root_at: Callable[[int], bytes],
    keys: Sequence[VerifierKey] = (),
) -> list[Finding]:
    """Compares a member's own log with what the shared log keeps of it.

    Args:
        shared: All entries of the shared log, verified before; in order.
        member: Name of the member.
        entries: All entries of its own log, verified before; in order.
        root_at: Root of the member's tree at a size, at most its own.
        keys: The member's keys, in any order; without one, no signature on a statement is checked.

    Returns:
        Where the two do not fit; ``log`` says in which of the two the entry is.
    """
    return list(_Comparison(member, MemberStory.of(entries), root_at, keys).check(shared))


def stated_sizes(shared: Iterable[Entry], member: str) -> frozenset[int]:
    """Sizes of a member's own log for which the shared log has its checkpoint.

    Args:
        shared: Entries of the shared log.
        member: Name of the member.
    """
    stated = (stated_checkpoint(entry) for entry in shared if entry.peer == member)
    return frozenset(checkpoint.size for checkpoint in stated if checkpoint is not None)


def roots_at(leaves: Iterable[bytes], sizes: Collection[int]) -> dict[int, bytes]:
    """Roots of a log's tree at some sizes, in one pass.

    Args:
        leaves: The log's entries as they are stored.
        sizes: Which sizes; larger ones than the log's are left out.
    """
    tree, roots = Frontier(), dict[int, bytes]()
    if 0 in sizes:
        roots[0] = tree.root()
    for leaf in leaves:
        tree.append(leaf)
        if tree.size in sizes:
            roots[tree.size] = tree.root()
    return roots


_COMPLETED: Final = {
    EventType.RUN_PREPARED: "prepared",
    EventType.ROUND_AGGREGATED: "trained",
    EventType.RUN_EVALUATED: "evaluated",
}


@dataclass(slots=True)
class _Comparison:
    member: str
    story: MemberStory
    root_at: Callable[[int], bytes]
    keys: Sequence[VerifierKey]
    stated: set[Step] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)

    def check(self, shared: Iterable[Entry]) -> Iterator[Finding]:
        for index, entry in enumerate(shared):
            if entry.run is not None:
                self.runs.add(entry.run)
                yield from self._entry(index, entry, entry.run)
        for run, began in sorted(self.story.began.items()):
            if run not in self.runs:
                yield Finding("run-unshared", began, self.member, "the shared log does not have it", run)

    def _entry(self, index: int, entry: Entry, run: str) -> Iterator[Finding]:
        if entry.type is EventType.ROUND_SUBMITTED and entry.peer == self.member:
            yield from self._statement(index, entry, run)
        elif entry.type is EventType.MEMBER_LEFT and entry.peer == self.member:
            self.left.add(run)
        elif entry.type is EventType.MEMBER_JOINED and entry.peer == self.member:
            self.left.discard(run)
        elif entry.type in _COMPLETED and run not in self.left:
            number = None if entry.type is EventType.RUN_EVALUATED else entry.round
            yield from self._completed(index, entry, (run, _COMPLETED[entry.type], number))
        elif entry.type in ENDS:
            yield from self._end(index, entry, run)

    def _statement(self, index: int, entry: Entry, run: str) -> Iterator[Finding]:
        step = (run, entry.detail or "", entry.round)
        self.stated.add(step)
        if self.keys and not _signed(entry, self.keys):
            yield self._finding("checkpoint-foreign", index, entry, "by none of the keys that were given")
        checkpoint = stated_checkpoint(entry)
        if checkpoint is not None:
            yield from self._checkpoint(index, entry, checkpoint)
        done = self.story.find(step, None if checkpoint is None else checkpoint.size)
        if done is None:
            detail = f"{entry.detail or 'a step'}: the member's own log does not have it"
            yield self._finding("step-unlogged", index, entry, detail)
            return
        # In sums a step is stated before it is taken, and what it may use is decided by then in any case.
        if checkpoint is not None and checkpoint.size <= done.since:
            detail = f"stated with {checkpoint.size} entries, the decision is entry {done.since}"
            yield self._finding("step-uncovered", index, entry, detail)
        yield from self._figures(index, entry, done)
        if abs(parse_time(entry.time) - parse_time(done.entry.time)) > CLOCK_SLACK:
            detail = f"{entry.time} in the shared log, {done.entry.time} in the member's"
            yield self._finding("clocks-differ", index, entry, detail)

    def _completed(self, index: int, entry: Entry, step: Step) -> Iterator[Finding]:
        """What the coordinator completed with this member in it, which an interrupted step is not."""
        taken = self.story.steps.get(step, [])
        if entry.type is EventType.ROUND_AGGREGATED and self.story.went_on.get(step[0]) != entry.model_in:
            yield self._finding(
                "resumption-differs", index, entry, "the member's log has another digest, or none"
            )
        if step not in self.stated:
            if taken and entry.type is EventType.ROUND_AGGREGATED:
                detail = f"aggregated at entry {index} of the shared log"
                yield Finding("round-unshared", taken[-1].at, self.member, detail, entry.run, entry.round)
        elif taken and all(done.entry is done.decided for done in taken):
            detail = f"{step[1]}: the member's own log has only the decision"
            yield self._finding("step-unlogged", index, entry, detail)

    def _checkpoint(self, index: int, entry: Entry, checkpoint: Checkpoint) -> Iterator[Finding]:
        if checkpoint.size > self.story.size:
            detail = f"{checkpoint.size} entries were signed for, {self.story.size} are there"
            yield self._finding("checkpoint-beyond", index, entry, detail)
        elif self.root_at(checkpoint.size) != checkpoint.root:
            detail = f"the first {checkpoint.size} entries have another root than was signed for"
            yield self._finding("checkpoint-differs", index, entry, detail)

    def _figures(self, index: int, entry: Entry, done: Done) -> Iterator[Finding]:
        """The statement against the decision that it is about, and the step against the decision (P32)."""
        decided = done.decided
        admitted = None if decided.counts is None else decided.counts.rows_out
        stated = {
            "rows admitted": None if entry.counts is None else entry.counts.rows_out,
            "subjects in the set": entry.subject_set_size,
        }
        for name, count in stated.items():
            if count is not None and admitted is not None and not agree(count, admitted):
                detail = f"{admitted} rows admitted in the member's log, {count} {name} stated"
                yield self._finding("rows-differ", index, entry, detail)
        used = done.entry.rows_used
        if used is not None and entry.rows_used is not None and used != entry.rows_used:
            detail = f"{used} rows used in the member's log, {entry.rows_used} stated"
            yield self._finding("rows-differ", index, entry, detail)
        yield from self._roots(index, entry, done)

    def _roots(self, index: int, entry: Entry, done: Done) -> Iterator[Finding]:
        own = done.decided.subject_set_root
        if entry.subject_set_root is not None and own is not None and entry.subject_set_root != own:
            yield self._finding("subjects-differ", index, entry, "not the root that the member admitted")
        aligned = done.entry.aligned_set_root or done.decided.aligned_set_root
        if aligned is not None and entry.aligned_set_root != aligned:
            yield self._finding("aligned-differ", index, entry, "not the root in the member's own log")

    def _end(self, index: int, entry: Entry, run: str) -> Iterator[Finding]:
        own = self.story.ends.get(run)
        # A node that did not hear of the end calls the run interrupted; a site may leave before the end.
        if own is None or {"run.interrupted", "run.left"} & set(own.reasons):
            return
        if own.type is not entry.type:
            detail = f"{entry.type} in the shared log, {own.type} in the member's"
            yield self._finding("ends-differ", index, entry, detail)
        elif own.model_out != entry.model_out:
            yield self._finding("model-differs", index, entry, "the member's log names another")

    def _finding(self, kind: str, index: int, entry: Entry, detail: str) -> Finding:
        return Finding(kind, index, SHARED, f"{self.member}: {detail}", entry.run, entry.round)


def _signed(entry: Entry, keys: Sequence[VerifierKey]) -> bool:
    """Whether a statement is signed by one of the keys."""
    try:
        check_statement(entry, *keys)
    except HanseError:
        return False
    return True
