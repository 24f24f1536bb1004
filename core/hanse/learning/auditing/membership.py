"""Membership inference: can an attacker with rows of the same kind tell which ones trained a model?

Models are trained on random halves of the rows. Each is attacked in turn, with others as shadows that
show how a model scores a row that it knows and one that it does not.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError
from hanse.learning.auditing.bounds import area
from hanse.learning.auditing.report import AttackSuccess, MembershipInference, OwnMembership
from hanse.learning.metrics import roc_auc

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Rows = NDArray[np.float32]

Scorer: TypeAlias = Callable[[Rows], FloatArray]
"""A trained model: probability of the positive label, shape (rows,)."""

Learner: TypeAlias = Callable[[Rows, Rows], Scorer]
"""Trains a model on rows, shape (rows, columns), and labels 0 or 1, shape (rows,)."""

FALSE_POSITIVE_RATE: Final = 0.01
"""An attack that is right about a few people and knows which is worse than one that is a little right about
all; so it is judged where it makes hardly any false claim."""

MODELS: Final = 16
MINIMUM_MODELS: Final = 8
MINIMUM_ROWS: Final = 200
"""Half of them are outside the training; one in a hundred of those must be a row at least."""

MINIMUM_OWN: Final = 50
"""Rows of either kind that an attack on a member's own rows needs."""

NORMAL_95: Final = 1.959963984540054

_CERTAIN: Final = 1e-6


def infer_membership(
    learn: Learner,
    features: Rows,
    labels: Rows,
    rng: np.random.Generator,
    *,
    models: int = MODELS,
    claimed_epsilon: float | None = None,
    delta: float = 0.0,
) -> MembershipInference:
    """Trains shadows and attacks each of them.

    Args:
        learn: The training, with all of its own randomness.
        features: Rows of one source, shape (rows, columns).
        labels: 0 or 1, shape (rows,).
        rng: Divides the rows.
        models: How many to train; an even number.
        claimed_epsilon: What the accountant says of one training; None without privacy.
        delta: Delta of the claim; 0 without.

    Returns:
        How well both attacks do.

    Raises:
        ConfigurationError: ``config.invalid`` with too few rows or models, or an odd number of them.
    """
    if len(features) < MINIMUM_ROWS or models < MINIMUM_MODELS or models % 2:
        raise ConfigurationError(
            "config.invalid",
            f"membership inference needs {MINIMUM_ROWS} rows and an even number of {MINIMUM_MODELS} models",
        )
    members = _halves(len(features), models, rng)
    confidences = np.stack(
        [_confidence(learn(features[half], labels[half])(features), labels) for half in members]
    )
    return MembershipInference(
        false_positive_rate=FALSE_POSITIVE_RATE,
        rows=len(features),
        models=models,
        likelihood_ratio=_success(
            [_likelihood_ratios(confidences, members, k) for k in range(models)], members
        ),
        loss=_success(list(confidences), members),
        claimed_epsilon=claimed_epsilon,
        delta=delta,
    )


def recognise_own(
    run: str, scores: tuple[FloatArray, FloatArray], labels: tuple[Rows, Rows]
) -> OwnMembership | None:
    """Attacks a model by its loss, with rows of which it is known who was in the training.

    Args:
        run: The run that made the model.
        scores: Of the training rows and of the held-out rows, shapes (rows,).
        labels: 0 or 1, the same.

    Returns:
        How well that does; None with fewer than :data:`MINIMUM_OWN` rows of either kind, of which a figure
        would say too little of the model and too much of the rows.
    """
    inside, outside = map(len, labels)
    if min(inside, outside) < MINIMUM_OWN:
        return None
    guesses = _confidence(np.concatenate(scores), np.concatenate(labels))
    member = np.arange(inside + outside) < inside
    found = area(guesses, member)
    reach = NORMAL_95 * found.standard_error
    enough = outside * FALSE_POSITIVE_RATE >= 1
    return OwnMembership(
        run=run,
        training_rows=inside,
        held_out_rows=outside,
        area=found.value,
        low=max(0.0, found.value - reach),
        high=min(1.0, found.value + reach),
        true_positive_rate=true_positive_rate(guesses, member, FALSE_POSITIVE_RATE) if enough else None,
    )


def true_positive_rate(scores: FloatArray, member: BoolArray, false_positive_rate: float) -> float:
    """Share of the members that are above a threshold which at most so many of the others are above.

    Args:
        scores: Larger where the attacker thinks a row was used, shape (rows,).
        member: Whether it was, shape (rows,).
        false_positive_rate: In (0, 1).

    Returns:
        The share; a threshold that several scores share is taken on the safe side.
    """
    others = np.sort(scores[~member])[::-1]
    threshold = others[int(false_positive_rate * len(others))]
    return float(np.mean(scores[member] > threshold))


def _halves(rows: int, models: int, rng: np.random.Generator) -> BoolArray:
    """Which rows train which model; models in pairs, so that each row trains exactly half of them.

    A coin for each row, not a half of fixed size: with that, a row's presence would be another row's absence,
    and the adjacency would be *replace one*.
    """
    first = rng.integers(2, size=(models // 2, rows)).astype(np.bool_)
    members: BoolArray = np.concatenate([first, ~first])
    return members


def _confidence(scores: FloatArray, labels: Rows) -> FloatArray:
    """Log odds of the row's own label: monotone in the loss, and nearly normal over models."""
    right = np.clip(np.where(labels == 1, scores, 1 - scores), _CERTAIN, 1 - _CERTAIN)
    odds: FloatArray = np.log(right) - np.log1p(-right)
    return odds


def _likelihood_ratios(confidences: FloatArray, members: BoolArray, target: int) -> FloatArray:
    """How much likelier the target's confidence is if it knew the row, both normal with one variance."""
    models = len(members)
    # Without the other model of its pair too: then every row has as many shadows that know it as that do not.
    # With more of the one kind for members, the attacker would do worse than a guess on a model that leaks
    # nothing.
    shadows = np.arange(models) % (models // 2) != target % (models // 2)
    inside = np.ma.masked_array(confidences[shadows], ~members[shadows])
    outside = np.ma.masked_array(confidences[shadows], members[shadows])
    mean_in, mean_out = inside.mean(axis=0).data, outside.mean(axis=0).data
    seen = confidences[target]
    variance_in, variance_out = float(inside.var(axis=0).mean()), float(outside.var(axis=0).mean())
    if min(variance_in, variance_out) <= 0:  # every shadow scores alike: only the means tell
        nearer: FloatArray = (mean_in - mean_out) * (seen - (mean_in + mean_out) / 2)
        return nearer
    ratio: FloatArray = (seen - mean_out) ** 2 / variance_out - (seen - mean_in) ** 2 / variance_in
    return ratio


def _success(scores: list[FloatArray], members: BoolArray) -> AttackSuccess:
    """Mean over the attacked models."""
    rates = [
        true_positive_rate(of_model, member, FALSE_POSITIVE_RATE)
        for of_model, member in zip(scores, members, strict=True)
    ]
    areas = [
        roc_auc(of_model, member.astype(np.float32)) or 0.0
        for of_model, member in zip(scores, members, strict=True)
    ]
    return AttackSuccess(
        area=float(np.mean(areas)),
        true_positive_rate=float(np.mean(rates)),
        standard_error=float(np.std(rates, ddof=1) / np.sqrt(len(rates))),
    )
