"""From the members' updates to the next global weights (McMahan et al., FedAvg, AISTATS 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Update:
    """What one member sends after a round.

    Attributes:
        member: Name of the member.
        delta: New minus old weights, one flat vector.
        rows: Rows it was trained on; its weight in the mean.
    """

    member: str
    delta: NDArray[np.float32]
    rows: int


def check_update(update: Update, size: int, max_norm: float) -> None:
    """Refuses an update that would spoil or dominate the aggregate.

    Args:
        update: What a member sent.
        size: Number of weights.
        max_norm: Largest L2 norm, by agreement.

    Raises:
        TrainingError: ``run.update-rejected`` if the shape differs, a value is not finite, the norm is above
            the maximum, or no row stands behind it.
    """
    if update.delta.shape != (size,):
        raise TrainingError("run.update-rejected", f"{update.member}: {update.delta.size} values, not {size}")
    norm = float(np.linalg.norm(update.delta.astype(np.float64)))
    if not norm <= max_norm:  # False for NaN
        raise TrainingError("run.update-rejected", f"{update.member}: the norm is above {max_norm:g}")
    if update.rows < 1:
        raise TrainingError("run.update-rejected", f"{update.member}: trained on no rows")


def aggregate(
    weights: NDArray[np.float32], updates: Sequence[Update], minimum_members: int
) -> NDArray[np.float32]:
    """Adds the mean of the updates, weighted by rows.

    Args:
        weights: Global weights before the round.
        updates: Checked updates, at most one per member.
        minimum_members: Fewest members in an aggregate, by agreement.

    Returns:
        Global weights after the round.

    Raises:
        TrainingError: ``run.insufficient-members`` (rule P17) with fewer members than the minimum, or than
            two: the mean of one update is that update; ``run.update-rejected`` if a member is there twice.
    """
    members = {update.member for update in updates}
    if len(members) != len(updates):
        raise TrainingError("run.update-rejected", "a member has two updates in one round")
    needed = max(minimum_members, 2)
    if len(members) < needed:
        raise TrainingError("run.insufficient-members", f"{len(members)} of {needed} members", rule="P17")
    deltas = np.stack([update.delta for update in updates]).astype(np.float64)
    rows = np.array([update.rows for update in updates], dtype=np.float64)
    mean: NDArray[np.float64] = rows @ deltas / rows.sum()
    return (weights + mean).astype(np.float32)
