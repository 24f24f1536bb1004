"""What a party can guess about labels or columns of another, from what it saw.

Each attack is a pure function from observations, one row per person, to a score per person. They come from
Li et al., "Label Leakage and Protection in Two-party Split Learning" (ICLR 2022; norm and cosine), Fu et
al., "Label Inference Attacks Against Vertical Federated Learning" (USENIX Security 2022; completing the
model), and the plain observation that noise which is drawn anew for each epoch is averaged away over epochs.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.metrics import roc_auc

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

_RIDGE: Final = 1e-3
_KNOWN_POSITIVES: Final = 16
"""Attackers with one known positive each, whose areas are averaged."""


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


def cosine_area(seen: Floats, labels: Labels, rng: np.random.Generator) -> float:
    """Mean area of several attackers of whom each knows one positive.

    Args:
        seen: Shape (rows, width).
        labels: Shape (rows,).
        rng: Chooses the known ones.

    Returns:
        The area over all other rows; .5 without a positive.
    """
    positives = np.flatnonzero(labels)
    if not len(positives):
        return 0.5
    chosen = rng.choice(positives, min(_KNOWN_POSITIVES, len(positives)), replace=False)
    areas = []
    for known in chosen.tolist():
        others = np.arange(len(labels)) != known
        areas.append(area(cosine_scores(seen, known)[others], labels[others]))
    return float(np.mean(areas))


def probe_area(seen: Floats, labels: Labels, known: int, rng: np.random.Generator) -> float:
    """Area, on all other rows, of a model that was fitted to some known labels.

    Args:
        seen: Shape (rows, width).
        labels: Shape (rows,).
        known: How many labels the attacker has; at most half of the rows are taken.
        rng: Chooses them.

    Returns:
        The area.
    """
    order = rng.permutation(len(labels))
    count = min(known, len(labels) // 2)
    chosen, others = order[:count], order[count:]
    if len(np.unique(labels[chosen])) < 2:  # noqa: PLR2004 - a model needs both classes
        return 0.5
    return area(probe_scores(seen, labels, chosen)[others], labels[others])


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
