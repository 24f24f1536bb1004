"""Late fusion served: each member's own model gives log-odds, and the label holder adds them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ServingError
from hanse.learning.vertical.fusion import Fusion
from hanse.learning.vertical.own_model import OwnModel, logistic
from hanse.learning.vertical.serving.forms import LogOdds, Rows
from hanse.learning.vertical.serving.halves import Columns, file_of
from hanse.learning.vertical.serving.own import PART, feature_holders, open_alone

WEIGHTS: Final = "weights.json"


@dataclass(frozen=True, slots=True)
class FusionFeature:
    """See :class:`hanse.learning.vertical.serving.halves.FeatureHalf`.

    Attributes:
        model: Of own columns.
    """

    model: OwnModel

    @property
    def form(self) -> LogOdds:
        """See the protocol."""
        return LogOdds()

    @property
    def columns(self) -> tuple[str, ...]:
        """All that the model has cells of."""
        return tuple(column.name for column in self.model.binning.columns)

    def answers(self, columns: Columns, people: int) -> Rows:
        """See the protocol."""
        if people == 1:
            return LogOdds.write_one(self.model.logit_of_one(columns))
        return LogOdds.write(self.model.logits(columns))


@dataclass(frozen=True, slots=True)
class FusionLabel:
    """See :class:`hanse.learning.vertical.serving.halves.LabelHalf`.

    Attributes:
        fusion: Own model and weights.
        holders: The feature holders, in the order of the weights.
    """

    fusion: Fusion
    holders: tuple[str, ...]

    @property
    def asks(self) -> Mapping[str, LogOdds]:
        """All."""
        return {name: LogOdds() for name in self.holders}

    def scores(self, columns: Columns, answers: Mapping[str, Rows]) -> NDArray[np.float64]:
        """See the protocol."""
        if all(len(rows) == 1 for rows in answers.values()):
            one = [LogOdds.read_one(answers[name]) for name in self.holders]
            return logistic(self.fusion.logits_of_one(columns, one))
        received = [LogOdds.read(answers[name]) for name in self.holders]
        return logistic(self.fusion.logits(columns, received))


def open_feature(files: Mapping[str, bytes]) -> FusionFeature:
    """Reads a feature holder's part.

    Raises:
        ServingError: ``model.invalid``.
    """
    return FusionFeature(OwnModel.decode(file_of(files, PART)))


def open_label(files: Mapping[str, bytes]) -> FusionLabel:
    """Reads a label holder's part.

    Raises:
        ServingError: ``model.invalid``.
        PolicyError: If the agreement that was signed with the part does not verify.
    """
    fusion = Fusion.decode(file_of(files, PART), file_of(files, WEIGHTS))
    holders = feature_holders(files)
    if len(fusion.weights) != len(holders) + 2:  # its own, and what everybody starts with
        raise ServingError("model.invalid", f"{WEIGHTS} has not a weight for each member")
    return FusionLabel(fusion, holders)


__all__ = ["FusionFeature", "FusionLabel", "open_alone", "open_feature", "open_label"]
