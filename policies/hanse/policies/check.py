"""Whether an agreement may run: every gap, with rule, place, articles and what to do. A gap blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from typing_extensions import override

from hanse.errors import PolicyError
from hanse.policies.agreement import Agreement
from hanse.policies.agreement_facts import agreed_column_facts, agreed_member_facts, agreement_facts
from hanse.policies.fields import format_time, from_ms
from hanse.policies.packs import Policy
from hanse.policies.predicates import Fact, Facts, Kind, Predicate
from hanse.policies.rules import RULES, Level, RowRules, Wording, rules_at

_MEASURED: Final = frozenset({"P14"})
"""Rules of columns that need trained models: :mod:`hanse.client.advice` decides them, and a person."""

_CHECKED: Final = {
    level: [rule for rule in RULES.values() if level in rule.requires and rule.id not in _MEASURED]
    for level in (Level.AGREEMENT, Level.MEMBER, Level.AGREED_COLUMN)
}
"""What is decided about an agreement, its members and its columns."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One reason why an agreement may not run.

    Attributes:
        rule: Identifier of the rule.
        articles: Where the rule comes from, by the packs that selected it.
        where: Whole agreement, member or column: empty, ``members.brand`` or ``columns.age``.
        unmet: What does not hold, each with the values that were found, the restriction's source among them.
        message: What is wrong.
        remedy: What to do about it.
    """

    rule: str
    articles: tuple[str, ...]
    where: str
    unmet: tuple[str, ...]
    message: Wording
    remedy: Wording

    @override
    def __str__(self) -> str:
        """The gap in one line of English."""
        where = f" at {self.where}" if self.where else ""
        return f"{self.rule}{where}: {self.message.en} ({'; '.join(self.unmet)}) {self.remedy.en}"


def check_agreement(agreement: Agreement, policy: Policy, now: datetime) -> tuple[Gap, ...]:
    """Lists everything that keeps an agreement from running.

    Args:
        agreement: A valid agreement.
        policy: The merged rule packs.
        now: The time of the decision, with time zone.

    Returns:
        All gaps in the order of their rules; empty if the agreement may run now.
    """
    places = decided_places(agreement, policy, now)
    gaps = [gap for level, where, facts in places for gap in _gaps(policy, level, where, facts)]
    return tuple(sorted(gaps, key=lambda gap: gap.rule))


def decided_places(agreement: Agreement, policy: Policy, now: datetime) -> Iterator[tuple[Level, str, Facts]]:
    """What an agreement is decided on: of the whole, of each member, of each column.

    Args:
        agreement: A valid agreement.
        policy: The merged rule packs.
        now: The time of the decision, with time zone.

    Yields:
        Level, place as in :attr:`Gap.where`, and what the rules read there.
    """
    whole = agreement_facts(agreement, policy, now)
    yield Level.AGREEMENT, "", whole
    for member in agreement.members:
        yield Level.MEMBER, f"members.{member.name}", {**whole, **agreed_member_facts(member)}
    for place, column in enumerate(agreement.columns):
        facts = {**whole, **agreed_column_facts(agreement, place)}
        yield Level.AGREED_COLUMN, f"columns.{column.name}", facts


def rules_of(level: Level, policy: Policy) -> RowRules:
    """What is decided at the places of a level, under a policy."""
    return rules_at(level, _CHECKED[level], policy)


def require_no_gap(agreement: Agreement, policy: Policy, now: datetime) -> None:
    """Refuses an agreement that has a gap.

    Args:
        agreement: A valid agreement.
        policy: The merged rule packs.
        now: The time of the decision, with time zone.

    Raises:
        PolicyError: ``policy.denied`` with the first gap's rule; its detail lists all gaps.
    """
    gaps = check_agreement(agreement, policy, now)
    if gaps:
        raise PolicyError("policy.denied", "; ".join(map(str, gaps)), rule=gaps[0].rule)


def explain(rule_id: str, policy: Policy, where: str = "", unmet: tuple[str, ...] = ()) -> Gap:
    """What a rule that refused has to say, to a person.

    Args:
        rule_id: ``P01`` … ``P32``.
        policy: The merged rule packs; the articles are those that they name.
        where: What was refused.
        unmet: What was found.

    Returns:
        The gap.
    """
    rule = RULES[rule_id]
    selected = policy.rules.get(rule_id)
    articles = rule.cited() if selected is None else selected.articles
    return Gap(rule_id, articles, where, unmet, rule.message, rule.remedy)


def _gaps(policy: Policy, level: Level, where: str, facts: Facts) -> Iterator[Gap]:
    """Gaps of one place."""
    for rule_id, predicate in rules_of(level, policy):
        if not predicate.holds(facts):
            yield explain(rule_id, policy, where, _unmet(predicate, facts, policy))


def _unmet(predicate: Predicate, facts: Facts, policy: Policy) -> tuple[str, ...]:
    """What does not hold, each once."""
    leaves = predicate.unmet(facts)
    return tuple(dict.fromkeys(_shown(leaf.words(), leaf.facts(), facts, policy) for leaf in leaves))


def _shown(words: str, read: frozenset[Fact], facts: Facts, policy: Policy) -> str:
    """What does not hold, and what was found instead. Facts of an agreement are nobody's personal data."""
    found = ", ".join(
        f"{fact.name} = {_value(fact, facts.get(fact.name))}{_source(fact.name, policy)}"
        for fact in sorted(read, key=lambda fact: fact.name)
    )
    return f"needed: {words}; found: {found}"


def _value(fact: Fact, value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, frozenset):
        return f"({', '.join(sorted(map(str, value)))})"
    if fact.kind is Kind.TIME and isinstance(value, int):
        return format_time(from_ms(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _source(name: str, policy: Policy) -> str:
    """Which packs a threshold comes from."""
    restriction = policy.thresholds.get(name.removeprefix("policy."))
    return "" if restriction is None else f" [{', '.join(restriction.sources)}]"
