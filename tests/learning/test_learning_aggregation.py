"""Updates that would spoil or reveal are refused; the rest are averaged by rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hanse.errors import ProtocolError, TrainingError
from hanse.learning import Update, aggregate, defect, weights_from_bytes, weights_to_bytes


def update(member: str, *delta: float, rows: int = 10) -> Update:
    return Update(member, np.array(delta, dtype=np.float32), rows)


def test_mean_is_weighted_by_rows() -> None:
    weights = np.array([1, 1], dtype=np.float32)
    result = aggregate(weights, [update("a", 1, 0, rows=30), update("b", 0, 2, rows=10)], 2)
    assert result == pytest.approx([1.75, 1.5])
    assert result.dtype == np.float32


@pytest.mark.parametrize(
    ("updates", "minimum"),
    [([], 2), ([update("a", 1)], 2), ([update("a", 1)], 1), ([update("a", 1), update("b", 1)], 3)],
)
def test_an_aggregate_of_too_few_is_never_formed(updates: list[Update], minimum: int) -> None:
    with pytest.raises(TrainingError) as caught:
        aggregate(np.zeros(1, np.float32), updates, minimum)
    assert (caught.value.code, caught.value.rule) == ("run.insufficient-members", "P17")


def test_a_member_counts_once() -> None:
    with pytest.raises(TrainingError) as caught:
        aggregate(np.zeros(1, np.float32), [update("a", 1), update("a", 2)], 2)
    assert caught.value.code == "run.update-rejected"


@pytest.mark.parametrize(
    "bad",
    [
        update("a", 1),
        update("a", 1, 2, 3),
        Update("a", np.zeros((1, 2), np.float32), 10),
        update("a", np.nan, 0),
        update("a", np.inf, 0),
        update("a", -np.inf, np.nan),
        update("a", 3.1, 4.1),
        update("a", 3e38, 3e38),
        update("a", 1, 1, rows=0),
        update("a", 1, 1, rows=-5),
    ],
)
def test_an_update_of_wrong_shape_size_or_weight_is_found(bad: Update) -> None:
    found = defect(bad, 2, 5.0)
    assert found is not None
    assert np.isfinite(found.measure)


@given(hnp.arrays(np.float32, 4, elements=st.floats(allow_nan=True, width=32)))
def test_what_passes_is_finite_and_short(delta: NDArray[np.float32]) -> None:
    passes = defect(Update("a", delta, 1), 4, 7.0) is None
    assert passes == bool(np.linalg.norm(delta.astype(np.float64)) <= 7.0)


@given(
    hnp.arrays(
        np.float32, st.integers(0, 9), elements=st.floats(allow_nan=False, allow_infinity=False, width=32)
    )
)
def test_vectors_survive_the_wire(vector: NDArray[np.float32]) -> None:
    assert (weights_from_bytes(weights_to_bytes(vector)) == vector).all()


@pytest.mark.parametrize("vector", [[np.nan], [0, np.inf]])
def test_vectors_that_are_not_finite_are_refused(vector: list[float]) -> None:
    with pytest.raises(ProtocolError):
        weights_from_bytes(weights_to_bytes(np.array(vector, np.float32)))


@given(st.binary(max_size=40))
def test_random_bytes_are_a_vector_or_refused(data: bytes) -> None:
    try:
        vector = weights_from_bytes(data)
    except ProtocolError:
        return
    assert np.isfinite(vector).all()
    assert weights_to_bytes(vector) == data
