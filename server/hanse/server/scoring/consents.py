"""What was decided about calls and subjects, kept for as long as it holds.

Every call asks whether the consent ledger has changed (:class:`hanse.policies.ledger.watching.LedgerWatch`);
if it has, the decisions about the subjects whom the new events are about are dropped, and if that cannot be
known the call is refused. A decision is also dropped at the very millisecond at which time alone would change
it (:mod:`hanse.policies.lasting`). What is kept is equal to what :func:`hanse.policies.score_subjects` and
:func:`hanse.policies.hidden_values` would say on a snapshot of the moment.

Identifiers of subjects are kept in the memory of the process, and only there, up to a number that is set.
"""

import heapq
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from hanse.audit import ConsentState
from hanse.errors import PolicyError
from hanse.policies import (
    Agreement,
    ConsentLedger,
    ConsentSnapshot,
    Job,
    Policy,
    SignedAgreement,
    hidden_values,
)
from hanse.policies.fields import to_ms
from hanse.policies.lasting import (
    LastingDecision,
    SubjectDecisions,
    call_lasts,
    freshness_lasts,
)
from hanse.server.scoring.names import Names

_MOST_CALLS: Final = 1_000
_MOST_EVENTS: Final = 10_000
_MOST_TRIES: Final = 5
_OVERTAKEN_MS: Final = 1_000
_SPARE_ENDS: Final = 100


class Agreed(Protocol):
    """What calls and subjects are judged by: a model version is, and a member's part of one."""

    @property
    def agreement(self) -> SignedAgreement:
        """The agreement that every member signed."""
        ...

    @property
    def policy(self) -> Policy:
        """The rule packs that apply, merged."""
        ...


class Decided(NamedTuple):
    """What was decided about the subjects of a call.

    Attributes:
        rules: The rule that denies each subject, None where none does.
        hidden: By column, positions of the subjects whose value must not be used.
        consent: The consent ledger that was decided on.
    """

    rules: tuple[str | None, ...]
    hidden: dict[str, tuple[int, ...]]
    consent: ConsentState


class _Kept(NamedTuple):
    """What is kept of a subject who is not simply admitted."""

    rule: str | None
    known: bool
    hidden: tuple[str, ...]


_ADMITTED: Final = _Kept(None, known=True, hidden=())


@dataclass(slots=True)
class _View:
    """What was decided under one agreement.

    Attributes:
        policy: The policy that it was decided by.
        freshness: Whether the ledger is fresh, and how long that and the facts of the job last.
        synced_at: About which that is.
        decisions: Decides about subjects meanwhile.
        admitted: Identifiers, in UTF-8, of subjects who are admitted and hide nothing.
        others: All other subjects that were asked about.
        ends: When decisions end, the next first.
        names: Identifiers by pseudonym, for who is to be dropped.
        newest_ms: When the newest decision was taken; none is for a time before it was taken.
    """

    policy: Policy
    freshness: LastingDecision
    synced_at: datetime | None
    decisions: SubjectDecisions
    admitted: Names = field(default_factory=Names)
    others: dict[str, _Kept] = field(default_factory=dict)
    ends: list[tuple[int, str]] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    newest_ms: int = 0

    def forget_all(self) -> None:
        self.admitted.clear()
        for kept in (self.others, self.ends, self.names):
            kept.clear()

    def forget(self, ref: str) -> None:
        for name in self.names.pop(ref, ()):
            self.admitted.discard(name.encode())
            self.others.pop(name, None)

    def keep(self, name: str, ref: str, kept: _Kept, until_ms: int) -> None:
        self.names.setdefault(ref, []).append(name)
        heapq.heappush(self.ends, (until_ms, ref))
        if len(self.ends) > 2 * len(self.names) + _SPARE_ENDS:
            self._drop_superseded()
        if kept == _ADMITTED:
            self.admitted.add(name.encode())
        else:
            self.others[name] = kept

    def _drop_superseded(self) -> None:
        """Leaves one end per subject, the first: whoever is decided about after each of many events has many.

        What is dropped too early is decided again.
        """
        first: dict[str, int] = {}
        for until_ms, ref in self.ends:
            if ref in self.names:
                first[ref] = min(until_ms, first.get(ref, until_ms))
        self.ends = [(until_ms, ref) for ref, until_ms in first.items()]
        heapq.heapify(self.ends)

    def drop_ended(self, now_ms: int) -> None:
        """Drops what time alone has ended, and everything if the clock went back.

        A call may be decided a moment after one that began later: that is no clock that went back.
        """
        if now_ms < self.newest_ms - _OVERTAKEN_MS:
            self.forget_all()
            self.newest_ms = now_ms
        while self.ends and self.ends[0][0] <= now_ms:
            _, ref = heapq.heappop(self.ends)
            self.forget(ref)


class Consents:
    """Decides about calls and subjects. Not safe for threads; nothing here waits for anything but the disk.

    Args:
        ledger: The member's consent ledger.
        ref: Gives the pseudonym of an identifier of a subject.
        member: Name of the member.
        remembered: So many subjects are kept at most, per agreement; 0 keeps none.
    """

    def __init__(
        self, ledger: ConsentLedger, ref: Callable[[str], str], member: str, remembered: int
    ) -> None:
        self._ledger = ledger
        self._ref = ref
        self._member = member
        self._remembered = remembered
        self._watch = ledger.watch()
        self._version: Hashable = None
        self._head, self._root = 0, ""
        self._synced_at: datetime | None = None
        self._calls: dict[tuple[str, int, str, str], tuple[Policy, LastingDecision]] = {}
        self._views: dict[str, _View] = {}
        self._held_by_digest: dict[str, Agreement] = {}

    def open_call(self, agreed: Agreed, caller: str, purpose: str, now: datetime) -> Job:
        """Refuses a call that the agreement does not allow, whoever it is about.

        Args:
            agreed: The model version that answers, or the part.
            caller: Name of the authenticated caller.
            purpose: The use that the caller declares.
            now: Time of the call.

        Returns:
            What the call is held against.

        Raises:
            PolicyError: As :func:`hanse.policies.check_call`.
        """
        agreement = self._held(agreed)
        job = Job(agreement, agreed.policy, agreement.scoring.purpose, now, self._member, self._head)
        key = (agreed.agreement.digest, id(agreed.policy), caller, purpose)
        policy, decision = self._calls.get(key, (None, None))
        if decision is None or policy is not agreed.policy or not _holds(decision, to_ms(now)):
            if len(self._calls) >= _MOST_CALLS:
                self._calls.clear()
            decision = call_lasts(job, caller, purpose)
            self._calls[key] = agreed.policy, decision
        if decision.refusal is not None:
            raise decision.refusal.error()
        return job

    def _held(self, agreed: Agreed) -> Agreement:
        """Of a vertical agreement, with this member's columns alone: the others judge theirs."""
        digest = agreed.agreement.digest
        if digest not in self._held_by_digest:
            self._held_by_digest[digest] = agreed.agreement.agreement.as_held_by(self._member)
        return self._held_by_digest[digest]

    def decide(self, agreed: Agreed, job: Job, subjects: Sequence[str]) -> Decided:
        """Decides about the subjects of a call, on everything that was committed before.

        Args:
            agreed: The model version that answers, or the part.
            job: What :meth:`open_call` returned.
            subjects: Identifier of each subject.

        Raises:
            PolicyError: ``policy.denied`` (P10) if the ledger is stale, ``policy.ledger`` if it cannot be
                read.
        """
        now_ms = to_ms(job.now)
        for _ in range(_MOST_TRIES):
            self._follow()
            view = self._view(agreed, job, now_ms)
            if view.freshness.refusal is not None:
                raise view.freshness.refusal.error()
            if view.admitted.issuperset(map(str.encode, subjects)):
                return Decided((None,) * len(subjects), {}, self.state(len(set(subjects))))
            found = self._look_up(view, job, set(subjects), now_ms)
            if found is not None:
                return self._gather(subjects, found)
        raise PolicyError("policy.ledger", "the consent ledger changes faster than it can be read")

    def admits(
        self, agreed: Agreed, job: Job, asked: Sequence[frozenset[bytes] | npt.NDArray[np.void]]
    ) -> list[int]:
        """About which calls it is known that every subject is admitted and hides nothing.

        It is known on everything that was committed before.

        Args:
            agreed: The model version that answers.
            job: What :meth:`open_call` returned.
            asked: Identifiers of the subjects of each call, in UTF-8 if they are any text at all; of many as
                an array.

        Returns:
            For each call how many different subjects it is about; 0 if :meth:`decide` is to say what is so.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be read.
        """
        self._follow()
        view = self._view(agreed, job, to_ms(job.now))
        if view.freshness.refusal is not None:
            return [0] * len(asked)
        return [
            view.admitted.count_if_all(names)
            if isinstance(names, np.ndarray)
            else len(names) * view.admitted.issuperset(names)
            for names in asked
        ]

    def remembers(self, agreement: str, name: bytes) -> bool:
        """Whether a subject was admitted not long ago; somebody new is looked up by :meth:`decide` alone.

        Args:
            agreement: Digest of the agreement.
            name: Identifier of the subject, in UTF-8 if it is any text at all.
        """
        view = self._views.get(agreement)
        return view is not None and name in view.admitted

    def state(self, size: int) -> ConsentState:
        """The consent ledger that was decided on last.

        Args:
            size: How many subjects of a call it knows.
        """
        return _state(self._head, size, self._root)

    def _follow(self) -> None:
        """Takes in what happened in the ledger since the last call."""
        version = self._watch.version()
        if version == self._version:
            return
        self._version = None
        changes = self._ledger.changes(self._head, _MOST_EVENTS)
        for view in self._views.values():
            if changes.touched is None:
                view.forget_all()
            else:
                for ref in changes.touched:
                    view.forget(ref)
        self._head, self._root, self._synced_at = changes.head, changes.root, changes.synced_at
        self._version = version

    def _view(self, agreed: Agreed, job: Job, now_ms: int) -> _View:
        view = self._views.get(agreed.agreement.digest)
        if view is None or view.policy is not agreed.policy:
            freshness, decisions = self._judge(job)
            view = self._views[agreed.agreement.digest] = _View(
                agreed.policy, freshness, self._synced_at, decisions
            )
        elif view.synced_at != self._synced_at or not _holds(view.freshness, now_ms):
            before = view.decisions.fixed
            view.freshness, view.decisions = self._judge(job)
            view.synced_at = self._synced_at
            if view.decisions.fixed != before:
                view.forget_all()
        view.drop_ended(now_ms)
        return view

    def _judge(self, job: Job) -> tuple[LastingDecision, SubjectDecisions]:
        seen = Job(job.agreement, job.policy, job.purpose, job.now, job.member, self._head)
        return freshness_lasts(seen, self._synced_at), SubjectDecisions(seen, self._synced_at)

    def _look_up(self, view: _View, job: Job, names: set[str], now_ms: int) -> dict[str, _Kept] | None:
        """What is decided about each subject, read where it is not kept; None if the ledger went on."""
        if len(view.admitted) + len(view.others) + len(names) > self._remembered:
            view.forget_all()
        found = {name: _ADMITTED for name in names if name.encode() in view.admitted}
        found |= {name: view.others[name] for name in names & view.others.keys()}
        missing = list(names - found.keys())
        if not missing:
            return found
        refs = [self._ref(name) for name in missing]
        snapshot = self._ledger.snapshot(job.now, refs)
        if snapshot.head != self._head:
            self._version = None
            return None
        # Decisions of calls that began a moment later may be kept already.
        decided_ms = view.newest_ms = max(now_ms, view.newest_ms)
        for name, ref in zip(missing, refs, strict=True):
            decision = view.decisions.decide(snapshot, ref, decided_ms)
            kept = found[name] = _with_hidden(job, snapshot, ref, decision.rule)
            if len(names) <= self._remembered:
                view.keep(name, ref, kept, decision.until_ms)
        return found

    def _gather(self, subjects: Sequence[str], found: Mapping[str, _Kept]) -> Decided:
        kept = [found[name] for name in subjects]
        hidden: dict[str, list[int]] = {}
        for position, each in enumerate(kept):
            for column in each.hidden:
                hidden.setdefault(column, []).append(position)
        return Decided(
            tuple(each.rule for each in kept),
            {name: tuple(positions) for name, positions in hidden.items()},
            self.state(sum(each.known for each in found.values())),
        )


def _with_hidden(job: Job, snapshot: ConsentSnapshot, ref: str, rule: str | None) -> _Kept:
    hidden = hidden_values(job, (ref,), snapshot)
    rule = "P26" if hidden.denied else rule
    return _Kept(rule, snapshot.knows(ref), tuple(hidden.columns))


def _holds(decision: LastingDecision, now_ms: int) -> bool:
    return decision.from_ms <= now_ms < decision.until_ms


@lru_cache(maxsize=64)
def _state(head: int, size: int, root: str) -> ConsentState:
    return ConsentState(head=head, size=size, root=root)
