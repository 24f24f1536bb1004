"""Boosted trees served: the label holder adds up leaves, feature holders say sides of cuts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.vertical.serving.forms import Rows, Sides
from hanse.learning.vertical.serving.halves import Columns, file_of
from hanse.learning.vertical.trees.parts import FeaturePart, LabelPart

PART: Final = "part.json"
TREES: Final = "part.safetensors"

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TreesFeature:
    """See :class:`hanse.learning.vertical.serving.halves.FeatureHalf`.

    Attributes:
        part: What cuts mean.
    """

    part: FeaturePart

    @property
    def form(self) -> Sides:
        """See the protocol."""
        return Sides(len(self.part.cuts))

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that cuts are of."""
        return tuple(column.column.name for column in self.part.columns)

    def answers(self, columns: Columns, people: int) -> Rows:
        """See the protocol."""
        if people == 1:
            return np.frombuffer(self.part.sides_of_one(columns), np.uint8).reshape(1, -1)
        return by_person(self.part.sides(columns), people)


@dataclass(frozen=True, slots=True)
class TreesLabel:
    """See :class:`hanse.learning.vertical.serving.halves.LabelHalf`.

    Attributes:
        part: The trees.
    """

    part: LabelPart

    @property
    def asks(self) -> Mapping[str, Sides]:
        """Whoever has a cut."""
        return {holder.name: Sides(holder.cuts) for holder in self.part.description.holders if holder.cuts}

    def scores(self, columns: Columns, answers: Mapping[str, Rows]) -> NDArray[np.float64]:
        """See the protocol."""
        if all(len(rows) == 1 for rows in answers.values()) and answers:
            one: NDArray[np.float64] = self.part.scores_of_one(
                columns, {name: rows.tobytes() for name, rows in answers.items()}
            )[:, 0]
            return one
        asks = self.asks
        sides = {name: by_cut(rows, asks[name].cuts) for name, rows in answers.items()}
        found: NDArray[np.float64] = self.part.scores(columns, sides)[:, 0]
        return found


def open_feature(files: Mapping[str, bytes]) -> TreesFeature:
    """Reads a feature holder's part.

    Raises:
        ServingError: ``model.invalid``.
    """
    return TreesFeature(FeaturePart.decode(file_of(files, PART)))


def open_label(files: Mapping[str, bytes]) -> TreesLabel:
    """Reads a label holder's part.

    Raises:
        ServingError: ``model.invalid``.
    """
    return open_alone(files, "")


def open_alone(files: Mapping[str, bytes], folder: str) -> TreesLabel:
    """Reads what own columns gave alone.

    Args:
        files: Of the part.
        folder: With what the names of its files begin.

    Raises:
        ServingError: ``model.invalid``.
    """
    names = (f"{folder}{PART}", f"{folder}{TREES}")
    return TreesLabel(LabelPart.decode(*(file_of(files, name) for name in names)))


def by_person(sides: Bits, people: int) -> Rows:
    """Sides as :meth:`FeaturePart.sides` gives them, with a row for each person.

    Args:
        sides: Shape (cuts, ceil(people / 8)).
        people: How many people.

    Returns:
        Shape (people, ceil(cuts / 8)).
    """
    if not len(sides):
        return np.zeros((people, 0), dtype=np.uint8)
    bits = np.unpackbits(sides, axis=1, count=people, bitorder="little")
    return np.packbits(bits.T, axis=1, bitorder="little")


def by_cut(rows: Rows, cuts: int) -> Bits:
    """Sides of people as :meth:`LabelPart.scores` takes them.

    Args:
        rows: For each person the sides of all cuts, ceil(cuts / 8) bytes.
        cuts: How many cuts.

    Returns:
        Shape (cuts, ceil(people / 8)).
    """
    if not cuts:
        return np.zeros((0, 0), dtype=np.uint8)
    bits = np.unpackbits(np.asarray(rows, dtype=np.uint8), axis=1, count=cuts, bitorder="little")
    return np.packbits(bits.T, axis=1, bitorder="little")
