"""Reasons add up to the score, are what they are defined to be, and tell no more than they may."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanse.errors import ServingError
from hanse.learning import Transform
from hanse.learning.artifact import LoadedModel
from hanse.learning.boosting import (
    BoostedDescription,
    BoostedTrees,
    Forest,
    TreeColumns,
    TreesPredictor,
    agreed_settings,
)
from hanse.learning.boosting.forest import LEAF
from hanse.learning.scorecard import scorecard
from hanse.learning.transform import cells_of
from hanse.policies import Column
from hanse.scoring.reasons import PARTNER_DATA, TOLERANCE, attribute, chosen, explain
from hanse.scoring.reasons.reference import reference_of, shares_of
from hanse.scoring.reasons.trees import TreeGame

Models = Callable[..., LoadedModel]
Rows = Callable[..., dict[str, NDArray[Any]]]

COUNTS = (40.0, 25.0, 20.0, 10.0, 5.0, 60.0, 20.0, 15.0, 5.0, 70.0, 25.0, 5.0, 30.0, 40.0, 30.0, 0.0)


@pytest.mark.parametrize("counts", [(), COUNTS], ids=["neutral", "average"])
@pytest.mark.parametrize("kind", ["logistic", "scorecard", "mlp", "wide_and_deep", "trees"])
def test_parts_add_up_to_the_score(models: Models, rows: Rows, kind: str, counts: tuple[float, ...]) -> None:
    model = models(kind, cell_counts=counts)
    features = model.transform.apply(rows(60))
    parts = attribute(model, features)
    assert parts.reference == ("average" if counts else "neutral")
    total = parts.reference_logit + parts.values.sum(axis=1)
    np.testing.assert_allclose(total, model.predictor.logits(features), atol=1e-6, rtol=0)


def test_parts_of_trees_are_the_shapley_values_of_their_game(models: Models, rows: Rows) -> None:
    """By the definition: every coalition of columns, every value of the columns outside it."""
    model = models("trees", cell_counts=COUNTS)
    predictor = model.predictor
    assert isinstance(predictor, TreesPredictor)
    codes = predictor.columns.codes(model.transform.apply(rows(4)))
    shares = predictor.columns.shares(reference_of(model.manifest).row)
    sizes = predictor.trees.description.binning.layout.codes
    everybody = np.array(list(itertools.product(*map(range, sizes))), dtype=codes.dtype)
    raw = predictor.trees.raw(everybody)[:, 0]
    columns = range(len(sizes))

    def worth(row: NDArray[Any], coalition: tuple[int, ...]) -> float:
        weight = np.ones(len(everybody))
        for column in columns:
            own = everybody[:, column]
            weight *= (own == row[column]) if column in coalition else shares[column][own]
        return float(weight @ raw)

    expected = np.zeros((len(codes), len(sizes)))
    for number, row in enumerate(codes):
        for column in columns:
            others = [other for other in columns if other != column]
            for size in range(len(sizes)):
                for coalition in itertools.combinations(others, size):
                    gain = worth(row, (*coalition, column)) - worth(row, coalition)
                    expected[number, column] += gain / (len(sizes) * math.comb(len(others), size))
    found = attribute(model, model.transform.apply(rows(4)))
    np.testing.assert_allclose(found.values, expected, atol=1e-12)


def test_parts_of_trees_are_those_of_xgboost(models: Models) -> None:
    """Where every combination of values was trained on once, its covers are products of shares."""
    oracle = json.loads((Path(__file__).parent / "xgboost_contributions.json").read_text())
    columns = tuple(
        Column(name=f"c{number}", kind="numeric", classification="basic", edges=(0.5, 1.5, 2.5))
        for number in range(4)
    )
    transform = Transform.fit(columns, None, 0.0)
    coded, settings = TreeColumns(transform), agreed_settings(models("trees").manifest.training, 4)
    description = BoostedDescription(settings=settings, binning=coded.binning, base=(0.0,))
    forest = Forest.join([_forest(tree) for tree in oracle["trees"]], 5)
    predictor = TreesPredictor(coded, BoostedTrees(description, forest), transform.n_features)
    shares = shares_of(transform, np.array([1.0, 1.0, 1.0, 1.0, 0.0] * 4))
    game = TreeGame(predictor, shares, [column.name for column in columns])
    rows = np.array(oracle["rows"], dtype=float)
    found = game.values(transform.apply({f"c{number}": rows[:, number] for number in range(4)}))
    expected = np.array(oracle["contributions"])
    np.testing.assert_allclose(found, expected[:, :4], atol=1e-5)
    weight = math.log(settings.positive_weight)
    np.testing.assert_allclose(game.reference_logit + weight, expected[:, 4], atol=1e-5)


def _forest(tree: Any) -> Forest:
    """A tree of nested lists - column, threshold, what is below it, what is not - level by level."""
    column, left, value, level = [], [], [], [tree]
    while level:
        after = []
        for node in level:
            leaf = isinstance(node, float)
            column.append(LEAF if leaf else node[0])
            value.append(node if leaf else 0.0)
            if not leaf:
                left.append([code < node[1] for code in range(4)] + [False])
                after += node[2:]
        level = after
    first = np.zeros(1, dtype=np.int32)
    return Forest(first, np.array(column, dtype=np.int16), np.array(left), np.array(value))


def test_points_of_a_scorecard_explain_it(models: Models, rows: Rows) -> None:
    """The difference between two people in one column is that of their points."""
    model = models("scorecard")
    values = rows(30)
    parts = attribute(model, model.transform.apply(values))
    card = scorecard(model)
    scale = model.manifest.training.scale
    assert parts.method == "points"
    assert scale is not None
    per_point = math.log(2) / scale.doubling
    for number, column in enumerate(model.transform.columns):
        points = np.array([row.points for row in card.rows if row.column == column.name])
        own = points[cells_of(column, values[column.name])] * per_point
        np.testing.assert_allclose(np.diff(parts.values[:, number]), np.diff(own), atol=1e-9)


def test_gradients_are_those_of_the_model(models: Models, rows: Rows) -> None:
    for kind in ("mlp", "wide_and_deep"):
        predictor: Any = models(kind).predictor
        point = models(kind).transform.apply(rows(2)).astype(np.float64) * 0.7 + 0.1
        step = 1e-5 * np.eye(point.shape[1])
        slope = [(predictor.logits(point + one) - predictor.logits(point - one)) / 2e-5 for one in step]
        np.testing.assert_allclose(predictor.gradients(point), np.array(slope).T, atol=1e-6)


def test_what_a_caller_may_not_see_is_one_reason(models: Models, rows: Rows) -> None:
    model = models("logistic")
    features = model.transform.apply(rows(20))
    parts = attribute(model, features)
    for row, reasons in zip(parts.values, explain(model, features, 9, visible=("age",)), strict=True):
        said = {reason.column: reason.raises for reason in reasons.items}
        assert set(said) <= {"age", PARTNER_DATA}
        hidden = float(row[1:].sum())
        assert (PARTNER_DATA in said) == (abs(hidden) > TOLERANCE / 2)
        assert said.get(PARTNER_DATA, hidden > 0) == (hidden > 0)
    # Who may see nothing is told of nothing else.
    assert all(
        {one.column for one in r.items} <= {PARTNER_DATA} for r in explain(model, features, 9, visible=())
    )


NAMES = tuple("abcdef")
Parts = st.lists(st.floats(-3, 3), min_size=6, max_size=6)


@given(Parts, st.lists(st.floats(-0.01, 0.01), min_size=6, max_size=6))
def test_small_changes_exchange_no_reasons_that_differ(given_parts: list[float], change: list[float]) -> None:
    parts = np.array(given_parts)
    moved = parts + np.array(change)
    first = [reason.column for reason in chosen(NAMES, parts, 6, NAMES, {})]
    second = [reason.column for reason in chosen(NAMES, moved, 6, NAMES, {})]
    sizes = dict(zip(NAMES, np.abs(parts).tolist(), strict=True))
    for before, after in itertools.combinations(first, 2):
        if before in second and after in second and second.index(before) > second.index(after):
            assert abs(sizes[before] - sizes[after]) <= TOLERANCE + 0.02 + 1e-12


def test_reasons_are_words_in_a_settled_order() -> None:
    parts = np.array([0.3, -0.31, 2.0, 0.01, np.nan, -0.3])
    reasons = chosen(NAMES, parts, 5, NAMES, {"c": "what was spent this year"})
    assert [(one.column, one.raises, one.strength) for one in reasons] == [
        ("c", True, "strongly"),
        ("a", True, "clearly"),
        ("b", False, "clearly"),
        ("f", False, "clearly"),
    ]
    assert reasons[0].text == "what was spent this year raises the score strongly"
    assert chosen(NAMES, parts, 0, NAMES, {}) == chosen(NAMES, parts, -3, NAMES, {}) == ()


def test_rows_of_another_width_are_refused(models: Models) -> None:
    with pytest.raises(ServingError, match=r"scoring\.bad-input"):
        explain(models("logistic"), np.zeros((1, 3), dtype=np.float32))
