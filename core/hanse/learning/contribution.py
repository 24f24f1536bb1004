"""How much each column contributes to a model, from the model alone.

No row is read and no privacy budget is touched: the weights and the noisy cell counts are published already,
and what is computed from them is post-processing (Dwork and Roth, "The Algorithmic Foundations of
Differential Privacy", 2014, proposition 2.1).

The measure is the part of the variance of the logit that is lost when a column is replaced by a fresh draw
from its own marginal: half the mean squared change (Jansen, "Analysis of variance designs for model output",
1999). For a linear model that is the variance of the column's weights over its cells, in closed form; for one
with hidden layers or trees it is simulated.

What it cannot say: columns are taken as independent, so of two that say the same both look needed, and
neither may be. Where the model keeps no counts (it was trained without privacy), every cell is taken as
equally frequent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.artifact import LoadedModel
from hanse.learning.predictor import Predicts
from hanse.learning.transform import NO_FEATURE, ColumnFeatures, Transform, n_cells
from hanse.policies import Training

SIMULATED_ROWS: Final = 4000
"""Rows that are drawn where there is no closed form."""

MINIMUM_SHARE: Final = 0.01
"""Share below which a column counts as without contribution. Our default, not law."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ColumnContribution:
    """What one column contributes to one model.

    Attributes:
        column: Name of the column.
        variance: Variance of the logit that is lost without it, in squared log-odds.
        share: Of the sum over all columns, 0 to 1.
        noise: Variance that a column with nothing to say would show, for the numbers of its cells and rows
            and the noise in the weights; 0 where the model knows no number of rows.
    """

    column: str
    variance: float
    share: float
    noise: float

    @property
    def negligible(self) -> bool:
        """Whether the model would hardly change without the column."""
        return self.share < MINIMUM_SHARE or self.variance <= self.noise


def contributions(
    model: LoadedModel, rng: np.random.Generator, noise_multiplier: float = 0.0
) -> tuple[ColumnContribution, ...]:
    """Measures every column of a model.

    Args:
        model: The model, with or without cell counts.
        rng: Draws the rows that a model is tried on; not used for a linear one.
        noise_multiplier: Noise of DP-SGD at each member, relative to the clipping norm; 0 without privacy.

    Returns:
        One per column, in the order of the agreement.
    """
    transform = model.transform
    marginals = cell_marginals(transform, model.manifest.cell_counts)
    linear = model.manifest.training.model in ("logistic", "scorecard")
    variances = (
        _weight_variances(transform, marginals, model.predictor)
        if linear
        else _redrawn_variances(transform, marginals, model.predictor, rng)
    )
    noises = _noises(model, marginals, noise_multiplier, rng)
    total = sum(variances)
    return tuple(
        ColumnContribution(column.name, variance, variance / total if total > 0 else 0.0, noise)
        for column, variance, noise in zip(transform.columns, variances, noises, strict=True)
    )


def cell_marginals(transform: Transform, cell_counts: Sequence[float]) -> tuple[FloatArray, ...]:
    """How frequent each cell of each column is.

    Args:
        transform: The preprocessing.
        cell_counts: Counts of all cells, with noise, as a model keeps them; none for equally frequent cells.

    Returns:
        Per column, probabilities of its cells; noise below zero counts as zero.
    """
    marginals = []
    first = 0
    for column in transform.columns:
        cells = n_cells(column)
        counts = np.maximum(np.asarray(cell_counts[first : first + cells], dtype=np.float64), 0.0)
        first += cells
        known = len(counts) == cells and counts.sum() > 0
        marginals.append(counts / counts.sum() if known else np.full(cells, 1.0 / cells))
    return tuple(marginals)


def _weight_variances(
    transform: Transform, marginals: Sequence[FloatArray], predictor: Predicts
) -> list[float]:
    """The closed form: variance of a column's weight over its cells."""
    unit = np.eye(transform.n_features, dtype=np.float32)
    none = np.zeros((1, transform.n_features), dtype=np.float32)
    weights = predictor.logits(unit) - predictor.logits(none)
    variances = []
    for column, shares in zip(transform.columns, marginals, strict=True):
        features = np.asarray(column.features)
        cells = np.where(features == NO_FEATURE, 0.0, weights[np.maximum(features, 0)])
        inside = 0.0
        if column.scale is not None:
            # Distances from the mean have mean 0 and variance 1: the cell varies inside, not as a whole.
            inside, cells[0] = shares[0] * cells[0] ** 2, 0.0
        variances.append(float(inside + shares @ (cells - shares @ cells) ** 2))
    return variances


def _redrawn_variances(
    transform: Transform, marginals: Sequence[FloatArray], predictor: Predicts, rng: np.random.Generator
) -> list[float]:
    """Half the mean squared change of the logit when one column is drawn anew."""
    rows, again = (_draw(transform, marginals, rng) for _ in range(2))
    before = predictor.logits(rows)
    variances = []
    for column in transform.columns:
        own = sorted(set(column.features) - {NO_FEATURE})
        changed = rows.copy()
        changed[:, own] = again[:, own]
        variances.append(0.5 * float(np.mean((predictor.logits(changed) - before) ** 2)))
    return variances


def _draw(
    transform: Transform, marginals: Sequence[FloatArray], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Transformed rows whose columns are independent draws from the marginals."""
    rows = np.zeros((SIMULATED_ROWS, transform.n_features), dtype=np.float32)
    for column, shares in zip(transform.columns, marginals, strict=True):
        cells = rng.choice(len(shares), size=SIMULATED_ROWS, p=shares)
        features = np.asarray(column.features)[cells]
        known = np.flatnonzero(features != NO_FEATURE)
        rows[known, features[known]] = 1.0
        if column.scale is not None and column.features[0] != NO_FEATURE:
            rows[:, column.features[0]] *= rng.standard_normal(SIMULATED_ROWS).astype(np.float32)
    return rows


def _noises(
    model: LoadedModel, marginals: Sequence[FloatArray], noise_multiplier: float, rng: np.random.Generator
) -> list[float]:
    """What each column would show if it had nothing to say.

    An estimated weight of a cell with n·p rows varies by 1 / (n·p·v), where v is the mean of s·(1 - s) over
    the scores s (the information of a logistic model); over the cells of a column that sums to
    (cells - 1) / (n·v). Privacy noise adds its own variance to every weight.
    """
    manifest = model.manifest
    counted = sum(manifest.cell_counts[: n_cells(model.transform.columns[0])])
    rows = counted if manifest.rows is None else manifest.rows
    # With shared noise, that of all members is hardly more than what one of them adds elsewhere.
    noises = len(manifest.members) if manifest.rows is None else 1
    if rows < 1:  # noise alone: there is no record to learn from
        return [0.0] * len(marginals)
    scores = model.predictor.scores(_draw(model.transform, marginals, rng))
    information = rows * max(float(np.mean(scores * (1 - scores))), np.finfo(np.float64).tiny)
    private = _weight_noise(manifest.training, noises, rows, noise_multiplier)
    return [
        (len(groups) - 1) / information + private * (1.0 - float(groups @ groups))
        for groups in map(_group_shares, model.transform.columns, marginals)
    ]


def _weight_noise(training: Training, noises: int, rows: float, noise_multiplier: float) -> float:
    """Variance that the noise of all steps leaves in each weight, at most; so many members add all of it.

    Every member adds noise of ``noise_multiplier * clip_norm`` to the sum over about ``sample_rate * rows``
    of its records, and members are averaged by rows. The step size falls linearly to zero, so the squares of
    all of them sum to a third. The pull of the data on the weights takes some of it away again.
    """
    steps = training.rounds * training.local_steps
    per_step = training.learning_rate * noise_multiplier * training.clip_norm / (training.sample_rate * rows)
    return noises * steps / 3 * per_step**2


def _group_shares(column: ColumnFeatures, shares: FloatArray) -> FloatArray:
    """Probabilities of the features of a column, and of having none, where that occurs."""
    groups = np.unique(np.asarray(column.features), return_inverse=True)[1]
    summed: FloatArray = np.bincount(groups, weights=shares).astype(np.float64)
    return summed
