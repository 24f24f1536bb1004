"""A scorecard in halves served: each member adds up points of its cells, and the label holder both sums."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ServingError
from hanse.learning.vertical.scorecard.card import HalfCard, probabilities
from hanse.learning.vertical.serving.forms import Points, Rows
from hanse.learning.vertical.serving.halves import Columns, file_of
from hanse.learning.vertical.serving.own import PART, feature_holders, open_alone


@dataclass(frozen=True, slots=True)
class CardFeature:
    """See :class:`hanse.learning.vertical.serving.halves.FeatureHalf`.

    Attributes:
        half: Its half of the card.
    """

    half: HalfCard

    @property
    def form(self) -> Points:
        """See the protocol."""
        return Points()

    @property
    def columns(self) -> tuple[str, ...]:
        """All that the half has cells of."""
        return tuple(column.name for column in self.half.binning.columns)

    def answers(self, columns: Columns, people: int) -> Rows:
        """See the protocol."""
        if people == 1:
            return Points.write_one(self.half.score_of_one(columns))
        return Points.write(self.half.score(self.half.binning.encode(columns)))


@dataclass(frozen=True, slots=True)
class CardLabel:
    """See :class:`hanse.learning.vertical.serving.halves.LabelHalf`.

    Attributes:
        half: Its half of the card, with what everybody starts with.
        holder: Who has the other half.
    """

    half: HalfCard
    holder: str

    @property
    def asks(self) -> Mapping[str, Points]:
        """Who has the other half."""
        return {self.holder: Points()}

    def scores(self, columns: Columns, answers: Mapping[str, Rows]) -> NDArray[np.float64]:
        """See the protocol."""
        said = answers[self.holder]
        if len(said) == 1:
            total = self.half.score_of_one(columns) + Points.read_one(said)
            return probabilities(self.half.scale, np.array([total]))
        own = self.half.score(self.half.binning.encode(columns))
        return probabilities(self.half.scale, own + Points.read(said))


def open_feature(files: Mapping[str, bytes]) -> CardFeature:
    """Reads a feature holder's part.

    Raises:
        ServingError: ``model.invalid``.
    """
    return CardFeature(HalfCard.decode(file_of(files, PART)))


def open_label(files: Mapping[str, bytes]) -> CardLabel:
    """Reads a label holder's part.

    Raises:
        ServingError: ``model.invalid``.
        PolicyError: If the agreement that was signed with the part does not verify.
    """
    half = HalfCard.decode(file_of(files, PART))
    holders = feature_holders(files)
    if len(holders) != 1:
        raise ServingError("model.invalid", "a card is of two halves")
    return CardLabel(half, holders[0])


__all__ = ["CardFeature", "CardLabel", "open_alone", "open_feature", "open_label"]
