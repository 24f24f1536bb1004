"""What a caller is told of why a score is as it is: a few columns, each with a direction and in words.

What every column adds, added up, is the score itself, so the figures stay at the site: a caller that may have
a band must not get the log-odds in the shape of its reasons. It is told the columns that matter most, whether
each raised or lowered the score, and how strongly in three steps.

Order: by size of what a column adds, in steps of :data:`TOLERANCE`; columns within one step keep the order
that they have in the agreement. So two columns whose sizes differ by more than ``TOLERANCE + 2 d`` are never
exchanged by a change of each by at most ``d``, and equal inputs always give equal reasons.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

PARTNER_DATA: Final = "partner data"
"""Stands for all columns that the caller may not see, added up."""

TOLERANCE: Final = 0.05
"""Step in log-odds; a column that adds less than half of it is no reason."""

MOST_REASONS: Final = 16

Strength: TypeAlias = Literal["slightly", "clearly", "strongly"]

_CLEARLY: Final = 0.25
_STRONGLY: Final = 1.0


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason.

    Attributes:
        column: Name of the column, or :data:`PARTNER_DATA`.
        raises: Whether it made the score higher than the reference's; otherwise lower.
        strength: How much: ``strongly`` from 1 in log-odds, ``clearly`` from a quarter.
        text: As a sentence without its end, with the column's agreed description.
    """

    column: str
    raises: bool
    strength: Strength
    text: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why one score is as it is.

    Attributes:
        items: The reasons, the weightiest first; none where no column adds enough to be one.
        reference: What the score is compared with: the ``average`` person of the training records, or a
            ``neutral`` one whose columns say nothing.
        method: How the parts were computed.
    """

    items: tuple[Reason, ...]
    reference: Literal["average", "neutral"]
    method: Literal["points", "linear", "shapley", "integrated-gradients"]


def chosen(
    columns: Sequence[str],
    parts: NDArray[np.float64],
    k: int,
    visible: Collection[str],
    descriptions: Mapping[str, str],
) -> tuple[Reason, ...]:
    """The weightiest columns of one score.

    Args:
        columns: Names of all columns, in the order of the agreement.
        parts: What each adds to the log-odds, shape (columns,).
        k: Most reasons, at most :data:`MOST_REASONS`.
        visible: Columns that the caller may see; all others are added up to one.
        descriptions: What a column is called in words; its name where there is nothing.

    Returns:
        At most ``k`` reasons, the weightiest first.
    """
    given = [(name, float(part)) for name, part in zip(columns, parts, strict=True) if name in visible]
    if len(given) < len(columns):
        hidden = [part for name, part in zip(columns, parts.tolist(), strict=True) if name not in visible]
        given.append((PARTNER_DATA, float(sum(hidden))))
    stepped = [(name, part, _steps(part)) for name, part in given]
    # Python's sort is stable: equal steps keep the order of the agreement.
    ordered = sorted((item for item in stepped if item[2] > 0), key=lambda item: -item[2])
    return tuple(
        _reason(name, part, descriptions) for name, part, _ in ordered[: max(0, min(k, MOST_REASONS))]
    )


def _steps(part: float) -> int:
    """Size in whole steps; what is not finite is none."""
    return int(np.rint(abs(part) / TOLERANCE)) if np.isfinite(part) else 0


def _reason(name: str, part: float, descriptions: Mapping[str, str]) -> Reason:
    size = _steps(part) * TOLERANCE
    strength: Strength = "strongly" if size >= _STRONGLY else "clearly" if size >= _CLEARLY else "slightly"
    verb = "raises" if part > 0 else "lowers"
    return Reason(name, part > 0, strength, f"{descriptions.get(name, name)} {verb} the score {strength}")
