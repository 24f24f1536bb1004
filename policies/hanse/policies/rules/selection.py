"""The formulas that are left to decide: those of the rules that apply, at one level."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from hanse.policies.packs import Policy
from hanse.policies.predicates import Predicate
from hanse.policies.rules.model import Level, Rule

RowRules: TypeAlias = Sequence[tuple[str, Predicate]]
"""Identifier and formula of each rule that must be satisfied, in the order of the decision."""


def rules_at(level: Level, rules: Iterable[Rule], policy: Policy) -> RowRules:
    """The formulas of those rules that apply under a policy.

    Args:
        level: About what they decide.
        rules: Rules in the order of the decision, all of which have something to say at the level.
        policy: The merged rule packs.

    Returns:
        Identifiers and formulas.
    """
    return tuple((rule.id, rule.requires[level]) for rule in rules if rule.id in policy.rules)
