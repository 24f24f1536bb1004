"""Messages between the parties (:mod:`hanse.aggregation.steps`): steps, and arrays of a type and shape."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import hear_step, malformed, say
from hanse.exchange.peers import PeerChannel

COLUMNS, SEED, BEGIN, BINS, KEY = "columns", "seed", "begin", "bins", "key"
DEAL, DEALT, DEALT_CHECK = "deal", "dealt", "dealt-check"
SUMS, SIDES = "sums", "sides"
PROOF, COMBINED, CHECKED = "proof", "combined", "checked"
POINT, POINTED = "point", "pointed"
OVER: Final = "over"

_PIECE_BYTES: Final = 8 << 20


def hear_array(
    channel: PeerChannel, step: str, kind: type[np.generic], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Receives the message that is due, which is one array and no more.

    Raises:
        ProtocolError: As :func:`hear_step`; ``protocol.malformed`` for an array of another type or shape.
    """
    header, arrays = hear_step(channel, step)
    if header or len(arrays) != 1:
        raise malformed(channel, f"a message of the step {step} has another form")
    return check_array(channel, arrays[0], kind, shape)


def check_array(
    channel: PeerChannel, array: NDArray[Any], kind: type[np.generic], shape: tuple[int, ...]
) -> NDArray[Any]:
    """The array, if it is of a type and shape."""
    if array.dtype.type is not kind or array.shape != shape:
        raise malformed(channel, "an array is of another type or shape")
    return array


def pieces(rows: int, row_bytes: int) -> Iterator[slice]:
    """Rows in pieces that fit into a message."""
    step = max(1, _PIECE_BYTES // max(1, row_bytes))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def send_matrix(channel: PeerChannel, step: str, matrix: NDArray[Any]) -> None:
    """Sends a matrix in pieces of rows, each a message."""
    for part in pieces(len(matrix), matrix.nbytes // max(1, len(matrix))):
        say(channel, step, matrix[part])


def receive_matrix(channel: PeerChannel, step: str, shape: tuple[int, int]) -> NDArray[np.uint32]:
    """Receives what :func:`send_matrix` sends."""
    matrix = np.empty(shape, dtype=np.uint32)
    for part in pieces(shape[0], 4 * shape[1]):
        matrix[part] = hear_array(channel, step, np.uint32, (part.stop - part.start, shape[1]))
    return matrix
