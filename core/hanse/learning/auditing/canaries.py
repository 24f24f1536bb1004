"""Rows that are made up so that a training procedure shows all that it could ever show of a row.

Each canary is alone in a column of its own (a Dirac canary: Nasr et al., "Adversary Instantiation: Lower
Bounds for Differentially Private Machine Learning", IEEE S&P 2021). Its value there is so large that its
gradient is far above any clipping norm; what the procedure lets through of it is all in the weight of that
column, where nothing but noise competes with it. Random rows were much weaker canaries when measured.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError

Rows = NDArray[np.float32]
Labels = NDArray[np.float32]

MINIMUM_CANARIES: Final = 100
"""With fewer, chance alone hides every fault."""

VALUE: Final = 100.0
"""Value of a canary in its column; half of it is the norm of its gradient at a score of one half."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A data set with canaries.

    Attributes:
        features: Shape (rows + included canaries, features + canaries).
        labels: 0 or 1; 1 for every canary.
        blank_features: The same without the canaries' values: what a twin run is given, so that it has as
            many rows and columns but saw no canary.
    """

    features: Rows
    labels: Labels
    blank_features: Rows


def draw(canaries: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which canaries are included: a fair coin for each.

    Args:
        canaries: How many there are.
        rng: The coins. They are the auditor's secret from the procedure, not from anybody else.

    Returns:
        Shape (canaries,).

    Raises:
        ConfigurationError: ``config.invalid`` with fewer than :data:`MINIMUM_CANARIES`.
    """
    if canaries < MINIMUM_CANARIES:
        raise ConfigurationError("config.invalid", f"an audit needs {MINIMUM_CANARIES} canaries or more")
    return rng.integers(2, size=canaries).astype(np.bool_)


def plant(features: Rows, labels: Labels, included: NDArray[np.bool_]) -> Planted:
    """Adds the columns of all canaries, and the rows of those that are included.

    Args:
        features: Transformed rows, shape (rows, features).
        labels: 0 or 1, shape (rows,).
        included: Result of :func:`draw`.

    Returns:
        The data set.
    """
    rows, width = features.shape
    columns = np.flatnonzero(included)
    blank = np.zeros((rows + len(columns), width + len(included)), dtype=np.float32)
    blank[:rows, :width] = features
    planted = blank.copy()
    planted[rows + np.arange(len(columns)), width + columns] = VALUE
    return Planted(planted, np.concatenate([labels, np.ones(len(columns), dtype=np.float32)]), blank)
