"""What a party can guess about labels or columns of another, from what it saw.

Each attack is a pure function from observations, one row per person, to a score per person. They come from
Li et al., "Label Leakage and Protection in Two-party Split Learning" (ICLR 2022; norm and cosine), Fu et
al., "Label Inference Attacks Against Vertical Federated Learning" (USENIX Security 2022; completing the
model), and the plain observation that noise which is drawn anew for each epoch is averaged away over epochs.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.metrics import roc_auc

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

_RIDGE: Final = 1e-3
_GROUP: Final = 400
"""People in a group of neighbours."""

_KNOWN_POSITIVES: Final = 16
"""Attackers with one known positive each, whose areas are averaged."""

_CHANCE: Final = 4.0
"""Standard errors above a guess that an area may be by chance; one of 15,000 is further up or down."""


def norm_scores(seen: Floats) -> Floats:
    """How long each person's observation is: a rare class has the larger gradients.

    Args:
        seen: Shape (rows, width).

    Returns:
        Shape (rows,).
    """
    lengths: Floats = np.linalg.norm(seen, axis=1)
    return lengths


def cosine_scores(seen: Floats, known: int) -> Floats:
    """How much each observation points where that of one known positive points.

    Args:
        seen: Shape (rows, width).
        known: The row whose label the attacker knows.

    Returns:
        Shape (rows,).
    """
    lengths = np.maximum(np.linalg.norm(seen, axis=1), np.finfo(np.float64).tiny)
    scores: Floats = seen @ seen[known] / lengths / lengths[known]
    return scores


def spectral_scores(seen: Floats) -> Floats:
    """Where each observation lies on the line along which they differ most; nothing needs to be known.

    Args:
        seen: Shape (rows, width); for the averaged attack the sums over all epochs.

    Returns:
        Shape (rows,), of arbitrary sign.
    """
    # Of the small side alone: the left singular vector without a decomposition over all rows.
    _, vectors = np.linalg.eigh(seen.T @ seen)
    scores: Floats = seen @ vectors[:, -1]
    return scores


def probe_scores(seen: Floats, labels: Labels, known: NDArray[np.intp]) -> Floats:
    """What a linear model says that was fitted to a few known labels.

    Args:
        seen: Shape (rows, width).
        labels: Shape (rows,); only those of ``known`` are read.
        known: Rows whose labels the attacker has.

    Returns:
        Shape (rows,).
    """
    scale = seen[known].std(axis=0)
    inputs = (seen - seen[known].mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    fitted, target = inputs[known], labels[known] - labels[known].mean()
    gram = fitted.T @ fitted + (_RIDGE + 1.0 / len(known)) * len(known) * np.eye(seen.shape[1])
    scores: Floats = inputs @ np.linalg.solve(gram, fitted.T @ target)
    return scores


def area(scores: Floats, labels: Labels, *, signed: bool = True) -> float:
    """Area under the attacker's ROC curve.

    Args:
        scores: Shape (rows,).
        labels: Shape (rows,).
        signed: Whether the attacker knows which end is positive; if not, the better one is counted, as for
            one who knows which class is rarer.

    Returns:
        The area; .5, a guess, if a class is missing or the scores are not finite.
    """
    if not np.isfinite(scores).all():
        return 0.5
    found = roc_auc(scores, labels.astype(np.float32))
    if found is None:
        return 0.5
    return found if signed else max(found, 1.0 - found)


def chance_area(labels: Labels, known: int) -> float:
    """Area that an attacker who guesses may reach by chance: with few people, one that tells nothing.

    Args:
        labels: Shape (rows,).
        known: People whose labels a probe has, so that it is judged on the others.

    Returns:
        Four standard errors of the Mann-Whitney statistic above .5, rounded up to hundredths, so that it
        hardly tells how many have the label; .5 if a class is missing: then every area is .5.
    """
    positives = float(labels.sum())
    if not 0 < positives < len(labels):
        return 0.5
    told = 1 - min(known, len(labels) // 2) / len(labels)
    some, others = told * positives, told * (len(labels) - positives)
    error = math.sqrt((some + others + 1) / (12 * some * others))
    return min(1.0, math.ceil(100 * (0.5 + _CHANCE * error)) / 100)


def area_given(scores: Floats, labels: Labels, known: Floats) -> float:
    """Area among people of whom something else says the same.

    Args:
        scores: The attacker's, shape (rows,).
        labels: Shape (rows,).
        known: What else is known of the people, shape (rows,); those that are neighbours in it are compared.

    Returns:
        Mean of the areas in groups of neighbours, each counted with its pairs; the better end, as in
        :func:`area`.
    """
    order = np.argsort(known, kind="stable")
    total, pairs = 0.0, 0.0
    for group in np.array_split(order, max(1, len(order) // _GROUP)):
        positives = float(labels[group].sum())
        weight = positives * (len(group) - positives)
        total += weight * area(scores[group], labels[group])
        pairs += weight
    mean = total / pairs if pairs else 0.5
    return max(mean, 1.0 - mean)


def told_by_columns(seen: Floats, labels: Labels, rng: np.random.Generator) -> Floats:
    """What a linear model says of each person that was fitted to the labels of the other half.

    Args:
        seen: Shape (rows, width).
        labels: Shape (rows,).
        rng: Chooses the halves.

    Returns:
        Shape (rows,).
    """
    scores = np.zeros(len(labels))
    halves = np.array_split(rng.permutation(len(labels)), 2)
    for fitted, told in (halves, halves[::-1]):
        scores[told] = probe_scores(seen, labels, fitted)[told]
    return scores


def cosine_area(seen: Floats, labels: Labels, rng: np.random.Generator, known: Floats | None = None) -> float:
    """Mean area of several attackers of whom each knows one positive.

    Args:
        seen: Shape (rows, width).
        labels: Shape (rows,).
        rng: Chooses the known ones.
        known: To compare people of whom it says the same, as :func:`area_given`; None to compare all.

    Returns:
        The area over all other rows; .5 without a positive.
    """
    positives = np.flatnonzero(labels)
    if not len(positives):
        return 0.5
    chosen = rng.choice(positives, min(_KNOWN_POSITIVES, len(positives)), replace=False)
    return float(np.mean([_told(cosine_scores(seen, one), labels, np.array([one]), known) for one in chosen]))


def probe_area(
    seen: Floats, labels: Labels, count: int, rng: np.random.Generator, known: Floats | None = None
) -> float:
    """Area, on all other rows, of a model that was fitted to some labels.

    Args:
        seen: Shape (rows, width).
        labels: Shape (rows,).
        count: How many labels the attacker has; at most half of the rows are taken.
        rng: Chooses them.
        known: As for :func:`cosine_area`.

    Returns:
        The area.
    """
    chosen = rng.permutation(len(labels))[: min(count, len(labels) // 2)]
    if len(np.unique(labels[chosen])) < 2:  # noqa: PLR2004 - a model needs both classes
        return 0.5
    return _told(probe_scores(seen, labels, chosen), labels, chosen, known)


def _told(scores: Floats, labels: Labels, without: NDArray[np.intp], known: Floats | None) -> float:
    """Area of an attacker on the people whose labels it does not have."""
    others = np.ones(len(labels), dtype=np.bool_)
    others[without] = False
    if known is None:
        return area(scores[others], labels[others])
    return area_given(scores[others], labels[others], known[others])


def recovered_share(seen: Floats, columns: Floats, known: int, rng: np.random.Generator) -> float:
    """How much of a party's columns a linear model recovers from what the party sent.

    Args:
        seen: What it sent, shape (rows, width).
        columns: Its columns, shape (rows, columns).
        known: People of whom the attacker has the columns.
        rng: Chooses them.

    Returns:
        The explained variance on the other rows, mean over columns that vary, between 0 and 1.
    """
    order = rng.permutation(len(seen))
    count = min(known, len(seen) // 2)
    chosen, others = order[:count], order[count:]
    inputs = np.column_stack([seen, np.ones(len(seen))])
    gram = inputs[chosen].T @ inputs[chosen] + _RIDGE * count * np.eye(inputs.shape[1])
    guessed = inputs[others] @ np.linalg.solve(gram, inputs[chosen].T @ columns[chosen])
    spread = columns[others].var(axis=0)
    varies = spread > 0
    if not varies.any():
        return 0.0
    missed = ((columns[others] - guessed) ** 2).mean(axis=0)
    return float(np.clip(1.0 - missed[varies] / spread[varies], 0.0, 1.0).mean())
