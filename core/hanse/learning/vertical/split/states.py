"""States of networks as bytes; without torch, which a scorer does not load."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hanse.errors import ServingError

_MAX_STATE_BYTES: Final = 1 << 28


def encode_state(state: Mapping[str, NDArray[np.generic]]) -> bytes:
    """A state as safetensors."""
    return save({name: np.ascontiguousarray(value) for name, value in state.items()})


def decode_state(data: bytes) -> dict[str, NDArray[np.generic]]:
    """Reads what :func:`encode_state` wrote.

    Raises:
        ServingError: ``model.invalid`` for other bytes.
    """
    if len(data) > _MAX_STATE_BYTES:
        raise ServingError("model.invalid", "a state is too long")
    try:
        return dict(load(data))
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ServingError("model.invalid", "a state is no safetensors") from error
