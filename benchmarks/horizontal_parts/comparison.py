"""A model over members beside the same on pooled rows, other software on pooled rows, and members alone."""

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from common import Figure
from hanse.learning import roc_auc
from horizontal_parts.members import Assignment, assign
from real_data import Fold, Indices

TO_ALONE: Final = 0.005

Scores = NDArray[np.float64]


class Arm(Protocol):
    """A model on one fold. Scores are of the fold's test rows, in order."""

    @property
    def pooled(self) -> Scores:
        """Of the same method on all rows in one place."""
        ...

    @property
    def rivals(self) -> Mapping[str, Scores]:
        """Of other software on all rows in one place, by its name."""
        ...

    def federated(self, members: Sequence[Indices]) -> Scores:
        """Of the model over members."""
        ...

    def alone(self, rows: Indices) -> Sequence[Scores]:
        """Of each model that one member could train by itself."""
        ...


@dataclass(frozen=True)
class Kind:
    """What is asked of a kind of model.

    Attributes:
        name: For the figures.
        make: An arm for a fold.
        to_pooled: How far it may be behind pooled rows; None for no bar.
        best: Whether a rival that is better on pooled rows counts as pooled.
        to_rival: How far it may be behind a rival; None for no bar.
        floors: Smallest area by set, mean of all folds.
    """

    name: str
    make: Callable[[Fold], Arm]
    to_pooled: float | None
    best: bool
    to_rival: float | None
    floors: Mapping[str, float]


@dataclass(frozen=True)
class Division:
    """How rows are dealt."""

    assignment: Assignment
    members: int

    @override
    def __str__(self) -> str:
        return f"{self.assignment}, {self.members} members"


@dataclass(frozen=True)
class Found:
    """Areas under the ROC curve of one arm, one fold, one division.

    Attributes:
        pooled: Of all rows in one place.
        rivals: Of other software on all rows.
        federated: Over the members.
        alone: The best model of each member that was trained alone.
        gains: By kind of customers, what each of these members gains on the test rows of its own kind; empty
            if members have customers of all kinds.
    """

    pooled: float
    rivals: Mapping[str, float]
    federated: float
    alone: tuple[float, ...]
    gains: Mapping[int, tuple[float, ...]]


def compare(fold: Fold, arm: Arm, division: Division, alone: int) -> Found:
    """Trains over the members, and so many of them alone as well, evenly spaced."""
    parts = assign(fold.train, fold.data.kind, division.members, division.assignment, seed=fold.number)
    federated = arm.federated(parts)
    areas, gains = [], defaultdict(list)
    for number in np.linspace(0, len(parts) - 1, min(alone, len(parts))).round().astype(int):
        own = max(arm.alone(parts[number]), key=lambda scores: area(fold, scores))
        areas.append(area(fold, own))
        if division.assignment == "by kind":
            kind = int(fold.data.kind[parts[number][0]])
            gains[kind].append(area(fold, federated, kind) - area(fold, own, kind))
    return Found(
        area(fold, arm.pooled),
        {name: area(fold, scores) for name, scores in arm.rivals.items()},
        area(fold, federated),
        tuple(areas),
        {kind: tuple(gained) for kind, gained in gains.items()},
    )


def area(fold: Fold, scores: Scores, kind: int | None = None) -> float:
    """On all test rows, or on those of one kind of customers."""
    chosen = np.ones(len(scores), dtype=np.bool_) if kind is None else fold.data.kind[fold.test] == kind
    found = roc_auc(scores[chosen], fold.labels(fold.test)[chosen])
    if found is None:
        sys.exit(f"{fold.data.name}: the test rows are of one class")
    return found


def figures_of(
    label: str, found: Sequence[Found], bars: Kind | None, floor: float | None
) -> Iterator[Figure]:
    """Means over the folds, and the worst member of any of them.

    Args:
        label: What begins the names of the figures.
        found: Of each fold.
        bars: Those of a kind of model; None for none.
        floor: Smallest area over the members, for as many folds.
    """
    federated = statistics.fmean(one.federated for one in found)
    pooled = statistics.fmean(one.pooled for one in found)
    yield Figure(f"{label}: pooled", pooled, "AUC")
    yield Figure(f"{label}: federated", federated, "AUC", floor=floor)
    if bars is not None:
        best = statistics.fmean(max([one.pooled, *one.rivals.values()]) for one in found)
        reference = best if bars.best else pooled
        yield Figure(f"{label}: pooled minus federated", reference - federated, "AUC", bars.to_pooled)
        for rival in found[0].rivals:
            theirs = statistics.fmean(one.rivals[rival] for one in found)
            yield Figure(f"{label}: {rival}, pooled", theirs, "AUC")
            if bars.to_rival is not None:
                yield Figure(f"{label}: {rival} minus federated", theirs - federated, "AUC", bars.to_rival)
    yield from _figures_alone(label, found, TO_ALONE if bars else None)


def _figures_alone(label: str, found: Sequence[Found], bar: float | None) -> Iterator[Figure]:
    """Members alone. What they gain on customers of their own kind is noisy, and has no bar."""
    alone = [area_alone for one in found for area_alone in one.alone]
    yield Figure(f"{label}: alone, mean", statistics.fmean(alone), "AUC")
    yield Figure(f"{label}: alone, lowest", min(alone), "AUC")
    yield Figure(f"{label}: alone, highest", max(alone), "AUC")
    worst = max(max(one.alone) - one.federated for one in found)
    yield Figure(f"{label}: best alone minus federated", worst, "AUC", bar)
    kinds = {kind for one in found for kind in one.gains}
    gained = [statistics.fmean(gain for one in found for gain in one.gains.get(k, ())) for k in kinds]
    if gained:
        yield Figure(f"{label}: gain on own kind, least of kinds", min(gained), "AUC")
