"""What an agreement means to kinds of models that are no trees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.client.vertical.records import CommonRows
from hanse.learning.vertical.recipe import STEPS, VerticalModel, recommend_vertical
from hanse.learning.vertical.runs.terms import last_of_order


@given(st.integers(2, 5000), st.floats(0.001, 0.5))
def test_the_last_of_the_common_order_are_held_out(rows: int, fraction: float) -> None:
    held_out = last_of_order(rows, fraction)
    assert np.array_equal(held_out, np.sort(held_out))
    assert 1 <= held_out.sum() < rows
    assert abs(held_out.sum() - rows * fraction) <= 1


def test_of_one_person_nobody_is_held_out() -> None:
    assert last_of_order(1, 0.3).tolist() == [False]


def test_people_are_divided_with_all_that_is_known_of_them() -> None:
    nobody = np.zeros(4, np.bool_)
    rows = CommonRows({"age": np.arange(4.0)}, np.array([0, 1, 0, 1], np.float32), nobody)
    divided = rows.holding_out(last_of_order(4, 0.25))
    assert divided.of(divided.held_out).columns["age"].tolist() == [3.0]
    assert divided.of(~divided.held_out).labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("model", STEPS)
def test_every_kind_has_a_recipe(model: VerticalModel) -> None:
    training = recommend_vertical(model)
    assert (training.model, training.rounds, training.local_steps) == (model, 1, STEPS[model])
    assert recommend_vertical(model, 7).local_steps == 7
