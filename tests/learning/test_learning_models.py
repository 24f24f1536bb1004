"""The numpy predictor is the torch model, and weights that do not fit go nowhere."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.learning.conftest import make_mlp, make_rows, make_training
from torch import nn

from hanse.errors import ProtocolError, ServingError
from hanse.learning import Predictor, initial_weights, layer_shapes, parameter_count
from hanse.learning.models import WideAndDeep, build, get_flat, set_flat
from hanse.learning.shapes import check_weights
from hanse.policies import Training

GROUPS = ((0, 2), (3,))
SCALE = {"points": 600, "odds": 50.0, "doubling": 20}
TARGETS = (
    {"name": "churned", "kind": "label", "positive": "1"},
    {"name": "spent", "kind": "amount", "bound": 90.0},
)


def make_wide(**changes: Any) -> Training:
    return make_mlp(**({"model": "wide_and_deep", "embedding": 3} | changes))


trainings = st.one_of(
    st.builds(make_training),
    st.builds(make_wide),
    st.builds(lambda: make_wide(targets=TARGETS)),
    st.builds(lambda: make_training(targets=TARGETS)),
    st.builds(
        lambda hidden: make_mlp(hidden=tuple(hidden)), st.lists(st.integers(1, 9), min_size=1, max_size=3)
    ),
)


@given(trainings, st.integers(4, 20), st.integers(0, 2**32 - 1), st.floats(0.01, 100))
@settings(deadline=None, max_examples=40)
def test_predictor_equals_torch(training: Training, n_features: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    flat = rng.normal(0, scale, parameter_count(training, n_features, GROUPS)).astype(np.float32)
    x = rng.normal(0, 1, (15, n_features)).astype(np.float32)
    model = build(training, n_features, GROUPS).double()
    nn.utils.vector_to_parameters(torch.from_numpy(flat.astype(np.float64)), model.parameters())
    with torch.no_grad():
        expected = torch.sigmoid(model(torch.from_numpy(x.astype(np.float64)))).numpy()
    predictor = Predictor(training, n_features, flat, GROUPS)
    scores = predictor.scores(x)
    assert np.abs(scores - expected[:, 0]).max() <= 1e-9
    assert ((scores >= 0) & (scores <= 1)).all()
    if training.targets:
        also = predictor.targets(x)
        assert np.abs(also["churned"] - expected[:, 1]).max() <= 1e-9
        assert np.abs(also["spent"] - 90 * expected[:, 2] * expected[:, 3]).max() <= 1e-6


@pytest.mark.parametrize("training", [make_training(), make_mlp()])
def test_predictor_equals_torch_in_single_precision(training: Training, rng: np.random.Generator) -> None:
    flat = rng.normal(0, 0.5, parameter_count(training, 12)).astype(np.float32)
    x, _ = make_rows(rng, 500)
    model = build(training, 12)
    set_flat(model, flat)
    with torch.no_grad():
        expected = torch.sigmoid(model(torch.from_numpy(x)))[:, 0].numpy()
    assert np.abs(Predictor(training, 12, flat).scores(x) - expected).max() <= 1e-6


@pytest.mark.parametrize("training", [make_training(), make_mlp()])
def test_flat_vectors_go_in_and_out_unchanged(training: Training, rng: np.random.Generator) -> None:
    model = build(training, 5)
    assert not get_flat(model).any()
    flat = rng.normal(size=parameter_count(training, 5)).astype(np.float32)
    flat.setflags(write=False)
    set_flat(model, flat)
    assert (get_flat(model) == flat).all()
    next(model.parameters()).data += 1
    assert (get_flat(model) != flat).any()


def test_models_hold_only_layers_that_keep_records_apart() -> None:
    for training in (make_training(), make_mlp(), make_wide()):
        kinds = {type(module) for module in build(training, 4, GROUPS).modules()}
        assert kinds <= {nn.Sequential, nn.Linear, nn.Tanh, nn.ModuleList, WideAndDeep}
        assert not list(build(training, 4, GROUPS).buffers())


def test_layers_run_from_features_to_one_logit() -> None:
    assert layer_shapes(make_training(), 7) == ((1, 7),)
    assert layer_shapes(make_mlp(), 7) == ((8, 7), (4, 8), (1, 4))
    assert parameter_count(make_mlp(), 7) == 8 * 8 + 4 * 9 + 5
    # Four plain features and two embeddings of three; tables for two cells and one; the wide part.
    assert layer_shapes(make_wide(), 7, GROUPS) == ((8, 10), (4, 8), (1, 4))
    assert parameter_count(make_wide(), 7, GROUPS) == 8 * 11 + 4 * 9 + 5 + 3 * 3 + 7
    assert layer_shapes(make_training(targets=TARGETS), 7) == ((4, 7),)


def test_initial_weights_are_zero_or_of_unit_fan_in_and_public() -> None:
    rng = np.random.default_rng
    assert not initial_weights(make_training(), 9, rng(1)).any()
    wide = make_mlp(hidden=(400,))
    weights = initial_weights(wide, 100, rng(1))
    assert weights[: 400 * 100].std() == pytest.approx(0.1, rel=0.02)
    assert not weights[400 * 100 : 400 * 101].any()
    assert (weights == initial_weights(wide, 100, rng(1))).all()
    assert (weights != initial_weights(wide, 100, rng(2))).any()


@pytest.mark.parametrize("flat", [np.zeros(4), np.array([0, np.nan, 0]), np.full(3, np.inf), np.full(3, 2e4)])
def test_weights_that_do_not_fit_are_refused(flat: NDArray[np.float64]) -> None:
    with pytest.raises(ProtocolError):
        check_weights(make_training(), 2, flat.astype(np.float32), 1e4)


def test_predictor_refuses_what_does_not_fit() -> None:
    for flat in (np.zeros(4, np.float32), np.full(3, np.nan, np.float32)):
        with pytest.raises(ServingError) as caught:
            Predictor(make_training(), 2, flat)
        assert caught.value.code == "model.invalid"
    predictor = Predictor(make_training(), 2, np.zeros(3, np.float32))
    assert predictor.n_features == 2
    for x in (np.zeros((4, 3), np.float32), np.zeros(2, np.float32)):
        with pytest.raises(ServingError) as caught:
            predictor.scores(x)
        assert caught.value.code == "scoring.bad-input"


def test_a_vector_of_another_length_is_not_loaded() -> None:
    with pytest.raises(ProtocolError):
        set_flat(build(make_training(), 2), np.zeros(4, np.float32))


def test_what_a_scorer_needs_loads_no_torch() -> None:
    code = "import sys, hanse.learning; sys.exit('torch' in sys.modules or 'opacus' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
