"""The public model: its file, what is refused, and scores against a walk from the root."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load, save
from tests.boosting.boosting_data import BINNING, make_table, train

from hanse.errors import ConfigurationError, ServingError
from hanse.learning.boosting import (
    BinnedColumn,
    Binning,
    BoostedTrees,
    BoostingSettings,
    decode_trees,
    encode_trees,
)
from hanse.learning.boosting.columns import sampled_columns
from hanse.learning.boosting.forest import LEAF, Forest, is_sound
from hanse.learning.quantiles import Quantiles

SETTINGS = BoostingSettings(trees=4, depth=3, min_rows=5, labels=2, positive_weight=2.0)


@pytest.fixture(scope="module")
def model() -> BoostedTrees:
    return train(SETTINGS, [make_table(np.random.default_rng(0), 300, 2)])


def walk(model: BoostedTrees, codes: NDArray[Any], tree: int) -> float:
    """The value of one row in one tree, node by node."""
    first = int(model.forest.first[tree])
    splits_before = int((model.forest.column[:first] != LEAF).sum())
    node = 0
    while (column := int(model.forest.column[first + node])) != LEAF:
        rank = int((model.forest.column[first : first + node] != LEAF).sum())
        left = model.forest.left[splits_before + rank, codes[column]]
        node = 2 * rank + (1 if left else 2)
    return float(model.forest.value[first + node])


def test_scores_are_those_of_a_walk(model: BoostedTrees) -> None:
    rows = make_table(np.random.default_rng(9), 40, 2)
    codes = BINNING.encode(rows.columns)
    raw = np.zeros((40, 2))
    for row in range(40):
        for label in range(2):
            raw[row, label] = model.description.base[label] + sum(
                walk(model, codes[row], 2 * iteration + label) for iteration in range(model.iterations)
            )
    np.testing.assert_allclose(model.raw(codes), raw, rtol=0, atol=1e-12)
    # Positive rows weigh twice in training, and are as frequent as they are in scores.
    np.testing.assert_allclose(model.scores(rows.columns), 1 / (1 + 2 * np.exp(-raw)), atol=1e-12)
    assert model.head(0).raw(codes).tolist() == [list(model.description.base)] * 40
    assert model.raw(codes[:0]).shape == (0, 2)


def test_numbers_stay_in_their_range() -> None:
    chosen = BoostingSettings(
        objective="squared", value_range=(-300, 400), trees=30, depth=4, min_rows=5, learning_rate=0.3, l2=1
    )
    table = make_table(np.random.default_rng(1), 600, number=True)
    scores = train(chosen, [table]).scores(table.columns)[:, 0]
    known = ~np.isnan(table.labels[:, 0]) & ~table.validation
    assert scores.min() >= -300
    assert scores.max() <= 400
    assert np.corrcoef(scores[known], table.labels[known, 0])[0, 1] > 0.7


def test_what_is_written_is_read(model: BoostedTrees) -> None:
    again = decode_trees(encode_trees(model), model.settings, BINNING)
    assert encode_trees(again) == encode_trees(model)
    codes = BINNING.encode(make_table(np.random.default_rng(3), 20).columns)
    np.testing.assert_array_equal(again.raw(codes), model.raw(codes))


@given(st.binary())
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ServingError, match=r"model\.invalid"):
        decode_trees(data, BoostingSettings(), BINNING)


@settings(max_examples=50)
@given(st.data())
def test_changed_arrays_are_trees_or_refused(model: BoostedTrees, data: st.DataObject) -> None:
    arrays = load(encode_trees(model))
    name = data.draw(st.sampled_from(sorted(arrays)))
    flat = arrays[name].copy().reshape(-1)
    where = data.draw(st.integers(0, flat.size - 1))
    numbers = [0, 1, 2, 7, 255, np.inf, np.nan] if name in ("base", "value") else range(256)
    flat[where] = data.draw(st.sampled_from(numbers))
    arrays[name] = flat.reshape(arrays[name].shape)
    codes = BINNING.encode(make_table(np.random.default_rng(3), 20).columns)
    try:
        changed = decode_trees(save(arrays), model.settings, BINNING)
    except ServingError:
        return
    assert np.isfinite(changed.raw(codes)).all()


def tree(
    column: list[int], left: list[list[int]], value: list[float], first: tuple[int, ...] = (0,)
) -> Forest:
    return Forest(
        np.array(first, dtype=np.int32),
        np.array(column, dtype=np.int16),
        np.array(left, dtype=np.bool_).reshape(len(left), BINNING.layout.width),
        np.array(value),
    )


A = [1, 1, 0, 0, 0, 0, 1]
STUMP = tree([0, -1, -1], [A], [0, 1, 2])


@pytest.mark.parametrize(
    "bad",
    [
        tree([3, -1, -1], [A], [0, 1, 2]),  # there is no such column
        tree([0, -1, -1], [A], [1, 1, 2]),  # a value where there is a split
        tree([0, -1, -1], [[1, 0, 1, 0, 0, 0, 0]], [0, 1, 2]),  # cuts an order twice
        tree([2, -1, -1], [[1, 0, 0, 0, 0, 0, 1]], [0, 1, 2]),  # a code that the column does not have
        tree([0, -1], [A], [0, 1]),  # a child is missing
        tree([-1, 0, -1], [A], [1, 0, 2]),  # nobody leads to the split
        tree([0, -1, -1], [A, A], [0, 1, 2]),
        tree([0, -1, -1, -1], [A], [0, 1, 2, 3]),
        tree([-1, -1], [], [1, 2], (1,)),
        tree([-1, -1], [], [1, 2], (0, 2)),
        tree([-1, -1], [], [1, 2], (0, 0)),
        tree([0, 0, -1, 0, -1, -1, -1], [A] * 3, [0, 0, 1, 0, 1, 1, 1]),  # too deep
    ],
)
def test_what_are_no_trees_is_refused(bad: Forest) -> None:
    assert is_sound(STUMP, BINNING.layout, 2)
    assert not is_sound(bad, BINNING.layout, 2)


def test_trees_fit_their_description(model: BoostedTrees) -> None:
    with pytest.raises(ServingError, match=r"model\.invalid"):
        BoostedTrees(model.description, model.forest.head(3))  # half an iteration
    fewer = model.description.model_copy(update={"settings": SETTINGS.model_copy(update={"trees": 3})})
    with pytest.raises(ServingError, match=r"model\.invalid"):
        BoostedTrees(fewer, model.forest)


def test_codes_of_values() -> None:
    values: dict[str, NDArray[Any]] = {
        "amount": np.array([-5.0, -1.0, 0.41, np.nan, np.inf]),
        "region": np.array(["a", "e", "x", None, "c"], dtype=object),
        "visits": np.array([0, 1, 2, 3, 4]),
    }
    assert BINNING.encode(values).T.tolist() == [[0, 1, 4, 6, 6], [0, 4, 5, 5, 2], [0, 1, 2, 3, 3]]
    assert BINNING.encode(values).dtype == np.uint8
    for wrong in ({}, values | {"visits": np.zeros(3)}, values | {"visits": np.zeros((5, 1))}):
        with pytest.raises(ConfigurationError, match=r"config\.bad-data"):
            BINNING.encode(wrong)


def test_bins_are_cut_by_quantiles() -> None:
    quantiles = Quantiles(np.array([0.0, 1.0, 2.0, 3.0]), np.full(4, 10.0))
    columns = {column.name: column for column in BINNING.columns}
    binning = Binning.make(columns, {"visits": quantiles}, 4)
    assert [column.edges for column in binning.columns] == [BINNING.columns[0].edges, (), (1.0, 2.0, 3.0)]
    many = BinnedColumn(name="word", kind="categorical", categories=tuple(str(i) for i in range(300)))
    wide = Binning(columns=(many,))
    assert wide.encode({"word": np.array(["299", "x"], dtype=object)}).tolist() == [[299], [300]]


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "squared"},
        {"value_range": (0.0, 1.0)},
        {"objective": "squared", "value_range": (1.0, 1.0)},
        {"objective": "squared", "value_range": (0.0, 1.0), "positive_weight": 2.0},
        {"depth": 11},
        {"learning_rate": 0.0},
        {"unknown": 1},
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        BoostingSettings.model_validate(changes)


def test_anybody_can_tell_the_sampled_columns() -> None:
    one = sampled_columns(10, 0.35, 7, 3)
    assert len(one) == 4
    assert one.tolist() == sorted(set(one.tolist())) == sampled_columns(10, 0.35, 7, 3).tolist()
    others = {tuple(sampled_columns(10, 0.35, 7, tree).tolist()) for tree in range(20)}
    assert len(others) > 10
