"""What the federated model is compared with, and how good each model is exactly. Demo only.

* *Alone*: every member by itself, on its own rows, under the same budget: its own noisy cell counts, its own
DP-SGD,
  and the learning rate that the recipe gives to one member of its size.
* *Pooled*: the same model on all rows in one place, without noise.
* *Federated without privacy*: the rounds of the run in one process, without noise; it shows what dividing the
rows
  costs when nothing else does.

All of them are judged on test rows that no member has. In a real collaboration nobody could compute these
figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import InProcessAggregator
from hanse.demo.data import Rows
from hanse.demo.partition import MemberData
from hanse.demo.results import MemberQuality, QualityFacts
from hanse.enforcement import AdmittedExamples
from hanse.enforcement.simulation import simulated_examples
from hanse.errors import TrainingError
from hanse.learning import (
    Predictor,
    Predicts,
    Recommended,
    SecureRandom,
    Transform,
    Update,
    add_gaussian_noise,
    aggregate,
    auc_standard_error,
    count_cells,
    initial_weights,
    rare_below,
    recommend,
    recommend_shared,
    roc_auc,
)
from hanse.learning.boosting import (
    BoostingContributor,
    BoostingCoordinator,
    TreeColumns,
    TreesPredictor,
    agreed_settings,
)
from hanse.learning.training import LocalTrainer, train_alone
from hanse.policies import Agreement, Training
from hanse.privacy import PrivacyPlan, make_plan

_COIN = 0.5
# Public: where the hidden layers of an MLP start. It protects nothing.
_START_SEED = 0

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model that scores rows as they are.

    Attributes:
        transform: Its preprocessing; None for a model that knows nothing, because no feature was left.
        predictor: What it learned; None as above.
    """

    transform: Transform | None
    predictor: Predicts | None

    def scores(self, rows: Rows) -> FloatArray:
        """Probability of the positive label, ``(rows,)``."""
        if self.transform is None or self.predictor is None:
            return np.full(len(rows), _COIN)
        return self.predictor.scores(self.transform.apply(rows.columns))


@dataclass(frozen=True, slots=True)
class Baselines:
    """The models that the federated one is compared with.

    Attributes:
        alone: By member.
        federated_without_privacy: The rounds without noise.
        pooled: All rows in one place, without noise.
    """

    alone: Mapping[str, TrainedModel]
    federated_without_privacy: TrainedModel
    pooled: TrainedModel


def train_baselines(agreement: Agreement, rows: Mapping[str, Rows], random: SecureRandom) -> Baselines:
    """Train all models of the comparison.

    Args:
        agreement: Model, schedule, budget and columns.
        rows: The rows that each member trains on in the run: admitted, and not held out.
        random: Source of sampling and noise.

    Returns:
        The models. Takes a few seconds per ten thousand rows.

    Raises:
        HanseError: As the functions of :mod:`hanse.learning`.
    """
    parts = list(rows.values())
    # The plan does not depend on the learning rate, so one plan serves members of all sizes.
    plan = (
        None
        if agreement.privacy is None
        else make_plan(agreement.training, agreement.privacy, len(agreement.columns))
    )
    epsilon = None if agreement.privacy is None else agreement.privacy.epsilon
    return Baselines(
        alone={
            name: train_one(agreement, part, _training(agreement, len(part), 1, epsilon), plan, random)
            for name, part in rows.items()
        },
        federated_without_privacy=train_federated(
            agreement, parts, _training(agreement, len(parts[0]), len(parts), None), None, random
        ),
        pooled=train_one(
            agreement, Rows.concatenate(*parts), _training(agreement, len(parts[0]), 1, None), None, random
        ),
    )


def _training(agreement: Agreement, n_rows: int, members: int, epsilon: float | None) -> Training:
    """The agreement's schedule with the learning rate of the recipe: a bad rate would be no fair rival."""
    if agreement.training.trees is not None:
        return agreement.training
    model: Recommended = "mlp" if agreement.training.hidden else "logistic"
    alike = (
        recommend(model, n_rows, members, epsilon)
        if epsilon is None or not agreement.secure_sums
        else recommend_shared(model, agreement.columns, n_rows * members, epsilon)
    )
    return agreement.training.model_copy(update={"learning_rate": alike.learning_rate})


def train_one(
    agreement: Agreement, rows: Rows, training: Training, plan: PrivacyPlan | None, random: SecureRandom
) -> TrainedModel:
    """Train on one set of rows.

    Args:
        agreement: Columns and smallest counts.
        rows: The rows.
        training: Model and schedule.
        plan: Noise of the run; None trains without privacy.
        random: Source of sampling and noise.

    Returns:
        The model. One without preprocessing where the noise leaves no cell that is common enough.

    Raises:
        HanseError: As the functions of :mod:`hanse.learning`.
    """
    try:
        transform = fit_transform(agreement, [rows], plan, random)
    except TrainingError as error:
        if error.code != "run.no-features":
            raise
        return TrainedModel(None, None)
    if training.trees is not None:
        return _trees(training, transform, [rows])
    noise = None if plan is None else plan.training.noise_multiplier
    weights = train_alone(
        training,
        noise,
        random,
        _start(training, transform),
        _examples(transform, rows),
        transform.groups,
    )
    return _of_weights(training, transform, weights)


def train_federated(
    agreement: Agreement,
    parts: Sequence[Rows],
    training: Training,
    plan: PrivacyPlan | None,
    random: SecureRandom,
) -> TrainedModel:
    """Run all rounds in this process: the arithmetic of a run without its messages.

    Args:
        agreement: Columns, smallest counts and fewest members.
        parts: The rows of each member.
        training: Model and schedule.
        plan: Noise of the run; None trains without privacy.
        random: Source of sampling and noise.

    Returns:
        The model.

    Raises:
        HanseError: As the functions of :mod:`hanse.learning`.
    """
    transform = fit_transform(agreement, parts, plan, random)
    if training.trees is not None:
        return _trees(training, transform, parts)
    noise = None if plan is None else plan.training.noise_multiplier
    data = [_examples(transform, part) for part in parts]
    trainers = [LocalTrainer(training, transform.n_features, noise, random, transform.groups) for _ in parts]
    weights = _start(training, transform)
    for number in range(1, training.rounds + 1):
        updates = [
            Update(str(member), trainer.run_round(weights, own, number, training.local_steps).delta, len(own))
            for member, (trainer, own) in enumerate(zip(trainers, data, strict=True))
        ]
        weights = aggregate(weights, updates, agreement.cohort.minimum_members)
    return _of_weights(training, transform, weights)


def _of_weights(training: Training, transform: Transform, weights: NDArray[np.float32]) -> TrainedModel:
    return TrainedModel(transform, Predictor(training, transform.n_features, weights, transform.groups))


def _trees(training: Training, transform: Transform, parts: Sequence[Rows]) -> TrainedModel:
    """Grows all trees in this process."""
    columns, settings = TreeColumns(transform), agreed_settings(training, training.rounds)
    members = {
        f"{number:03}": BoostingContributor(
            settings, columns.binning, columns.codes(own.features), own.labels.astype(np.float64)
        )
        for number, own in enumerate(_examples(transform, part) for part in parts)
    }
    trees = BoostingCoordinator(InProcessAggregator(members), settings, columns.binning).train()
    return TrainedModel(transform, TreesPredictor(columns, trees, transform.n_features))


def fit_transform(
    agreement: Agreement, parts: Sequence[Rows], plan: PrivacyPlan | None, random: SecureRandom
) -> Transform:
    """Preprocessing from the members' cell counts, noisy where there is a plan.

    Raises:
        TrainingError: ``run.no-features`` when no cell stands out from the noise.
    """
    counts = [count_cells(agreement.columns, part.columns) for part in parts]
    stds = [] if plan is None else [plan.count_noise_std] * len(parts)
    if plan is not None:
        counts = [add_gaussian_noise(exact, plan.count_noise_std, random) for exact in counts]
    minimum = rare_below(agreement.cohort.suppress_below, stds)
    return Transform.fit(agreement.columns, np.sum(counts, axis=0), minimum)


def _examples(transform: Transform, rows: Rows) -> AdmittedExamples:
    """The demo's data set is public, and nobody is in it."""
    return simulated_examples(transform.apply(rows.columns), rows.labels.astype(np.float32))


def _start(training: Training, transform: Transform) -> NDArray[np.float32]:
    return initial_weights(
        training, transform.n_features, np.random.default_rng(_START_SEED), transform.groups
    )


def compare(members: Sequence[MemberData], federated: TrainedModel, baselines: Baselines) -> QualityFacts:
    """Exact AUC of every model on the test rows, overall and for each member's share of them.

    Args:
        members: The members, with the test rows of their kind.
        federated: The model that was registered.
        baselines: What it is compared with, for the same members.

    Returns:
        The figures.
    """
    test = Rows.concatenate(*(member.test for member in members))
    qualities = tuple(_member_quality(member, test, federated, baselines) for member in members)
    return QualityFacts(
        test_rows=len(test),
        test_positives=int(test.labels.sum()),
        alone_mean=float(np.mean([quality.alone_all for quality in qualities])),
        federated=_auc_of_all(federated, test),
        federated_without_privacy=_auc_of_all(baselines.federated_without_privacy, test),
        pooled=_auc_of_all(baselines.pooled, test),
        standard_error=_standard_error(federated, test) or 0.0,
        members=qualities,
    )


def _member_quality(
    member: MemberData, test: Rows, federated: TrainedModel, baselines: Baselines
) -> MemberQuality:
    alone = baselines.alone[member.name]
    return MemberQuality(
        name=member.name,
        own_test_rows=len(member.test),
        own_test_positives=int(member.test.labels.sum()),
        alone_own=exact_auc(alone, member.test),
        federated_own=exact_auc(federated, member.test),
        pooled_own=exact_auc(baselines.pooled, member.test),
        own_standard_error=_standard_error(federated, member.test),
        alone_all=_auc_of_all(alone, test),
    )


def _auc_of_all(model: TrainedModel, test: Rows) -> float:
    """As :func:`exact_auc`; the whole test set has both classes, because the loader saw to it."""
    auc = exact_auc(model, test)
    return _COIN if auc is None else auc


def exact_auc(model: TrainedModel, rows: Rows) -> float | None:
    """Area under the ROC curve; None where a class is missing."""
    return roc_auc(model.scores(rows), rows.labels.astype(np.float32))


def exact_loss(model: TrainedModel, rows: Rows) -> float:
    """Mean log loss, nats."""
    scores = np.clip(model.scores(rows), 1e-7, 1 - 1e-7)
    return float(-np.log(np.where(rows.labels, scores, 1 - scores)).mean())


def _standard_error(model: TrainedModel, rows: Rows) -> float | None:
    """Standard error of the exact AUC, of drawing the test rows: a histogram with one bin per score."""
    values, bins = np.unique(model.scores(rows), return_inverse=True)
    positives, negatives = (
        np.bincount(bins[rows.labels == label], minlength=len(values)).astype(np.float64)
        for label in (True, False)
    )
    return auc_standard_error(positives, negatives, 0.0)
