"""Every rule, at every level, with every fact missing, null, mistyped, stale or foreign: deny."""

import datetime as dt
import decimal
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

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
from hanse.policies.rules import FACTS, RULES, Level, Rule, decide

Facts = Mapping[str, Any]
FORMULAS = [(rule, level) for rule in RULES.values() for level in rule.requires]
NAMES = [f"{rule.id} {level}" for rule, level in FORMULAS]
WRONG: dict[Kind, list[object]] = {
    Kind.FLAG: [0, 1, 1.0, "yes", "true", "", frozenset(), [True], object()],
    Kind.COUNT: [True, -1, 1.0, math.nan, "1", frozenset({1}), decimal.Decimal(1), dt.timedelta(1)],
    Kind.NUMBER: [True, math.nan, "1", 1j, decimal.Decimal(1), frozenset(), [1.0]],
    Kind.TEXT: ["", True, 1, b"given", frozenset({"given"}), ["given"], ("given",)],
    Kind.TIME: [True, 1.0, math.nan, "2026-01-01T00:00:00Z", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), b"1"],
    Kind.NAMES: [frozenset(), {"a"}, ["a"], ("a",), "a", frozenset({1}), frozenset({"a", None}), {"a": 1}],
}


def leaves(predicate: Predicate) -> Iterator[Predicate]:
    parts = predicate.parts()
    if not parts:
        yield predicate
    for part in parts:
        yield from leaves(part)


def value(operand: object, facts: Facts) -> Any:
    return facts.get(operand.name) if isinstance(operand, Fact) else operand


def violations(leaf: Predicate, facts: Facts) -> Iterator[Facts]:
    """The facts with the least change that makes the leaf fail: stale, too many, foreign, the other way."""
    if isinstance(leaf, Is):
        # The other way round may be the business of another branch; unknown never is.
        yield {**facts, leaf.fact.name: not leaf.value}
        yield without(facts, leaf.fact.name)
    elif isinstance(leaf, AtMost | Below):
        # The smallest step: for times and counts one; for shares and epsilons a hair.
        left, right = value(leaf.left, facts), value(leaf.right, facts)
        strict = isinstance(leaf, AtMost)
        whole = isinstance(left, int) and isinstance(right, int)
        step = (1 if whole else 1e-9 * max(1.0, abs(right))) if strict else 0
        if isinstance(leaf.left, Fact):
            yield {**facts, leaf.left.name: right + step}
        if isinstance(leaf.right, Fact) and (left - step >= 0 or leaf.right.kind is not Kind.COUNT):
            yield {**facts, leaf.right.name: left - step}
    elif isinstance(leaf, Within):
        assert isinstance(leaf.left, Fact)
        yield {**facts, leaf.left.name: value(leaf.left, facts) | {"a stranger"}}
        if isinstance(leaf.right, Fact):
            yield {**facts, leaf.right.name: frozenset({"a stranger"})}
    elif isinstance(leaf, OneOf):
        assert isinstance(leaf.left, Fact)
        yield {**facts, leaf.left.name: "a stranger"}
        if isinstance(leaf.right, Fact):
            yield {**facts, leaf.right.name: frozenset({"a stranger"})}
    elif isinstance(leaf, Equals):
        assert isinstance(leaf.left, Fact)
        yield {**facts, leaf.left.name: "a stranger"}
    else:
        assert isinstance(leaf, Exists)


def relevant(predicate: Predicate, examples: Mapping[str, Facts]) -> list[Facts]:
    """What the formula reads of the examples, each once."""
    read = sorted(fact.name for fact in predicate.facts())
    seen = {tuple((name, facts[name]) for name in read if name in facts): None for facts in examples.values()}
    return [dict(facts) for facts in seen]


def without(facts: Facts, name: str) -> Facts:
    return {key: item for key, item in facts.items() if key != name}


def wrong_values(fact: Fact, predicate: Predicate) -> list[object]:
    """Null and values of other kinds. An empty set is wrong too, unless a rule asks whether it is known."""
    existing = [leaf for leaf in leaves(predicate) if fact in leaf.facts() and isinstance(leaf, Exists)]
    return [None, *(wrong for wrong in WRONG[fact.kind] if wrong != frozenset() or not existing)]


def floor(rule: Rule, level: Level) -> int:
    """What the truth table has to try at least: every fact missing, null and in every wrong type."""
    predicate = rule.requires[level]
    return sum(1 + len(wrong_values(fact, predicate)) for fact in predicate.facts())


@pytest.fixture
def allowed(examples: Mapping[str, Facts], request: pytest.FixtureRequest) -> list[Facts]:
    """The examples that satisfy the rule at the level."""
    rule, level = request.node.callspec.params["rule"], request.node.callspec.params["level"]
    found = relevant(rule.requires[level], examples)
    return [facts for facts in found if decide(rule, level, facts).allowed]


@pytest.mark.parametrize(("rule", "level"), FORMULAS, ids=NAMES)
def test_each_fact_decides_and_counts_only_in_its_type(
    rule: Rule, level: Level, allowed: list[Facts], cases: dict[tuple[str, Level], int]
) -> None:
    tried = 0
    for fact in rule.requires[level].facts():
        decisive = 0
        wrongs = wrong_values(fact, rule.requires[level])
        for facts in allowed:
            missing = decide(rule, level, without(facts, fact.name))
            assert not missing.allowed or fact.name not in facts or fact.name in missing.missing
            if missing.allowed:
                # Another branch is satisfied without it; then no wrong type may matter either.
                assert all(decide(rule, level, {**facts, fact.name: wrong}).allowed for wrong in wrongs)
                continue
            decisive += 1
            assert fact.name in missing.missing
            for wrong in wrongs:
                verdict = decide(rule, level, {**facts, fact.name: wrong})
                assert not verdict.allowed, (fact.name, wrong)
                tried += 1
            tried += 1
        assert decisive, f"no example in which {fact.name} decides"
    assert tried >= floor(rule, level)
    cases[rule.id, level] = cases.get((rule.id, level), 0) + tried


@pytest.mark.parametrize(("rule", "level"), FORMULAS, ids=NAMES)
def test_each_condition_decides(
    rule: Rule, level: Level, allowed: list[Facts], cases: dict[tuple[str, Level], int]
) -> None:
    """Stale, too much, foreign, or the other way round: there is an example in which just that denies."""
    tried = 0
    for leaf in leaves(rule.requires[level]):
        if isinstance(leaf, Exists):
            continue
        satisfied = [facts for facts in allowed if leaf.holds(facts)]
        assert satisfied, leaf.words()
        refused = [
            changed
            for facts in satisfied
            for changed in violations(leaf, facts)
            if not decide(rule, level, changed).allowed
        ]
        assert refused, f"no example in which '{leaf.words()}' decides"
        tried += len(refused)
    cases[rule.id, level] = cases.get((rule.id, level), 0) + tried


@pytest.mark.parametrize(("rule", "level"), FORMULAS, ids=NAMES)
def test_no_condition_is_superfluous(rule: Rule, level: Level, examples: Mapping[str, Facts]) -> None:
    """A formula without one of its conditions allows something that the whole one denies."""
    whole = rule.requires[level]
    if not whole.parts():
        return
    trials = [
        changed
        for facts in relevant(whole, examples)
        for leaf in leaves(whole)
        for changed in (facts, *_safe(leaf, facts), *(without(facts, fact.name) for fact in leaf.facts()))
    ]
    held = [whole.holds(facts) for facts in trials]
    for number, leaf in enumerate(leaves(whole)):
        weaker = _drop(whole, iter(range(10_000)), number)
        if isinstance(leaf, Exists) or weaker is None:
            continue
        stronger_or_same = all(weaker.holds(facts) == held[i] for i, facts in enumerate(trials))
        assert not stronger_or_same, leaf.words()


def _safe(leaf: Predicate, facts: Facts) -> list[Facts]:
    if not all(fact.known_in(facts) for fact in leaf.facts()):
        return []
    return list(violations(leaf, facts))


def _drop(predicate: Predicate, numbers: Iterator[int], dropped: int) -> Predicate | None:
    """The formula without its leaf of that number."""
    if not predicate.parts():
        return None if next(numbers) == dropped else predicate
    kept = [part for part in (_drop(p, numbers, dropped) for p in predicate.parts()) if part is not None]
    if not kept:
        return None
    return AllOf(*kept) if isinstance(predicate, AllOf) else AnyOf(*kept)


def test_every_fact_of_the_vocabulary_is_read_by_a_rule() -> None:
    read = {fact for rule, level in FORMULAS for fact in rule.requires[level].facts()}
    assert read == {meaning.fact for meaning in FACTS.values()}
    for name, meaning in FACTS.items():
        assert meaning.fact.name == name
        assert meaning.meaning


def test_every_rule_is_there_with_its_levels() -> None:
    assert list(RULES) == [f"P{number:02}" for number in range(1, 33)]
    assert all(rule.requires for rule in RULES.values())


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_allows_nothing_at_a_level_that_it_does_not_know(
    rule: Rule, examples: Mapping[str, Facts]
) -> None:
    for level in set(Level) - set(rule.requires):
        assert not decide(rule, level, examples["all at once"]).allowed


@pytest.mark.parametrize(("rule", "level"), FORMULAS, ids=NAMES)
def test_nothing_known_is_nothing_allowed(rule: Rule, level: Level) -> None:
    verdict = decide(rule, level, {})
    assert not verdict.allowed
    assert set(verdict.missing) == {fact.name for fact in rule.requires[level].facts()}
