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
from typing_extensions import override

from hanse.errors import TrainingError
from hanse.learning import SecureRandom, initial_weights
from hanse.learning.clipping import ClosedFormClipper, has_closed_form
from hanse.learning.dpsgd import Clipper, PrivateSgd, clipped_gradient
from hanse.learning.ghost import GhostClipper
from hanse.learning.models import build, get_flat, set_flat
from hanse.learning.plain_sgd import PlainSgd
from hanse.learning.shapes import MAX_WEIGHT
from hanse.learning.training import MAX_FEATURE
from hanse.policies import Training

GROUPS = ((0, 1), (4, 5))
WIDE = make_training(model="wide_and_deep", hidden=(5,), embedding=2)
MODELS = [make_training(), make_mlp(), WIDE]
Rows = NDArray[np.float32]


def clipped_sum(
    training: Training,
    weights: Rows,
    x: Rows,
    y: Rows,
    clip_norm: float,
    clipper: type[Clipper] = ClosedFormClipper,
) -> NDArray[np.float64]:
    """Sum of clipped gradients, without noise."""
    model = build(training, x.shape[1], GROUPS)
    set_flat(model, weights)
    assert has_closed_form(model)
    return clipped_gradient(clipper(model, clip_norm), torch.from_numpy(x), torch.from_numpy(y))


def noised_step(training: Training, weights: Rows, noise_multiplier: float, clip_norm: float) -> Rows:
    """How far one step of size one, on no record, moves the weights."""
    model = build(training, 100)
    set_flat(model, weights)
    sgd = PrivateSgd(model, noise_multiplier=noise_multiplier, clip_norm=clip_norm, random=SecureRandom())
    sgd.step(np.zeros((0, 100), np.float32), np.zeros(0, np.float32), expected_rows=1.0, learning_rate=1.0)
    return get_flat(model) - weights


def reference_sum(training: Training, weights: Rows, x: Rows, y: Rows, clip_norm: float) -> Rows:
    """The same from Opacus' per-record gradients (hooks), clipped here."""
    model = build(training, x.shape[1], GROUPS)
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
@pytest.mark.parametrize("clipper", [ClosedFormClipper, GhostClipper])
def test_clipped_sums_equal_per_record_gradients(
    training: Training, clip_norm: float, clipper: type[Clipper], rng: np.random.Generator
) -> None:
    x, y = make_rows(rng, 200)
    weights = initial_weights(training, 12, rng, GROUPS) + rng.normal(0, 0.3, 1).astype(np.float32)
    expected = reference_sum(training, weights, x, y, clip_norm)
    found = clipped_sum(training, weights, x, y, clip_norm, clipper)
    assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


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
    weights = initial_weights(training, 6, rng, GROUPS)
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
    weights = np.zeros(initial_weights(training, 100, rng).size, np.float32)
    one, two = (noised_step(training, weights, 6.0, 0.5) for _ in range(2))
    assert one.std() == pytest.approx(3.0, rel=0.03)
    assert one.mean() == pytest.approx(0.0, abs=0.1)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05


@pytest.mark.parametrize("clipper", [ClosedFormClipper, GhostClipper])
def test_an_empty_batch_has_no_gradient(clipper: type[Clipper], rng: np.random.Generator) -> None:
    x, y = np.zeros((0, 12), np.float32), np.zeros(0, np.float32)
    for training in MODELS:
        weights = initial_weights(training, 12, rng, GROUPS)
        assert not clipped_sum(training, weights, x, y, 1.0, clipper).any()


def test_the_divisor_is_the_expected_batch_not_the_drawn_one(rng: np.random.Generator) -> None:
    training = make_training()
    x, y = make_rows(rng, 40)
    zeros = np.zeros(13, np.float32)
    for sgd_class in (
        PlainSgd,
        lambda model: PrivateSgd(model, noise_multiplier=1e-3, clip_norm=100.0, random=SecureRandom()),
    ):
        model = build(training, 12)
        sgd_class(model).step(x, y, expected_rows=80.0, learning_rate=2.0)
        expected = 2.0 / 80.0 * reference_sum(training, zeros, x, y, 100.0)
        assert -get_flat(model) == pytest.approx(expected, abs=0.02)


def test_only_models_in_which_records_do_not_meet_have_a_closed_form() -> None:
    layers = (nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    assert has_closed_form(nn.Sequential(*layers))
    assert has_closed_form(nn.Sequential(nn.Embedding(9, 3), nn.ReLU()))
    batch = nn.BatchNorm1d(3, affine=False, track_running_stats=False)
    for wrong in (
        batch,
        nn.LayerNorm(3),
        nn.Conv1d(3, 3, 1),
        nn.Embedding(9, 3, padding_idx=0),
        nn.Dropout(),
    ):
        assert not has_closed_form(nn.Sequential(layers[0], wrong))
    tied = nn.Sequential(layers[0], nn.Linear(3, 3))
    tied[1].weight = layers[0].weight
    assert not has_closed_form(tied)


class Twice(nn.Module):
    """Uses one layer twice; claims to be one of the product's modules."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    @override
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.layer(x))  # type: ignore[no-any-return]


def test_a_layer_that_sees_a_record_twice_is_refused() -> None:
    for model, inputs in ((Twice(), torch.zeros(2, 3)), (Stack(nn.Linear(3, 1)), torch.zeros(2, 4, 3))):
        clipper = ClosedFormClipper(model, 1.0)
        with pytest.raises(TrainingError) as caught:
            clipper.clipped_sum(inputs, torch.ones_like)
        assert caught.value.code == "run.unsupported-model"


class Stack(nn.Module):
    """One module that is no ``nn.Sequential``, so that torch differentiates it."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.modules_ = nn.Sequential(*modules)

    @override
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.modules_(x)  # type: ignore[no-any-return]


def test_words_that_a_record_has_twice_are_added_before_they_are_measured() -> None:
    table, head = nn.Embedding(6, 4), nn.Linear(4, 1)
    words = torch.tensor([[1, 1, 2], [0, 3, 4], [5, 5, 5]])

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = table, head

        @override
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.table(x).sum(1)))  # type: ignore[no-any-return]

    model = Mean()
    found = ClosedFormClipper(model, 0.3).clipped_sum(words, torch.ones_like)
    expected = torch.zeros_like(found)
    for record in words:
        gradients = torch.autograd.grad(model(record[None]).sum(), list(model.parameters()))
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        expected += flat * min(1.0, 0.3 / float(flat.norm()))
    assert torch.allclose(found, expected, atol=1e-6)
