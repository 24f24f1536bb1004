"""Whether an agreement may run: every gap, with rule, articles and what to do. A gap blocks."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hanse.errors import PolicyError
from hanse.policies.agreement import Agreement
from hanse.policies.purposes import covers
from hanse.policies.rules import RULES

# Defaults of ours, not of the law.
MINIMUM_COHORT_ROWS: Final = 100
MINIMUM_SUPPRESSION: Final = 5
MAXIMUM_EPSILON: Final = 10.0
MAXIMUM_ASSESSMENT_AGE: Final = timedelta(days=365)

_SECONDS_PER_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Gap:
    """One reason why an agreement may not run.

    Attributes:
        rule: Identifier of the rule.
        articles: Where the rule comes from.
        message: What is wrong.
        remedy: What to do about it.
    """

    rule: str
    articles: tuple[str, ...]
    message: str
    remedy: str


def check_agreement(agreement: Agreement, now: datetime) -> tuple[Gap, ...]:
    """Lists everything that keeps an agreement from running.

    Args:
        agreement: A valid agreement.
        now: The time of the decision, with time zone.

    Returns:
        All gaps in the order of their rules; empty if the agreement may run now.
    """
    found = sorted(_gaps(agreement, now))
    return tuple(Gap(rule, RULES[rule].articles, message, RULES[rule].remedy) for rule, message in found)


def require_no_gap(agreement: Agreement, now: datetime) -> None:
    """Refuses an agreement that has a gap.

    Args:
        agreement: A valid agreement.
        now: The time of the decision, with time zone.

    Raises:
        PolicyError: ``policy.denied`` with the first gap's rule; its detail lists all gaps.
    """
    gaps = check_agreement(agreement, now)
    if gaps:
        detail = "; ".join(f"{gap.rule}: {gap.message} {gap.remedy}" for gap in gaps)
        raise PolicyError("policy.denied", detail, rule=gaps[0].rule)


def _gaps(agreement: Agreement, now: datetime) -> Iterator[tuple[str, str]]:
    """Rule and message of every gap."""
    yield from _purpose_gaps(agreement)
    yield from _column_gaps(agreement)
    yield from _cohort_gaps(agreement)
    yield from _privacy_gaps(agreement)
    yield from _time_gaps(agreement, now)
    yield from _border_gaps(agreement)
    yield from _people_gaps(agreement)


def _purpose_gaps(agreement: Agreement) -> Iterator[tuple[str, str]]:
    if not covers("joint_modelling", agreement.purpose):
        yield "P04", "purpose is not joint_modelling nor below it."
    if not covers("scoring", agreement.scoring.purpose):
        yield "P23", "scoring.purpose is not scoring nor below it."


def _column_gaps(agreement: Agreement) -> Iterator[tuple[str, str]]:
    for position, column in enumerate(agreement.columns):
        if column.classification == "sensitive" and column.necessity is None:
            yield "P07", f"columns.{position} is sensitive and has no note of necessity."


def _cohort_gaps(agreement: Agreement) -> Iterator[tuple[str, str]]:
    cohort = agreement.cohort
    if cohort.minimum_rows < MINIMUM_COHORT_ROWS:
        yield "P15", f"cohort.minimum_rows is below {MINIMUM_COHORT_ROWS}."
    if cohort.suppress_below < MINIMUM_SUPPRESSION:
        yield "P15", f"cohort.suppress_below is below {MINIMUM_SUPPRESSION}."
    if cohort.minimum_members > len(agreement.members):
        yield "P17", "cohort.minimum_members is more than the members of the agreement."


def _privacy_gaps(agreement: Agreement) -> Iterator[tuple[str, str]]:
    privacy = agreement.privacy
    if privacy is None:
        if any(column.classification == "sensitive" for column in agreement.columns):
            yield "P18", "columns are sensitive and privacy is null."
        return
    if privacy.epsilon > MAXIMUM_EPSILON:
        yield "P18", f"privacy.epsilon is above {MAXIMUM_EPSILON:g}."
    # A mechanism that publishes one record at random has delta 1/n and no privacy at all (Dwork and Roth,
    # The Algorithmic Foundations of Differential Privacy, section 2.3).
    if privacy.delta >= 1 / agreement.cohort.minimum_rows:
        yield "P18", "privacy.delta is not below 1 / cohort.minimum_rows."


def _time_gaps(agreement: Agreement, now: datetime) -> Iterator[tuple[str, str]]:
    training = agreement.training
    if training.rounds * training.round_timeout_s > agreement.retention.intermediates_days * _SECONDS_PER_DAY:
        yield "P12", "retention.intermediates_days is shorter than rounds times round_timeout_s."
    assessment = agreement.assessment
    if not assessment.approved_at <= now < assessment.expires_at:
        yield "P19", "assessment is not approved yet, or has expired."
    elif now - assessment.approved_at > MAXIMUM_ASSESSMENT_AGE:
        yield "P19", f"assessment is older than {MAXIMUM_ASSESSMENT_AGE.days} days."
    if not agreement.valid_from <= now < agreement.valid_until:
        yield "P20", "now is not within valid_from and valid_until."


def _border_gaps(agreement: Agreement) -> Iterator[tuple[str, str]]:
    border = agreement.border
    if len(agreement.jurisdictions) > 1 and border.mechanism == "none":
        yield "P21", "members and coordinator are in several jurisdictions and border.mechanism is none."
    if border.mechanism != "none" and border.reference is None:
        yield "P21", "border.mechanism is named without border.reference."


def _people_gaps(agreement: Agreement) -> Iterator[tuple[str, str]]:
    if all(member.role == "entrusted" for member in agreement.members):
        yield "P20", "every member is entrusted, so nobody decides about the data."
    people = (agreement.proposer, agreement.auditor, *(member.approver for member in agreement.members))
    # Compared without case and spacing: a person does not become another by a capital letter.
    if any(count > 1 for count in Counter("".join(person.casefold().split()) for person in people).values()):
        yield "P31", "one person is named in two of the roles proposer, auditor and approver."
