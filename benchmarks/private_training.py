"""What privacy costs: test AUC of the recommended private run, over members, centrally, and without a sum.

Ten members, record level, delta 1e-5; see README.md in this folder for what is measured and how.
"""

import math
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from common import Figure, Options, finish, parse_options
from hanse.aggregation import InProcessAggregator
from hanse.demo.data import DemoData, Rows, load
from hanse.demo.partition import partition
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
    roc_auc,
)
from hanse.learning.private import PrivateGradientContributor, PrivateRun, PrivateSgdCoordinator
from hanse.privacy import Budget, SharedPlan, make_shared_plan
from real_data import data_sets, split_column

DELTA: Final = 1e-5
MEMBERS: Final = 10
SEEDS: Final = 5
CENTRAL_GAP: Final = 0.002
BARS: Final = {
    (1.0, "adult"): 0.911,
    (1.0, "bank_full"): 0.774,
    (1.0, "default_credit"): 0.767,
    (3.0, "adult"): 0.912,
    (3.0, "bank_full"): 0.777,
    (3.0, "default_credit"): 0.772,
}
EPSILONS: Final = (1.0, 3.0)
SETS: Final = ("adult", "bank_full", "default_credit")
QUICK: Final = ("adult", "bank_full")
QUICK_ROOM: Final = 0.005
"""One fold differs from another by as much."""


@dataclass(frozen=True)
class Fold:
    """One division of a set into members and test rows.

    Attributes:
        transform: One-hot over the public cells of the dictionary, all of them.
        members: Rows of each member.
        test: Rows of nobody.
    """

    transform: Transform
    members: tuple[Rows, ...]
    test: Rows


@dataclass(frozen=True)
class Mode:
    """A way to run the same recipe."""

    name: str
    central: bool
    shared: bool


SHARED: Final = Mode("shared noise", central=False, shared=True)
CENTRAL: Final = Mode("all rows in one place", central=True, shared=False)
LOCAL: Final = Mode("every member adds all of it", central=False, shared=False)


def folds(data: DemoData, number: NDArray[np.int64], seeds: int) -> Iterator[Fold]:
    """A fold for each seed; the members have the rows of other folds, by the natural key of the set."""
    transform = Transform.fit(data.dictionary.columns, None, 0)
    for seed in range(seeds):
        held = replace(data, test=number == seed)
        parts = tuple(member.rows for member in partition(held, MEMBERS))
        yield Fold(transform, parts, data.rows.take(number == seed))


@cache
def plan(epsilon: float, steps: int, sample_rate: float, *, shared: bool) -> SharedPlan:
    """The noise of a run; the number of records is released and paid for too, and so would metrics be."""
    return make_shared_plan(
        Budget(epsilon, DELTA), steps=steps, sample_rate=sample_rate, shared=shared, histograms=1
    )


def auc(fold: Fold, epsilon: float, mode: Mode) -> float:
    """Area under the ROC curve on the test rows of one private run."""
    parts = (Rows.concatenate(*fold.members),) if mode.central else fold.members
    training, width = recommend("logistic", 1000, 1, None), fold.transform.n_features
    size = parameter_count(training, width)
    schedule = recommend_private(sum(map(len, parts)), size, epsilon)
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
    weights = trained(run, fold.transform, parts)
    scores = Predictor(training, width, weights).scores(fold.transform.apply(fold.test.columns))
    return roc_auc(scores, fold.test.labels.astype(np.float32)) or math.nan


def trained(run: PrivateRun, transform: Transform, parts: tuple[Rows, ...]) -> NDArray[np.float32]:
    """The weights of one run, in this process: each member with its own coins and noise."""
    contributors = {
        f"member-{number}": PrivateGradientContributor(
            run,
            simulated_examples(transform.apply(rows.columns), rows.labels.astype(np.float32)),
            uncharged,
            SecureRandom(),
        )
        for number, rows in enumerate(parts)
    }
    weights = initial_weights(run.training, run.n_features, np.random.default_rng(0))
    return PrivateSgdCoordinator(InProcessAggregator(contributors), run, weights).train()


def uncharged(kind: str) -> None:
    """The test is of the model; a ledger is in the tests."""
    del kind


def figures(sets: Path, options: Options) -> Iterator[Figure]:
    """Mean and spread of every set, epsilon and mode."""
    seeds = 1 if options.quick else SEEDS
    for name in QUICK if options.quick else SETS:
        data = load(sets / name)
        number = split_column(sets / name, "fold")
        made = list(folds(data, number, seeds))
        for epsilon in EPSILONS[: 1 if options.quick else None]:
            areas = {mode: [auc(fold, epsilon, mode) for fold in made] for mode in (SHARED, CENTRAL, LOCAL)}
            label = f"{name}, epsilon {epsilon:g}"
            mean = {mode: statistics.fmean(values) for mode, values in areas.items()}
            yield Figure(
                f"{label}: {SHARED.name}",
                mean[SHARED],
                "AUC",
                floor=BARS[epsilon, name] - (QUICK_ROOM if options.quick else 0.0),
            )
            yield Figure(
                f"{label}: less than {CENTRAL.name} by", mean[CENTRAL] - mean[SHARED], "AUC", CENTRAL_GAP
            )
            yield Figure(f"{label}: {CENTRAL.name}", mean[CENTRAL], "AUC")
            yield Figure(f"{label}: {LOCAL.name}", mean[LOCAL], "AUC")
            if seeds > 1:
                yield Figure(f"{label}: spread over folds", statistics.stdev(areas[SHARED]), "AUC")
                yield Figure(f"{label}: spread of the noise", paired_spread(areas), "AUC")


def paired_spread(areas: dict[Mode, list[float]]) -> float:
    """Standard deviation of one run about another with the same test rows."""
    apart = [one - other for one, other in zip(areas[SHARED], areas[CENTRAL], strict=True)]
    return statistics.stdev(apart) / 2**0.5


def main() -> int:
    """Measures, prints, and says whether a bar was missed."""
    options = parse_options(__doc__ or "")
    sets = data_sets()
    torch.set_num_threads(1)
    return finish("Private training", list(figures(sets, options)) if sets else [], options)


if __name__ == "__main__":
    sys.exit(main())
