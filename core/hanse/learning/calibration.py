"""Whether a score of .3 means that three in ten do it, and what to do about it where it does not.

A calibration is a rising, piecewise linear map of log-odds: part of a model version, and applied by whoever
scores. :mod:`hanse.learning.evaluation.calibration` fits it.
"""

from itertools import pairwise
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hanse.policies.fields import Document, Many

FloatArray = NDArray[np.float64]

MOST_PARTS: Final = 20


class Calibration(Document):
    """A rising map of log-odds.

    Attributes:
        given: Log-odds as the model has them, rising.
        meant: Log-odds that they are found to mean, rising; as many.
    """

    given: Annotated[Many[float], Field(min_length=1, max_length=MOST_PARTS)]
    meant: Many[float]

    @model_validator(mode="after")
    def _rises(self) -> Self:
        both = (self.given, self.meant)
        if len(self.given) != len(self.meant) or any(
            low >= high for side in both for low, high in pairwise(side)
        ):
            raise ValueError("both sides rise, and are as long as each other")
        return self

    def apply(self, scores: FloatArray) -> FloatArray:
        """What scores mean.

        Args:
            scores: Probabilities as the model has them, in [0, 1]; NaN stays.

        Returns:
            Calibrated probabilities, in the same order; same shape.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            logits = np.log(scores) - np.log1p(-scores)
        return 0.5 * (1.0 + np.tanh(0.5 * self.shift(logits)))

    def shift(self, logits: FloatArray) -> FloatArray:
        """What log-odds mean; as :meth:`apply`."""
        meant = np.interp(logits, self.given, self.meant)
        below = np.minimum(logits - self.given[0], 0.0)
        above = np.maximum(logits - self.given[-1], 0.0)
        return meant + below + above


class ScoreMeaning(Document):
    """What the held-out records of a run say of its model's scores.

    Attributes:
        calibration: What they mean; None where too few records, or too much noise, say so.
        deciles: Where the tenths of the records begin, in calibrated scores; empty likewise.
    """

    calibration: Calibration | None = None
    deciles: Many[float] = ()


NO_MEANING: Final = ScoreMeaning()
"""Nothing is said."""
