"""The default defence where single updates are seen: judge each, leave out what is wrong, shorten the rest.

1. An update of another shape, that is not finite, without rows or above the agreement's norm does not come
   from our software, which shortens its own. The member is named, and left out from that round on, until
   people have looked.
2. Directions are compared. While most updates agree, one that points away from most others comes from labels
   or signs that were turned round: the member is named, and left out from that round on. Later in a run
   updates are mostly sampling noise and agree on nothing; the test is silent then, instead of naming by
   chance. With three of ten members against it, the first round decides.
3. An update far longer than the median is left out of the round, and the member named; others are shortened
   to a multiple of the median. Privacy noise makes the updates of a member with few rows long, so length
   counts only as far as the update, with its rows, would also move the mean further than others do. Rows
   are a member's own claim: beyond a multiple of the median they carry no more weight, and it is named.

The result goes to :func:`hanse.learning.aggregate`, the mean by rows. Assumptions: fewer than half of the
members are faulty, and honest members' data agree enough that their first updates point the same way. Limits:
a member that behaves well at first and turns round later is only shortened, and so is one that copies the
direction of the others and adds a little to it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.aggregation import Update, defect
from hanse.learning.robustness.findings import Finding, Kind

AGREEMENT: Final = 0.1
"""Median cosine that most members must have to the others before a direction is judged, and whose negative
names a member. Honest members had .16 or more in the first round, turned ones -.22 or less (measured)."""

OUTLIER: Final = 3.0
"""Length, in multiples of the round's median, above which an update is left out. Honest ones reached 1.9."""

KEPT_NORM: Final = 2.0
"""Length, in multiples of the round's median, to which longer ones are shortened: honest ones are not."""

KEPT_ROWS: Final = 4.0
"""Rows, in multiples of the round's median, that an update is weighted with at most."""

_FEWEST_TO_COMPARE: Final = 4


@dataclass(frozen=True, slots=True)
class Screened:
    """What is left of the updates of one round.

    Attributes:
        accepted: Updates to aggregate, shortened.
        findings: Why others are missing, or are shorter.
        excluded: Members that are left out from now on, those of earlier rounds included.
    """

    accepted: tuple[Update, ...]
    findings: tuple[Finding, ...]
    excluded: frozenset[str]


def screen(
    updates: Sequence[Update],
    *,
    size: int,
    max_norm: float,
    round_number: int,
    excluded: Collection[str] = (),
) -> Screened:
    """Judges the updates of one round.

    Args:
        updates: At most one per member, from anywhere.
        size: Number of weights.
        max_norm: Largest L2 norm of an update, by agreement.
        round_number: From 1.
        excluded: Members that earlier rounds left out for good; their updates are not looked at.

    Returns:
        What may be aggregated, and what was found.
    """
    sound: list[Update] = []
    findings: list[Finding] = []
    for update in updates:
        if update.member in excluded:
            continue
        if (found := defect(update, size, max_norm)) is None:
            sound.append(update)
        else:
            findings.append(_finding(update.member, round_number, *found))
    turned = _turned(sound, round_number)
    findings += turned
    out = {finding.members[0] for finding in findings}
    kept = [update for update in sound if update.member not in out]
    shortened, outliers = _shortened(kept, round_number)
    accepted, heavy = _lightened(shortened, round_number)
    return Screened(tuple(accepted), (*findings, *outliers, *heavy), frozenset(excluded) | out)


def median_cosines(deltas: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each update, the median of its cosines to all others.

    Args:
        deltas: Shape (members, weights); of at least two members.

    Returns:
        Shape (members,); 0 for an update of zeros.
    """
    norms = np.linalg.norm(deltas, axis=1, keepdims=True)
    units = np.divide(deltas, norms, out=np.zeros_like(deltas), where=norms > 0)
    cosines = units @ units.T
    others = cosines[~np.eye(len(deltas), dtype=np.bool_)].reshape(len(deltas), -1)
    medians: NDArray[np.float64] = np.median(others, axis=1)
    return medians


def _turned(updates: Sequence[Update], round_number: int) -> list[Finding]:
    """Findings about members whose update points away from most others."""
    if len(updates) < _FEWEST_TO_COMPARE:
        return []
    cosines = median_cosines(np.stack([update.delta for update in updates]).astype(np.float64))
    if np.median(cosines) < AGREEMENT:
        return []
    return [
        _finding(update.member, round_number, "direction", float(cosine), -AGREEMENT)
        for update, cosine in zip(updates, cosines, strict=True)
        if cosine < -AGREEMENT
    ]


def _shortened(updates: Sequence[Update], round_number: int) -> tuple[list[Update], list[Finding]]:
    """The updates, none much longer than the median, and findings about those that were far longer."""
    if not updates:
        return [], []
    deltas = np.stack([update.delta for update in updates]).astype(np.float64)
    lengths = _lengths(deltas, np.array([update.rows for update in updates], dtype=np.float64))
    scales = np.minimum(1.0, KEPT_NORM / np.maximum(lengths, KEPT_NORM))[:, None]
    kept = [
        replace(update, delta=delta)
        for update, delta, length in zip(updates, (deltas * scales).astype(np.float32), lengths, strict=True)
        if length <= OUTLIER
    ]
    findings = [
        _finding(update.member, round_number, "outlier", float(length), OUTLIER)
        for update, length in zip(updates, lengths, strict=True)
        if length > OUTLIER
    ]
    return kept, findings


def _lengths(deltas: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """L2 norms, and norms times rows, each in multiples of its median; of the two the smaller one."""
    norms = np.linalg.norm(deltas, axis=1)
    lengths: NDArray[np.float64] = np.minimum(_in_medians(norms), _in_medians(norms * rows))
    return lengths


def _in_medians(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values in multiples of their median; zeros where that is none."""
    middle = float(np.median(values))
    return values / middle if middle > 0 else np.zeros_like(values)


def _lightened(updates: Sequence[Update], round_number: int) -> tuple[list[Update], list[Finding]]:
    """The updates, none with much more weight than the median, and findings about those that claimed more."""
    if not updates:
        return [], []
    middle = float(np.median([update.rows for update in updates]))
    most = max(1, int(KEPT_ROWS * middle))
    findings = [
        _finding(update.member, round_number, "weight", update.rows / middle, KEPT_ROWS)
        for update in updates
        if update.rows > most
    ]
    return [replace(update, rows=min(update.rows, most)) for update in updates], findings


def _finding(member: str, round_number: int, kind: Kind, measure: float, threshold: float) -> Finding:
    return Finding(members=(member,), round=round_number, kind=kind, measure=measure, threshold=threshold)
