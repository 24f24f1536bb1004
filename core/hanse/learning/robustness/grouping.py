"""The default defence under secure sums: several sums over groups of members, judged on held-out rows.

No update is seen, so no member can be judged. With six members or more the round's sum is made of sums over
groups of three or more; which members share a group follows from a public seed and changes every round. Each
group's mean is tried on held-out rows, and what helps much less than the best one is left out. If none helps,
the round is rolled back.

Assumptions: the held-out rows are out of the attackers' reach, e.g. the label holder's own; a member that
contributes false figures to a probe over all members can steer it. Limits: with three faulty members of ten,
in three rounds of ten each group holds one of them, and the best of three bad means is taken. Groups are not
members: nobody is named. Sums over groups say more than one sum does, and each carries the noise of its own
members only: shared noise has to be divided by the size of a group, not by that of the run.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ProtocolError
from hanse.learning.robustness.findings import Finding, Kind

MINIMUM_GROUP: Final = 3
"""A sum of two tells each of them the other's."""

MINIMUM_MEMBERS: Final = 2 * MINIMUM_GROUP

KEPT_GAIN: Final = 0.5
"""Share of the best group's gain that a group must bring to be taken (measured)."""

_HALF: Final = sys.float_info.max / 2

Probe: TypeAlias = Callable[[NDArray[np.float32]], float]
"""Worth of weights on held-out rows, larger is better, e.g. minus the log loss."""


@dataclass(frozen=True, slots=True)
class GroupMean:
    """What the secure sums over one group gave.

    Attributes:
        members: Whose updates are in it, sorted.
        delta: Mean of their updates, weighted by rows.
        rows: Rows behind it.
    """

    members: tuple[str, ...]
    delta: NDArray[np.float64]
    rows: int


@dataclass(frozen=True, slots=True)
class Judged:
    """Result of a round.

    Attributes:
        weights: Global weights after it; those before it if it was rolled back.
        findings: Why groups are missing.
        rolled_back: Whether nothing was taken.
    """

    weights: NDArray[np.float32]
    findings: tuple[Finding, ...]
    rolled_back: bool


def assign_groups(members: Sequence[str], round_number: int, seed: bytes) -> tuple[tuple[str, ...], ...]:
    """Divides the members of a round.

    Args:
        members: Who takes part; each member checks that it is in one group of enough.
        round_number: From 1.
        seed: Public and fixed before the members are, e.g. the digest of the run's agreement, so that nobody
            chooses who meets whom.

    Returns:
        Groups of three to five, by the hash of seed, round and name; one group of all with fewer than six.

    Raises:
        ProtocolError: ``protocol.malformed`` if a member is there twice, or there are fewer than three.
    """
    if len(set(members)) != len(members) or len(members) < MINIMUM_GROUP:
        raise ProtocolError("protocol.malformed", "groups need three members or more, each once")

    def place(member: str) -> bytes:
        return hashlib.sha256(seed + round_number.to_bytes(8, "big") + member.encode()).digest()

    order = sorted(members, key=place)
    count = max(1, len(order) // MINIMUM_GROUP)
    return tuple(tuple(sorted(order[number::count])) for number in range(count))


def judge_groups(
    weights: NDArray[np.float32],
    groups: Sequence[GroupMean],
    probe: Probe,
    *,
    max_norm: float,
    round_number: int,
) -> Judged:
    """Takes what helps.

    Args:
        weights: Global weights before the round.
        groups: Their means, from secure sums; nothing about them is sure.
        probe: Worth on held-out rows.
        max_norm: Largest L2 norm of an update by agreement, and so of a mean of updates.
        round_number: From 1.

    Returns:
        The new weights, or the old ones.
    """
    before = _finite(probe(weights))
    sound = [_norm(group, len(weights)) <= max_norm for group in groups]
    gains = [
        _finite(probe(_moved(weights, [group]))) - before if is_sound else 0.0
        for group, is_sound in zip(groups, sound, strict=True)
    ]
    needed = KEPT_GAIN * max(gains, default=0.0)
    kept: list[GroupMean] = []
    findings: list[Finding] = []
    for group, is_sound, gain in zip(groups, sound, gains, strict=True):
        if not is_sound:
            norm = _norm(group, len(weights))
            findings.append(_finding(group, round_number, "group", norm, max_norm))
        elif gain <= 0 or gain < needed:
            findings.append(_finding(group, round_number, "probe", gain, needed))
        else:
            kept.append(group)
    if not kept or not probe(moved := _moved(weights, kept)) > before:
        return Judged(weights, tuple(findings), rolled_back=True)
    return Judged(moved, tuple(findings), rolled_back=False)


def _moved(weights: NDArray[np.float32], groups: Sequence[GroupMean]) -> NDArray[np.float32]:
    """Weights after the mean of some groups, weighted by rows."""
    rows = sum(group.rows for group in groups)
    step = sum((group.delta * (group.rows / rows) for group in groups), start=np.zeros(len(weights)))
    moved: NDArray[np.float32] = (weights + step).astype(np.float32)
    return moved


def _norm(group: GroupMean, size: int) -> float:
    """L2 norm of a group's mean; half the largest double for one that is not a mean of updates at all."""
    if group.delta.shape != (size,) or group.rows < len(group.members) or not np.isfinite(group.delta).all():
        return _HALF
    return _finite(float(np.linalg.norm(group.delta)), _HALF)


def _finite(value: float, otherwise: float = -_HALF) -> float:
    """The value, or one in its place that is as bad and whose differences to others are still finite."""
    return value if np.isfinite(value) and abs(value) < _HALF else otherwise


def _finding(group: GroupMean, round_number: int, kind: Kind, measure: float, threshold: float) -> Finding:
    return Finding(members=group.members, round=round_number, kind=kind, measure=measure, threshold=threshold)
