"""The one language in which all rules are written: formulas over named facts, without negation.

A leaf holds only if every fact it reads is there and is of its declared kind. There is no "not", and the
"and" and the "or" of nothing are false, so a fact that is missing, null or mistyped can only make a formula
fail: it can never admit anybody. That is why the rules are data and not code: a function with an ``if`` has
an ``else``. From the same formulas come the decision in Python, the row filter over columns and the one in
SQL, and the pages of the documentation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias

from typing_extensions import override

Facts: TypeAlias = Mapping[str, object]
"""What is known, by name; a fact whose value is unknown is absent."""


class Kind(StrEnum):
    """What a fact's value must be."""

    FLAG = "flag"
    COUNT = "count"
    NUMBER = "number"
    TEXT = "text"
    TIME = "time"
    NAMES = "names"


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    # A NaN compares false with everything, so it satisfies no leaf.
    return _is_whole(value) or isinstance(value, float)


_CHECKS: Final[Mapping[Kind, Callable[[object], bool]]] = {
    Kind.FLAG: lambda value: isinstance(value, bool),
    Kind.COUNT: lambda value: _is_whole(value) and isinstance(value, int) and value >= 0,
    Kind.NUMBER: _is_number,
    Kind.TEXT: lambda value: isinstance(value, str) and bool(value),
    Kind.TIME: _is_whole,
    Kind.NAMES: lambda value: isinstance(value, frozenset) and all(isinstance(name, str) for name in value),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A named value that somebody states before a decision.

    Attributes:
        name: Dotted name, as ``grant.method``.
        kind: What its value must be; a time is in milliseconds since 1970-01-01T00:00:00Z.
    """

    name: str
    kind: Kind

    def known_in(self, facts: Facts) -> bool:
        """Whether the fact is there and of its kind."""
        return self.name in facts and _CHECKS[self.kind](facts[self.name])


Operand: TypeAlias = Fact | int | float | str | frozenset[str]
"""A fact, or a constant."""


class Predicate:
    """A formula. It holds, or it does not; it never raises."""

    __slots__ = ()

    def holds(self, facts: Facts) -> bool:
        """Whether the facts satisfy the formula."""
        raise NotImplementedError

    def parts(self) -> "tuple[Predicate, ...]":
        """The formulas that this one is put together from; none for a leaf."""
        return ()

    def operands(self) -> tuple[Operand, ...]:
        """What a leaf reads; nothing for a formula with parts."""
        return ()

    def words(self) -> str:
        """The formula for a reader."""
        raise NotImplementedError

    def unmet(self, facts: Facts) -> "tuple[Predicate, ...]":
        """The leaves because of which the formula fails, in its order; none if it holds."""
        if self.holds(facts):
            return ()
        return tuple(leaf for part in self.parts() for leaf in part.unmet(facts)) or (self,)

    def facts(self) -> frozenset[Fact]:
        """Every fact that the formula reads."""
        own = frozenset(operand for operand in self.operands() if isinstance(operand, Fact))
        return own.union(*(part.facts() for part in self.parts()))


class _Leaf(Predicate):
    """A formula that reads its operands, and fails if one of them is not known."""

    __slots__ = ()

    @override
    def holds(self, facts: Facts) -> bool:
        values: list[object] = []
        for operand in self.operands():
            if not isinstance(operand, Fact):
                values.append(operand)
            elif operand.known_in(facts):
                values.append(facts[operand.name])
            else:
                return False
        return self._compare(*values)

    def _compare(self, *values: object) -> bool:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Is(_Leaf):
    """A flag has this value."""

    fact: Fact
    value: bool

    @override
    def operands(self) -> tuple[Operand, ...]:
        return (self.fact,)

    @override
    def _compare(self, *values: object) -> bool:
        return values[0] is self.value

    @override
    def words(self) -> str:
        return f"{self.fact.name} is {'yes' if self.value else 'no'}"


@dataclass(frozen=True, slots=True)
class Exists(_Leaf):
    """A fact is known."""

    fact: Fact

    @override
    def operands(self) -> tuple[Operand, ...]:
        return (self.fact,)

    @override
    def _compare(self, *values: object) -> bool:
        return True

    @override
    def words(self) -> str:
        return f"{self.fact.name} is known"


@dataclass(frozen=True, slots=True)
class _Comparison(_Leaf):
    """A leaf with two sides."""

    left: Operand
    right: Operand

    @override
    def operands(self) -> tuple[Operand, ...]:
        return (self.left, self.right)

    @override
    def words(self) -> str:
        return f"{_name(self.left)} {_SIGNS[type(self)]} {_name(self.right)}"


class Equals(_Comparison):
    """Two texts are the same."""

    __slots__ = ()

    @override
    def _compare(self, *values: object) -> bool:
        return isinstance(values[0], str) and values[0] == values[1]


class OneOf(_Comparison):
    """A text is among names."""

    __slots__ = ()

    @override
    def _compare(self, *values: object) -> bool:
        return isinstance(values[1], frozenset) and values[0] in values[1]


class Within(_Comparison):
    """Names, at least one, are all among others."""

    __slots__ = ()

    @override
    def _compare(self, *values: object) -> bool:
        left, right = values
        return isinstance(left, frozenset) and isinstance(right, frozenset) and bool(left) and left <= right


class AtMost(_Comparison):
    """A number or time is not above another."""

    __slots__ = ()

    @override
    def _compare(self, *values: object) -> bool:
        left, right = values
        return isinstance(left, int | float) and isinstance(right, int | float) and left <= right


class Below(_Comparison):
    """A number or time is below another."""

    __slots__ = ()

    @override
    def _compare(self, *values: object) -> bool:
        left, right = values
        return isinstance(left, int | float) and isinstance(right, int | float) and left < right


class _Joined(Predicate):
    """A formula of formulas.

    Args:
        parts: Formulas.
    """

    __slots__ = ("_parts",)
    _word: ClassVar[str]

    def __init__(self, *parts: Predicate) -> None:
        self._parts = parts

    @override
    def parts(self) -> tuple[Predicate, ...]:
        return self._parts

    @override
    def words(self) -> str:
        if not self._parts:
            return "never"
        inner = (f"({part.words()})" if part.parts() else part.words() for part in self._parts)
        return f" {self._word} ".join(inner)


class AllOf(_Joined):
    """Every part holds; nothing does not."""

    __slots__ = ()
    _word = "and"

    @override
    def holds(self, facts: Facts) -> bool:
        return bool(self._parts) and all(part.holds(facts) for part in self._parts)


class AnyOf(_Joined):
    """A part holds."""

    __slots__ = ()
    _word = "or"

    @override
    def holds(self, facts: Facts) -> bool:
        return any(part.holds(facts) for part in self._parts)


_SIGNS: Final[Mapping[type[Predicate], str]] = {
    Equals: "is",
    OneOf: "is one of",
    Within: "are all among",
    AtMost: "is at most",
    Below: "is below",
}


def _name(operand: Operand) -> str:
    if isinstance(operand, Fact):
        return operand.name
    return f"({', '.join(sorted(operand))})" if isinstance(operand, frozenset) else str(operand)
