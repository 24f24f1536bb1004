"""What a label holder's own columns say alone, beside a model that is no trees."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.learning.vertical.own_model import OwnModel, logistic
from hanse.learning.vertical.serving.forms import Form, Rows
from hanse.learning.vertical.serving.halves import Columns


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
