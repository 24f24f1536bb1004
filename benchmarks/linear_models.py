"""What federation costs and gives: test AUC of models over 20 members, on pooled rows, and of members alone.

No privacy budget; see README.md in this folder for what is measured and how.
"""

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from common import Figure, Options, finish, parse_options
from hanse.aggregation import InProcessAggregator
from hanse.demo.data import DemoData, Rows, load
from hanse.demo.partition import partition
from hanse.enforcement import AdmittedExamples
from hanse.enforcement.simulation import simulated_examples
from hanse.learning import (
    Predictor,
    SecureRandom,
    Transform,
    count_cells,
    initial_weights,
    roc_auc,
)
from hanse.learning.federated import recommend_federated, train
from hanse.learning.federated.update import MemberRows, UpdateContributor
from hanse.learning.preprocessing import PreprocessingContributor, fit
from hanse.learning.training import LocalTrainer
from hanse.policies import Cohort, Model, Training
from real_data import data_sets, split_column

MEMBERS: Final = 20
FOLDS: Final = 5
SETS: Final = ("bank_full", "default_credit", "adult", "telco")
ASSIGNMENTS: Final = ("by kind", "at random")
MODELS: Final[tuple[Model, ...]] = ("logistic", "mlp", "wide_and_deep")
COHORT: Final = Cohort(minimum_rows=100, minimum_members=2, suppress_below=10)
GAP: Final = 0.005
START_SEED: Final = 1


@dataclass(frozen=True)
class Fold:
    """One division of a set: the rows of each member, and test rows that nobody has."""

    data: DemoData
    members: tuple[Rows, ...]
    test: Rows


@dataclass(frozen=True)
class Areas:
    """Areas under the ROC curve on the test rows of all.

    Attributes:
        federated: Trained over the members.
        pooled: Trained on all rows in one place, by our engine or, for a logistic model, by scikit-learn if
            that is better.
        alone: Trained by each member on its own rows.
    """

    federated: float
    pooled: float
    alone: tuple[float, ...]


def folds(data: DemoData, number: NDArray[np.int64], assignment: str, count: int) -> Iterator[Fold]:
    """The folds; members hold one kind of customers each, or rows dealt at random in the same numbers."""
    for fold in range(count):
        held = replace(data, test=number == fold)
        members = tuple(member.rows for member in partition(held, MEMBERS))
        if assignment == "at random":
            everything = Rows.concatenate(*members)
            shuffled = everything.take(np.random.default_rng(fold).permutation(len(everything)))
            ends = np.cumsum([0, *map(len, members)])
            members = tuple(shuffled.take(np.arange(low, high)) for low, high in pairwise(ends))
        yield Fold(data, members, data.rows.take(number == fold))


def examples(transform: Transform, rows: Rows) -> AdmittedExamples:
    """Rows as a trainer takes them."""
    return simulated_examples(transform.apply(rows.columns), rows.labels.astype(np.float32))


def area(training: Training, transform: Transform, weights: NDArray[np.float32], test: Rows) -> float:
    """On the test rows."""
    predictor = Predictor(training, transform.n_features, weights, transform.groups)
    return roc_auc(predictor.scores(transform.apply(test.columns)), test.labels.astype(np.float32)) or 0.5


def start(training: Training, transform: Transform) -> NDArray[np.float32]:
    """The public start of a run."""
    rng = np.random.default_rng(START_SEED)
    return initial_weights(training, transform.n_features, rng, transform.groups)


def trained(fold: Fold, model: Model, transform: Transform, parts: Sequence[Rows]) -> float:
    """The recommended schedule over some members, or over one that has everything."""
    training = recommend_federated(model)
    contributors = {}
    for number, own in enumerate(parts):
        trainer = LocalTrainer(training, transform.n_features, None, SecureRandom(), transform.groups)
        contributors[f"{number:02}"] = UpdateContributor(
            training,
            trainer,
            MemberRows(examples(transform, own)),
            lambda weights: Predictor(training, transform.n_features, weights, transform.groups),
        )
    done = train(InProcessAggregator(contributors), training, start(training, transform))
    return area(training, transform, done.weights, fold.test)


def federated(fold: Fold, model: Model) -> float:
    """Preprocessing and training over the members, through sums alone."""
    columns = fold.data.dictionary.columns
    asked = InProcessAggregator(
        {f"{i:02}": PreprocessingContributor(columns, own.columns) for i, own in enumerate(fold.members)}
    )
    return trained(fold, model, fit(asked, columns, COHORT).transform, fold.members)


def one_place(fold: Fold, rows: Rows, model: Model) -> float:
    """The same on one set of rows."""
    columns = fold.data.dictionary.columns
    transform = Transform.fit(columns, count_cells(columns, rows.columns), COHORT.suppress_below)
    return trained(fold, model, transform, [rows])


def scikit(fold: Fold, rows: Rows) -> float:
    """scikit-learn's logistic regression on the same features of all rows."""
    columns = fold.data.dictionary.columns
    transform = Transform.fit(columns, count_cells(columns, rows.columns), COHORT.suppress_below)
    fitted = LogisticRegression(C=1.0, max_iter=2000).fit(transform.apply(rows.columns), rows.labels)
    scores = fitted.predict_proba(transform.apply(fold.test.columns))[:, 1]
    return roc_auc(scores, fold.test.labels.astype(np.float32)) or 0.5


def measure(fold: Fold, model: Model) -> Areas:
    """All of it on one fold."""
    everything = Rows.concatenate(*fold.members)
    pooled = one_place(fold, everything, model)
    if model == "logistic":
        pooled = max(pooled, scikit(fold, everything))
    alone = tuple(one_place(fold, own, model) for own in fold.members)
    return Areas(federated(fold, model), pooled, alone)


def figures_of(name: str, found: list[Areas], *, bars: bool) -> Iterator[Figure]:
    """Means over the folds, and the worst member of any fold."""
    bar = GAP if bars else None
    yield Figure(f"{name}: federated", statistics.mean(a.federated for a in found), "AUC")
    yield Figure(f"{name}: pooled", statistics.mean(a.pooled for a in found), "AUC")
    yield Figure(
        f"{name}: pooled minus federated", statistics.mean(a.pooled - a.federated for a in found), "AUC", bar
    )
    yield Figure(
        f"{name}: alone, mean of members", statistics.mean(statistics.mean(a.alone) for a in found), "AUC"
    )
    yield Figure(
        f"{name}: best member alone minus federated",
        max(max(a.alone) - a.federated for a in found),
        "AUC",
        bar,
    )


def all_figures(sets: Path, options: Options) -> Iterator[Figure]:
    """Every set, assignment and model; with ``--quick``, the first of each but the sets."""
    for name in SETS:
        data, number = load(sets / name), split_column(sets / name, "fold")
        for assignment in ASSIGNMENTS[:1] if options.quick else ASSIGNMENTS:
            divided = list(folds(data, number, assignment, 1 if options.quick else FOLDS))
            for model in MODELS[:1] if options.quick else MODELS:
                found = [measure(fold, model) for fold in divided]
                yield from figures_of(f"{name}, {assignment}, {model}", found, bars=model == "logistic")


def main() -> int:
    """Measures, prints, and returns the exit code."""
    torch.set_num_threads(1)
    options = parse_options(__doc__ or "")
    sets = data_sets()
    figures = list(all_figures(sets, options)) if sets else []
    return finish("Models over 20 members, no privacy budget", figures, options)


if __name__ == "__main__":
    sys.exit(main())
