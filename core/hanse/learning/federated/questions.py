"""What is asked of a member in a round, and how its answer becomes integers.

``model.update``: a body with the header ``{"round": r}`` and one float32 array, the global weights. The
answer is the update times the member's weight, the weight, the validation loss of the weights asked about
times the validation weight, and that weight. A weight is a number of rows over :data:`ROW_CAP`, so that one
bound serves all of the vector, and one member counts for at most that many rows.

``model.loss``: the same body; the answer is the last two numbers.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import FixedPoint, Query, decode_body, encode_body
from hanse.errors import ProtocolError
from hanse.policies import Training

UPDATE: Final = "model.update"
LOSS: Final = "model.loss"

ROW_CAP: Final = 1_000_000
"""Rows that one member counts for at most."""

LOSS_CAP: Final = 100.0
"""Largest mean loss of a member, in nats; a larger one counts as this."""

AFTER_UPDATE: Final = 3
"""Numbers behind the update: its weight, the validation loss, the validation weight."""

AFTER_LOSS: Final = 2

_MOST_FRACTION_BITS: Final = 40
_DOUBLE_BITS: Final = 53


class Question(NamedTuple):
    """A query that a member has read.

    Attributes:
        kind: :data:`UPDATE` or :data:`LOSS`.
        round_number: Round, from 1; with a loss, the last one done, from 0.
        weights: Global weights.
    """

    kind: str
    round_number: int
    weights: NDArray[np.float32]


def encoding(training: Training, contributors: int) -> FixedPoint:
    """The finest encoding in which sums of answers are exact.

    Args:
        training: Its norm bounds an update.
        contributors: Members that may answer.
    """
    bound = max(training.max_update_norm, LOSS_CAP)
    bits = _DOUBLE_BITS - 1 - math.ceil(math.log2(max(1, contributors) * (bound + 1)))
    return FixedPoint(bound, max(1, contributors), max(0, min(_MOST_FRACTION_BITS, bits)), ring_bits=64)


def ask(
    kind: str, training: Training, weights: NDArray[np.float32], round_number: int, contributors: int
) -> Query:
    """Asks about weights.

    Args:
        kind: :data:`UPDATE` or :data:`LOSS`.
        training: Model and schedule.
        weights: Global weights.
        round_number: As :class:`Question` has it.
        contributors: Members that may answer.
    """
    length = AFTER_LOSS if kind == LOSS else weights.size + AFTER_UPDATE
    body = encode_body({"round": round_number}, weights.astype("<f4"))
    return Query(kind, body, length, encoding(training, contributors))


def read(query: Query, training: Training) -> Question:
    """Reads what :func:`ask` wrote, and nothing else.

    Args:
        query: From a coordinator.
        training: Model and schedule of the agreement.

    Raises:
        ProtocolError: ``protocol.malformed``, or ``protocol.unexpected-step`` for another kind.
    """
    if query.kind not in (UPDATE, LOSS):
        raise ProtocolError("protocol.unexpected-step", "not a question about a model")
    match decode_body(query.body):
        case {"round": int(number), **rest}, (weights,) if not rest and not isinstance(number, bool):
            pass
        case _:
            raise ProtocolError("protocol.malformed", "a question about a model has another form")
    if weights.dtype != np.float32 or weights.ndim != 1:
        raise ProtocolError("protocol.malformed", "the weights are not one float32 vector")
    asked = ask(query.kind, training, weights, number, query.encoding.contributors)
    if (asked.length, asked.encoding) != (query.length, query.encoding):
        raise ProtocolError("protocol.malformed", "a question about a model has another length or encoding")
    return Question(query.kind, number, weights)
