"""Weights and updates as bytes: one flat vector of little-endian float32, nothing else."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ProtocolError

_WORD_BYTES: Final = 4


def weights_to_bytes(vector: NDArray[np.float32]) -> bytes:
    """The vector as bytes."""
    return vector.astype("<f4").tobytes()


def weights_from_bytes(data: bytes) -> NDArray[np.float32]:
    """Reads what :func:`weights_to_bytes` wrote.

    Args:
        data: Bytes from a peer.

    Returns:
        A vector of finite numbers.

    Raises:
        ProtocolError: ``protocol.malformed`` when the bytes are no whole number of floats, or one is not
            finite.
    """
    vector = any_from_bytes(data)
    if not np.isfinite(vector).all():
        raise ProtocolError("protocol.malformed", "a weight is not finite")
    return vector


def any_from_bytes(data: bytes) -> NDArray[np.float32]:
    """A vector that the caller judges: what is in it may be anything.

    Args:
        data: Bytes from a peer.

    Raises:
        ProtocolError: ``protocol.malformed`` when the bytes are no whole number of floats.
    """
    if len(data) % _WORD_BYTES:
        raise ProtocolError("protocol.malformed", f"{len(data)} bytes are no whole number of float32")
    return np.frombuffer(data, dtype="<f4").astype(np.float32)
