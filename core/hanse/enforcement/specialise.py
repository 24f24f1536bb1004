"""Partial evaluation: a rule and what is known of the job give a smaller rule about subjects alone.

The result is in the same language, without a single fact that was known, so that it says the same about
every subject: ``specialise(rule, job).holds(subject) == rule.holds({**subject, **job})``.
"""

from collections.abc import Iterator
from typing import Final

from hanse.errors import PolicyError
from hanse.policies.predicates import (
    AllOf,
    AnyOf,
    AtMost,
    Below,
    Equals,
    Exists,
    Fact,
    Facts,
    Is,
    OneOf,
    Operand,
    Predicate,
    Within,
)

TRUE: Final[Predicate] = AtMost(0, 0)
"""Holds whatever the facts are."""

FALSE: Final[Predicate] = AnyOf()
"""Never holds."""

_Comparison = Equals | OneOf | Within | AtMost | Below


def specialise(predicate: Predicate, facts: Facts) -> Predicate:
    """Puts known facts into a formula.

    Args:
        predicate: Any formula over facts.
        facts: What is known. A fact that is not named here stays open.

    Returns:
        A formula over the open facts alone, as small as the known ones make it; :data:`TRUE` or
        :data:`FALSE` itself if nothing is left to ask.

    Raises:
        PolicyError: ``policy.invalid`` for a kind of formula that is not in the language: what cannot be
            compiled cannot be enforced.
    """
    if isinstance(predicate, AllOf):
        return _all(list(_parts(predicate, facts)))
    if isinstance(predicate, AnyOf):
        return _any(list(_parts(predicate, facts)))
    if not isinstance(predicate, _Comparison | Is | Exists):
        raise PolicyError("policy.invalid", f"no row filter can be made of {type(predicate).__name__}")
    return _leaf(predicate, facts)


def _parts(predicate: AllOf | AnyOf, facts: Facts) -> Iterator[Predicate]:
    """The specialised parts; a part of the same kind gives its own parts instead of itself."""
    for part in predicate.parts():
        smaller = specialise(part, facts)
        if type(smaller) is type(predicate) and smaller.parts():
            yield from smaller.parts()
        else:
            yield smaller


def _all(parts: list[Predicate]) -> Predicate:
    if not parts or any(part is FALSE for part in parts):
        return FALSE
    left = [part for part in parts if part is not TRUE]
    return TRUE if not left else left[0] if len(left) == 1 else AllOf(*left)


def _any(parts: list[Predicate]) -> Predicate:
    if any(part is TRUE for part in parts):
        return TRUE
    left = [part for part in parts if part is not FALSE]
    return FALSE if not left else left[0] if len(left) == 1 else AnyOf(*left)


def _leaf(leaf: _Comparison | Is | Exists, facts: Facts) -> Predicate:
    read = leaf.facts()
    known = [fact for fact in read if fact.name in facts]
    if not all(fact.known_in(facts) for fact in known):
        return FALSE
    if len(known) == len(read):
        return TRUE if leaf.holds(facts) else FALSE
    if not known or isinstance(leaf, Is | Exists):
        return leaf
    return type(leaf)(_operand(leaf.left, facts), _operand(leaf.right, facts))


def _operand(operand: Operand, facts: Facts) -> Operand:
    if not isinstance(operand, Fact) or operand.name not in facts:
        return operand
    value = facts[operand.name]
    assert isinstance(value, int | float | str | frozenset)  # noqa: S101 - the fact is of its kind
    return value
