"""The language of the rules: what is not known admits nobody, whatever formula it stands in."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.policies.predicates import (
    AllOf,
    AnyOf,
    AtMost,
    Below,
    Equals,
    Exists,
    Fact,
    Is,
    Kind,
    OneOf,
    Predicate,
    Within,
)

FLAG, COUNT, NUMBER, TEXT, TIME, NAMES = (Fact(f"a.{kind}", kind) for kind in Kind)
OTHER_COUNT, OTHER_TEXT, OTHER_NAMES = (
    Fact("b.count", COUNT.kind),
    Fact("b.text", TEXT.kind),
    Fact("b.names", NAMES.kind),
)
SET = frozenset({"x", "y"})


@pytest.mark.parametrize(
    ("formula", "satisfied", "refused"),
    [
        (Is(FLAG, value=True), {FLAG: True}, {FLAG: False}),
        (Is(FLAG, value=False), {FLAG: False}, {FLAG: True}),
        (Exists(TEXT), {TEXT: "x"}, {TEXT: ""}),
        (Exists(COUNT), {COUNT: 0}, {COUNT: -1}),
        (Equals(TEXT, "x"), {TEXT: "x"}, {TEXT: "X"}),
        (Equals(TEXT, OTHER_TEXT), {TEXT: "x", OTHER_TEXT: "x"}, {TEXT: "x", OTHER_TEXT: "y"}),
        (OneOf(TEXT, SET), {TEXT: "x"}, {TEXT: "z"}),
        (OneOf(TEXT, NAMES), {TEXT: "x", NAMES: SET}, {TEXT: "x", NAMES: frozenset()}),
        (Within(NAMES, SET), {NAMES: frozenset({"x"})}, {NAMES: frozenset({"x", "z"})}),
        (Within(NAMES, OTHER_NAMES), {NAMES: SET, OTHER_NAMES: SET}, {NAMES: frozenset(), OTHER_NAMES: SET}),
        (AtMost(COUNT, 3), {COUNT: 3}, {COUNT: 4}),
        (AtMost(2, COUNT), {COUNT: 2}, {COUNT: 1}),
        (AtMost(NUMBER, 1.5), {NUMBER: 1.5}, {NUMBER: math.nan}),
        (Below(TIME, 0), {TIME: -1}, {TIME: 0}),
        (Below(COUNT, OTHER_COUNT), {COUNT: 1, OTHER_COUNT: 2}, {COUNT: 2, OTHER_COUNT: 2}),
        (AllOf(Exists(FLAG), Exists(TEXT)), {FLAG: False, TEXT: "x"}, {FLAG: False}),
        (AnyOf(Exists(FLAG), Exists(TEXT)), {TEXT: "x"}, {COUNT: 1}),
    ],
    ids=lambda item: item.words() if isinstance(item, Predicate) else "",
)
def test_leaves(formula: Predicate, satisfied: dict[Fact, Any], refused: dict[Fact, Any]) -> None:
    assert formula.holds({fact.name: value for fact, value in satisfied.items()})
    assert not formula.holds({fact.name: value for fact, value in refused.items()})
    assert not formula.holds({})
    assert formula.facts() >= satisfied.keys() - {FLAG, TEXT} | (formula.facts() & satisfied.keys())
    assert all(fact.name in formula.words() for fact in formula.facts())


def test_nothing_is_not_satisfied() -> None:
    assert not AllOf().holds({})
    assert not AnyOf().holds({})
    assert AllOf().words() == AnyOf().words() == "never"
    assert not AllOf().facts()


def test_words_show_how_parts_belong_together() -> None:
    formula = AllOf(Is(FLAG, value=True), AnyOf(Equals(TEXT, "x"), AtMost(COUNT, 3)))
    assert formula.words() == "a.flag is yes and (a.text is x or a.count is at most 3)"


def test_what_is_unmet_is_named() -> None:
    missing = Is(FLAG, value=True)
    formula = AllOf(Exists(TEXT), missing)
    assert formula.unmet({TEXT.name: "x"}) == (missing,)
    assert formula.unmet({TEXT.name: "x", FLAG.name: True}) == ()


_FACTS = st.sampled_from([FLAG, COUNT, NUMBER, TEXT, TIME, NAMES])
_LEAVES = st.sampled_from(
    [
        Is(FLAG, value=True),
        Is(FLAG, value=False),
        Exists(NAMES),
        Equals(TEXT, "x"),
        OneOf(TEXT, NAMES),
        Within(NAMES, SET),
        AtMost(COUNT, NUMBER),
        Below(TIME, 5),
        AtMost(2, COUNT),
    ]
)
_FORMULAS = st.recursive(
    _LEAVES,
    lambda inner: st.builds(
        lambda kind, parts: kind(*parts), st.sampled_from([AllOf, AnyOf]), st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.floats(),
    st.sampled_from(["", "x", "z"]),
    st.frozensets(st.sampled_from(["x", "y", "z"])),
    st.binary(max_size=2),
    st.lists(st.integers(), max_size=2),
)
_STATED = st.dictionaries(_FACTS.map(lambda fact: fact.name), _VALUES)


@given(formula=_FORMULAS, facts=_STATED, name=_FACTS.map(lambda fact: fact.name))
def test_knowing_less_never_admits_more(formula: Predicate, facts: dict[str, Any], name: str) -> None:
    less = {key: value for key, value in facts.items() if key != name}
    assert formula.holds(facts) or not formula.holds(less)
    assert formula.holds(less) == formula.holds({**less, name: None})


@given(formula=_FORMULAS, facts=_STATED)
def test_a_value_of_another_kind_is_no_value(formula: Predicate, facts: dict[str, Any]) -> None:
    known = {fact.name: facts[fact.name] for fact in formula.facts() if fact.known_in(facts)}
    assert formula.holds(facts) == formula.holds(known)


@given(formula=_FORMULAS, more=_FORMULAS, facts=_STATED)
def test_a_condition_more_only_restricts(formula: Predicate, more: Predicate, facts: dict[str, Any]) -> None:
    assert formula.holds(facts) or not AllOf(formula, more).holds(facts)
    assert AnyOf(formula, more).holds(facts) or not formula.holds(facts)
