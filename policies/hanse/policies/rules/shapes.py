"""Formulas that many rules are made of."""

from hanse.policies.predicates import AllOf, AnyOf, Fact, Is, Predicate


def unless(flag: Fact, *requirements: Predicate) -> Predicate:
    """What is required, unless a flag says that there is no need; a flag that is not known is no excuse."""
    return AnyOf(Is(flag, value=False), AllOf(Is(flag, value=True), *requirements))
