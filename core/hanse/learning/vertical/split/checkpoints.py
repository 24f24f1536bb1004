"""Where a party can go on after an interruption: the states at the ends of its last two epochs.

Parties are never more than one epoch apart, so one of the two is common to all.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.learning.vertical.split.states import decode_state, encode_state

Checkpoints: TypeAlias = MutableMapping[int, bytes]
"""By number of finished epochs; safetensors. A shell may keep them on the disk, as secret as the data."""

_KEPT: Final = 2
_EXTRAS: Final = "run."


def keep(
    checkpoints: Checkpoints,
    epoch: int,
    network: Mapping[str, NDArray[np.float32]],
    extras: Mapping[str, NDArray[np.generic]],
) -> None:
    """Stores the state after an epoch and forgets those before the last two."""
    state: dict[str, NDArray[np.generic]] = dict(network)
    checkpoints[epoch] = encode_state(state | {_EXTRAS + name: value for name, value in extras.items()})
    for old in [number for number in checkpoints if not epoch - _KEPT < number <= epoch]:
        del checkpoints[old]


def recall(
    checkpoints: Checkpoints, epoch: int
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.generic]]]:
    """The network's state after an epoch, and the extras.

    Raises:
        ServingError: ``model.invalid`` if it is damaged.
    """
    network, extras = {}, {}
    for name, value in decode_state(checkpoints[epoch]).items():
        if name.startswith(_EXTRAS):
            extras[name.removeprefix(_EXTRAS)] = value
        else:
            network[name] = value.astype(np.float32)
    return network, extras


def common_epoch(offers: Iterable[Iterable[int]]) -> int | None:
    """The last epoch after which every party has a state; None without one."""
    sets = [set(offer) for offer in offers]
    return max(set.intersection(*sets), default=None)
