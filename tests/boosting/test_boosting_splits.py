"""The best split, against trying all of them."""

from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanse.learning.boosting import BoostingSettings, Layout
from hanse.learning.boosting.columns import check_left_codes
from hanse.learning.boosting.splits import best_splits, leaf_values

LAYOUT = Layout(codes=(5, 4, 2), ordered=(True, False, True))
SETTINGS = BoostingSettings(
    min_rows=3, min_child_weight=0.5, l2=0.7, category_l2=2.0, category_smoothing=0.0, min_gain=0.01
)


def random_histograms(rng: np.random.Generator, nodes: int) -> NDArray[np.float64]:
    """Sums of rows that every column sees in codes of its own."""
    result = np.zeros((nodes, LAYOUT.total, 3))
    for node in range(nodes):
        rows = int(rng.integers(1, 40))
        sums = np.stack([rng.integers(-8, 9, rows) / 8, rng.integers(1, 9, rows) / 8, np.ones(rows)], axis=1)
        for offset, codes in zip(LAYOUT.offsets, LAYOUT.codes, strict=True):
            used = rng.choice(codes, int(rng.integers(1, codes + 1)), replace=False)
            np.add.at(result[node], offset + rng.choice(used, rows), sums)
    return result


def gain(
    left: NDArray[np.float64], node: NDArray[np.float64], chosen: BoostingSettings, extra_l2: float
) -> float:
    right = node - left
    if min(left[2], right[2]) < chosen.min_rows or min(left[1], right[1]) < chosen.min_child_weight:
        return -np.inf
    both = sum(float(side[0] ** 2 / (side[1] + chosen.l2 + extra_l2)) for side in (left, right))
    return 0.5 * (both - float(node[0] ** 2 / (node[1] + chosen.l2))) - chosen.min_gain


def sides(column: int, own: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """Sets of codes that may go left."""
    codes = LAYOUT.codes[column]
    if LAYOUT.ordered[column]:
        cuts = [tuple(range(cut)) for cut in range(codes)]
        return cuts + [(*cut, codes - 1) for cut in cuts]
    seen = [code for code in range(codes) if own[code, 2]]
    seen.sort(key=lambda code: own[code, 0] / own[code, 1])
    return [tuple(seen[:cut]) for cut in range(len(seen) + 1)]


def best_by_trial(histogram: NDArray[np.float64]) -> float:
    best = -np.inf
    for column, offset in enumerate(LAYOUT.offsets):
        own = histogram[offset : offset + LAYOUT.codes[column]]
        extra = 0.0 if LAYOUT.ordered[column] else SETTINGS.category_l2
        for side in sides(column, own):
            best = max(best, gain(own[list(side)].sum(axis=0), own.sum(axis=0), SETTINGS, extra))
    return best


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_no_other_split_is_better(seed: int, nodes: int) -> None:
    histograms = random_histograms(np.random.default_rng(seed), nodes)
    best = best_splits(histograms, LAYOUT, SETTINGS)
    assert check_left_codes(LAYOUT, best.columns, best.left)
    for node, histogram in enumerate(histograms):
        expected = best_by_trial(histogram)
        assert best.gains[node] == pytest.approx(expected, abs=1e-8)
        if np.isfinite(expected):
            column = best.columns[node]
            own = histogram[LAYOUT.offsets[column] :][: LAYOUT.codes[column]]
            np.testing.assert_array_equal(best.left_sums[node], own[best.left[node, : len(own)]].sum(axis=0))
            np.testing.assert_array_equal(best.sums[node], own.sum(axis=0))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_no_other_set_of_categories_is_better(seed: int) -> None:
    free = BoostingSettings(
        min_rows=1, min_child_weight=0, l2=0, category_l2=0, category_smoothing=0, min_gain=0
    )
    layout = Layout(codes=(6,), ordered=(False,))
    rng = np.random.default_rng(seed)
    own = np.stack([rng.normal(size=6), rng.uniform(0.1, 2, 6), rng.integers(1, 9, 6).astype(float)], axis=1)
    subsets = chain.from_iterable(combinations(range(6), size) for size in range(1, 6))
    trials = [gain(own[list(side)].sum(axis=0), own.sum(axis=0), free, 0.0) for side in subsets]
    assert best_splits(own[None], layout, free).gains[0] == pytest.approx(max(trials), abs=1e-8)


def histogram_of(rows: list[tuple[int, float, int]], codes: int) -> NDArray[np.float64]:
    """One column: (code, gradient, how many rows)."""
    result = np.zeros((1, codes, 3))
    for code, gradient, count in rows:
        result[0, code] += count * np.array([gradient, 1.0, 1.0])
    return result


def test_missing_values_go_where_they_fit() -> None:
    layout = Layout((4,), (True,))
    low = best_splits(histogram_of([(0, 1, 10), (2, -1, 10), (3, 1, 5)], 4), layout, SETTINGS)
    high = best_splits(histogram_of([(0, 1, 10), (2, -1, 10), (3, -1, 5)], 4), layout, SETTINGS)
    assert low.left[0].tolist() == [True, False, False, True]
    assert high.left[0].tolist() == [True, False, False, False]


def test_what_was_not_seen_goes_to_the_larger_child() -> None:
    ordered, words = Layout((3,), (True,)), Layout((4,), (False,))
    assert best_splits(histogram_of([(0, 1, 20), (1, -1, 5)], 3), ordered, SETTINGS).left[0, 2]
    assert not best_splits(histogram_of([(0, 1, 5), (1, -1, 20)], 3), ordered, SETTINGS).left[0, 2]
    for rows in ([(0, -1.0, 20), (1, 1.0, 5)], [(0, -1.0, 5), (1, 1.0, 20)]):
        left = best_splits(histogram_of(rows, 4), words, SETTINGS).left[0]
        larger = left[0] if rows[0][2] == 20 else left[1]
        assert left[2] == left[3] == larger


def test_no_split_is_worth_it() -> None:
    layout = Layout((3,), (True,))
    few = best_splits(histogram_of([(0, 1, 2), (1, -1, 20)], 3), layout, SETTINGS)
    equal = best_splits(histogram_of([(0, 0.5, 10), (1, 0.5, 10)], 3), layout, SETTINGS)
    assert few.gains[0] <= 0
    assert equal.gains[0] <= 0


def test_a_leaf_takes_a_newton_step() -> None:
    chosen = SETTINGS.model_copy(update={"learning_rate": 0.5, "l2": 2.0})
    assert leaf_values(np.array([[3.0, 4.0, 9.0]]), chosen).tolist() == [-0.25]
    flat = chosen.model_copy(update={"l2": 0.0})
    assert np.isfinite(leaf_values(np.array([[0.0, 0.0, 1.0]]), flat)).all()


def test_many_nodes_are_split_in_blocks() -> None:
    rng = np.random.default_rng(0)
    layout = Layout((1000,) * 20, (True,) * 20)
    histograms = rng.integers(1, 9, (30, layout.total, 3)).astype(float)
    histograms[..., 0] -= 4
    whole = best_splits(histograms, layout, SETTINGS)
    one = best_splits(histograms[29:], layout, SETTINGS)
    assert whole.gains[29] == one.gains[0]
    np.testing.assert_array_equal(whole.left[29], one.left[0])
