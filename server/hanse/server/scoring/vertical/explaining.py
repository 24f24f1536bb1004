"""Why scores of a vertical model are as they are: own columns by name, the other members' as one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hanse.learning.vertical.serving import LabelHalf, Rows
from hanse.policies import Agreement
from hanse.scoring.reasons.explain import say
from hanse.scoring.reasons.halves import attribute_half
from hanse.server.scoring.own.explaining import to_json
from hanse.server.scoring.served import Columns


class Why:
    """Reasons of the scores of one call.

    Args:
        agreement: Has the descriptions of columns.
        member: Name of the member that scores; callers are told of its own columns alone.
        people: How many are scored.
    """

    def __init__(self, agreement: Agreement, member: str, people: int) -> None:
        self._agreement = agreement
        self._member = member
        self._told = [b""] * people

    def note(
        self, places: npt.NDArray[np.intp], half: LabelHalf, columns: Columns, answers: Mapping[str, Rows]
    ) -> None:
        """Takes down why some are scored as they are.

        Args:
            places: Which of the people.
            half: What scored them.
            columns: Own columns of these, as it was given them.
            answers: Likewise.
        """
        reasons = say(attribute_half(half, columns, answers), self._agreement, self._member)
        for place, one in zip(places.tolist(), reasons, strict=True):
            self._told[place] = to_json(one)

    def output(self, admitted: npt.NDArray[np.bool_]) -> list[bytes]:
        """One text for each subject of the call; empty for whom nothing was taken down.

        Args:
            admitted: Which of the subjects the people are.
        """
        rows: npt.NDArray[Any] = np.full(len(admitted), b"", dtype=object)
        rows[admitted] = self._told
        return list(rows)
