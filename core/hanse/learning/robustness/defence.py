"""The defence that an agreement names, over the updates of one round: judge each, combine what is left."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.aggregation import Update, aggregate, defect
from hanse.learning.robustness.findings import Finding
from hanse.learning.robustness.rules import RULES, RuleName
from hanse.learning.robustness.screening import Screened, screen
from hanse.policies import Robustness

_RULES: Final[dict[str, RuleName]] = {
    "median": "median",
    "trimmed-mean": "trimmed-mean",
    "multi-krum": "multi-krum",
}


def judge(
    robustness: Robustness, updates: Sequence[Update], *, size: int, max_norm: float, round_number: int
) -> Screened:
    """Judges the updates of one round, under every rule at least each by itself.

    Args:
        robustness: The agreement's.
        updates: At most one per member, from anywhere.
        size: Number of weights.
        max_norm: Largest L2 norm of an update, by agreement.
        round_number: From 1.

    Returns:
        What may be combined, what was found, and who is to leave.
    """
    if robustness.rule == "screened-mean":
        return screen(updates, size=size, max_norm=max_norm, round_number=round_number)
    found = {update.member: defect(update, size, max_norm) for update in updates}
    findings = tuple(
        Finding(
            members=(member,),
            round=round_number,
            kind=wrong.kind,
            measure=wrong.measure,
            threshold=wrong.threshold,
        )
        for member, wrong in found.items()
        if wrong is not None
    )
    accepted = tuple(update for update in updates if found[update.member] is None)
    return Screened(accepted, findings, frozenset(finding.members[0] for finding in findings))


def combine(
    robustness: Robustness,
    weights: NDArray[np.float32],
    accepted: Sequence[Update],
    minimum_members: int,
    found_out: int = 0,
) -> NDArray[np.float32]:
    """Adds the accepted updates to the weights, as the agreement's rule has it.

    Args:
        robustness: The agreement's.
        weights: Global weights before the round.
        accepted: From :func:`judge`.
        minimum_members: Fewest members in an aggregate, by agreement.
        found_out: Members that have left for what was found of them; the rule need not stand them again.

    Returns:
        Global weights after the round.

    Raises:
        TrainingError: As :func:`hanse.learning.aggregate`; ``run.insufficient-members`` also where the rule
            needs more.
    """
    mean = aggregate(weights, accepted, minimum_members)
    if robustness.rule not in _RULES:
        return mean
    deltas = np.stack([update.delta for update in accepted]).astype(np.float64)
    rows = np.array([update.rows for update in accepted], dtype=np.float64)
    change = RULES[_RULES[robustness.rule]](deltas, rows, max(0, robustness.faulty - found_out))
    return (weights + change).astype(np.float32)
