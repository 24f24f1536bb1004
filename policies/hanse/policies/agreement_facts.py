"""What the rules read of an agreement, of each of its members and of each of its columns. Pure.

The names are those of :mod:`hanse.policies.rules.vocabulary`; what an agreement does not say is absent.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from hanse.policies.agreement import Agreement, Member
from hanse.policies.facts import column_facts
from hanse.policies.fields import to_ms
from hanse.policies.packs import Policy
from hanse.policies.predicates import Facts
from hanse.policies.purposes import covered_by
from hanse.policies.rules.scoring import permitted_uses

_SECONDS_PER_DAY: Final = 86_400
_MS_PER_DAY: Final = 1000 * _SECONDS_PER_DAY


def agreement_facts(agreement: Agreement, policy: Policy, now: datetime) -> Facts:
    """What the rules read of an agreement as a whole.

    Args:
        agreement: The agreement.
        policy: The merged rule packs.
        now: Time of the decision, with time zone.

    Returns:
        Facts by name.
    """
    return {
        **policy.facts(),
        "job.now": to_ms(now),
        **_terms(agreement),
        **_vertical(agreement),
        **_privacy(agreement),
        **_retention(agreement),
        **scoring_facts(agreement, policy),
        **_assessment(agreement, now),
        **_parties(agreement),
    }


def agreed_member_facts(member: Member) -> Facts:
    """What the rules read of one member, beside the facts of the agreement.

    Args:
        member: A member.

    Returns:
        Facts by name; what a contract says is absent if there is none.
    """
    contract = member.contract
    if contract is None:
        return {"member.role": member.role}
    return {
        "member.role": member.role,
        "contract.reference": contract.reference,
        "contract.purposes": _with_those_below(contract.purposes),
        "contract.until": to_ms(contract.until),
        "contract.sub_processors": contract.sub_processors,
        "contract.at_end": contract.at_end,
    }


def agreed_column_facts(agreement: Agreement, place: int) -> Facts:
    """What the rules read of one column, beside the facts of the agreement.

    Args:
        agreement: The agreement.
        place: Place of the column in it.

    Returns:
        Facts by name.
    """
    return {
        **column_facts(agreement, place, declared=True),
        "column.special_named": agreement.columns[place].special is not None,
    }


def _terms(agreement: Agreement) -> dict[str, object]:
    cohort, consent = agreement.cohort, agreement.consent
    return {
        "agreement.purpose": agreement.purpose,
        "agreement.valid_from": to_ms(agreement.valid_from),
        "agreement.valid_until": to_ms(agreement.valid_until),
        "agreement.classifications": agreement.classifications,
        "agreement.sensitive": "sensitive" in agreement.classifications,
        "agreement.propagation_hours": consent.propagation_hours,
        "agreement.acknowledge_hours": consent.acknowledge_hours,
        "agreement.retrain_days": consent.retrain_days,
        "cohort.minimum_rows": cohort.minimum_rows,
        "cohort.minimum_members": cohort.minimum_members,
        "cohort.suppress_below": cohort.suppress_below,
    }


def _vertical(agreement: Agreement) -> dict[str, object]:
    vertical = agreement.vertical
    if vertical is None:
        return {"vertical.stated": False}
    return {
        "vertical.stated": True,
        "vertical.minimum_intersection": vertical.alignment.minimum,
        "vertical.minimum_bin_rows": vertical.minimum_bin_rows,
    }


def _privacy(agreement: Agreement) -> dict[str, object]:
    privacy = agreement.privacy
    if privacy is None:
        return {"privacy.stated": False}
    return {
        "privacy.stated": True,
        "privacy.epsilon": privacy.epsilon,
        "privacy.delta": privacy.delta,
        # A mechanism that publishes one record at random has delta 1/n and no privacy at all (Dwork and Roth,
        # The Algorithmic Foundations of Differential Privacy, section 2.3).
        "privacy.delta_limit": 1 / agreement.cohort.minimum_rows,
    }


def _retention(agreement: Agreement) -> dict[str, object]:
    training, retention = agreement.training, agreement.retention
    rounds = max(each.rounds for each in (training, *training.points))
    return {
        "training.longest_run_days": rounds * training.round_timeout_s / _SECONDS_PER_DAY,
        "retention.rows_days": retention.rows_days,
        "retention.intermediates_days": retention.intermediates_days,
        "retention.model_days": retention.model_days,
    }


def scoring_facts(agreement: Agreement, policy: Policy) -> Facts:
    """What the rules read of what an agreement says about scores.

    Args:
        agreement: The agreement.
        policy: The merged rule packs.

    Returns:
        Facts named ``scoring.*``.
    """
    scoring = agreement.scoring
    return {
        "scoring.purpose": scoring.purpose,
        "scoring.permitted": permitted_uses(
            scoring.purpose, policy.prohibited_uses.union(scoring.prohibited_uses)
        ),
        "scoring.callers": frozenset(caller.name for caller in scoring.callers),
        "scoring.output": scoring.output,
        "scoring.decimals": scoring.decimals,
        "scoring.significant_effect": scoring.significant_effect,
        "scoring.human_review": scoring.human_review,
        "scoring.reason_codes": scoring.reason_codes,
    }


def _assessment(agreement: Agreement, now: datetime) -> dict[str, object]:
    assessment = agreement.assessment
    age_ms = to_ms(now) - to_ms(assessment.approved_at)
    facts: dict[str, object] = {
        "assessment.approver": assessment.approver,
        "assessment.approved_at": to_ms(assessment.approved_at),
        "assessment.expires_at": to_ms(assessment.expires_at),
        "assessment.purposes": _with_those_below(assessment.purposes),
        "assessment.members": frozenset(assessment.members),
        "assessment.classifications": frozenset(assessment.classifications),
    }
    # What was approved in the future has no age.
    return facts if age_ms < 0 else {**facts, "assessment.age_days": age_ms / _MS_PER_DAY}


def _parties(agreement: Agreement) -> dict[str, object]:
    border, people = agreement.border, list(_people(agreement))
    facts: dict[str, object] = {
        "agreement.member_names": frozenset(member.name for member in agreement.members),
        "agreement.members": len(agreement.members),
        "evidence.quorum": agreement.evidence.quorum,
        "evidence.witnesses": len(agreement.witnesses),
        "agreement.has_controller": any(member.role != "entrusted" for member in agreement.members),
        "border.mechanism": border.mechanism,
        "people.named": len(people),
        "people.different": len(set(people)),
        "job.single_jurisdiction": len(agreement.jurisdictions) == 1,
        "job.legal_bases": frozenset({agreement.legal_basis, *(item.basis for item in agreement.overrides)}),
    }
    return facts if border.reference is None else {**facts, "border.reference": border.reference}


def _people(agreement: Agreement) -> Iterator[str]:
    """Everybody who is named in a role; without case and spacing, which make nobody somebody else."""
    named = (agreement.proposer, agreement.auditor, *(member.approver for member in agreement.members))
    return ("".join(person.casefold().split()) for person in named)


def _with_those_below(purposes: tuple[str, ...]) -> frozenset[str]:
    return frozenset(below for purpose in purposes for below in covered_by(purpose))
