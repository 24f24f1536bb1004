"""What kinds that are no trees share: what own columns say alone, and who holds the other columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.vertical.own_model import OwnModel, logistic
from hanse.learning.vertical.serving.forms import Form, Rows
from hanse.learning.vertical.serving.halves import Columns, file_of
from hanse.learning.vertical.serving.people import AGREEMENT_FILE
from hanse.policies import open_agreement

PART: Final = "part.json"


@dataclass(frozen=True, slots=True)
class OwnColumns:
    """See :class:`hanse.learning.vertical.serving.halves.LabelHalf`; it asks nobody.

    Attributes:
        model: The model.
    """

    model: OwnModel

    @property
    def asks(self) -> Mapping[str, Form]:
        """Nobody."""
        return {}

    def scores(self, columns: Columns, answers: Mapping[str, Rows]) -> NDArray[np.float64]:
        """See the protocol."""
        del answers
        return logistic(self.model.logits(columns))


def open_alone(files: Mapping[str, bytes], folder: str) -> OwnColumns:
    """Reads what own columns gave alone.

    Args:
        files: Of the part.
        folder: With what the names of its files begin.

    Raises:
        ServingError: ``model.invalid``.
    """
    return OwnColumns(OwnModel.decode(file_of(files, f"{folder}{PART}")))


def feature_holders(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """The feature holders, in the order of the agreement that was signed with a part.

    Raises:
        ServingError: ``model.invalid`` if there is none.
        PolicyError: If it does not verify.
    """
    vertical = open_agreement(file_of(files, AGREEMENT_FILE)).agreement.vertical
    return () if vertical is None else vertical.feature_holders
