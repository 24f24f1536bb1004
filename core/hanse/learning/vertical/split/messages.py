"""Messages of a split network: a step, a number, arrays of known type and shape.

Bodies are those of :mod:`hanse.aggregation.body`, with the header ``{"number": …, "protocol":
"hanse.split/1", "step": …}`` and, in greetings, what both sides compare.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.body import decode_body, encode_body
from hanse.crypto import JsonInput, JsonValue
from hanse.errors import ProtocolError
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
    header = {"protocol": PROTOCOL, "step": step, "number": number, **(more or {})}
    peer.send(encode_body(header, *arrays))


def receive(
    peer: PeerChannel, step: str, number: int, *shapes: Shape
) -> tuple[dict[str, JsonValue], tuple[NDArray[Any], ...]]:
    """The next message, which has to be of a step.

    Args:
        peer: Who speaks.
        step: Whose turn it is.
        number: Which one of its kind.
        shapes: Of the arrays.

    Returns:
        What else the header says, and the arrays.

    Raises:
        ProtocolError: ``protocol.malformed`` or ``protocol.unexpected-step``, naming the peer.
        HanseError: As the channel.
    """
    try:
        header, arrays = decode_body(peer.receive())
    except ProtocolError as error:
        if error.code != "protocol.malformed":
            raise
        raise ProtocolError(error.code, f"{peer.peer}: {error.detail}") from error
    said = {name: header.pop(name, None) for name in ("protocol", "step", "number")}
    if said != {"protocol": PROTOCOL, "step": step, "number": number}:
        raise ProtocolError(
            "protocol.unexpected-step", f"{peer.peer} said something else where {step} {number} is due"
        )
    if len(arrays) != len(shapes) or not all(
        _fits(array, shape) for array, shape in zip(arrays, shapes, strict=True)
    ):
        raise ProtocolError(
            "protocol.malformed", f"{peer.peer}: {step} {number} has arrays of another type, shape or size"
        )
    return header, arrays


def _fits(array: NDArray[Any], shape: Shape) -> bool:
    if array.dtype != np.dtype(shape.kind) or array.shape != shape.lengths:
        return False
    return not array.size or shape.largest == float("inf") or bool(np.abs(array).max() <= shape.largest)
