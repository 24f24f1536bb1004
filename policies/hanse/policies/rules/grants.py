"""What a person must have granted: the predicates that are decided per person and per column.

They read only facts ``job.*``, ``policy.*``, ``subject.*``, ``column.*`` and, under the prefixes ``grant``,
``sharing``, ``sensitive`` and ``cross_border``, what stands for the person. Four facts are derived, because
the language neither calculates nor denies: ``job.given_since`` (:meth:`hanse.policies.packs.Policy.times`),
``<prefix>.age_known`` (whether an age was stated), ``job.propagation_limit_s`` (the agreement's
``consent.propagation_hours`` in seconds) and ``job.opening_head`` (head of the ledger when the round or call
was opened, read before the copy was taken).
"""

from typing import Final

from hanse.policies.predicates import (
    AllOf,
    AnyOf,
    AtMost,
    Below,
    Equals,
    Exists,
    Is,
    OneOf,
    Predicate,
    Within,
)
from hanse.policies.purposes import CROSS_BORDER, PURPOSES, SENSITIVE, SHARING
from hanse.policies.rules.shapes import unless
from hanse.policies.rules.vocabulary import fact

_CONSENT: Final = "consent"
_GIVEN: Final = "given"
_NOW: Final = fact("job.now")


def _in_force(prefix: str) -> Predicate:
    """Given, not ended, and not older than a grant may be."""
    return AllOf(
        Equals(fact(f"{prefix}.state"), _GIVEN),
        Below(_NOW, fact(f"{prefix}.expires")),
    )


def _recent(prefix: str) -> Predicate:
    return AtMost(fact("job.given_since"), fact(f"{prefix}.given"))


def _affirmative(prefix: str) -> Predicate:
    """The person acted, after a notice that the agreement knows, and not in the future."""
    given = fact(f"{prefix}.given")
    return AllOf(
        Is(fact(f"{prefix}.preticked"), value=False),
        OneOf(fact(f"{prefix}.method"), fact("policy.active_methods")),
        OneOf(fact(f"{prefix}.notice"), fact("job.notices")),
        AtMost(fact(f"{prefix}.notice_published"), given),
        AtMost(given, _NOW),
    )


def _free(prefix: str) -> Predicate:
    return AllOf(Is(fact(f"{prefix}.bundled"), value=False), Is(fact(f"{prefix}.conditional"), value=False))


def _up_to_date(prefix: str) -> Predicate:
    """Nobody has changed what the person was told since."""
    return OneOf(fact(f"{prefix}.notice_major"), fact("job.notice_majors"))


def _by_who_may(prefix: str) -> Predicate:
    """By a person of age, or by a guardian; of unknown age only where no children are expected."""
    return AnyOf(
        AtMost(fact("policy.child_below_years"), fact(f"{prefix}.age_at_least")),
        Is(fact(f"{prefix}.guardian"), value=True),
        AllOf(
            Is(fact(f"{prefix}.age_known"), value=False),
            Is(fact("job.may_contain_minors"), value=False),
        ),
    )


def _parties_named(prefix: str) -> Predicate:
    return Within(fact("job.organisations"), fact(f"{prefix}.parties"))


def _separately(prefix: str, purpose: str) -> Predicate:
    """A separate consent: a valid one of its own, for nothing else, which names every member."""
    return AllOf(
        Within(fact(f"{prefix}.purposes"), frozenset({purpose})),
        Equals(fact(f"{prefix}.legal_basis"), _CONSENT),
        _in_force(prefix),
        _recent(prefix),
        _affirmative(prefix),
        _free(prefix),
        _up_to_date(prefix),
        _by_who_may(prefix),
        _parties_named(prefix),
    )


SHARED: Final = _separately("sharing", SHARING)
SENSITIVE_AGREED: Final = _separately("sensitive", SENSITIVE)
BORDER_AGREED: Final = _separately("cross_border", CROSS_BORDER)

KNOWN: Final[Predicate] = Is(fact("subject.known"), value=True)
LEGAL_BASIS: Final[Predicate] = AllOf(
    OneOf(fact("grant.legal_basis"), fact("policy.legal_bases")),
    OneOf(fact("grant.legal_basis"), fact("job.legal_bases")),
)
FOR_THE_PURPOSE: Final[Predicate] = AllOf(
    OneOf(fact("job.purpose"), frozenset(PURPOSES)), Exists(fact("grant.state"))
)
IN_FORCE: Final[Predicate] = AllOf(_in_force("grant"), _recent("grant"))
AFFIRMATIVE: Final = _affirmative("grant")
FREE: Final = _free("grant")
CLASSES_NAMED: Final[Predicate] = AllOf(
    Within(fact("job.classifications"), fact("grant.categories")), _up_to_date("grant")
)
BY_WHO_MAY: Final = _by_who_may("grant")
PARTIES_NAMED: Final[Predicate] = AllOf(
    OneOf(fact("grant.controller"), fact("job.organisations")),
    _parties_named("grant"),
    AnyOf(OneOf(fact("grant.controller"), fact("job.non_providers")), SHARED),
)
SENSITIVE_IF_REQUIRED: Final = unless(fact("job.requires_sensitive"), SENSITIVE_AGREED)
PUBLIC_PLACE_IF_REQUIRED: Final = unless(fact("job.requires_public_place"), SENSITIVE_AGREED)
WITHIN_BORDERS: Final[Predicate] = AnyOf(
    AllOf(
        Is(fact("job.single_jurisdiction"), value=True),
        Within(fact("grant.places"), fact("job.jurisdictions")),
    ),
    AllOf(
        Exists(fact("grant.places")),
        Is(fact("job.border_mechanism"), value=True),
        BORDER_AGREED,
    ),
)

UNHIDDEN: Final[Predicate] = Is(fact("column.hidden"), value=False)
SENSITIVE_COLUMN: Final = unless(
    fact("column.sensitive"), Is(fact("column.necessity"), value=True), SENSITIVE_AGREED
)
PUBLIC_PLACE_COLUMN: Final = unless(fact("column.public_place"), SENSITIVE_AGREED)
LISTED: Final[Predicate] = AllOf(
    Is(fact("column.listed"), value=True),
    Is(fact("column.declared"), value=True),
    Is(fact("column.disclosed"), value=True),
)
