"""The closed form, the simulation and the noise floor, on models whose answer is known."""

from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hanse.learning import (
    LoadedModel,
    ModelManifest,
    Predictor,
    Transform,
    contributions,
    n_cells,
    parameter_count,
    recommend,
)
from hanse.learning.contribution import cell_marginals
from hanse.policies import Column, Label, Privacy

COLUMNS = (
    Column(name="job", kind="categorical", classification="basic", categories=("a", "b")),
    Column(name="age", kind="numeric", classification="basic", edges=(30.0,)),
)
PRIVACY = Privacy(unit="record", adjacency="add-or-remove-one", epsilon=3.0, delta=1e-5)
CELLS = sum(n_cells(column) for column in COLUMNS)


def make_model(
    weights: Any, counts: tuple[float, ...] = (), kind: Literal["logistic", "mlp"] = "logistic"
) -> LoadedModel:
    transform = Transform.fit(COLUMNS, None, 0)
    training = recommend(kind, 1000, 2, 3.0)
    manifest = ModelManifest(
        name="propensity",
        version=1,
        agreement_digest="a" * 64,
        run="run-1",
        purpose="joint_modelling.propensity",
        label=Label(name="bought", positive="yes"),
        transform=transform,
        training=training,
        metrics={},
        privacy=PRIVACY,
        epsilon={},
        members=("north", "south"),
        cell_counts=counts,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    flat = np.asarray(weights, dtype=np.float32)
    return LoadedModel(manifest, Predictor(training, transform.n_features, flat), "b" * 64)


def test_logistic_contribution_is_the_variance_of_the_weights_over_the_cells() -> None:
    # job: a +1, b -1, other 0; age: no effect; counts make a and b equally frequent.
    model = make_model([1, -1, 0, 2, 2, 2, 0.5], (500, 500, 0, 300, 700, 0))
    job, age = contributions(model, np.random.default_rng(1))
    assert (job.variance, job.share) == pytest.approx((1.0, 1.0))
    assert (age.variance, age.share) == pytest.approx((0.0, 0.0))
    assert age.negligible
    assert not job.negligible


def test_rare_cells_count_for_little() -> None:
    weights = [1, -1, 0, 0, 0, 0, 0]
    often = contributions(make_model(weights, (500, 500, 0, 1, 1, 1)), np.random.default_rng(1))
    seldom = contributions(make_model(weights, (999, 1, 0, 1, 1, 1)), np.random.default_rng(1))
    assert seldom[0].variance < 0.01 * often[0].variance


def test_without_counts_every_cell_is_as_frequent() -> None:
    marginals = cell_marginals(Transform.fit(COLUMNS, None, 0), ())
    assert [shares.tolist() for shares in marginals] == [[1 / 3] * 3, [1 / 3] * 3]
    assert all(item.noise == 0 for item in contributions(make_model([1.0] * 7), np.random.default_rng(1)))


def test_a_model_that_says_the_same_of_everybody_gives_every_column_nothing() -> None:
    measured = contributions(make_model([0.0] * 7, (500.0,) * CELLS), np.random.default_rng(1))
    assert [(item.share, item.negligible) for item in measured] == [(0.0, True), (0.0, True)]


def test_noise_floor_grows_with_privacy_noise_and_falls_with_rows() -> None:
    def floor(rows: float, noise: float) -> float:
        model = make_model([1, -1, 0, 0, 0, 0, 0], (rows / 2, rows / 2, 0, rows / 2, rows / 2, 0))
        return contributions(model, np.random.default_rng(1), noise)[0].noise

    assert floor(1000, 0) > floor(10_000, 0) > 0
    assert floor(1000, 2.0) > floor(1000, 1.0) > floor(1000, 0)


def test_simulation_is_repeatable_and_close_to_the_closed_form() -> None:
    """A network in its linear range is a logistic model: tanh(x / 100) * 100 is almost x."""
    training = recommend("mlp", 1000, 2, 3.0)
    flat = np.zeros(parameter_count(training, CELLS), dtype=np.float32)
    linear = np.array([1, -1, 0, 0.5, -0.5, 0], dtype=np.float32)
    flat[:CELLS] = linear / 100
    flat[-training.hidden[0] - 1] = 100.0
    counts = (400, 400, 200, 500, 400, 100)
    simulated = contributions(make_model(flat, counts, "mlp"), np.random.default_rng(3))
    exact = contributions(make_model([*linear, 0], counts), np.random.default_rng(3))
    assert [s.variance for s in simulated] == pytest.approx([e.variance for e in exact], rel=0.1)
    assert simulated == contributions(make_model(flat, counts, "mlp"), np.random.default_rng(3))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-5, 5, width=32), min_size=7, max_size=7),
    st.lists(st.floats(-100, 1000), min_size=CELLS, max_size=CELLS),
)
def test_shares_are_shares(weights: list[float], counts: list[float]) -> None:
    measured = contributions(make_model(weights, tuple(counts)), np.random.default_rng(1), 1.0)
    assert all(0 <= item.share <= 1 and item.variance >= 0 and item.noise >= 0 for item in measured)
    assert sum(item.share for item in measured) == pytest.approx(1.0) or not sum(i.variance for i in measured)


@pytest.mark.parametrize("change", [{"cell_counts": (1.0,)}, {"privacy": None}], ids=["length", "exact"])
def test_a_manifest_keeps_all_counts_and_only_noisy_ones(change: dict[str, Any]) -> None:
    manifest = make_model([1.0] * 7, (5.0,) * CELLS).manifest
    with pytest.raises(ValidationError):
        ModelManifest(**(dict(manifest) | change))
