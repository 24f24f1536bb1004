"""What a rule becomes: questions about profiles, comparisons of times, and their conjunctions."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from hanse.enforcement.columns import ConsentColumns
from hanse.enforcement.profiles import Codes, Values
from hanse.enforcement.rows import Place, holds_times, place_of, whole_bound
from hanse.enforcement.specialise import FALSE, TRUE
from hanse.policies.predicates import AllOf, AtMost, Below, Exists, Fact, Kind, Operand, Predicate

Flags: TypeAlias = npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """A question about one standing's profile: the answer for each profile."""

    prefix: str
    answers: Flags


@dataclass(frozen=True, eq=False, slots=True)
class Pair:
    """A question about two standings: the answer for each pair of values."""

    left: str
    left_codes: Codes
    right: str
    right_codes: Codes
    answers: Flags


@dataclass(frozen=True, eq=False, slots=True)
class PerProfile:
    """A number that each profile has."""

    prefix: str
    numbers: Numbers


Side: TypeAlias = int | Place | PerProfile
"""A side of a comparison: a constant, a subject's own time, or its profile's number."""


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """Whether the left side is at most, or below, the right one."""

    left: Side
    right: Side
    strict: bool


@dataclass(frozen=True, eq=False, slots=True)
class Join:
    """Whether all parts hold, or any; two parts at least."""

    every: bool
    parts: "tuple[Node, ...]"


Node: TypeAlias = bool | Table | Pair | Comparison | Join
"""A formula over arrays; a plain bool if it is the same for everybody."""

_Numeric: TypeAlias = AtMost | Below
_ZERO: Final = 0


class Builder:
    """Makes nodes of specialised formulas.

    Args:
        columns: The columns that will be asked.
        empty: Prefixes for which nothing is recorded about anybody.
    """

    def __init__(self, columns: ConsentColumns, empty: frozenset[str]) -> None:
        self._profiles = columns.profiles
        self._empty = empty
        self._leaves: dict[Predicate, Node] = {}

    def build(self, predicate: Predicate) -> Node:
        """The node of a formula; the same object for the same leaf, so that it is computed once."""
        if predicate is TRUE or predicate is FALSE:
            return predicate is TRUE
        if predicate.parts():
            parts = [self.build(part) for part in predicate.parts()]
            return self._join(parts, every=isinstance(predicate, AllOf))
        if predicate not in self._leaves:
            self._leaves[predicate] = self._leaf(predicate)
        return self._leaves[predicate]

    def _join(self, parts: Iterable[Node], *, every: bool) -> Node:
        """Joins, with all questions about one profile made into one question."""
        answers: dict[str, list[Flags]] = {}
        others: list[Node] = []
        for part in _flat(parts, every=every):
            if part is (not every):
                return not every
            if isinstance(part, Table):
                answers.setdefault(part.prefix, []).append(part.answers)
            elif not isinstance(part, bool):
                others.append(part)
        merge: Callable[[Flags, Flags], Flags] = np.logical_and if every else np.logical_or
        tables = [self._table(prefix, reduce(merge, several)) for prefix, several in answers.items()]
        if any(table is (not every) for table in tables):
            return not every
        left = [part for part in (*tables, *others) if not isinstance(part, bool)]
        return every if not left else left[0] if len(left) == 1 else Join(every, tuple(left))

    def _table(self, prefix: str, answers: Flags) -> Node:
        if prefix in self._empty:
            return bool(answers[0])
        return Table(prefix, answers) if answers.any() and not answers.all() else bool(answers[0])

    def _leaf(self, leaf: Predicate) -> Node:
        """Facts that are in no column are unknown, so that the leaf fails."""
        places = [place_of(fact) for fact in leaf.facts()]
        if any(place is None for place in places):
            return False
        if not any(place.is_time for place in places if place is not None):
            return self._discrete(leaf)
        if isinstance(leaf, AtMost | Below):
            return self._comparison(leaf)
        return self._known(leaf.fact) if isinstance(leaf, Exists) else False

    def _discrete(self, leaf: Predicate) -> Node:
        """Asks the leaf itself, once for each value or pair of values that occurs."""
        names = sorted({fact.name for fact in leaf.facts()})
        prefixes, values = zip(*(self._values(name) for name in names), strict=True)
        if len(names) == 1:
            asked = [leaf.holds({names[0]: value}) for value in values[0].distinct[1:]]
            return self._table(prefixes[0], np.array([False, *asked])[values[0].codes])
        answers = np.zeros([len(one.distinct) for one in values], dtype=np.bool_)
        for row, left in enumerate(values[0].distinct[1:], start=1):
            for column, right in enumerate(values[1].distinct[1:], start=1):
                answers[row, column] = leaf.holds({names[0]: left, names[1]: right})
        if prefixes[0] == prefixes[1]:
            return self._table(prefixes[0], answers[values[0].codes, values[1].codes])
        if self._empty.intersection(prefixes):
            return False
        return Pair(prefixes[0], values[0].codes, prefixes[1], values[1].codes, answers)

    def _values(self, name: str) -> tuple[str, Values]:
        prefix, _, local = name.partition(".")
        return prefix, self._profiles.values(local)

    def _known(self, fact: Fact) -> Node:
        """Whether a time is known, and of a kind that the fact can have."""
        place = place_of(fact)
        if place is None or not holds_times(fact.kind) or place.prefix in self._empty:
            return False
        known = self._table(place.prefix, self._profiles.values(place.name).codes > 0)
        if fact.kind is not Kind.COUNT:
            return known
        return self._join([known, Comparison(_ZERO, place, strict=False)], every=True)

    def _comparison(self, leaf: _Numeric) -> Node:
        if (prefix := _after_notice(leaf)) is not None:
            return self._table(prefix, self._profiles.after_notice())
        conditions: list[Node] = []
        sides: list[Side] = []
        for operand, left in ((leaf.left, True), (leaf.right, False)):
            side, condition = self._side(operand, leaf, left=left)
            sides.append(side)
            conditions.append(condition)
        return self._join([*conditions, Comparison(sides[0], sides[1], isinstance(leaf, Below))], every=True)

    def _side(self, operand: Operand, leaf: _Numeric, *, left: bool) -> tuple[Side, Node]:
        """A side, and the condition on which it is known."""
        if not isinstance(operand, Fact):
            bound = whole_bound(operand, leaf, left=left)
            return (_ZERO, False) if bound is None else (bound, True)
        place = place_of(operand)
        if place is None:
            return _ZERO, False
        if place.is_time:
            return place, self._known(operand)
        values = self._profiles.values(place.name)
        bounds = [_bound(operand, value, leaf, left=left) for value in values.distinct]
        known = np.array([bound is not None for bound in bounds])[values.codes]
        numbers = np.array([bound or 0 for bound in bounds], dtype=np.int64)[values.codes]
        return PerProfile(place.prefix, numbers), self._table(place.prefix, known)


def _flat(parts: Iterable[Node], *, every: bool) -> Iterable[Node]:
    """The parts, with those of a join of the same kind in its place."""
    for part in parts:
        if isinstance(part, Join) and part.every is every:
            yield from part.parts
        else:
            yield part


def _after_notice(leaf: _Numeric) -> str | None:
    """The standing, if the leaf is the one comparison that profiles answer already."""
    notice, given = (place_of(side) if isinstance(side, Fact) else None for side in (leaf.left, leaf.right))
    if notice is None or given is None or not isinstance(leaf, AtMost) or notice.prefix != given.prefix:
        return None
    kinds = {fact.kind for fact in leaf.facts()}
    asked = (notice.name, given.name) == ("notice_published", "given") and kinds == {Kind.TIME}
    return notice.prefix if asked else None


def _bound(fact: Fact, value: object, leaf: _Numeric, *, left: bool) -> int | None:
    known = fact.known_in({fact.name: value})
    return whole_bound(value, leaf, left=left) if known else None


def walk(nodes: Sequence[Node]) -> Iterable[Node]:
    """All nodes and the parts of each, in no order that matters."""
    for node in nodes:
        yield node
        if isinstance(node, Join):
            yield from walk(node.parts)
