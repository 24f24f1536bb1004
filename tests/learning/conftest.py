"""Shared pieces of the learning tests."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hanse.policies import Column, Training

torch.set_num_threads(1)


def make_training(**changes: Any) -> Training:
    values = {
        "model": "logistic",
        "hidden": (),
        "rounds": 5,
        "local_steps": 10,
        "sample_rate": 0.2,
        "learning_rate": 1.0,
        "clip_norm": 2.0,
        "max_update_norm": 1000.0,
        "round_timeout_s": 60,
        "holdout_fraction": 0.2,
    }
    return Training.model_validate(values | changes)


def make_mlp(**changes: Any) -> Training:
    return make_training(**({"model": "mlp", "hidden": (8, 4)} | changes))


def numeric(name: str, *edges: float) -> Column:
    return Column(name=name, kind="numeric", classification="basic", edges=edges)


def categorical(name: str, *categories: str) -> Column:
    return Column(name=name, kind="categorical", classification="basic", categories=categories)


def make_rows(
    rng: np.random.Generator, rows: int, n_features: int = 12
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One-hot-like rows whose label depends on the features."""
    x = (rng.random((rows, n_features)) < 0.3).astype(np.float32)
    logits = x @ np.linspace(-3, 3, n_features) - 0.5
    y = (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return x, y


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
