"""One private step: clipping against a reference, sensitivity against adversaries, noise as stated."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from opacus import GradSampleModule
from tests.learning.conftest import make_mlp, make_rows, make_training
from torch import nn

from hanse.learning import SecureRandom, initial_weights
from hanse.learning.dpsgd import PrivateSgd
from hanse.learning.models import build, get_flat, set_flat
from hanse.learning.plain_sgd import PlainSgd
from hanse.learning.training import MAX_FEATURE, MAX_WEIGHT
from hanse.policies import Training

MODELS = [make_training(), make_mlp()]
Rows = NDArray[np.float32]


def clipped_sum(
    training: Training, weights: Rows, x: Rows, y: Rows, clip_norm: float, noise_multiplier: float = 0.0
) -> NDArray[np.float64]:
    """Sum of clipped gradients (and noise) that a step of size one moves the weights by."""
    model = build(training, x.shape[1])
    set_flat(model, weights)
    sgd = PrivateSgd(model, noise_multiplier=noise_multiplier, clip_norm=clip_norm, random=SecureRandom())
    sgd.step(x, y, expected_rows=1.0, learning_rate=1.0)
    return (weights.astype(np.float64) - get_flat(model)).astype(np.float64)


def reference_sum(training: Training, weights: Rows, x: Rows, y: Rows, clip_norm: float) -> Rows:
    """The same from Opacus' per-record gradients (hooks), clipped here."""
    model = build(training, x.shape[1])
    set_flat(model, weights)
    wrapped = GradSampleModule(model, loss_reduction="sum")
    loss = nn.BCEWithLogitsLoss(reduction="sum")(
        wrapped(torch.from_numpy(x).requires_grad_())[:, 0], torch.from_numpy(y)
    )
    loss.backward()
    per_record = [getattr(parameter, "grad_sample").flatten(1) for parameter in model.parameters()]  # noqa: B009 - Opacus adds it
    gradients = torch.cat(per_record, dim=1)
    factors = (clip_norm / gradients.norm(dim=1)).clamp(max=1)
    result: Rows = (factors[:, None] * gradients).sum(0).numpy()
    return result


@pytest.mark.parametrize("training", MODELS)
@pytest.mark.parametrize("clip_norm", [0.05, 0.8, 100.0])
def test_clipped_sums_equal_per_record_gradients(
    training: Training, clip_norm: float, rng: np.random.Generator
) -> None:
    x, y = make_rows(rng, 200)
    weights = initial_weights(training, 12, rng) + rng.normal(0, 0.3, 1).astype(np.float32)
    expected = reference_sum(training, weights, x, y, clip_norm)
    assert np.abs(clipped_sum(training, weights, x, y, clip_norm) - expected).max() <= 1e-5 * max(
        1.0, np.abs(expected).max()
    )


adversarial = st.one_of(
    st.floats(-MAX_FEATURE, MAX_FEATURE, width=32),
    st.sampled_from([0.0, MAX_FEATURE, -MAX_FEATURE, 1e-30]),
)


@given(
    st.sampled_from(MODELS),
    st.lists(adversarial, min_size=6, max_size=6),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from([0.0, 0.1, 3.0, 100.0, MAX_WEIGHT]),
    st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_one_record_moves_the_sum_by_no_more_than_the_clipping_norm(
    training: Training, record: list[float], label: float, scale: float, others: int
) -> None:
    rng = np.random.default_rng(others)
    weights = initial_weights(training, 6, rng)
    weights = np.clip(rng.uniform(-1, 1, weights.size) * scale, -MAX_WEIGHT, MAX_WEIGHT).astype(np.float32)
    x, y = make_rows(rng, others, 6)
    with_record = clipped_sum(
        training, weights, np.vstack([x, [record]]).astype(np.float32), np.append(y, np.float32(label)), 2.0
    )
    moved = np.linalg.norm(with_record - clipped_sum(training, weights, x, y, 2.0))
    # float32 weights of size s round every step to about s * 2^-24 per coordinate.
    assert moved <= 2.0 * (1 + 1e-5) + np.sqrt(weights.size) * float(np.abs(weights).max()) * 2.0**-22


def test_a_record_whose_gradient_overflows_has_none(rng: np.random.Generator) -> None:
    # Seven layers at the largest weights: the gradient at the first is beyond float32.
    training = make_mlp(hidden=(300,) * 7)
    weights = np.full(initial_weights(training, 3, rng).size, MAX_WEIGHT, dtype=np.float32)
    rows = np.full((2, 3), MAX_FEATURE, dtype=np.float32)
    moved = clipped_sum(training, weights, rows, np.zeros(2, np.float32), 2.0)
    assert np.isfinite(moved).all()


def test_noise_has_the_stated_deviation_and_is_never_the_same(rng: np.random.Generator) -> None:
    training = make_mlp(hidden=(64, 64))
    weights = initial_weights(training, 100, rng)
    x, y = np.zeros((0, 100), np.float32), np.zeros(0, np.float32)
    one, two = (clipped_sum(training, weights, x, y, 0.5, noise_multiplier=6.0) for _ in range(2))
    assert one.std() == pytest.approx(3.0, rel=0.02)
    assert one.mean() == pytest.approx(0.0, abs=0.1)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05


def test_an_empty_batch_is_pure_noise_and_no_noise_is_no_step(rng: np.random.Generator) -> None:
    x, y = np.zeros((0, 12), np.float32), np.zeros(0, np.float32)
    for training in MODELS:
        weights = initial_weights(training, 12, rng)
        assert not clipped_sum(training, weights, x, y, 1.0).any()


def test_the_divisor_is_the_expected_batch_not_the_drawn_one(rng: np.random.Generator) -> None:
    training = make_training()
    x, y = make_rows(rng, 40)
    zeros = np.zeros(13, np.float32)
    for sgd_class in (
        PlainSgd,
        lambda model: PrivateSgd(model, noise_multiplier=0.0, clip_norm=1e6, random=SecureRandom()),
    ):
        model = build(training, 12)
        sgd_class(model).step(x, y, expected_rows=80.0, learning_rate=2.0)
        expected = 2.0 / 80.0 * reference_sum(training, zeros, x, y, 1e6)
        assert -get_flat(model) == pytest.approx(expected, abs=1e-6)
