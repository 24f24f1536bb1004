"""Ways to combine updates some of which may be poisoned; for agreements under which they are seen.

Each takes updates of shape (members, weights) that are finite, and rows of shape (members,). What they cost
without an attack and with one was measured (docs/explanation-robustness.md). Rules that look at coordinates
or distances treat members alike, whatever their rows.
"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import TrainingError

Vector: TypeAlias = NDArray[np.float64]
RuleName: TypeAlias = Literal["mean", "median", "trimmed-mean", "multi-krum"]
Rule: TypeAlias = Callable[[Vector, Vector, int], Vector]
"""Updates, rows, and how many of the members may be faulty; gives the combined update."""

_NEIGHBOURS_LEFT_OUT: Final = 2


def mean(updates: Vector, rows: Vector, faulty: int) -> Vector:
    """The mean weighted by rows: one faulty member moves it as far as it likes."""
    del faulty
    weighted: Vector = rows @ updates / rows.sum()
    return weighted


def median(updates: Vector, rows: Vector, faulty: int) -> Vector:
    """The median of each coordinate (Yin et al., "Byzantine-Robust Distributed Learning", ICML 2018)."""
    del rows, faulty
    middle: Vector = np.median(updates, axis=0)
    return middle


def trimmed_mean(updates: Vector, rows: Vector, faulty: int) -> Vector:
    """The mean of each coordinate without its ``faulty`` largest and smallest values (Yin et al.).

    Raises:
        TrainingError: ``run.insufficient-members`` unless more than twice as many members as are faulty.
    """
    del rows
    _require(len(updates) > 2 * faulty, len(updates))
    kept = np.sort(updates, axis=0)[faulty : len(updates) - faulty]
    trimmed: Vector = kept.mean(axis=0)
    return trimmed


def multi_krum(updates: Vector, rows: Vector, faulty: int) -> Vector:
    """The mean, weighted by rows, of the updates nearest to their neighbours.

    Blanchard et al., "Machine Learning with Adversaries", NeurIPS 2017: of n updates the n - f are kept whose
    squared distances to their n - f - 2 nearest neighbours sum to least.

    Raises:
        TrainingError: ``run.insufficient-members`` unless n is at least 2 f + 3.
    """
    n = len(updates)
    _require(n >= 2 * faulty + 3, n)
    norms = (updates**2).sum(axis=1)
    distances = norms[:, None] + norms[None, :] - 2 * updates @ updates.T
    np.fill_diagonal(distances, -np.inf)  # each is nearest to itself, and is not its own neighbour
    neighbours = np.sort(distances, axis=1)[:, 1 : n - faulty - _NEIGHBOURS_LEFT_OUT + 1]
    kept = np.argsort(neighbours.sum(axis=1), kind="stable")[: n - faulty]
    return mean(updates[kept], rows[kept], 0)


RULES: Final[dict[RuleName, Rule]] = {
    "mean": mean,
    "median": median,
    "trimmed-mean": trimmed_mean,
    "multi-krum": multi_krum,
}


def _require(enough: bool, members: int) -> None:  # noqa: FBT001 - a condition, not an option
    if not enough:
        raise TrainingError("run.insufficient-members", f"{members} members are too few for this rule")
