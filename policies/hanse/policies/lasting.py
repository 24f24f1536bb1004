"""How long a decision about scoring stays what it is, so that not every call has to take it anew. Pure.

Two ways, both exact to the millisecond, and neither knows any rule:

* A call (:func:`call_lasts`), and the freshness of the ledger (:func:`freshness_lasts`). Every formula is
  put together without negation from leaves, and a leaf that reads the time compares it with something fixed:
  over time it changes its mind at most once. So if no leaf differs between two moments, none does in
  between, and nor does the decision.
* A subject (:class:`SubjectDecisions`). A leaf that compares a time that moves with one that the subject's
  standing says changes its mind when the two meet; the earliest such moment to come ends the decision.

Where a formula reads a moving fact in any other way the decision lasts for its own millisecond only.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from hanse.errors import PolicyError
from hanse.policies.admission import first_failure, require_fresh
from hanse.policies.check import decided_places, rules_of
from hanse.policies.facts import SEPARATE, Job, job_facts, subject_facts
from hanse.policies.fields import to_ms
from hanse.policies.predicates import Fact, Facts, Predicate
from hanse.policies.rules import GRANT_RULES, RULES, Level, RowRules, rules_at
from hanse.policies.scoring import call_facts, call_rules, check_call
from hanse.policies.snapshot import ConsentSnapshot

NEVER_MS: Final = 1 << 62
"""Later than every time."""

_WINDOW: Final = timedelta(seconds=60)
_MONOTONE: Final = frozenset({"job.now", "job.given_since", "job.propagation_age_s", "assessment.age_days"})
_AFFINE: Final = ("job.now", "job.given_since")


class Refusal(NamedTuple):
    """Why something is denied."""

    code: str
    detail: str
    rule: str | None

    def error(self) -> PolicyError:
        """To raise; a new one each time, as an exception keeps where it has been."""
        return PolicyError(self.code, self.detail, rule=self.rule)


class LastingDecision(NamedTuple):
    """Whether a call may be answered.

    Attributes:
        refusal: Why not; None if it may.
        from_ms: From when on, milliseconds since 1970.
        until_ms: Up to, but not including.
    """

    refusal: Refusal | None
    from_ms: int
    until_ms: int


class SubjectDecision(NamedTuple):
    """Whether a subject may be scored.

    Attributes:
        rule: What denies it; None if it may.
        until_ms: The decision holds from when it was taken up to, but not including, this.
    """

    rule: str | None
    until_ms: int


class _Ledger(NamedTuple):
    """What a decision needs to know of the copy of the ledger: that it is as new as the decision."""

    head: int
    taken_at: datetime
    synced_at: datetime | None


def call_lasts(job: Job, caller: str, purpose: str) -> LastingDecision:
    """Decides about a call as :func:`hanse.policies.check_call`.

    Args:
        job: The agreement of the model and the policy, at the time of the decision.
        caller: Name of the authenticated caller.
        purpose: The use that the caller declares.
    """

    def pictures(at: Job) -> Iterator[tuple[Facts, RowRules]]:
        for level, _, facts in decided_places(at.agreement, at.policy, at.now):
            yield facts, rules_of(level, at.policy)
        yield call_facts(at, caller, purpose), call_rules(at.policy)

    return _lasting(job, lambda: check_call(job, caller, purpose), pictures)


def freshness_lasts(job: Job, synced_at: datetime | None) -> LastingDecision:
    """Decides about the ledger's freshness (P10), for whoever reads the ledger anew for every call.

    Args:
        job: As above.
        synced_at: When a source last fed the ledger; None if never.

    Returns:
        The decision, about this ``synced_at`` and every head. While it lasts, so do the facts of the job.
    """

    def pictures(at: Job) -> Iterator[tuple[Facts, RowRules]]:
        yield job_facts(at, _ledger(at, synced_at)), (("P10", RULES["P10"].requires[Level.JOB]),)

    return _lasting(job, lambda: require_fresh(job, _ledger(job, synced_at)), pictures)


class SubjectDecisions:
    """Decides about subjects as :func:`hanse.policies.score_subjects`, while :func:`freshness_lasts`.

    Args:
        job: The agreement of the model and the policy; ``opening_head`` is the head of the ledger.
        synced_at: When a source last fed the ledger.
    """

    def __init__(self, job: Job, synced_at: datetime | None) -> None:
        self._purpose = job.purpose
        self._purposes = (job.purpose, *SEPARATE.values())
        self._facts = job_facts(job, _ledger(job, synced_at))
        self._rules = rules_at(Level.SUBJECT, GRANT_RULES, job.policy)
        self._now_ms = to_ms(job.now)
        self._given_for_ms = _number(self._facts.get("job.given_since"), self._now_ms) - self._now_ms
        self._moving = list(_moving_leaves(self._rules))
        self._known: dict[tuple[object, ...], SubjectDecision] = {}

    @property
    def fixed(self) -> Facts:
        """What decisions rest on beside time, standings and the ledger's head; if it changes, so may they."""
        moving = {*_MONOTONE, "job.snapshot_head", "job.opening_head"}
        return {name: value for name, value in self._facts.items() if name not in moving}

    def decide(self, snapshot: ConsentSnapshot, ref: str, now_ms: int) -> SubjectDecision:
        """Decides about one subject.

        Args:
            snapshot: What stands, for this subject among others.
            ref: Pseudonym of the subject.
            now_ms: Time of the decision, while the freshness lasts.
        """
        if now_ms != self._now_ms:
            self._known.clear()
            self._now_ms = now_ms
            times = {"job.now": now_ms, "job.given_since": now_ms + self._given_for_ms}
            self._facts = {**self._facts, **times}
        standings = (snapshot.knows(ref), *(snapshot.standing(ref, asked) for asked in self._purposes))
        known = self._known.get(standings)
        if known is None:
            known = self._known[standings] = self._decide(subject_facts(snapshot, ref, self._purpose))
        return known

    def _decide(self, subject: Facts) -> SubjectDecision:
        facts = {**self._facts, **subject}
        rule = None if first_failure(self._rules, facts) is None else "P26"
        moments = (moment for leaf in self._moving for moment in self._turns(leaf, facts))
        return SubjectDecision(rule, min((each for each in moments if each > self._now_ms), default=NEVER_MS))

    def _turns(self, leaf: Predicate, facts: Facts) -> Iterator[int]:
        """The moments at which a leaf that reads the time may change its mind."""
        names = [each.name if isinstance(each, Fact) else "" for each in leaf.operands()]
        still = [each for each in leaf.operands() if not (isinstance(each, Fact) and each.name in _MONOTONE)]
        moving = [name for name in names if name in _MONOTONE]
        if len(still) != 1 or len(moving) != 1 or moving[0] not in _AFFINE:
            yield self._now_ms + 1
            return
        value = facts.get(still[0].name) if isinstance(still[0], Fact) else still[0]
        if not isinstance(value, int | float):
            return  # a fact that is not known satisfies the leaf at no time
        meeting = value - (self._given_for_ms if moving[0] == "job.given_since" else 0)
        yield from (int(meeting), int(meeting) + 1)


def _lasting(
    job: Job, check: Callable[[], None], pictures: Callable[[Job], Iterator[tuple[Facts, RowRules]]]
) -> LastingDecision:
    refusal = None
    try:
        check()
    except PolicyError as error:
        refusal = Refusal(error.code, error.detail, error.rule)
    now_ms, here = to_ms(job.now), list(pictures(job))
    for window in (_WINDOW, timedelta(seconds=1)):
        later = replace(job, now=job.now + window)
        published = (notice.published_at for member in job.agreement.members for notice in member.notices)
        # Which notice is the latest changes with time and is compared with nothing: it may change back.
        if any(job.now < moment <= later.now for moment in published):
            continue
        if _alike(here, list(pictures(later))):
            return LastingDecision(refusal, now_ms, to_ms(later.now))
    return LastingDecision(refusal, now_ms, now_ms + 1)


def _ledger(job: Job, synced_at: datetime | None) -> _Ledger:
    return _Ledger(job.opening_head or 0, job.now, synced_at)


def _alike(here: list[tuple[Facts, RowRules]], later: list[tuple[Facts, RowRules]]) -> bool:
    """Whether nothing that is decided differs between two moments, nor in between."""
    return all(
        _same_facts(before, after)
        and all(
            leaf.holds(before) == leaf.holds(after) for _, predicate in rules for leaf in _leaves(predicate)
        )
        for (before, rules), (after, _) in zip(here, later, strict=True)
    )


def _same_facts(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    return before.keys() == after.keys() and all(
        name in _MONOTONE or value == after[name] for name, value in before.items()
    )


def _moving_leaves(rules: RowRules) -> Iterator[Predicate]:
    """The leaves that read the time, each once."""
    seen: set[Predicate] = set()
    for _, predicate in rules:
        for leaf in _leaves(predicate):
            if leaf not in seen and any(fact.name in _MONOTONE for fact in leaf.facts()):
                seen.add(leaf)
                yield leaf


def _leaves(predicate: Predicate) -> Iterator[Predicate]:
    parts = predicate.parts()
    if not parts:
        yield predicate
    for part in parts:
        yield from _leaves(part)


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) else default
