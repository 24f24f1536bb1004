"""What the rules read of a job, of a subject and of a column that is asked for. Pure; the unknown is absent.

The names are those of :mod:`hanse.policies.rules.vocabulary`: the decision in Python, the row filter over
columns and the one in SQL all read these. A fact about a subject comes from the grant for the purpose of the
use (``grant.*``) or from one of the three separate consents (``sharing.*``, ``sensitive.*``,
``cross_border.*``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

from hanse.policies.agreement import Agreement, Column
from hanse.policies.consent import Folding, Standing, Terms
from hanse.policies.fields import to_ms
from hanse.policies.ledger import ConsentSnapshot
from hanse.policies.packs import Policy
from hanse.policies.predicates import Facts
from hanse.policies.purposes import CROSS_BORDER, SENSITIVE, SHARING

GRANT: Final = "grant"
SEPARATE: Final = MappingProxyType({"sharing": SHARING, "sensitive": SENSITIVE, "cross_border": CROSS_BORDER})
"""Prefix of the facts of a separate consent -> its purpose."""

TERMS_FACTS: Final = frozenset(
    {
        *("controller", "parties", "purposes", "categories", "notice", "notice_major", "notice_published"),
        *("method", "preticked", "bundled", "conditional", "legal_basis", "places"),
    }
)
"""What a grant's terms say, without the prefix: the same for all who saw the same form."""

STANDING_FACTS: Final = frozenset({"state", "given", "expires", "guardian", "age_known", "age_at_least"})
"""What a subject's own standing says, without the prefix."""

KNOWN: Final = "subject.known"
HIDDEN: Final = "column.hidden"

_PUBLIC_PLACE: Final = "public_place"
_SECONDS_PER_HOUR: Final = 3600
_Values: TypeAlias = dict[str, object]


class Taken(Protocol):
    """What a decision needs to know of the copy of the ledger that it rests on."""

    @property
    def head(self) -> int:
        """The last event that it knows."""
        ...

    @property
    def taken_at(self) -> datetime:
        """When it was taken."""
        ...

    @property
    def synced_at(self) -> datetime | None:
        """When a source last fed the ledger; None if never."""
        ...


def purposes_by_prefix(purpose: str) -> dict[str, str]:
    """The purposes whose standings decide about a use: by prefix of the facts, the use itself first."""
    return {GRANT: purpose, **SEPARATE}


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done with the records of one member.

    Attributes:
        agreement: The agreement that is in force.
        policy: The merged rule packs.
        purpose: Purpose of the use.
        now: Time of the decision, with time zone.
        member: Name of the member whose records are decided about; its overrides of the legal basis count,
            and nobody else's. None counts no override.
        opening_head: Last event of the consent ledger, read before the copy of it was taken; None if nobody
            looked, in which case the rules that ask for it deny.
    """

    agreement: Agreement
    policy: Policy
    purpose: str
    now: datetime
    member: str | None = None
    opening_head: int | None = None


def job_facts(job: Job, snapshot: Taken) -> Facts:
    """What the rules need to know of a job, and the thresholds of the merged policy.

    Args:
        job: The job.
        snapshot: The copy of the consent ledger that is decided on.

    Returns:
        Facts named ``job.*`` and ``policy.*``.
    """
    agreement, now = job.agreement, job.now
    values: _Values = {
        "purpose": job.purpose,
        "now": to_ms(now),
        "organisations": agreement.organisations,
        "non_providers": frozenset(m.organisation for m in agreement.members if m.role != "provider"),
        "classifications": agreement.classifications,
        "jurisdictions": agreement.jurisdictions,
        "single_jurisdiction": len(agreement.jurisdictions) == 1,
        "border_mechanism": agreement.border.mechanism != "none" and agreement.border.reference is not None,
        "may_contain_minors": agreement.may_contain_minors,
        "requires_sensitive": any(c.required and _sensitive(c) for c in agreement.columns),
        "requires_public_place": any(c.required and c.special == _PUBLIC_PLACE for c in agreement.columns),
        "notices": frozenset(_notices(agreement)),
        "notice_majors": frozenset(_latest_majors(agreement, now)),
        "legal_bases": frozenset(
            {
                agreement.legal_basis,
                *(item.basis for item in agreement.overrides if item.member == job.member),
            }
        ),
        "propagation_limit_s": agreement.consent.propagation_hours * _SECONDS_PER_HOUR,
        "snapshot_head": snapshot.head,
        **_known(opening_head=job.opening_head),
        **_ages(snapshot, now),
    }
    own = {f"job.{name}": value for name, value in values.items()}
    return {**own, **job.policy.facts(), **job.policy.times(to_ms(now))}


def subject_facts(snapshot: ConsentSnapshot, ref: str, purpose: str) -> Facts:
    """What the rules need to know of one subject.

    Args:
        snapshot: The copy of the consent ledger that is decided on.
        ref: Pseudonym of the subject.
        purpose: Purpose of the use.

    Returns:
        ``subject.known``, and the facts of the grant and of the separate consents.
    """
    values: _Values = {KNOWN: snapshot.knows(ref)}
    for prefix, asked in purposes_by_prefix(purpose).items():
        standing = snapshot.standing(ref, asked)
        if standing is not None:
            own = {**standing_facts(standing, granted=standing.terms is not None)}
            own |= {} if standing.terms is None else terms_facts(standing.terms)
            values.update({f"{prefix}.{name}": value for name, value in own.items()})
    return values


def standing_facts(standing: Standing, *, granted: bool) -> _Values:
    """The facts named in :data:`STANDING_FACTS`.

    Args:
        standing: What stands; its terms are not looked at.
        granted: Whether it has terms. Who gave a grant, and how old, is known only of a grant.
    """
    return _known(
        state=standing.state,
        given=standing.given_ms,
        expires=standing.expires_ms,
        guardian=standing.guardian if granted else None,
        age_known=standing.age_at_least is not None if granted else None,
        age_at_least=standing.age_at_least if granted else None,
    )


def terms_facts(terms: Terms) -> _Values:
    """The facts named in :data:`TERMS_FACTS`."""
    places = (terms.jurisdiction, terms.storage_country)
    version = terms.notice_version
    return _known(
        controller=terms.controller,
        parties=terms.parties,
        purposes=frozenset(terms.purposes),
        categories=frozenset(terms.categories),
        notice=_key(terms.controller, version, terms.notice_sha256),
        notice_major=_key(terms.controller, None if version is None else _major(version)),
        notice_published=terms.notice_published_ms,
        method=terms.method,
        preticked=terms.preticked,
        bundled=terms.bundled,
        conditional=terms.conditional,
        legal_basis=terms.legal_basis,
        places=None if None in places else frozenset(places),
    )


def column_facts(agreement: Agreement, place: int, *, declared: bool) -> Facts:
    """What the rules need to know of a column; :data:`HIDDEN` is each subject's own, see :func:`hides`.

    Args:
        agreement: The agreement.
        place: Place of the column in the agreement; one that is not there cannot be asked about.
        declared: Whether the member declares it, with the same kind and class.

    Returns:
        Facts named ``column.*``.
    """
    column = agreement.columns[place]
    disclosed = all(column.form_for(member.name) == "model" for member in agreement.members)
    values = {
        "sensitive": _sensitive(column),
        "public_place": column.special == _PUBLIC_PLACE,
        "required": column.required,
        "listed": True,
        "disclosed": disclosed,
        "declared": declared,
        "necessity": column.necessity is not None,
    }
    return {f"column.{name}": value for name, value in values.items()}


def hides(folding: Folding | None, column: str, classification: str | None) -> bool:
    """Whether a subject hides a column, by its name or by its class.

    Args:
        folding: What the subject hides; None for nothing.
        column: Name of the column.
        classification: Its class, if it has one.
    """
    return folding is not None and (
        column in folding.hidden_columns or classification in folding.hidden_categories
    )


def _sensitive(column: Column) -> bool:
    return column.classification == "sensitive"


def _notices(agreement: Agreement) -> Iterator[str]:
    for member in agreement.members:
        for notice in member.notices:
            yield f"{member.organisation}|{notice.version}|{notice.sha256}"


def _latest_majors(agreement: Agreement, now: datetime) -> Iterator[str]:
    """A change counts from its publication; a notice of tomorrow asks nobody for a new consent today."""
    for member in agreement.members:
        published = [notice for notice in member.notices if notice.published_at <= now]
        if published:
            latest = max(published, key=lambda notice: notice.published_at)
            yield f"{member.organisation}|{_major(latest.version)}"


def _ages(snapshot: Taken, now: datetime) -> _Values:
    """Ages in whole seconds, rounded up; what comes from the future has none, and is not accepted."""
    taken, synced = snapshot.taken_at, snapshot.synced_at
    return _known(
        snapshot_age_s=_age_s(taken, now), propagation_age_s=None if synced is None else _age_s(synced, now)
    )


def _age_s(then: datetime, now: datetime) -> int | None:
    age_ms = to_ms(now) - to_ms(then)
    return None if age_ms < 0 else -(-age_ms // 1000)


def _major(version: str) -> str:
    return version.partition(".")[0]


def _key(*parts: str | None) -> str | None:
    return None if None in parts else "|".join(part for part in parts if part is not None)


def _known(**values: object) -> _Values:
    return {name: value for name, value in values.items() if value is not None}
