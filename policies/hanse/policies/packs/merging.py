"""Several rule packs at once: the most restrictive wins, and where each restriction comes from is kept.

Merging is a meet in a lattice: the order of the packs does not matter, a pack twice is a pack once, and one
pack more can only select more rules and tighten thresholds. What Hanse itself asks for is always part of it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from hanse.crypto import canonical_json, sha256_hex
from hanse.errors import PolicyError
from hanse.policies.agreement.parties import LegalBasis
from hanse.policies.consent import ACTIVE_METHODS
from hanse.policies.packs.document import RulePack, cite

HANSE: Final = "hanse"
"""Source of what always applies, and is a default of ours, not of the law."""

ALWAYS_PROHIBITED: Final = frozenset({"pricing", "underwriting", "credit", "employment"})
"""Uses of a score that no agreement and no rule pack can allow (P23)."""

ALWAYS_ON: Final = frozenset(
    {
        *("P01", "P02", "P03", "P04", "P05", "P06", "P07", "P10", "P12", "P13", "P15", "P17", "P18"),
        *("P19", "P20", "P21", "P23", "P26", "P28", "P31", "P32"),
    }
)
"""Rules that apply whatever the packs select."""

_MS_PER_DAY: Final = 86_400_000
_SECONDS_PER_HOUR: Final = 3600
_ALL_BASES: Final[tuple[LegalBasis, ...]] = (
    "consent",
    "contract",
    "legal_obligation",
    "vital_interest",
    "public_task",
    "legitimate_interest",
)


def _all(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset.union(*sets)


def _common(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset.intersection(*sets)


STRICTEST: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "child_below_years": max,
        "minimum_cohort_subjects": max,
        "suppress_below": max,
        "minimum_members": max,
        "maximum_epsilon": min,
        "maximum_assessment_age_days": min,
        "maximum_snapshot_age_s": min,
        "maximum_propagation_age_hours": min,
        "maximum_grant_age_days": min,
        "acknowledgement_hours": min,
        "retraining_days": min,
        "retraining_withdrawn_share": min,
        "alignments_per_day": min,
        "alignment_window_days": max,
        "minimum_set_change": max,
        "scores_per_caller_per_day": min,
        "score_decimals": min,
        "unused_column_runs": min,
        "access_log_days": max,
        "records_days": max,
        "maximum_model_days": min,
        "active_methods": _common,
        "legal_bases": _common,
        "prohibited_uses": _all,
    }
)
"""How each threshold's strictest value is found."""

BASELINE: Final[Mapping[str, object]] = MappingProxyType(
    {
        "child_below_years": 14,
        "minimum_cohort_subjects": 100,
        "suppress_below": 5,
        "minimum_members": 2,
        "maximum_epsilon": 10.0,
        "maximum_assessment_age_days": 365,
        "maximum_snapshot_age_s": 60,
        "maximum_propagation_age_hours": 24,
        "maximum_grant_age_days": 3650,
        "acknowledgement_hours": 24,
        "retraining_days": 30,
        "retraining_withdrawn_share": 0.005,
        "alignments_per_day": 10,
        "alignment_window_days": 7,
        "minimum_set_change": 100,
        "scores_per_caller_per_day": 1_000_000,
        "score_decimals": 4,
        "unused_column_runs": 5,
        "access_log_days": 180,
        "records_days": 1096,
        "maximum_model_days": 730,
        "active_methods": ACTIVE_METHODS,
        "legal_bases": frozenset(_ALL_BASES),
        "prohibited_uses": ALWAYS_PROHIBITED,
    }
)
"""What applies if no pack says more. Defaults of ours, not of the law."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """A threshold of a merged policy.

    Attributes:
        value: The strictest value: a number, or a frozenset of names.
        sources: The packs that ask for it, as ``pipl/1``, or ``hanse``; sorted. Of a set, all that have
            narrowed it.
        ours: Whether nobody of them says that it is law.
    """

    value: Any
    sources: tuple[str, ...]
    ours: bool


@dataclass(frozen=True, slots=True)
class Selected:
    """A rule of a merged policy.

    Attributes:
        articles: What it comes from, with the name of the law, as ``PIPL 13``.
        sources: The packs that select it, or ``hanse``; sorted.
    """

    articles: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """What applies: the merged packs.

    Attributes:
        packs: Their sources and digests, sorted.
        rules: The rules that apply, by identifier, in their order.
        thresholds: All thresholds, by name.
    """

    packs: tuple[tuple[str, str], ...]
    rules: Mapping[str, Selected]
    thresholds: Mapping[str, Restriction]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over packs, rules and thresholds with their sources, 64 hex digits."""
        rules = {name: [list(rule.articles), list(rule.sources)] for name, rule in self.rules.items()}
        thresholds = {
            name: [_listed(item.value), list(item.sources), item.ours]
            for name, item in self.thresholds.items()
        }
        packs = [list(pack) for pack in self.packs]
        return sha256_hex(canonical_json({"packs": packs, "rules": rules, "thresholds": thresholds}))

    @cached_property
    def prohibited_uses(self) -> frozenset[str]:
        """Uses of scores that are never allowed."""
        return frozenset(self.thresholds["prohibited_uses"].value)

    def facts(self) -> Mapping[str, object]:
        """The thresholds that rules read, as facts ``policy.*``."""
        return self._facts

    def times(self, now_ms: int) -> Mapping[str, object]:
        """The facts that follow from the thresholds and the time of a decision.

        Args:
            now_ms: Time of the decision, milliseconds since 1970.

        Returns:
            ``job.given_since``: earliest moment at which a grant that counts can have been given.
        """
        age_days = self.thresholds["maximum_grant_age_days"].value
        return {"job.given_since": now_ms - age_days * _MS_PER_DAY}

    @cached_property
    def _facts(self) -> Mapping[str, object]:
        facts = {
            f"policy.{name}": item.value
            for name, item in self.thresholds.items()
            if name not in {"prohibited_uses", "maximum_grant_age_days"}
        }
        hours = self.thresholds["maximum_propagation_age_hours"].value
        facts["policy.maximum_propagation_age_s"] = hours * _SECONDS_PER_HOUR
        return MappingProxyType(facts)


def merge(packs: Sequence[RulePack]) -> Policy:
    """Merges rule packs.

    Args:
        packs: At least one.

    Returns:
        The policy.

    Raises:
        PolicyError: ``policy.denied`` if there is no pack: nobody has said which law applies.
    """
    if not packs:
        raise PolicyError(
            "policy.denied", "no rule pack applies; adopt at least one: hanse policy adopt pipl", rule="P31"
        )
    different = tuple(
        {pack.digest: pack for pack in packs}[digest] for digest in sorted({p.digest for p in packs})
    )
    identifiers = ALWAYS_ON.union(rule.id for pack in different for rule in pack.rules)
    return Policy(
        packs=tuple(sorted((pack.source, pack.digest) for pack in different)),
        rules=MappingProxyType({name: _select(name, different) for name in sorted(identifiers)}),
        thresholds=MappingProxyType({name: _strictest(name, different) for name in STRICTEST}),
    )


def _select(rule_id: str, packs: Sequence[RulePack]) -> Selected:
    selecting = [pack for pack in packs if any(rule.id == rule_id for rule in pack.rules)]
    articles = {
        cite(pack.regime, article): None
        for pack in sorted(selecting, key=lambda pack: pack.source)
        for article in pack.articles(rule_id)
    }
    sources = {*(pack.source for pack in selecting), *({HANSE} if rule_id in ALWAYS_ON else ())}
    return Selected(tuple(articles), tuple(sorted(sources)))


def _strictest(name: str, packs: Sequence[RulePack]) -> Restriction:
    claims = [
        (_value(pack.thresholds.given()[name]), pack.source, name in pack.ours)
        for pack in packs
        if name in pack.thresholds.given()
    ]
    claims.append((BASELINE[name], HANSE, True))
    strictest = STRICTEST[name](value for value, _, _ in claims)
    behind = [
        (source, ours)
        for value, source, ours in claims
        if value == strictest or (isinstance(value, frozenset) and _tightens(name, value))
    ]
    return Restriction(
        value=strictest,
        sources=tuple(sorted({source for source, _ in behind})),
        ours=all(ours for _, ours in behind),
    )


def _tightens(name: str, value: frozenset[str]) -> bool:
    """Whether a set by itself is stricter than what always applies: several may be behind a result."""
    return bool(STRICTEST[name]((BASELINE[name], value)) != BASELINE[name])


def _value(value: object) -> object:
    return frozenset(value) if isinstance(value, tuple) else value


def _listed(value: Any) -> Any:  # noqa: ANN401 - a number, or names
    return sorted(value) if isinstance(value, frozenset) else value
