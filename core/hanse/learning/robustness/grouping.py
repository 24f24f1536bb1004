"""The default defence under secure sums: several sums over groups of members, judged on held-out rows.

No update is seen, so no member can be judged. With six members or more the round's sum is made of sums over
groups of three or more. Who shares a group follows from a public seed and changes every round, and members
whose groups were left out before are put together, so that those who spoil a group soon spoil one of their
own. Each group's mean is tried on held-out rows; of the means of the best one, two, three ... groups the best
is taken. If none helps, the round is rolled back.

Assumptions: the held-out rows are out of the attackers' reach, e.g. the label holder's own; a member that
contributes false figures to a probe over all members can steer it. Limits: while every group holds a faulty
member nothing helps, or the best of the bad means is taken; with three faulty members of ten that is so in
three of ten first rounds. Groups are not members: nobody is named. Sums over groups say more than one sum
does, and each carries the noise of its own members only: shared noise has to be divided by the size of a
group, not by that of the run.
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ProtocolError
from hanse.learning.robustness.findings import Finding, Kind

MINIMUM_GROUP: Final = 3
"""A sum of two tells each of them the other's."""

MINIMUM_MEMBERS: Final = 2 * MINIMUM_GROUP

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


def assign_groups(
    members: Sequence[str], round_number: int, seed: bytes, findings: Sequence[Finding] = ()
) -> tuple[tuple[str, ...], ...]:
    """Divides the members of a round.

    Args:
        members: Who takes part; each member checks that it is in one group of enough.
        round_number: From 1.
        seed: Public and fixed before the members are, e.g. the digest of the run's agreement, so that nobody
            chooses who meets whom.
        findings: Those of earlier rounds; public to all members.

    Returns:
        Groups of three to five: by how often a member's group was left out, then by the hash of seed, round
        and name. One group of all with fewer than six.

    Raises:
        ProtocolError: ``protocol.malformed`` if a member is there twice, or there are fewer than three.
    """
    if len(set(members)) != len(members) or len(members) < MINIMUM_GROUP:
        raise ProtocolError("protocol.malformed", "groups need three members or more, each once")
    left_out = Counter(member for finding in findings for member in finding.members)

    def place(member: str) -> tuple[int, bytes]:
        salted = seed + round_number.to_bytes(8, "big") + member.encode()
        return left_out[member], hashlib.sha256(salted).digest()

    order = sorted(members, key=place)
    count = max(1, len(order) // MINIMUM_GROUP)
    starts = [len(order) * number // count for number in range(count + 1)]
    return tuple(tuple(sorted(order[low:high])) for low, high in pairwise(starts))


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
    norms = [_norm(group, len(weights)) for group in groups]
    findings = [
        _finding(group, round_number, "group", norm, max_norm)
        for group, norm in zip(groups, norms, strict=True)
        if norm > max_norm
    ]
    sound = [group for group, norm in zip(groups, norms, strict=True) if norm <= max_norm]
    before = _finite(probe(weights))
    gains = [_finite(probe(_moved(weights, [group]))) - before for group in sound]
    order = sorted(range(len(sound)), key=lambda place: -gains[place])
    worths = [
        _finite(probe(_moved(weights, [sound[place] for place in order[: count + 1]])))
        for count in range(len(order))
    ]
    best = max(worths, default=before)
    taken = order[: worths.index(best) + 1] if best > before else []
    needed = min((gains[place] for place in taken), default=0.0)
    findings += [
        _finding(sound[place], round_number, "probe", gains[place], needed)
        for place in range(len(sound))
        if place not in taken
    ]
    if not taken:
        return Judged(weights, tuple(findings), rolled_back=True)
    moved = _moved(weights, [sound[place] for place in taken])
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
