"""Which rows each member of a benchmark has."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
Assignment = Literal["by kind", "at random"]
ASSIGNMENTS: Final[tuple[Assignment, ...]] = ("by kind", "at random")


def assign(
    rows: Indices, kind: NDArray[np.int64], members: int, assignment: Assignment, seed: int
) -> list[Indices]:
    """Deals rows to members.

    Args:
        rows: The rows to deal.
        kind: Kind of customer of every row there is, not only of those.
        members: How many.
        assignment: ``by kind``: each member has customers of one kind only, and members of the same kind have
            equally many. ``at random``: each has equally many of whatever kind.
        seed: Of the shuffle; the same gives the same members.

    Returns:
        The rows of each member, members of a kind side by side.
    """
    shuffled = np.random.default_rng(seed).permutation(rows)
    if assignment == "at random":
        return np.array_split(shuffled, members)
    of_kind = [shuffled[kind[shuffled] == each] for each in np.unique(kind[rows])]
    shares = members_per_kind([len(each) for each in of_kind], members)
    return [part for each, share in zip(of_kind, shares, strict=True) for part in np.array_split(each, share)]


def members_per_kind(rows: Sequence[int], members: int) -> list[int]:
    """One member for each kind, every further one for the kind with most rows to a member (D'Hondt).

    Args:
        rows: Rows of each kind.
        members: At least as many as kinds.

    Raises:
        ValueError: With fewer members than kinds.
    """
    if members < len(rows):
        raise ValueError("fewer members than kinds of customers")
    shares = [1] * len(rows)
    for _ in range(members - len(rows)):
        shares[max(range(len(rows)), key=lambda each: rows[each] / shares[each])] += 1
    return shares
