"""Messages of split networks and of late fusion: a step, a number, arrays of known type and shape.

Messages are those of :mod:`hanse.aggregation.steps`, with the fields ``number``, ``protocol``
(``hanse.split/1``) and, in greetings, what both sides compare.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import Arrays, Fields, hear_step, malformed, say, unexpected
from hanse.crypto import JsonInput
from hanse.exchange import PeerChannel

PROTOCOL: Final = "hanse.split/1"


class Shape(NamedTuple):
    """What an array of a message must be.

    Attributes:
        kind: Type as numpy names it, as ``f4``.
        lengths: Of each axis.
        largest: Of absolute values; infinite for integers.
    """

    kind: str
    lengths: tuple[int, ...]
    largest: float = float("inf")


def send(
    peer: PeerChannel,
    step: str,
    number: int,
    *arrays: NDArray[Any],
    more: Mapping[str, JsonInput] | None = None,
) -> None:
    """Sends one message; a number that is not finite is refused before it leaves.

    Raises:
        ProtocolError: ``protocol.malformed`` for such a number.
        HanseError: As the channel.
    """
    say(peer, step, *arrays, protocol=PROTOCOL, number=number, **(more or {}))


def receive(peer: PeerChannel, step: str, number: int, *shapes: Shape) -> tuple[Fields, Arrays]:
    """The next message, which has to be of a step.

    Args:
        peer: Who speaks.
        step: Whose turn it is.
        number: Which one of its kind.
        shapes: Of the arrays.

    Returns:
        What else is said, and the arrays.

    Raises:
        ProtocolError: ``protocol.malformed`` or ``protocol.unexpected-step``, naming the peer.
        HanseError: As the channel.
    """
    fields, arrays = hear_step(peer, step)
    if (fields.pop("protocol", None), fields.pop("number", None)) != (PROTOCOL, number):
        raise unexpected(peer, f"{step} {number}")
    if len(arrays) != len(shapes) or not all(map(_fits, arrays, shapes)):
        raise malformed(peer, f"{step} {number} has arrays of another type, shape or size")
    return fields, arrays


def _fits(array: NDArray[Any], shape: Shape) -> bool:
    if array.dtype != np.dtype(shape.kind) or array.shape != shape.lengths:
        return False
    return not array.size or shape.largest == float("inf") or bool(np.abs(array).max() <= shape.largest)
