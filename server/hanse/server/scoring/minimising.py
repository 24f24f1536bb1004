"""The form in which the scores of a call may leave."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hanse.learning.transform import as_numbers
from hanse.scoring.saying import minimised, segment_names
from hanse.server.scoring.asked import Asked, Output
from hanse.server.scoring.served import Columns, Served

SEGMENT_OUTPUT = "segment"


def said(
    served: Served, columns: Columns, admitted: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Scores of one call in the form that the agreement lets leave.

    Args:
        served: The model version that made them.
        columns: Values of its columns, one per subject of the call.
        admitted: Who was scored.
        scores: Probabilities, one per admitted subject.

    Returns:
        One per admitted subject.

    Raises:
        ServingError: ``model.invalid`` if the model version lacks what the form needs.
    """
    terms = served.agreement.agreement.scoring
    values = None if terms.segments is None else _values(served, columns, admitted, terms.segments.value)
    return minimised(scores, terms, served.deciles, values)


@lru_cache(maxsize=64)
def everybody(rows: int) -> npt.NDArray[np.bool_]:
    """Everybody of a call is admitted."""
    admitted = np.ones(rows, dtype=np.bool_)
    admitted.setflags(write=False)
    return admitted


class SegmentNames:
    """The agreed names of segments, beside their numbers; see :class:`hanse.server.scoring.asked.Extra`."""

    def names(self, served: Served) -> Mapping[str, str]:
        """The output where the agreement has segments."""
        segments = served.agreement.agreement.scoring.segments
        return {} if segments is None else {SEGMENT_OUTPUT: "BYTES"}

    async def outputs(
        self, asked: Asked, columns: Columns, admitted: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]
    ) -> Mapping[str, Output]:
        """Empty texts for whom no score is computed."""
        if SEGMENT_OUTPUT not in asked.outputs or SEGMENT_OUTPUT not in self.names(asked.served):
            return {}
        numbers = np.full(len(admitted), np.nan, dtype=np.float32)
        numbers[admitted] = said(asked.served, columns, admitted, scores)
        terms = asked.served.agreement.agreement.scoring
        return {SEGMENT_OUTPUT: [name.encode() for name in segment_names(numbers, terms)]}


def _values(
    served: Served, columns: Columns, admitted: npt.NDArray[np.bool_], name: str
) -> npt.NDArray[np.float64]:
    """What each admitted subject is worth: an agreed column, or an amount that the model predicts."""
    if name in columns:
        return as_numbers(columns[name][admitted])
    return served.amounts(name, columns, admitted)
