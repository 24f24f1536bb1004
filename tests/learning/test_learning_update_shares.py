"""What members added to a run, from their updates: the Shapley values of the pairs, and their division."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from hanse.errors import ConfigurationError
from hanse.learning import Update
from hanse.learning.games import Game, exact_shapley
from hanse.learning.settlement import Settlement, settle_run
from hanse.learning.statements import statement_from_json, statement_to_json
from hanse.learning.update_shares import divide_run, shares_of_round

DIRECTION = np.random.default_rng(1).normal(size=200)


def round_of(*pulls: float, noise: float = 1.0) -> list[Update]:
    rng = np.random.default_rng(2)
    return [
        Update(f"m{n}", (pull * DIRECTION + noise * rng.normal(size=200)).astype(np.float32), 100 + 50 * n)
        for n, pull in enumerate(pulls)
    ]


def test_shares_are_the_shapley_values_of_the_game_of_pairs() -> None:
    updates = round_of(1.0, 0.5, 0.8, -0.2)
    rows = sum(update.rows for update in updates)
    weighted = {u.member: u.delta.astype(np.float64) * u.rows / rows for u in updates}

    def worth(subset: frozenset[str]) -> float:
        return sum(float(weighted[a] @ weighted[b]) for a, b in combinations(sorted(subset), 2))

    exact = exact_shapley(Game(tuple(weighted), worth, 1, 0.0))
    shares = shares_of_round(updates)
    assert sum(shares.values()) == pytest.approx(1)
    for one in exact.each:
        assert shares[one.member] == pytest.approx(one.value / exact.total)
    assert shares["m3"] < 0


def test_noise_counts_for_little_and_equal_members_get_the_same() -> None:
    assert abs(shares_of_round(round_of(1.0, 1.0, 1.0, 0.0))["m3"]) < 0.15
    assert shares_of_round(round_of(1.0, 1.0, noise=0.0)) == pytest.approx({"m0": 0.5, "m1": 0.5})


def test_updates_that_cancel_are_divided_equally() -> None:
    assert shares_of_round(round_of(1.0, -1.0, noise=0.0)) == {"m0": 0.5, "m1": 0.5}


def settled(losses: Sequence[float | None], amount: int = 100_000) -> Settlement:
    shares = [{"anna": 0.6, "bert": 0.5, "cora": -0.1}, {"anna": 0.2, "bert": 0.8}]
    found = divide_run(("cora", "anna", "bert", "dora"), losses, shares)
    assert found is not None
    assert sum(one.contribution for one in found.each) == pytest.approx(found.first_loss - found.last_loss)
    return settle_run(found, model="bank@3", minimum_members=2, currency="EUR", amount_cents=amount)


def test_a_run_is_settled_to_the_cent_and_checks_itself() -> None:
    statement = settled([0.6931, 0.4, 0.3])
    assert [entry.member for entry in statement.entries] == ["anna", "bert", "cora", "dora"]
    assert [entry.cents > 0 for entry in statement.entries] == [True, True, False, False]
    assert sum(entry.cents for entry in statement.entries) == 100_000
    assert statement_from_json(Settlement, statement_to_json(statement)) == statement
    assert settled([0.6931, 0.4, 0.3]) == statement


def test_what_is_not_known_or_not_gained_is_not_divided() -> None:
    assert divide_run(("a", "b"), [0.7, None], [{"a": 1.0}]) is None
    assert divide_run(("a", "b"), [0.7, 0.6], []) is None
    with pytest.raises(ConfigurationError, match="nothing to divide"):
        settled([0.3, 0.3, 0.3])
