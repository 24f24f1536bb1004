"""Logistic models and networks without a privacy budget, as the product trains them, and scikit-learn's."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from hanse.aggregation import Aggregator, InProcessAggregator
from hanse.enforcement.simulation import simulated_examples
from hanse.learning import Predictor, SecureRandom, Transform, count_cells, initial_weights
from hanse.learning.federated import recommend_federated, train
from hanse.learning.federated.update import MemberRows, UpdateContributor
from hanse.learning.preprocessing import PreprocessingContributor, fit
from hanse.learning.training import LocalTrainer
from hanse.policies import Cohort, Model
from real_data import Fold, Indices

COHORT: Final = Cohort(minimum_rows=100, minimum_members=2, suppress_below=10)
START_SEED: Final = 1

Scores = NDArray[np.float64]


class LinearArm:
    """One model of the product on one fold.

    Args:
        fold: The fold.
        model: Which; of a logistic one the rival is scikit-learn's.
    """

    def __init__(self, fold: Fold, model: Model = "logistic") -> None:
        self._fold = fold
        self._training = recommend_federated(model)

    @property
    def pooled(self) -> Scores:
        """Of the schedule on all rows in one place."""
        return self._pooled

    @cached_property
    def _pooled(self) -> Scores:
        return self._one_place(self._fold.train)

    @property
    def rivals(self) -> Mapping[str, Scores]:
        """Of other software on all rows."""
        return self._rivals

    @cached_property
    def _rivals(self) -> Mapping[str, Scores]:
        if self._training.model != "logistic":
            return {}
        return {"scikit-learn": self._scikit(self._fold.train)}

    def federated(self, members: Sequence[Indices]) -> Scores:
        """Preprocessing and training over the members, through sums alone."""
        return self._trained(self.fit(members), members)

    def fit(self, members: Sequence[Indices]) -> Transform:
        """The preprocessing, from sums over the members."""
        columns = self._fold.data.columns
        asked = {
            f"{i:02}": PreprocessingContributor(columns, self._fold.data.rows.take(rows).columns)
            for i, rows in enumerate(members)
        }
        return fit(InProcessAggregator(asked), columns, COHORT).transform

    def alone(self, rows: Indices) -> list[Scores]:
        """Of one member's own models: by the same schedule and, if there is one, by the rival."""
        own = [self._one_place(rows)]
        return [*own, self._scikit(rows)] if self._training.model == "logistic" else own

    def _one_place(self, rows: Indices) -> Scores:
        return self._trained(self._fitted(rows), [rows])

    def _fitted(self, rows: Indices) -> Transform:
        columns = self._fold.data.columns
        counts = count_cells(columns, self._fold.data.rows.take(rows).columns)
        return Transform.fit(columns, counts, COHORT.suppress_below)

    def _trained(self, transform: Transform, members: Sequence[Indices]) -> Scores:
        contributors = {f"{i:02}": self.contributor(transform, rows) for i, rows in enumerate(members)}
        return self.conduct(transform, InProcessAggregator(contributors))

    def contributor(self, transform: Transform, rows: Indices) -> UpdateContributor:
        """A member's half of the training."""
        training, fold = self._training, self._fold
        examples = simulated_examples(transform.apply(fold.data.rows.take(rows).columns), fold.labels(rows))
        trainer = LocalTrainer(training, transform.n_features, None, SecureRandom(), transform.groups)
        return UpdateContributor(
            training, trainer, MemberRows(examples), lambda weights: self._predictor(transform, weights)
        )

    def conduct(self, transform: Transform, aggregator: Aggregator) -> Scores:
        """The coordinator's half, and scores of the test rows."""
        training, fold = self._training, self._fold
        start = initial_weights(
            training, transform.n_features, np.random.default_rng(START_SEED), transform.groups
        )
        weights = train(aggregator, training, start).weights
        features = transform.apply(fold.data.rows.take(fold.test).columns)
        return self._predictor(transform, weights).scores(features).astype(np.float64)

    def _predictor(self, transform: Transform, weights: NDArray[np.float32]) -> Predictor:
        return Predictor(self._training, transform.n_features, weights, transform.groups)

    def _scikit(self, rows: Indices) -> Scores:
        """On the same features, with its usual regularisation."""
        fold, transform = self._fold, self._fitted(rows)
        features = transform.apply(fold.data.rows.take(rows).columns)
        fitted = LogisticRegression(C=1.0, max_iter=2000).fit(features, fold.labels(rows))
        found: Scores = fitted.decision_function(transform.apply(fold.data.rows.take(fold.test).columns))
        return found
