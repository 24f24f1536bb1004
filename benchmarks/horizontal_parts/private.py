"""The recommended private run: logistic regression on public cells, one sum a step, noise in shares."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import InProcessAggregator
from hanse.enforcement.simulation import simulated_examples
from hanse.learning import (
    Predictor,
    SecureRandom,
    Transform,
    initial_weights,
    parameter_count,
    recommend,
    recommend_honest_shares,
    recommend_private,
)
from hanse.learning.private import PrivateRun, PrivateSgdCoordinator
from hanse.learning.private_gradients import PrivateGradientContributor
from hanse.privacy import Budget, SharedPlan, make_shared_plan
from real_data import Fold, Indices

DELTA: Final = 1e-5

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Mode:
    """A way to run the same recipe.

    Attributes:
        name: For the figures.
        central: All rows in one place.
        shared: The members make up one amount of noise together, instead of each adding all of it.
    """

    name: str
    central: bool
    shared: bool


SHARED: Final = Mode("shared noise", central=False, shared=True)
CENTRAL: Final = Mode("all rows in one place", central=True, shared=False)
LOCAL: Final = Mode("every member adds all of it", central=False, shared=False)
MODES: Final = (SHARED, CENTRAL, LOCAL)


@cache
def plan(epsilon: float, steps: int, sample_rate: float, *, shared: bool) -> SharedPlan:
    """The noise of a run; the number of records is released and paid for too, and so would metrics be."""
    return make_shared_plan(
        Budget(epsilon, DELTA), steps=steps, sample_rate=sample_rate, shared=shared, histograms=1
    )


def private_scores(fold: Fold, members: Sequence[Indices], epsilon: float, mode: Mode, seed: int) -> Scores:
    """Of the test rows, after one private run in this process.

    Args:
        fold: The fold.
        members: Rows of each member.
        epsilon: Of a record, at :data:`DELTA`.
        mode: Who adds the noise.
        seed: Of coins and noise. In earnest nobody may know them; here the figures are to be the same again.
    """
    parts = [np.concatenate(members)] if mode.central else members
    transform = Transform.fit(fold.data.columns, None, 0)
    training, width = recommend("logistic", 1000, 1, None), transform.n_features
    schedule = recommend_private(sum(map(len, parts)), parameter_count(training, width), epsilon)
    planned = plan(epsilon, schedule.steps, schedule.sample_rate, shared=mode.shared)
    run = PrivateRun(
        training=training,
        n_features=width,
        schedule=schedule,
        noise_multiplier=planned.gradients.noise_multiplier,
        rows_noise_multiplier=planned.rows.noise_multiplier,
        members=len(parts),
        honest_shares=recommend_honest_shares(len(parts)) if mode.shared else 1,
    )
    weights = _trained(run, transform, fold, parts, f"{fold.data.name} {epsilon} {mode.name} {seed}")
    features = transform.apply(fold.data.rows.take(fold.test).columns)
    return Predictor(training, width, weights).scores(features).astype(np.float64)


def _trained(
    run: PrivateRun, transform: Transform, fold: Fold, parts: Sequence[Indices], name: str
) -> NDArray[np.float32]:
    contributors = {
        f"{number:02}": PrivateGradientContributor(
            run,
            simulated_examples(transform.apply(fold.data.rows.take(rows).columns), fold.labels(rows)),
            _uncharged,
            SecureRandom(hashlib.sha256(f"{name} {number}".encode()).digest()),
        )
        for number, rows in enumerate(parts)
    }
    weights = initial_weights(run.training, run.n_features, np.random.default_rng(0))
    return PrivateSgdCoordinator(InProcessAggregator(contributors), run, weights).train()


def _uncharged(kind: str) -> None:
    """The test is of the model; a ledger is in the tests."""
    del kind
