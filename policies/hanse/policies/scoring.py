"""Who may be answered, about whom, with a score. Pure: no clock, no I/O."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from hanse.errors import PolicyError
from hanse.policies.admission import first_failure, require_fresh
from hanse.policies.agreement import Caller
from hanse.policies.agreement_facts import scoring_facts
from hanse.policies.check import require_no_gap
from hanse.policies.consent import Folding
from hanse.policies.facts import Job, hides, job_facts, subject_facts
from hanse.policies.ledger import ConsentSnapshot
from hanse.policies.packs import Policy
from hanse.policies.predicates import Facts
from hanse.policies.rules import GRANT_RULES, RULES, Level, RowRules, rules_at

_CALL_RULES = (RULES["P23"], RULES["P24"], RULES["P25"])

HIDING_RULE = "P05"
"""By which a value is hidden: the subject has said so since the grant."""


class Hiding(Protocol):
    """A copy of the consent ledger, as far as it says what subjects hide."""

    @property
    def foldings(self) -> Mapping[str, Mapping[str, Folding]]:
        """What is hidden, by purpose of use, then by subject."""
        ...


class HiddenValues(NamedTuple):
    """What subjects of a scoring call hide from it (data folding).

    Attributes:
        columns: By column of the agreement, positions of the subjects whose value must not be used; only
            columns that somebody hides.
        denied: Positions of the subjects who hide a column without which a record is not to be used.
    """

    columns: Mapping[str, tuple[int, ...]]
    denied: frozenset[int]


def check_call(job: Job, caller: str, purpose: str) -> None:
    """Refuses a scoring call that the agreement does not allow.

    Args:
        job: The agreement of the model, and the policy.
        caller: Name of the authenticated caller.
        purpose: The use that the caller declares.

    Raises:
        PolicyError: ``policy.purpose`` (P23) if the use is not the agreed one or below it; ``policy.denied``
            if the agreement has a gap, the caller may not ask, or not for this use (P23), nobody can opt out
            of it (P24), or a significant decision has no review (P25).
    """
    require_no_gap(job.agreement, job.policy, job.now)
    rule = first_failure(call_rules(job.policy), call_facts(job, caller, purpose))
    if rule == "P23" and _asks_beside(job, caller, purpose):
        raise PolicyError(
            "policy.purpose", "the declared use is not scoring.purpose nor below it", rule="P23"
        )
    if rule is not None:
        # Neither the caller's name nor the declared use: what is refused may be anybody's text.
        raise PolicyError("policy.denied", RULES[rule].message.en, rule=rule)


def daily_rows(job: Job, caller: str) -> int:
    """How many subjects a caller may ask about in a day (P27): what the agreement and all packs allow.

    Args:
        job: The agreement of the model, and the policy.
        caller: Name of the caller.

    Returns:
        The number; 0 for who is not in the agreement.
    """
    listed = job.agreement.scoring.caller(caller)
    if listed is None:
        return 0
    return min(listed.daily_quota, int(job.policy.thresholds["scores_per_caller_per_day"].value))


def call_rules(policy: Policy) -> RowRules:
    """What a scoring call must satisfy, whoever it is about."""
    return rules_at(Level.CALL, _CALL_RULES, policy)


def call_facts(job: Job, caller: str, purpose: str) -> Facts:
    """What those rules read of a call: nothing that changes with time."""
    return {
        **scoring_facts(job.agreement, job.policy),
        **_caller_facts(job.agreement.scoring.caller(caller)),
        "call.caller": caller,
        "call.purpose": purpose,
    }


def score_subjects(job: Job, subject_refs: Sequence[str], snapshot: ConsentSnapshot) -> list[str | None]:
    """Decides about whom a score may be computed now.

    Args:
        job: The agreement of the model and the policy; its purpose is the agreement's ``scoring.purpose``.
        subject_refs: Pseudonym of each subject of the call.
        snapshot: A snapshot that was taken for this call.

    Returns:
        For each subject None, or ``"P26"``. Why a subject is denied is the subject's affair: a caller who
        could tell a withdrawal from a missing grant would learn of the withdrawal.

    Raises:
        PolicyError: ``policy.denied`` (P10) if the snapshot, or the ledger, is stale.
    """
    require_fresh(job, snapshot)
    facts = job_facts(job, snapshot)
    rules = rules_at(Level.SUBJECT, GRANT_RULES, job.policy)
    failures = (
        first_failure(rules, {**facts, **subject_facts(snapshot, ref, job.purpose)}) for ref in subject_refs
    )
    return [None if failure is None else "P26" for failure in failures]


def hidden_values(job: Job, subject_refs: Sequence[str], snapshot: Hiding) -> HiddenValues:
    """What the subjects of a call hide from scoring, as they may hide it from training.

    Args:
        job: As for :func:`score_subjects`.
        subject_refs: Pseudonym of each subject of the call.
        snapshot: What was decided on for this call.
    """
    foldings = snapshot.foldings.get(job.purpose)
    if not foldings:
        return HiddenValues({}, frozenset())
    columns: dict[str, list[int]] = {}
    denied: set[int] = set()
    for position, ref in enumerate(subject_refs):
        folding = foldings.get(ref)
        if folding is None or not folding.hides:
            continue
        for column in job.agreement.columns:
            if hides(folding, column.name, column.classification):
                columns.setdefault(column.name, []).append(position)
                denied.update((position,) if column.required else ())
    return HiddenValues({name: tuple(places) for name, places in columns.items()}, frozenset(denied))


def _asks_beside(job: Job, caller: str, purpose: str) -> bool:
    """Whether a listed caller declares a use that nobody prohibits, and that is not the agreed one."""
    scoring = job.agreement.scoring
    prohibited = job.policy.prohibited_uses.union(scoring.prohibited_uses)
    return scoring.caller(caller) is not None and prohibited.isdisjoint((purpose, *purpose.split(".")))


def _caller_facts(caller: Caller | None) -> Facts:
    if caller is None:
        return {}
    return {
        "caller.daily_quota": caller.daily_quota,
        "caller.opt_out_available": caller.opt_out_available,
        "caller.non_personalised_path": caller.non_personalised_path,
    }
