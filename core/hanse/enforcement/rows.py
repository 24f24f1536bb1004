"""Where the compilers find a fact about a subject."""

import math
from typing import Final, NamedTuple

from hanse.enforcement.columns import MAX_TIME_MS
from hanse.enforcement.profiles import TIMES
from hanse.policies.facts import GRANT, SEPARATE, STANDING_FACTS, TERMS_FACTS
from hanse.policies.predicates import AtMost, Below, Fact, Kind

_PREFIXES: Final = frozenset({GRANT, *SEPARATE})
_KINDS_OF_TIME: Final = frozenset({Kind.TIME, Kind.NUMBER, Kind.COUNT})


class Place(NamedTuple):
    """A fact of a subject, taken apart: which standing, and what of it."""

    prefix: str
    name: str

    @property
    def is_time(self) -> bool:
        """Whether every subject has a value of its own."""
        return self.name in TIMES


def place_of(fact: Fact) -> Place | None:
    """Where a fact about a subject is; None for every other, which no row filter can know."""
    prefix, _, name = fact.name.partition(".")
    found = prefix in _PREFIXES and name in STANDING_FACTS | TERMS_FACTS
    return Place(prefix, name) if found else None


def holds_times(kind: Kind) -> bool:
    """Whether a fact of this kind can have a time as its value; for another, no time is ever known."""
    return kind in _KINDS_OF_TIME


def whole_bound(value: object, leaf: AtMost | Below, *, left: bool) -> int | None:
    """The whole number that a whole number can be compared with in the place of any number.

    Args:
        value: Any value.
        leaf: The comparison.
        left: Whether the value is on its left side.

    Returns:
        The bound, within a hair of the range of times; None if the comparison fails whatever is on the other
        side, because the value is no number.
    """
    if not isinstance(value, int | float) or math.isnan(value):
        return None
    limit = MAX_TIME_MS + 1
    if isinstance(value, float):
        if math.isinf(value):
            return limit if value > 0 else -limit
        upwards = left is isinstance(leaf, AtMost)
        value = math.ceil(value) if upwards else math.floor(value)
    return max(-limit, min(limit, int(value)))
