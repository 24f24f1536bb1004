"""Rules as SQL: one CASE expression that gives the first rule that a subject fails, or NULL.

No text of a person or of a form is in the SQL: forms are named by their numbers, states by the program's own
words, everything else is a whole number. The columns that it reads are those of :data:`COLUMNS`, for each
standing; two queries make them, one of the arrays in memory and one of the ledger's own tables.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from hanse.enforcement.columns import ConsentColumns
from hanse.enforcement.rows import Place, holds_times, place_of, whole_bound
from hanse.enforcement.specialise import FALSE, TRUE, specialise
from hanse.errors import PolicyError
from hanse.policies.facts import KNOWN
from hanse.policies.predicates import AllOf, AtMost, Below, Exists, Fact, Facts, Kind, Operand, Predicate

COLUMNS: Final = ("terms", "state", "guardian", "age_known", "age_at_least", "given", "expires")
"""What the SQL reads, as ``<prefix>_<column>``: flags as 0 or 1, times in milliseconds, NULL if unknown."""

_NUMBERS: Final = frozenset({"given", "expires", "age_at_least"})
_WORD: Final = re.compile(r"[A-Za-z0-9_]+")

_Domain: TypeAlias = Mapping[object, Facts]
_Rules: TypeAlias = Sequence[tuple[str, Predicate]]


def first_failure_sql(rules: _Rules, facts: Facts, columns: ConsentColumns) -> str:
    """The CASE expression.

    Args:
        rules: Identifier and formula of each rule, in order.
        facts: What is known of the job.
        columns: Names the terms; a ledger that has others gives no right answer.

    Returns:
        SQL that DuckDB, SQLite and PostgreSQL read; it also reads a column ``known``, 0 or 1.

    Raises:
        PolicyError: ``policy.denied`` (P01) if there is no rule.
    """
    if not rules:
        raise PolicyError("policy.denied", "there are no rules, so nothing is permitted", rule="P01")
    emitter = _Emitter(columns)
    cases = []
    for rule, predicate in rules:
        known, unknown = (
            emitter.emit(specialise(predicate, {**facts, KNOWN: value})) for value in (True, False)
        )
        condition = f"CASE WHEN known = 1 THEN {known} ELSE {unknown} END"
        cases.append(f"WHEN ({condition}) IS NOT TRUE THEN {_text(rule)}")
    return f"CASE {' '.join(cases)} ELSE NULL END"


class _Emitter:
    """Writes specialised formulas as SQL conditions; a condition that is NULL counts as false."""

    def __init__(self, columns: ConsentColumns) -> None:
        self._terms: _Domain = {number: facts for number, facts in columns.profiles.terms.items()}  # noqa: C416 - other keys
        states = {profile.state for profile in columns.profiles.profiles}
        self._domains: Mapping[str, _Domain] = {
            "state": {state: {"state": state} for state in sorted(states)},
            **{
                flag: {number: {flag: bool(number)} for number in (0, 1)}
                for flag in ("guardian", "age_known")
            },
        }

    def emit(self, predicate: Predicate) -> str:
        if predicate is TRUE or predicate is FALSE:
            return _truth(predicate is TRUE)
        if predicate.parts():
            word = " AND " if isinstance(predicate, AllOf) else " OR "
            return f"({word.join(map(self.emit, predicate.parts()))})"
        places = {fact: place_of(fact) for fact in predicate.facts()}
        if None in places.values():
            return _truth(value=False)
        if any(place is not None and place.name in _NUMBERS for place in places.values()):
            return self._numeric(predicate)
        return self._discrete(predicate)

    def _numeric(self, leaf: Predicate) -> str:
        if isinstance(leaf, Exists):
            return self._known(leaf.fact)
        if not isinstance(leaf, AtMost | Below):
            return _truth(value=False)
        sides = [self._side(leaf.left, leaf, left=True), self._side(leaf.right, leaf, left=False)]
        known = [self._known(operand) for operand in (leaf.left, leaf.right) if isinstance(operand, Fact)]
        sign = "<=" if isinstance(leaf, AtMost) else "<"
        return f"({' AND '.join([*known, f'{sides[0]} {sign} {sides[1]}'])})"

    def _known(self, fact: Fact) -> str:
        """Whether a fact is known and of its kind."""
        place = place_of(fact)
        if place is None:
            return _truth(value=False)
        if place.name not in _NUMBERS:
            return self._discrete(Exists(fact))
        if not holds_times(fact.kind):
            return _truth(value=False)
        # A whole number is a time as well: kinds are told apart by what they can hold.
        return f"{_column(place)} >= 0" if fact.kind is Kind.COUNT else f"{_column(place)} IS NOT NULL"

    def _side(self, operand: Operand, leaf: AtMost | Below, *, left: bool) -> str:
        if not isinstance(operand, Fact):
            bound = whole_bound(operand, leaf, left=left)
            return "NULL" if bound is None else str(bound)
        place = place_of(operand)
        if place is None:
            return "NULL"
        if place.name in _NUMBERS:
            return _column(place)
        groups: dict[int, list[object]] = {}
        for key, facts in self._domain(place).items():
            bound = whole_bound(facts.get(place.name), leaf, left=left)
            if bound is not None:
                groups.setdefault(bound, []).append(key)
        cases = (f"WHEN {self._among(place, keys)} THEN {bound}" for bound, keys in groups.items())
        return f"CASE {' '.join(cases)} END" if groups else "NULL"

    def _discrete(self, leaf: Predicate) -> str:
        """Asks the leaf itself about every value, or pair of values, of what it reads."""
        places = [Place(*name.split(".", 1)) for name in sorted({fact.name for fact in leaf.facts()})]
        left, right = places[0], places[-1]
        if _column(left) == _column(right):
            pairs = {key: _named(places, (facts, facts)) for key, facts in self._domain(left).items()}
            return self._among(left, [key for key, both in pairs.items() if leaf.holds(both)])
        # Values of the left side that go with the same values of the right one, together.
        ways: dict[tuple[object, ...], list[object]] = {}
        for key, facts in self._domain(left).items():
            others = self._domain(right).items()
            fit = tuple(other for other, more in others if leaf.holds(_named(places, (facts, more))))
            ways.setdefault(fit, []).append(key)
        terms = (
            f"({self._among(left, keys)} AND {self._among(right, fit)})" for fit, keys in ways.items() if fit
        )
        return f"({' OR '.join(terms) or _truth(value=False)})"

    def _domain(self, place: Place) -> _Domain:
        """What there is in the column that a fact is read from."""
        return self._domains.get(place.name, self._terms)

    def _among(self, place: Place, keys: Iterable[object]) -> str:
        literals = [str(key) if isinstance(key, int) else _text(key) for key in keys]
        return f"{_column(place)} IN ({', '.join(literals)})" if literals else _truth(value=False)


def _column(place: Place) -> str:
    own = place.name if place.name in COLUMNS else "terms"
    return f"{place.prefix}_{own}"


def _named(places: Sequence[Place], facts: Sequence[Facts]) -> Facts:
    """The facts of the places, under their full names."""
    pairs = ((f"{p.prefix}.{p.name}", own.get(p.name)) for p, own in zip(places, facts, strict=False))
    return dict(pairs)


def _truth(value: bool) -> str:  # noqa: FBT001 - a literal
    return "TRUE" if value else "FALSE"


def _text(word: object) -> str:
    """A literal; only the program's own words become one."""
    if not isinstance(word, str) or _WORD.fullmatch(word) is None:
        raise PolicyError("policy.ledger", "the ledger has a state that this version does not know")
    return f"'{word}'"
