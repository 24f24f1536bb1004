"""Messages of a scorecard run (:mod:`hanse.aggregation.steps`): ring elements, long arrays in pieces."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import steps
from hanse.crypto import JsonInput, JsonValue
from hanse.exchange import PeerChannel

PROTOCOL: Final = "hanse.scorecard/2"
PIECE_BYTES: Final = 8 << 20

Array = NDArray[Any]


def say(peer: PeerChannel, step: str, number: int, more: Mapping[str, JsonInput] | None = None) -> None:
    """Sends a message without arrays."""
    steps.say(peer, step, protocol=PROTOCOL, number=number, **(more or {}))


def hear(peer: PeerChannel, step: str, number: int) -> dict[str, JsonValue]:
    """The next message, which has to be that of a step, without arrays.

    Raises:
        ProtocolError: ``protocol.malformed`` or ``protocol.unexpected-step``, naming the peer.
    """
    header, arrays = _next(peer, step, number)
    if arrays:
        raise steps.malformed(peer, f"{step} {number} has an array too many")
    return header


def send(peer: PeerChannel, step: str, number: int, array: Array) -> None:
    """Sends an array, cut along its last axis into pieces."""
    width = _piece(array.shape, array.itemsize)
    for start in range(0, array.shape[-1], width):
        steps.say(peer, step, array[..., start : start + width], protocol=PROTOCOL, number=number)


def receive(peer: PeerChannel, step: str, number: int, kind: str, *shape: int) -> Array:
    """The array that is due.

    Raises:
        ProtocolError: ``protocol.malformed`` or ``protocol.unexpected-step``, naming the peer.
    """
    whole = np.empty(shape, dtype=kind)
    width = _piece(shape, whole.itemsize)
    for start in range(0, shape[-1], width):
        due = whole[..., start : start + width]
        header, arrays = _next(peer, step, number)
        if header or len(arrays) != 1 or arrays[0].dtype != whole.dtype or arrays[0].shape != due.shape:
            raise steps.malformed(peer, f"{step} {number} is an array of another type or shape")
        due[...] = arrays[0]
    return whole


def swap(peer: PeerChannel, step: str, number: int, array: Array, *shape: int, first: bool) -> Array:
    """Sends one array and receives another of the same type; never both at once, so that none waits for room.

    Args:
        peer: The other party.
        step: Of both.
        number: Of both.
        array: To send.
        shape: Of the other one; that of this one by default.
        first: Whether this party sends first.

    Returns:
        What the other party sent.
    """
    if first:
        send(peer, step, number, array)
    received = receive(peer, step, number, array.dtype.str[1:], *(shape or array.shape))
    if not first:
        send(peer, step, number, array)
    return received


def _next(peer: PeerChannel, step: str, number: int) -> tuple[steps.Fields, steps.Arrays]:
    fields, arrays = steps.hear_step(peer, step)
    if (fields.pop("protocol", None), fields.pop("number", None)) != (PROTOCOL, number):
        raise steps.unexpected(peer, f"{step} {number}")
    return fields, arrays


def _piece(shape: tuple[int, ...], item_bytes: int) -> int:
    """Length of the last axis of a piece."""
    return max(1, PIECE_BYTES // (item_bytes * max(1, int(np.prod(shape[:-1])))))
