"""From the members' updates to the next global weights (McMahan et al., FedAvg, AISTATS 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

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


class Defect(NamedTuple):
    """What is wrong with an update by itself.

    Attributes:
        kind: Its shape, values that are not finite, its L2 norm, or the rows behind it.
        measure: The figure, finite.
        threshold: What it crossed.
    """

    kind: Literal["shape", "not-finite", "norm", "rows"]
    measure: float
    threshold: float


def defect(update: Update, size: int, max_norm: float) -> Defect | None:
    """What is wrong with an update by itself.

    Args:
        update: What a member sent.
        size: Number of weights.
        max_norm: Largest L2 norm, by agreement.

    Returns:
        The first defect, or None.
    """
    if update.delta.shape != (size,):
        return Defect("shape", float(update.delta.size), float(size))
    if wrong := int(np.count_nonzero(~np.isfinite(update.delta))):
        return Defect("not-finite", float(wrong), 0.0)
    norm = float(np.linalg.norm(update.delta.astype(np.float64)))
    if norm > max_norm:
        return Defect("norm", norm, max_norm)
    if update.rows < 1:
        return Defect("rows", float(update.rows), 1.0)
    return None


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
