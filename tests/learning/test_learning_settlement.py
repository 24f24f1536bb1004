"""Contributions and settlements: axioms on small games, sampling beside enumeration, cents that add up."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.errors import ConfigurationError, ProtocolError, TrainingError
from hanse.learning import Update
from hanse.learning.games import (
    Contributions,
    Game,
    Subset,
    exact_shapley,
    exposed_group,
    game_of_updates,
    leave_one_out,
    sampled_shapley,
)
from hanse.learning.settlement import Settlement, divide, settle
from hanse.learning.statements import statement_from_json, statement_to_json

NAMES = ("anna", "bert", "cora", "dirk", "emil")


def table_game(worths: list[float], members: int, minimum: int, floor: float = 0.25) -> Game:
    """A game whose worths are given, by the subset as a number."""

    def worth(subset: Subset) -> float:
        return worths[sum(1 << NAMES.index(member) for member in subset)]

    return Game(NAMES[:members], worth, minimum, floor)


def values(found: Contributions) -> dict[str, float]:
    return {one.member: one.value for one in found.each}


@st.composite
def games(draw: st.DrawFn) -> Game:
    members = draw(st.integers(2, 5))
    worths = draw(st.lists(st.floats(-2, 2), min_size=32, max_size=32))
    return table_game(worths, members, draw(st.integers(1, members)))


@settings(max_examples=15)
@given(games())
def test_shapley_values_are_those_of_the_definition_and_add_up(game: Game) -> None:
    found = values(exact_shapley(game))
    by_orders = dict.fromkeys(game.members, 0.0)
    orders = 0
    for order in _orders(game.members):
        orders += 1
        for place, member in enumerate(order):
            by_orders[member] += game.of(frozenset(order[: place + 1])) - game.of(frozenset(order[:place]))
    assert found == pytest.approx({member: total / orders for member, total in by_orders.items()}, abs=1e-9)
    assert sum(found.values()) == pytest.approx(game.of(frozenset(game.members)) - game.floor, abs=1e-9)


def _orders(members: tuple[str, ...]) -> list[tuple[str, ...]]:
    if not members:
        return [()]
    return [
        (first, *rest)
        for first in members
        for rest in _orders(tuple(member for member in members if member != first))
    ]


@settings(max_examples=30)
@given(st.lists(st.floats(-2, 2), min_size=16, max_size=16), st.integers(1, 4), st.integers(0, 10**6))
def test_equal_members_get_equal_values_and_sampling_adds_up(
    by_rest: list[float], minimum: int, seed: int
) -> None:
    def worth(subset: Subset) -> float:
        """What counts is how many of anna and bert there are, and who else."""
        rest = sum(1 << NAMES.index(member) - 2 for member in subset - {"anna", "bert"})
        return by_rest[rest + 4 * len(subset & {"anna", "bert"})]

    exact = values(exact_shapley(Game(NAMES[:4], worth, minimum, 0.0)))
    assert exact["anna"] == pytest.approx(exact["bert"], abs=1e-9)
    game = Game(NAMES[:4], worth, minimum, 0.0)
    sampled = sampled_shapley(game, np.random.default_rng(seed), 20, tolerance=0.1)
    assert sum(values(sampled).values()) == pytest.approx(game.total, abs=1e-9)


@settings(max_examples=30)
@given(st.lists(st.floats(-2, 2), min_size=16, max_size=16))
def test_a_member_that_changes_nothing_gets_nothing(worths: list[float]) -> None:
    def worth(subset: Subset) -> float:
        return worths[sum(1 << NAMES.index(member) for member in subset - {"emil"})]

    without_others = worths[0]
    game = Game(NAMES, worth, 1, without_others)
    assert values(exact_shapley(game))["emil"] == pytest.approx(0.0, abs=1e-9)
    sampled = sampled_shapley(game, np.random.default_rng(1), 20)
    assert values(sampled)["emil"] == pytest.approx(0.0, abs=1e-9)


def test_sampling_comes_within_its_stated_error_of_enumeration() -> None:
    worths = np.random.default_rng(5).normal(size=32).tolist()
    exact = values(exact_shapley(table_game(worths, 5, 2)))
    game = table_game(worths, 5, 2)
    sampled = sampled_shapley(game, np.random.default_rng(6), 2000)
    for one in sampled.each:
        assert 0 < one.standard_error < 0.05
        assert abs(one.value - exact[one.member]) < 4 * one.standard_error
    assert game.evaluations <= 32 - 1 - 5  # no subset twice, none below the minimum


@given(st.integers(2, 5))
def test_no_subset_below_the_minimum_is_evaluated(minimum: int) -> None:
    asked: list[Subset] = []

    def worth(subset: Subset) -> float:
        asked.append(subset)
        return float(len(subset))

    exact_shapley(Game(NAMES, worth, minimum, 0.0))
    sampled_shapley(Game(NAMES, worth, minimum, 0.0), np.random.default_rng(1), 20)
    assert min(len(subset) for subset in asked) == minimum


def test_an_order_is_cut_short_where_nothing_is_left_to_gain() -> None:
    full = Game(NAMES, lambda subset: min(len(subset), 2) / 2, 1, 0.0)
    cut = Game(NAMES, lambda subset: min(len(subset), 2) / 2, 1, 0.0)
    sampled_shapley(full, np.random.default_rng(1), 30)
    sampled_shapley(cut, np.random.default_rng(1), 30, tolerance=0.01)
    assert cut.evaluations < full.evaluations


def test_leaving_one_out() -> None:
    game = Game(NAMES[:3], lambda subset: float("anna" in subset) + 0.5 * float("bert" in subset), 1, 0.0)
    assert values(leave_one_out(game)) == pytest.approx({"anna": 1.0, "bert": 0.5, "cora": 0.0})
    with pytest.raises(ConfigurationError, match="minimum"):
        leave_one_out(Game(NAMES[:3], len, 3, 0.0))


def test_games_and_samples_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        Game(("anna", "anna"), len, 1, 0.0)
    with pytest.raises(ConfigurationError):
        Game(NAMES, len, 6, 0.0)
    with pytest.raises(ConfigurationError):
        sampled_shapley(Game(NAMES, len, 1, 0.0), np.random.default_rng(1), 3)
    with pytest.raises(ConfigurationError):
        exact_shapley(Game(tuple(map(str, range(13))), len, 1, 0.0))
    with pytest.raises(ConfigurationError):
        Game(NAMES, lambda _: float("nan"), 1, 0.0).of(frozenset(NAMES))


def test_turned_and_random_labels_show_and_copied_rows_do_not() -> None:
    rng = np.random.default_rng(12)
    direction = rng.normal(size=30)
    honest = [direction + rng.normal(size=30) for _ in range(3)]
    updates = [
        Update("anna", honest[0].astype(np.float32), 100),
        Update("bert", honest[1].astype(np.float32), 100),
        Update("cora", honest[0].astype(np.float32), 100),  # a copy of anna's rows
        Update("dirk", -honest[2].astype(np.float32), 100),
        Update("emil", rng.normal(size=30).astype(np.float32), 100),
    ]

    def evaluate(weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
        return -float(np.linalg.norm(weights - direction))

    found = values(exact_shapley(game_of_updates(np.zeros(30, np.float32), updates, evaluate, 2)))
    assert found["dirk"] < found["emil"] < min(found["anna"], found["bert"])
    assert found["dirk"] < 0
    assert found["cora"] == pytest.approx(found["anna"])


def test_one_update_is_never_evaluated_alone() -> None:
    updates = [Update(name, np.ones(2, np.float32), 1) for name in NAMES[:3]]
    game = game_of_updates(np.zeros(2, np.float32), updates, lambda weights: float(weights.sum()), 1)
    assert game.minimum == 2
    with pytest.raises(TrainingError):
        game.worth(frozenset({"anna"}))


def test_sums_that_would_tell_of_one_member_are_found() -> None:
    everybody = frozenset(NAMES)
    threes = [frozenset(chosen) for chosen in combinations(NAMES, 3)]
    assert exposed_group([everybody], NAMES, 3) is None
    assert exposed_group([everybody, everybody - {"cora"}], NAMES, 3) == ("cora",)
    assert exposed_group([everybody, frozenset(NAMES[:3])], NAMES, 3) == ("dirk", "emil")
    assert exposed_group([everybody, frozenset(NAMES[:3])], NAMES, 2) is None
    assert exposed_group(threes, NAMES, 3) == ("anna",)
    assert exposed_group([], NAMES, 3) is None


@settings(max_examples=50)
@given(
    st.integers(0, 10**12),
    st.lists(st.floats(0, 1), min_size=1, max_size=20).filter(lambda shares: sum(shares) > 0),
)
def test_cents_add_up_and_are_within_one_of_the_share(amount: int, shares: list[float]) -> None:
    cents = divide(amount, shares)
    whole = sum(shares)
    assert sum(cents) == amount
    for own, share in zip(cents, shares, strict=True):
        assert abs(own - amount * share / whole) < 1 + 1e-3
    assert divide(amount, shares) == cents


def test_equal_shares_get_the_odd_cents_from_the_first_on() -> None:
    assert divide(100, [1.0, 1.0, 1.0]) == [34, 33, 33]
    assert divide(0, [1.0, 2.0]) == [0, 0]


def statement() -> Settlement:
    game = Game(NAMES[:3], lambda subset: 1.0 * ("anna" in subset) - 0.5 * ("bert" in subset), 1, 0.0)
    return settle(game, exact_shapley(game), model="bank@3", worth="area", currency="EUR", amount_cents=1001)


def test_a_negative_contribution_is_stated_and_not_paid() -> None:
    entries = {entry.member: entry for entry in statement().entries}
    assert entries["bert"].contribution == pytest.approx(-0.5)
    assert (entries["bert"].share, entries["bert"].cents) == (0.0, 0)
    assert sum(entry.share for entry in entries.values()) == pytest.approx(1.0)
    assert entries["anna"].cents == 1001


def test_nobody_is_paid_for_nothing() -> None:
    game = Game(NAMES[:3], lambda _: 0.0, 1, 0.0)
    with pytest.raises(ConfigurationError, match="nothing to divide"):
        settle(game, exact_shapley(game), model="m", worth="area", currency="EUR", amount_cents=1)


def test_a_settlement_survives_its_json_and_false_arithmetic_does_not() -> None:
    data = statement_to_json(statement())
    assert statement_from_json(Settlement, data) == statement()
    for old, new in ((b'"cents":1001', b'"cents":1000'), (b'"amount_cents":1001', b'"amount_cents":1002')):
        assert old in data
        with pytest.raises(ProtocolError, match="Settlement"):
            statement_from_json(Settlement, data.replace(old, new))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_settlement_or_an_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        statement_from_json(Settlement, data)
