"""Three ways to guess from published weights which canaries were used.

The attacker sees the weight of every canary's column after every release (round), as a member does in a run.
Each attack gives one score per canary, larger where it was probably used. That all weights of one column are
seen and no others changes nothing for the attacker: the canaries are in no other column.
"""

from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

Attack: TypeAlias = Literal["weights", "twin", "repetition"]

SIGNIFICANCE_SHARES: Final[dict[Attack, float]] = {"weights": 0.8, "twin": 0.1, "repetition": 0.1}
"""How the attacks divide the probability of a false alarm; the faults that the last two find are gross."""


def weights_attack(updates: FloatArray) -> FloatArray:
    """How far each weight has moved, all releases counted alike.

    Releases differ in step size, so that of a late release would be lost beside an early one; divided by its
    own spread over the canaries, each has the same noise.

    Args:
        updates: What each release has changed, shape (releases, canaries).

    Returns:
        Shape (canaries,).
    """
    spread = updates.std(axis=1, keepdims=True)
    scores: FloatArray = np.divide(updates, spread, out=np.zeros_like(updates), where=spread > 0).sum(axis=0)
    return scores


def twin_attack(updates: FloatArray, twin: FloatArray) -> FloatArray:
    """How far each weight has moved from where another run took it that saw no canary.

    Noise that is the same in both runs, because its seed was given or kept, is gone from the difference.

    Args:
        updates: As for :func:`weights_attack`.
        twin: The updates of the other run.

    Returns:
        Shape (canaries,).
    """
    return weights_attack(updates - twin)


def repetition_attack(updates: FloatArray) -> FloatArray:
    """How little each weight's way looks like the way that all have in common.

    Noise that repeats itself from step to step moves every unused column by the same shape over the
    releases; only a sampled record departs from it. The common shape is the first singular vector.

    Args:
        updates: As for :func:`weights_attack`.

    Returns:
        Shape (canaries,); zeros with a single release, which has no shape.
    """
    if len(updates) < 2:  # noqa: PLR2004 - nothing repeats
        return np.zeros(updates.shape[1])
    shape = np.linalg.svd(updates, full_matrices=False)[0][:, :1]
    departure: FloatArray = np.linalg.norm(updates - shape @ (shape.T @ updates), axis=0)
    return departure
