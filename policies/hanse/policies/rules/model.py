"""What a rule is, at which levels it is decided, and the one function that decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hanse.policies.packs import cite
from hanse.policies.predicates import Facts, Predicate


class Phase(StrEnum):
    """When a rule is looked at."""

    ENROL = "E"
    ALIGNMENT = "A"
    TRAINING = "T"
    SCORING = "S"
    LIFECYCLE = "L"


class Level(StrEnum):
    """About what a predicate decides: what its facts describe."""

    AGREEMENT = "agreement"  # what the members agreed, before it is signed and before every run
    MEMBER = "member"  # one member of an agreement
    AGREED_COLUMN = "agreed column"  # one column of an agreement
    SUBJECT = "subject"  # one person in one job
    COLUMN = "column"  # one column of one person in one job
    JOB = "job"  # one run, round or aggregate
    ALIGNMENT = "alignment"  # one alignment of two members' sets
    CALL = "call"  # one scoring call
    LIFECYCLE = "lifecycle"  # a withdrawal, a thing that is kept, a record, a change of policy


@dataclass(frozen=True, slots=True)
class Wording:
    """A text in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        id: ``P01`` … ``P32``.
        phases: When it is looked at.
        articles: What it comes from, by built-in rule pack.
        message: What was wrong when it refuses.
        remedy: What to do.
        requires: What must hold, by level; at another level the rule has nothing to say.
    """

    id: str
    phases: frozenset[Phase]
    articles: Mapping[str, tuple[str, ...]]
    message: Wording
    remedy: Wording
    requires: Mapping[Level, Predicate]

    def cited(self) -> tuple[str, ...]:
        """Its articles with the name of the law, as ``PIPL 13``; ``CSL 21`` is of another law already."""
        return tuple(cite(regime, article) for regime, own in self.articles.items() for article in own)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule said.

    Attributes:
        rule_id: Which rule.
        allowed: Whether it is satisfied.
        missing: Names of the facts that it reads and that are absent or of the wrong kind, sorted. A rule can
            be satisfied in spite of them, by another branch.
    """

    rule_id: str
    allowed: bool
    missing: tuple[str, ...]


def decide(rule: Rule, level: Level, facts: Facts) -> Verdict:
    """Decides one rule.

    Args:
        rule: The rule.
        level: About what to decide.
        facts: What is known; a fact that is not known is absent.

    Returns:
        The verdict; a rule that has nothing to say at the level allows nothing.
    """
    predicate = rule.requires.get(level)
    if predicate is None:
        return Verdict(rule.id, allowed=False, missing=())
    missing = sorted(fact.name for fact in predicate.facts() if not fact.known_in(facts))
    return Verdict(rule.id, allowed=predicate.holds(facts), missing=tuple(missing))
