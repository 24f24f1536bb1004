"""One audit of one training procedure, whatever it is: rows and labels in, published weights out."""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError
from hanse.learning.auditing.attacks import (
    SIGNIFICANCE_SHARES,
    Attack,
    repetition_attack,
    twin_attack,
    weights_attack,
)
from hanse.learning.auditing.bounds import area, fitted_bound, one_run_bound
from hanse.learning.auditing.canaries import Labels, Rows, draw, plant
from hanse.learning.auditing.report import AttackBound, PrivacyAudit

Procedure: TypeAlias = Callable[[Rows, Labels], NDArray[np.floating]]
"""The audited training: from rows, shape (rows, columns), and labels to the weights that were published.

The result has the shape (states, columns): the weight of every column before the first release and after each
one. For a network these are the weights of one unit of its first layer. The number of rows is public.
"""

FITTED_CONFIDENCE: Final = 0.999
"""Of the fitted bounds, which come close to the truth: a gate that runs on every change must not cry wolf."""

ONE_RUN_CONFIDENCE: Final = 0.95
"""Of the bounds by theorem, which stay far below the truth; with more confidence they say next to nothing."""

CANARIES: Final = 1000
"""At epsilon 3 they tell half of the claimed noise from all of it; at epsilon 1 that takes 4,000."""

FloatArray = NDArray[np.float64]


def audit_privacy(
    procedure: Procedure,
    features: Rows,
    labels: Labels,
    *,
    claimed_epsilon: float,
    delta: float,
    rng: np.random.Generator,
    canaries: int = CANARIES,
) -> PrivacyAudit:
    """Runs a training procedure twice, with canaries and without, and bounds its epsilon from below.

    Unit and adjacency: record, add or remove one. Assumptions: the procedure treats no column by its
    position, its step size is so small that noise times :data:`hanse.learning.auditing.canaries.VALUE` stays
    around one (a canary whose score has run away has no gradient; the privacy of DP-SGD does not depend on
    the step size), and the number of rows is public. Limits: leaks through anything but the returned
    weights are not seen, and what is found is a lower bound.

    Args:
        procedure: The training, with all of its own randomness.
        features: Transformed rows to train on beside the canaries, shape (rows, features).
        labels: 0 or 1, shape (rows,).
        claimed_epsilon: What the accountant says of one call of the procedure.
        delta: Delta of the claim.
        rng: The coins that decide which canaries are included.
        canaries: How many.

    Returns:
        The finding.

    Raises:
        ConfigurationError: ``config.invalid`` with too few canaries, with a delta or epsilon out of range, or
            if the procedure returns weights of another shape or that are not finite.
    """
    if not (0 < delta < 1 and claimed_epsilon > 0):
        raise ConfigurationError("config.invalid", "delta or epsilon of an audit is out of range")
    included = draw(canaries, rng)
    planted = plant(features, labels, included)
    updates = _updates(procedure, planted.features, planted.labels, canaries)
    twin = _updates(procedure, planted.blank_features, planted.labels, canaries)
    scores: dict[Attack, FloatArray] = {
        "weights": weights_attack(updates),
        "twin": twin_attack(updates, twin) if twin.shape == updates.shape else np.zeros(canaries),
        "repetition": repetition_attack(updates),
    }
    bounds = [
        _bound(attack, scores[attack], included, delta, share)
        for attack, share in SIGNIFICANCE_SHARES.items()
    ]
    refuted = any(max(bound.one_run_bound, bound.fitted_bound) > claimed_epsilon for bound in bounds)
    return PrivacyAudit(
        claimed_epsilon=claimed_epsilon,
        delta=delta,
        one_run_confidence=ONE_RUN_CONFIDENCE,
        fitted_confidence=FITTED_CONFIDENCE,
        canaries=canaries,
        included=int(included.sum()),
        releases=len(updates),
        attacks=tuple(bounds),
        verdict="refuted" if refuted else "consistent",
    )


def _updates(procedure: Procedure, features: Rows, labels: Labels, canaries: int) -> FloatArray:
    """What each release has changed in the canaries' columns, shape (releases, canaries)."""
    weights = np.asarray(procedure(features, labels), dtype=np.float64)
    if weights.ndim != 2 or len(weights) < 2 or weights.shape[1] != features.shape[1]:  # noqa: PLR2004
        raise ConfigurationError("config.invalid", "the audited procedure returns weights of another shape")
    if not np.isfinite(weights).all():
        raise ConfigurationError(
            "config.invalid", "the audited procedure returns weights that are not finite"
        )
    updates: FloatArray = np.diff(weights[:, -canaries:], axis=0)
    return updates


def _bound(
    attack: Attack, scores: FloatArray, included: NDArray[np.bool_], delta: float, share: float
) -> AttackBound:
    """The bounds of one attack, which has its share of the probability of a false alarm."""
    return AttackBound(
        attack=attack,
        area=area(scores, included).value,
        one_run_bound=one_run_bound(scores, included, delta, share * (1 - ONE_RUN_CONFIDENCE)),
        fitted_bound=fitted_bound(scores, included, delta, share * (1 - FITTED_CONFIDENCE)),
        fitted_epsilon=fitted_bound(scores, included, delta, 0.5),
    )
