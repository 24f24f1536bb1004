"""Members together grow the very trees that one holder of all rows grows, to the last bit."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.boosting.boosting_data import BINNING, Table, contributors, make_table, train

from hanse.aggregation import Aggregate, InProcessAggregator, Query
from hanse.errors import ConfigurationError
from hanse.learning import SecureRandom
from hanse.learning.boosting import (
    BoostedTrees,
    BoostingContributor,
    BoostingCoordinator,
    BoostingSettings,
    Progress,
    encode_trees,
)

SMALL = BoostingSettings(trees=5, depth=3, min_rows=5, learning_rate=0.3, l2=1.0, category_l2=1.0)


def bytes_of(model: BoostedTrees) -> bytes:
    return model.settings.digest.encode() + encode_trees(model)


def parts_of(table: Table, members: int, how: str, rng: np.random.Generator) -> list[Table]:
    rows = len(table.weights)
    if how == "random":
        owner = rng.integers(0, members, rows)
    elif how == "by region":
        owner = np.unique(table.columns["region"].astype(str), return_inverse=True)[1] % members
    else:  # by label: one member has hardly any positive row
        owner = np.where(np.nan_to_num(table.labels[:, 0]) > 0, 0, 1 + rng.integers(0, members, rows))
    return [table.take(owner == member) for member in range(int(owner.max()) + 1)]


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "imbalance": {"positive_weight": 3.0},
    "sampled columns": {"column_sample": 0.5, "seed": 4},
    "early stopping": {"patience": 2, "trees": 12},
    "labels": {"labels": 3},
    "labels and early stopping": {"labels": 2, "patience": 2, "trees": 8},
    "number": {"objective": "squared", "value_range": (-300.0, 400.0)},
    "robust number": {"objective": "squared", "value_range": (-1000.0, 1000.0), "residual_clip": 0.05},
    "few bits": {"gradient_bits": 8},
    "no regularisation": {"l2": 0.0, "min_child_weight": 0.0, "min_rows": 1},
}


@pytest.mark.parametrize(
    ("case", "how"), [("plain", "random"), ("plain", "by region"), *((case, "by label") for case in CASES)]
)
def test_members_grow_the_pooled_trees(case: str, how: str) -> None:
    rng = np.random.default_rng(5)
    chosen = BoostingSettings.model_validate(SMALL.model_dump() | CASES[case])
    table = make_table(rng, 400, chosen.labels, number=chosen.objective == "squared")
    pooled = train(chosen, [table])
    assert bytes_of(train(chosen, parts_of(table, 5, how, rng))) == bytes_of(pooled)
    assert len(pooled.forest.left) > 0


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_partition_grows_the_pooled_trees(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    owner = np.array(data.draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)))
    chosen = SMALL.model_copy(update={"trees": 2, "min_rows": data.draw(st.integers(1, 5))})
    table = make_table(rng, rows)
    table = table.take(np.append(np.arange(rows), 0))
    table.validation[-1] = False  # somebody has a row to learn from
    owner = np.append(owner, 0)
    parts = [table.take(owner == member) for member in range(4)]
    assert bytes_of(train(chosen, parts)) == bytes_of(train(chosen, [table]))


class Leaving:
    """An aggregator whose last member leaves after so many questions."""

    def __init__(self, members: dict[str, BoostingContributor], after: int) -> None:
        self._all = InProcessAggregator(members)
        self._rest = InProcessAggregator(dict(sorted(members.items())[:-1]))
        self._left = after
        self.asked: list[int] = []

    @property
    def members(self) -> tuple[str, ...]:
        return self._all.members

    def aggregate(self, query: Query) -> Aggregate:
        self._left -= 1
        answer = (self._all if self._left >= 0 else self._rest).aggregate(query)
        self.asked.append(len(answer.members))
        return answer


def test_a_member_leaves_between_trees() -> None:
    rng = np.random.default_rng(1)
    parts = parts_of(make_table(rng, 500), 4, "random", rng)
    # One question to begin, three for each tree: two trees with four members, three with three.
    aggregator = Leaving(contributors(SMALL, parts), after=7)
    coordinator = BoostingCoordinator(aggregator, SMALL, BINNING)
    seen = [len(progress.members) for progress in coordinator.grow()]
    assert seen == [4, 4, 3, 3, 3]
    whole = BoostingCoordinator(InProcessAggregator(contributors(SMALL, parts)), SMALL, BINNING)
    first = list(islice(whole.grow(), 2))
    assert len(first) == 2
    assert bytes_of(coordinator.model.head(2)) == bytes_of(whole.model)
    # What follows are the trees of those who are left, on the scores so far.
    rest = InProcessAggregator(contributors(SMALL, parts[:-1], start=whole.model))
    on_their_own = BoostingCoordinator(rest, SMALL, BINNING, whole.model).train()
    assert bytes_of(coordinator.model) == bytes_of(on_their_own)


def test_a_tree_ends_where_a_member_leaves() -> None:
    rng = np.random.default_rng(2)
    parts = parts_of(make_table(rng, 500), 4, "random", rng)
    aggregator = Leaving(contributors(SMALL, parts), after=3)  # to begin, root, first level: then it is gone
    coordinator = BoostingCoordinator(aggregator, SMALL, BINNING)
    progress = list(coordinator.grow())
    assert progress[-1].iterations == SMALL.trees
    assert [len(each.members) for each in progress] == [4, 3, 3, 3, 3]
    whole = BoostingCoordinator(InProcessAggregator(contributors(SMALL, parts)), SMALL, BINNING)
    next(whole.grow())
    sizes = coordinator.model.forest.sizes()
    assert sizes[0] == 7  # two levels of splits instead of three: no question was asked twice
    assert sizes[0] < whole.model.forest.sizes()[0]
    assert len(aggregator.asked) == 1 + 3 * SMALL.trees


@pytest.mark.parametrize("patience", [0, 50])
def test_a_run_goes_on_from_a_checkpoint(patience: int) -> None:
    chosen = SMALL.model_copy(update={"patience": patience})
    rng = np.random.default_rng(3)
    parts = parts_of(make_table(rng, 300), 3, "random", rng)

    def begin(start: BoostedTrees | None = None) -> BoostingCoordinator:
        members = InProcessAggregator(contributors(chosen, parts, start=start))
        return BoostingCoordinator(members, chosen, BINNING, start)

    whole, half = begin(), begin()
    whole.train()
    list(islice(half.grow(), 3))
    assert half.checkpoint.iterations == 3
    rest = begin(half.checkpoint)
    rest.train()
    assert bytes_of(rest.checkpoint) == bytes_of(whole.checkpoint)


def progress_of(chosen: BoostingSettings, table: Table) -> tuple[Iterator[Progress], BoostingCoordinator]:
    coordinator = BoostingCoordinator(InProcessAggregator(contributors(chosen, [table])), chosen, BINNING)
    return coordinator.grow(), coordinator


def test_early_stopping_keeps_the_best_trees() -> None:
    chosen = BoostingSettings(trees=200, depth=6, min_rows=1, learning_rate=1.0, patience=4)
    progress, coordinator = progress_of(chosen, make_table(np.random.default_rng(0), 300))
    seen = list(progress)
    losses = [each.loss for each in seen if each.loss is not None]
    best = int(np.argmin(losses))
    assert coordinator.model.iterations == best
    assert seen[-1].iterations == best + chosen.patience < chosen.trees


def test_the_loss_is_that_of_the_model() -> None:
    chosen = SMALL.model_copy(update={"patience": 100})
    table = make_table(np.random.default_rng(4), 300)
    progress, coordinator = progress_of(chosen, table)
    last = list(progress)[-1]
    kept = table.take(table.validation & ~np.isnan(table.labels[:, 0]))
    chances = coordinator.model.head(chosen.trees - 1).scores(kept.columns)[:, 0]
    each = -np.log(np.where(kept.labels[:, 0] == 1, chances, 1 - chances))
    assert last.loss == pytest.approx(np.average(each, weights=kept.weights), abs=1e-4)


def test_no_rows_are_told() -> None:
    table = make_table(np.random.default_rng(0), 20)
    nobody = table.take(np.zeros(20, dtype=np.bool_))
    with pytest.raises(ConfigurationError, match="no member has rows"):
        train(SMALL, [nobody])
    learning = table.take(~table.validation)
    with pytest.raises(ConfigurationError, match="to stop by"):
        train(SMALL.model_copy(update={"patience": 2}), [learning])
    assert train(SMALL, [learning, nobody]).iterations == SMALL.trees


def test_rows_are_sampled_by_each_member() -> None:
    chosen = SMALL.model_copy(update={"subsample": 0.5})
    table = make_table(np.random.default_rng(0), 400)

    def sampled(key: bytes) -> BoostedTrees:
        member = BoostingContributor(
            chosen, BINNING, BINNING.encode(table.columns), table.labels, coins=SecureRandom(key)
        )
        return BoostingCoordinator(InProcessAggregator({"a": member}), chosen, BINNING).train()

    one, same, other = sampled(bytes(32)), sampled(bytes(32)), sampled(bytes(31) + b"1")
    assert bytes_of(one) == bytes_of(same) != bytes_of(other)


def test_leaves_take_the_step_of_their_own_rows() -> None:
    chosen = SMALL.model_copy(update={"trees": 1, "depth": 4})
    table = make_table(np.random.default_rng(8), 500)
    table = table.take(~table.validation & ~np.isnan(table.labels[:, 0]))
    model = train(chosen, [table])
    base = model.description.base[0]
    steps = np.round(model.raw(BINNING.encode(table.columns))[:, 0] - base, 9)
    chance = 1 / (1 + np.exp(-base))
    assert len(np.unique(steps)) > 6
    for step in np.unique(steps):
        rows = steps == step
        slope = (table.weights * (chance - table.labels[:, 0]))[rows].sum()
        curve = (table.weights * chance * (1 - chance))[rows].sum()
        assert step == pytest.approx(-chosen.learning_rate * slope / (curve + chosen.l2), abs=1e-4)
