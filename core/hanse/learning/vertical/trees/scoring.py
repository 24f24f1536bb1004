"""Scores of rows by both parts of a model, in one round trip."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import hear_step, malformed, say
from hanse.exchange.peers import PeerChannel
from hanse.learning.boosting.objective import Floats
from hanse.learning.vertical.trees.messages import SIDES, check_array, hear_array
from hanse.learning.vertical.trees.parts import FeaturePart, LabelPart

MAX_REQUEST_ROWS: Final = 1 << 16
SCORE: Final = "score"


def request_scores(
    part: LabelPart,
    peers: Mapping[str, PeerChannel],
    rows: NDArray[np.int64],
    columns: Mapping[str, NDArray[Any]],
) -> Floats:
    """Scores rows with the feature holders' help.

    A feature holder learns which rows are scored. The label holder learns of each row its side of every cut
    of the model, whichever leaves it reaches, so that the feature holder learns nothing of these.

    Args:
        part: The label holder's.
        peers: Channels to the feature holders, by name.
        rows: What the feature holders know the rows by, such as their places in the alignment; at most
            :data:`MAX_REQUEST_ROWS`.
        columns: Own values of the rows, by column name.

    Returns:
        Probabilities, or values in the label's unit, shape (rows, labels).

    Raises:
        ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        ProtocolError: If a feature holder's answer is malformed.
    """
    holders = [holder for holder in part.description.holders if holder.cuts]
    for holder in holders:
        say(peers[holder.name], SCORE, rows, pair=holder.pair)
    sides = {
        holder.name: hear_array(peers[holder.name], SIDES, np.uint8, (holder.cuts, (len(rows) + 7) // 8))
        for holder in holders
    }
    return part.scores(columns, sides)


def answer_request(
    part: FeaturePart,
    label: PeerChannel,
    look_up: Callable[[NDArray[np.int64]], Mapping[str, NDArray[Any]]],
) -> int:
    """Answers one request for scores.

    Args:
        part: The feature holder's.
        label: Channel to the label holder.
        look_up: Values of rows by column name; raises for a row that must not be scored.

    Returns:
        Rows that were answered.

    Raises:
        ProtocolError: ``protocol.malformed`` if the request is none of this model.
        HanseError: As ``look_up``.
    """
    header, arrays = hear_step(label, SCORE)
    if header.get("pair") != part.pair or len(arrays) != 1 or arrays[0].ndim != 1:
        raise malformed(label, "a request for scores of another model, or of another form")
    rows = check_array(label, arrays[0], np.int64, arrays[0].shape)
    if len(rows) > MAX_REQUEST_ROWS:
        raise malformed(label, "a request for too many rows")
    say(label, SIDES, part.sides(look_up(rows)))
    return len(rows)
