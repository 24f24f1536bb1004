"""One row alone gives to the last digit what it gives among others."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.boosting.boosting_data import BINNING, make_table, train

from hanse.aggregation import InProcessAggregator
from hanse.errors import ConfigurationError, ServingError
from hanse.learning.boosting import (
    BinnedColumn,
    Binning,
    BoostingContributor,
    BoostingCoordinator,
    BoostingSettings,
)
from hanse.learning.boosting.single import SingleRow, SingleScore
from hanse.learning.vertical.serving.trees import TreesFeature, TreesLabel, by_person
from hanse.learning.vertical.trees.parts import (
    Cut,
    FeaturePart,
    HolderCuts,
    LabelDescription,
    LabelPart,
)
from hanse.learning.vertical.trees.released import ReleasedColumn

NUMBER = BinnedColumn(name="km", kind="numeric", edges=(-1.5, 0.0, 2.0))
ONE_VALUE = BinnedColumn(name="rent", kind="numeric")
WORD = BinnedColumn(name="plan", kind="categorical", categories=("3", "basic", ""))
COLUMNS = (NUMBER, ONE_VALUE, WORD)

PAIR = "ab" * 32
CUTS = 11
ROWS = 300

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([-1.5, 0.0, -0.0, 2.0])
anything = numbers | st.integers() | st.text(max_size=6) | st.none() | st.sampled_from(["3", 3.0, "basic"])


def one(value: object) -> NDArray[Any]:
    """A value as a column has it, whatever it is."""
    found = np.empty(1, dtype=object)
    found[0] = value
    return found


@given(
    st.builds(np.array, st.lists(numbers, min_size=1, max_size=1)) | st.builds(one, anything),
    st.builds(np.array, st.lists(st.integers(-3, 3), min_size=1, max_size=1)) | st.builds(one, anything),
    st.builds(one, anything) | st.builds(np.array, st.lists(numbers, min_size=1, max_size=1)),
)
def test_codes_of_a_row(km: NDArray[Any], rent: NDArray[Any], plan: NDArray[Any]) -> None:
    values = {"km": km, "rent": rent, "plan": plan, "more": one("x")}
    (expected,) = Binning(columns=COLUMNS).encode(values).tolist()
    assert SingleRow(COLUMNS).encode(values) == expected


@pytest.mark.parametrize(
    "values",
    [
        {"km": np.zeros(1), "rent": np.zeros(1)},
        {"km": np.zeros(1), "rent": np.zeros(2), "plan": one("3")},
        {"km": np.zeros(1), "rent": np.zeros((1, 1)), "plan": one("3")},
        {"km": np.zeros(0), "rent": np.zeros(1), "plan": one("3")},
    ],
)
def test_what_is_no_row_is_refused_likewise(values: dict[str, NDArray[Any]]) -> None:
    for encode in (SingleRow(COLUMNS).encode, Binning(columns=COLUMNS).encode):
        with pytest.raises(ConfigurationError, match="bad-data"):
            encode(values)


def test_scores_of_a_row() -> None:
    settings = BoostingSettings(trees=4, depth=3, min_rows=5, labels=2)
    model = train(settings, [make_table(np.random.default_rng(0), ROWS, 2)])
    codes = BINNING.encode(make_table(np.random.default_rng(1), ROWS, 2).columns)
    single = SingleScore(model)
    assert [single.raw(row) for row in codes.tolist()] == model.raw(codes).tolist()
    none = model.head(0)
    assert SingleScore(none).raw(codes[0].tolist()) == none.raw(codes[:1])[0].tolist()


def feature_part(rng: np.random.Generator, cuts: int) -> FeaturePart:
    released = [
        ReleasedColumn(column=column, shown=tuple(rng.integers(0, 4, codes).tolist()), codes=4)
        for column, codes in zip(BINNING.columns, BINNING.layout.codes, strict=True)
    ]
    drawn = [
        Cut(column=int(rng.integers(3)), left=tuple(np.flatnonzero(rng.random(4) < 0.5).tolist()))
        for _ in range(cuts)
    ]
    return FeaturePart.make(PAIR, released, drawn)


@pytest.mark.parametrize("cuts", [1, 8, CUTS, 70])
def test_sides_of_a_row(cuts: int) -> None:
    rng = np.random.default_rng(cuts)
    half = TreesFeature(feature_part(rng, cuts))
    columns = make_table(rng, ROWS).columns
    alone = [
        half.answers({name: values[at : at + 1] for name, values in columns.items()}, 1)[0].tolist()
        for at in range(ROWS)
    ]
    assert alone == by_person(half.part.sides(columns), ROWS).tolist()


def label_half(rng: np.random.Generator) -> tuple[TreesLabel, dict[str, NDArray[Any]], NDArray[np.uint8]]:
    """Trees over own columns and cuts of another; the columns, and what is said of each row."""
    settings = BoostingSettings(trees=6, depth=4, min_rows=5)
    holders = (HolderCuts(name="insurer", pair=PAIR, cuts=CUTS), HolderCuts(name="media", pair=PAIR, cuts=0))
    description = LabelDescription(settings=settings, columns=BINNING.columns, holders=holders)
    table, is_left = make_table(rng, ROWS), rng.random((ROWS, CUTS)) < 0.5
    labels = (table.labels + is_left[:, :1] + is_left[:, 3:4] > 1).astype(np.float64)
    codes = np.concatenate([BINNING.encode(table.columns), (~is_left).astype(np.uint8)], axis=1)
    member = BoostingContributor(settings, description.binning, codes, labels, weights=table.weights)
    aggregator = InProcessAggregator({"brand": member})
    trees = BoostingCoordinator(aggregator, settings, description.binning).train()
    assert (trees.forest.column >= len(BINNING.columns)).any()
    half = TreesLabel(LabelPart(description, trees))
    return half, table.columns, np.packbits(is_left, axis=1, bitorder="little")


def test_scores_of_a_row_with_what_others_say() -> None:
    half, columns, said = label_half(np.random.default_rng(4))
    alone = [
        half.scores(
            {name: values[at : at + 1] for name, values in columns.items()}, {"insurer": said[at : at + 1]}
        ).item()
        for at in range(ROWS)
    ]
    assert alone == half.scores(columns, {"insurer": said}).tolist()
    assert len(set(alone)) > 10


def test_a_row_with_sides_that_are_none_is_refused() -> None:
    half, columns, said = label_half(np.random.default_rng(5))
    row = {name: values[:1] for name, values in columns.items()}
    for sides in ({"media": said[:1]}, {"insurer": said[:1, :1]}):
        with pytest.raises(ServingError, match="not a side of every cut from insurer"):
            half.scores(row, sides)
