"""Who may be used in a round: decided per subject, by rules, from a consent snapshot. Pure: no clock, no I/O.

A subject is admitted only if every rule is satisfied; whatever is missing satisfies none. The rules are a
plain sequence, and a subject must pass all of them, so a rule more, or a member more, can only exclude.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from hanse.errors import PolicyError
from hanse.policies.agreement import Agreement
from hanse.policies.check import require_no_gap
from hanse.policies.consent import ACTIVE_METHODS, Standing
from hanse.policies.fields import to_ms
from hanse.policies.purposes import CROSS_BORDER, SENSITIVE, SHARING
from hanse.policies.snapshot import ConsentSnapshot

MAXIMUM_SNAPSHOT_AGE: Final = timedelta(seconds=60)  # ours; a round takes a new one


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be done with the subjects' data, as the rules see it.

    Attributes:
        purpose: Purpose of the use.
        now_ms: Time of the decision, milliseconds since 1970.
        organisations: Every member, by legal name.
        providers: Members that provide data to the others.
        classifications: Classes of the columns.
        jurisdictions: Where members and coordinator are.
        border_mechanism: Whether the agreement records one.
    """

    purpose: str
    now_ms: int
    organisations: frozenset[str]
    providers: frozenset[str]
    classifications: frozenset[str]
    jurisdictions: frozenset[str]
    border_mechanism: bool


class Case(NamedTuple):
    """One subject before the rules."""

    subject_ref: str
    standing: Standing | None
    snapshot: ConsentSnapshot


class RowRule(NamedTuple):
    """A rule that every subject must satisfy."""

    id: str
    satisfied: Callable[[Request, Case], bool]


@dataclass(frozen=True, slots=True)
class Admission:
    """The decision about the records of one round.

    Attributes:
        rows: Positions of the admitted records, increasing.
        subjects: Number of different subjects among them.
        considered: Number of records that were asked about.
        excluded_by_rule: Number of records that each rule excluded; a record counts for the first rule that
            it fails. For the member's own log; what leaves the member goes through :func:`suppress`.
        snapshot_head: Head of the consent ledger that the decision rests on.
    """

    rows: tuple[int, ...]
    subjects: int
    considered: int
    excluded_by_rule: Mapping[str, int]
    snapshot_head: int


def make_request(agreement: Agreement, purpose: str, now: datetime) -> Request:
    """What the rules need to know of an agreement.

    Args:
        agreement: The agreement.
        purpose: Purpose of the use.
        now: Time of the decision.

    Returns:
        The request.
    """
    return Request(
        purpose=purpose,
        now_ms=to_ms(now),
        organisations=agreement.organisations,
        providers=frozenset(member.organisation for member in agreement.members if member.role == "provider"),
        classifications=frozenset(column.classification for column in agreement.columns),
        jurisdictions=agreement.jurisdictions,
        border_mechanism=agreement.border.mechanism != "none",
    )


def first_failure(
    rules: Sequence[RowRule], request: Request, snapshot: ConsentSnapshot, ref: str
) -> str | None:
    """The first rule that a subject does not satisfy.

    Args:
        rules: The rules, in order.
        request: What is to be done.
        snapshot: What the subjects consented to.
        ref: Pseudonym of the subject.

    Returns:
        The rule's identifier; None if the subject is admitted.

    Raises:
        PolicyError: ``policy.denied`` (P01) if there is no rule: nothing to satisfy is nothing permitted.
    """
    if not rules:
        raise PolicyError("policy.denied", "there are no rules, so nothing is permitted", rule="P01")
    case = Case(ref, snapshot.standing(ref, request.purpose), snapshot)
    for rule in rules:
        if not rule.satisfied(request, case):
            return rule.id
    return None


def screen(
    agreement: Agreement, subject_refs: Sequence[str], snapshot: ConsentSnapshot, now: datetime
) -> Admission:
    """Decides about every record, and leaves the size of the cohort to :func:`require_cohort`.

    Args:
        agreement: The agreement that is in force.
        subject_refs: Pseudonym of each record's subject, by position.
        snapshot: A snapshot that was taken for this decision.
        now: Time of the decision, with time zone.

    Returns:
        The decision.

    Raises:
        PolicyError: ``policy.denied`` if the agreement has a gap or the snapshot is stale (P10).
    """
    require_no_gap(agreement, now)
    require_fresh(snapshot, now)
    request = make_request(agreement, agreement.purpose, now)
    failures = [first_failure(ROW_RULES, request, snapshot, ref) for ref in subject_refs]
    rows = tuple(position for position, failure in enumerate(failures) if failure is None)
    return Admission(
        rows=rows,
        subjects=len({subject_refs[position] for position in rows}),
        considered=len(failures),
        excluded_by_rule=dict(
            sorted(Counter(failure for failure in failures if failure is not None).items())
        ),
        snapshot_head=snapshot.head,
    )


def require_cohort(agreement: Agreement, admission: Admission) -> None:
    """Refuses a cohort that is too small. Subjects count, not records: one subject is no cohort.

    Args:
        agreement: The agreement.
        admission: The decision about the records.

    Raises:
        PolicyError: ``policy.cohort`` (P15).
    """
    minimum = agreement.cohort.minimum_rows
    if admission.subjects < minimum:
        raise PolicyError("policy.cohort", f"fewer than {minimum} subjects are admitted", rule="P15")


def admit(
    agreement: Agreement, subject_refs: Sequence[str], snapshot: ConsentSnapshot, now: datetime
) -> Admission:
    """Decides who may be used in a round: :func:`screen`, then :func:`require_cohort`.

    Args:
        agreement: The agreement that is in force.
        subject_refs: Pseudonym of each record's subject, by position.
        snapshot: A snapshot that was taken for this decision.
        now: Time of the decision, with time zone.

    Returns:
        The decision.

    Raises:
        PolicyError: ``policy.denied`` if the agreement has a gap or the snapshot is stale, ``policy.cohort``
            if too few subjects are admitted.
    """
    admission = screen(agreement, subject_refs, snapshot, now)
    require_cohort(agreement, admission)
    return admission


def require_fresh(snapshot: ConsentSnapshot, now: datetime) -> None:
    """Refuses a snapshot that is older than a minute, or from the future.

    Args:
        snapshot: The snapshot.
        now: Time of the decision, by the clock that the snapshot was taken with.

    Raises:
        PolicyError: ``policy.denied`` (P10).
    """
    if not timedelta(0) <= now - snapshot.taken_at <= MAXIMUM_SNAPSHOT_AGE:
        raise PolicyError("policy.denied", "the consent snapshot is stale; take a new one", rule="P10")


def check_columns(agreement: Agreement, asked: Sequence[str]) -> None:
    """Refuses every column that the agreement does not list (P13).

    Args:
        agreement: The agreement.
        asked: Names of the columns that are to be read; the label may be among them.

    Raises:
        PolicyError: ``policy.column`` (P13) with the position of the first such column, or if none is asked
            for.
    """
    allowed = {*(column.name for column in agreement.columns), agreement.label.name}
    if not asked:
        raise PolicyError("policy.column", "no column is asked for", rule="P13")
    for position, name in enumerate(asked):
        if name not in allowed:
            # The name is not repeated: in a file without a header, it is somebody's value.
            raise PolicyError("policy.column", f"column {position + 1} is not in the agreement", rule="P13")


def suppress(counts: Mapping[str, int], below: int) -> dict[str, int | str]:
    """Makes counts fit to leave the member.

    Args:
        counts: Counts of records by whatever.
        below: The agreement's ``cohort.suppress_below``.

    Returns:
        The same counts, with ``"<k"`` in the place of each that is below ``k``, zero included. Send no total
        beside them that would give a single suppressed count away.
    """
    return {name: count if count >= below else f"<{below}" for name, count in counts.items()}


def _consented(_: Request, case: Case) -> bool:
    return case.standing is not None or case.snapshot.knows(case.subject_ref)


def _for_this_purpose(_: Request, case: Case) -> bool:
    return case.standing is not None


def _in_force(request: Request, case: Case) -> bool:
    standing = case.standing
    return (
        standing is not None
        and standing.state == "given"
        and standing.expires_ms is not None
        and request.now_ms < standing.expires_ms
    )


def _affirmative(request: Request, case: Case) -> bool:
    standing = case.standing
    if standing is None or standing.terms is None or standing.given_ms is None:
        return False
    terms = standing.terms
    return (
        terms.preticked is False
        and terms.method in ACTIVE_METHODS
        and terms.notice_version is not None
        and terms.notice_sha256 is not None
        and terms.notice_published_ms is not None
        and terms.notice_published_ms <= standing.given_ms <= request.now_ms
    )


def _unbundled(_: Request, case: Case) -> bool:
    standing = case.standing
    return standing is not None and standing.terms is not None and standing.terms.bundled is False


def _classes_named(request: Request, case: Case) -> bool:
    standing = case.standing
    if standing is None or standing.terms is None:
        return False
    return request.classifications.issubset(standing.terms.categories)


def _parties_named(request: Request, case: Case) -> bool:
    standing = case.standing
    if standing is None or standing.terms is None or standing.terms.controller not in request.organisations:
        return False
    if not request.organisations <= standing.terms.parties:
        return False
    return standing.terms.controller not in request.providers or _separately(SHARING, request, case)


def _sensitive_agreed(request: Request, case: Case) -> bool:
    return "sensitive" not in request.classifications or _separately(SENSITIVE, request, case)


def _border_agreed(request: Request, case: Case) -> bool:
    standing = case.standing
    if standing is None or standing.terms is None:
        return False
    places = request.jurisdictions | {standing.terms.jurisdiction, standing.terms.storage_country}
    if None in places:
        return False
    return len(places) == 1 or (request.border_mechanism and _separately(CROSS_BORDER, request, case))


def _separately(purpose: str, request: Request, case: Case) -> bool:
    """Whether the subject gave a separate consent: a valid grant of its own, which names every member."""
    standing = case.snapshot.standing(case.subject_ref, purpose)
    grant = Case(case.subject_ref, standing, case.snapshot)
    if standing is None or standing.terms is None or standing.terms.purposes != (purpose,):
        return False
    return (
        _in_force(request, grant)
        and _affirmative(request, grant)
        and _unbundled(request, grant)
        and request.organisations <= standing.terms.parties
    )


GRANT_RULES: Final = (
    RowRule("P01", _consented),
    RowRule("P04", _for_this_purpose),
    RowRule("P10", _in_force),
    RowRule("P02", _affirmative),
    RowRule("P03", _unbundled),
    RowRule("P05", _classes_named),
)
"""What every grant must satisfy, for training and for scoring."""

ROW_RULES: Final = (
    *GRANT_RULES,
    RowRule("P06", _parties_named),
    RowRule("P07", _sensitive_agreed),
    RowRule("P21", _border_agreed),
)
"""What a subject must satisfy to be used in training."""
