"""Who may be answered, about whom, with a score. Pure: no clock, no I/O."""

from collections.abc import Sequence

from hanse.errors import PolicyError
from hanse.policies.admission import first_failure, require_fresh
from hanse.policies.agreement import Caller
from hanse.policies.agreement_facts import scoring_facts
from hanse.policies.check import require_no_gap
from hanse.policies.facts import Job, job_facts, subject_facts
from hanse.policies.ledger import ConsentSnapshot
from hanse.policies.predicates import Facts
from hanse.policies.rules import GRANT_RULES, RULES, Level, rules_at

_CALL_RULES = (RULES["P23"], RULES["P24"], RULES["P25"])


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
    facts = {
        **scoring_facts(job.agreement, job.policy),
        **_caller_facts(job.agreement.scoring.caller(caller)),
        "call.caller": caller,
        "call.purpose": purpose,
    }
    rule = first_failure(rules_at(Level.CALL, _CALL_RULES, job.policy), facts)
    if rule == "P23" and _asks_beside(job, caller, purpose):
        raise PolicyError(
            "policy.purpose", "the declared use is not scoring.purpose nor below it", rule="P23"
        )
    if rule is not None:
        # Neither the caller's name nor the declared use: what is refused may be anybody's text.
        raise PolicyError("policy.denied", RULES[rule].message.en, rule=rule)


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
