"""Rows to features: total on values and on bytes, and what is rare is merged."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.learning.conftest import categorical, numeric

from hanse.crypto import canonical_json
from hanse.errors import ConfigurationError, ProtocolError, TrainingError
from hanse.learning import Transform, count_cells, n_cells, rare_below
from hanse.learning.transform import NO_FEATURE

COLUMNS = (numeric("age", 20, 40, 60), categorical("job", "clerk", "nurse", "3"))
# age: below 20, 20-40, 40-60, from 60, missing; job: three and other
VALUES: dict[str, Any] = {
    "age": np.array([19.9, 20.0, 59.0, 60.0, np.nan, np.inf]),
    "job": np.array(["clerk", "nurse", "3", "pilot", None, "nurse"], dtype=object),
}


def test_values_fall_into_their_cells() -> None:
    transform = Transform.fit(COLUMNS, None, 0)
    assert transform.n_features == 9
    assert [np.flatnonzero(row).tolist() for row in transform.apply(VALUES)] == [
        [0, 5],
        [1, 6],
        [2, 7],
        [3, 8],
        [4, 8],
        [4, 6],
    ]
    assert transform.apply(VALUES).dtype == np.float32


def test_counts_have_one_entry_per_cell_and_one_row_per_column() -> None:
    assert count_cells(COLUMNS, VALUES).tolist() == [1, 1, 1, 1, 2, 1, 2, 1, 2]
    for row in range(6):
        of_one_row = count_cells(COLUMNS, {name: values[[row]] for name, values in VALUES.items()})
        assert np.linalg.norm(of_one_row) == pytest.approx(np.sqrt(len(COLUMNS)))


def test_rare_bins_join_neighbours_and_rare_categories_each_other() -> None:
    transform = Transform.fit(COLUMNS, np.array([50, 1, 60, 2, 1, 3, 70, 4, 5.0]), 10)
    age, job = transform.columns
    assert age.features == (0, 1, 1, 1, NO_FEATURE)
    assert job.features == (3, 2, 3, 3)
    assert transform.n_features == 4


def test_what_is_rare_even_together_has_no_feature() -> None:
    transform = Transform.fit(COLUMNS, np.array([0, 0, -3.5, 1, 30, 3, 70, -40, 5]), 10)
    age, job = transform.columns
    assert age.features == (NO_FEATURE,) * 4 + (0,)
    assert job.features == (NO_FEATURE, 1, NO_FEATURE, NO_FEATURE)
    assert transform.apply(VALUES).sum(axis=1).tolist() == [0, 1, 0, 0, 1, 2]


def test_too_few_rows_for_any_feature_is_an_error() -> None:
    with pytest.raises(TrainingError) as caught:
        Transform.fit(COLUMNS, np.zeros(9), 10)
    assert caught.value.code == "run.no-features"


@pytest.mark.parametrize("counts", [np.zeros(8), np.zeros((3, 3)), np.full(9, np.nan)])
def test_counts_of_another_shape_are_refused(counts: Any) -> None:
    with pytest.raises(ProtocolError):
        Transform.fit(COLUMNS, counts, 10)


@pytest.mark.parametrize(
    "values",
    [
        {"age": VALUES["age"]},
        {"age": VALUES["age"], "job": VALUES["job"][:3]},
        {"age": VALUES["age"][None], "job": VALUES["job"][None]},
    ],
)
def test_columns_that_are_missing_or_ragged_are_an_error(values: dict[str, Any]) -> None:
    for refused in (
        lambda: count_cells(COLUMNS, values),
        lambda: Transform.fit(COLUMNS, None, 0).apply(values),
    ):
        with pytest.raises(ConfigurationError) as caught:
            refused()
        assert caught.value.code == "config.bad-data"


anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3)
)


@given(st.lists(st.tuples(anything, anything), min_size=1, max_size=6))
def test_every_value_is_in_one_cell(rows: list[tuple[object, object]]) -> None:
    values = {}
    for position, name in enumerate(("age", "job")):
        values[name] = np.empty(len(rows), dtype=object)
        values[name][:] = [row[position] for row in rows]
    x = Transform.fit(COLUMNS, None, 0).apply(values)
    assert (x[:, :5].sum(axis=1) == 1).all()
    assert (x[:, 5:].sum(axis=1) == 1).all()


def test_numbers_written_as_text_and_whole_numbers_as_categories() -> None:
    transform = Transform.fit(COLUMNS, None, 0)
    as_text = transform.apply({"age": np.array(["30", "x"]), "job": np.array([3.0, 2.5])})
    as_numbers = transform.apply({"age": np.array([30, np.nan]), "job": np.array(["3", "2.5"])})
    assert (as_text == as_numbers).all()
    assert transform.apply({"age": np.array([30]), "job": np.array([3])})[0].nonzero()[0].tolist() == [1, 7]


def test_no_rows_are_no_rows() -> None:
    x = Transform.fit(COLUMNS, None, 0).apply({"age": np.array([]), "job": np.array([])})
    assert x.shape == (0, 9)


names = st.text(st.sampled_from("abc"), min_size=1, max_size=3)
columns = st.lists(
    st.one_of(
        st.builds(
            numeric,
            names,
            st.floats(-5, 0, exclude_max=True),
            st.floats(0, 5, exclude_max=True),
            st.just(6.5),
        ),
        st.builds(categorical, names, st.just("x"), st.text("yz", min_size=1, max_size=3)),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda column: column.name,
)


@given(columns, st.data())
def test_json_round_trip(columns: list[Any], data: st.DataObject) -> None:
    cells = sum(map(n_cells, columns))
    counts = data.draw(st.lists(st.floats(-5, 50), min_size=cells, max_size=cells))
    try:
        transform = Transform.fit(columns, np.array(counts), 10)
    except TrainingError:
        # Noise below zero takes something away from the bins that it is merged with.
        assert max(counts) + sum(count for count in counts if count < 0) < 10
        return
    assert Transform.from_json(transform.to_json()) == transform
    assert Transform.from_json(transform.to_json()).digest == transform.digest


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Transform.from_json(data)


GOOD = json.loads(Transform.fit(COLUMNS, None, 0).to_json())


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_another_transform(position: int, flip: int) -> None:
    data = bytearray(Transform.fit(COLUMNS, None, 0).to_json())
    data[position % len(data)] ^= flip
    try:
        transform = Transform.from_json(bytes(data))
    except ProtocolError:
        return
    assert transform.to_json() == bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"n_features": 8},
        {"n_features": 9.0},
        {"extra": 1},
        {"columns": []},
        {"columns": [], "n_features": 0},
        {"columns": [GOOD["columns"][0], GOOD["columns"][0]]},
    ],
)
def test_a_form_that_does_not_hold_together_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        Transform.from_json(canonical_json({**GOOD, **change}))


@pytest.mark.parametrize(
    ("column", "change"),
    [
        (0, {"features": [0, 1, 2, 3]}),
        (0, {"features": [0, 1, 2, 3, 5]}),
        (0, {"features": [0, 1, 2, 3, -2]}),
        (0, {"edges": [40.0, 20.0, 60.0]}),
        (0, {"kind": "text"}),
        (0, {"edges": [20, 40, 60]}),
        (1, {"categories": ["clerk", "clerk", "3"]}),
    ],
)
def test_a_column_that_does_not_hold_together_is_refused(column: int, change: dict[str, Any]) -> None:
    columns = [dict(item) for item in GOOD["columns"]]
    columns[column].update(change)
    with pytest.raises(ProtocolError):
        Transform.from_json(canonical_json({**GOOD, "columns": columns}))


def test_the_rare_limit_stands_out_from_the_noise() -> None:
    assert rare_below(30, [0.0, 0.0]) == 30
    assert rare_below(30, [30.0, 40.0]) == pytest.approx(100)
