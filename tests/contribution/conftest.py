"""Models trained in one process by two members' trainers, with and without privacy noise."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hanse.enforcement.simulation import simulated_examples
from hanse.learning import (
    LoadedModel,
    ModelManifest,
    Predictor,
    SecureRandom,
    Transform,
    add_gaussian_noise,
    count_cells,
    initial_weights,
    rare_below,
    recommend,
    roc_auc,
)
from hanse.learning.training import LocalTrainer
from hanse.policies import Column, Label, Privacy
from hanse.privacy import PrivacyPlan, make_plan

torch.set_num_threads(1)

Values = Mapping[str, NDArray[Any]]
MEMBERS = ("north", "south")


def train_model(
    columns: Sequence[Column],
    values: Values,
    labels: NDArray[np.bool_],
    kind: Literal["logistic", "mlp"] = "logistic",
    epsilon: float | None = 3.0,
    seed: int = 7,
) -> tuple[LoadedModel, PrivacyPlan | None]:
    """Trains as a run does: noisy counts, rounds of two members with half of the rows each, means by rows."""
    random = SecureRandom(seed.to_bytes(32, "big"))
    parts = [np.arange(start, len(labels), 2) for start in range(2)]
    training = recommend(kind, len(labels) / 2, 2, epsilon)
    privacy = (
        None
        if epsilon is None
        else Privacy(unit="record", adjacency="add-or-remove-one", epsilon=epsilon, delta=1e-5)
    )
    plan = None if privacy is None else make_plan(training, privacy, len(columns))
    stds = [0.0 if plan is None else plan.count_noise_std for _ in parts]
    counts = np.sum(
        [
            add_gaussian_noise(count_cells(columns, {n: v[part] for n, v in values.items()}), std, random)
            for part, std in zip(parts, stds, strict=True)
        ],
        axis=0,
    )
    transform = Transform.fit(columns, counts, rare_below(10, stds))
    features = transform.apply(values)
    noise = None if plan is None else plan.training.noise_multiplier
    trainers = [LocalTrainer(training, transform.n_features, noise, random) for _ in parts]
    weights = initial_weights(training, transform.n_features, np.random.default_rng(1))
    for number in range(1, training.rounds + 1):
        deltas = [
            trainer.run_round(
                weights,
                simulated_examples(features[part], labels[part].astype(np.float32)),
                number,
                training.local_steps,
            ).delta
            for trainer, part in zip(trainers, parts, strict=True)
        ]
        weights = weights + np.mean(deltas, axis=0, dtype=np.float32)
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
        privacy=privacy,
        epsilon={},
        members=MEMBERS,
        cell_counts=tuple(counts.tolist()) if plan else (),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return LoadedModel(manifest, Predictor(training, transform.n_features, weights), "b" * 64), plan


def permutation_importance(
    model: LoadedModel, values: Values, labels: NDArray[np.bool_], rng: np.random.Generator
) -> dict[str, float]:
    """The oracle: the area under the curve that is lost when a column of the raw rows is shuffled."""

    def auc(columns: Values) -> float:
        scores = model.predictor.scores(model.transform.apply(columns))
        return roc_auc(scores, labels.astype(np.float32)) or 0.5

    whole = auc(values)

    def lost(name: str) -> float:
        shuffled = [{**values, name: rng.permutation(values[name])} for _ in range(5)]
        return whole - float(np.mean([auc(columns) for columns in shuffled]))

    return {column.name: lost(column.name) for column in model.transform.columns}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(name="train_model", scope="session")
def _train_model() -> Callable[..., tuple[LoadedModel, PrivacyPlan | None]]:
    return train_model
