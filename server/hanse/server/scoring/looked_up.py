"""Values of the subjects of a call that only names them."""

from collections.abc import Sequence

import numpy as np

from hanse.learning.subject_values import SubjectValues, Values, spread
from hanse.server.scoring.asked import Asked
from hanse.server.scoring.tensors import bad_input


async def looked_up(
    source: SubjectValues | None, asked: Asked, rules: Sequence[str | None]
) -> tuple[Values, frozenset[int]]:
    """Looks up what a model needs of the admitted subjects; the others are not looked up.

    Args:
        source: The member's data; None if the scorer has none.
        asked: The call.
        rules: The rule that denied each subject, None where none did.

    Returns:
        Values of the model's columns, one per subject of the call; and the positions of those who are
        admitted, but not in the data.

    Raises:
        ServingError: ``scoring.bad-input`` without a source.
        ConfigurationError: ``config.bad-data``, ``config.missing-file`` if it cannot be read.
    """
    if source is None:
        raise bad_input("the call brings no columns, and none are kept here")
    admitted = np.array([rule is None for rule in rules])
    places: list[int] = np.flatnonzero(admitted).tolist()
    served = asked.served
    found = await source.look_up(served.needed, [asked.subjects[place] for place in places])
    unknown = frozenset(place for place, known in zip(places, found.known, strict=True) if not known)
    return spread(served.columns, found, admitted), unknown
