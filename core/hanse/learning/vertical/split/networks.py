"""The halves of a split network."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from typing_extensions import override

from hanse.errors import ServingError
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.split.settings import SplitSettings

Arrays = Mapping[str, NDArray[np.float32]]


def bottom(columns: int, settings: SplitSettings) -> nn.Sequential:
    """From a party's columns to numbers between -1 and 1 per person."""
    return nn.Sequential(
        nn.Linear(columns, settings.hidden),
        nn.Tanh(),
        nn.Linear(settings.hidden, settings.embedding),
        nn.Tanh(),
    )


class LabelHalf(nn.Module):
    """The label holder's half: a bottom on its own columns, and the top over all embeddings.

    Args:
        columns: Of the label holder.
        feature_holders: How many send embeddings.
        settings: The run's.
    """

    def __init__(self, columns: int, feature_holders: int, settings: SplitSettings) -> None:
        super().__init__()
        self.bottom = bottom(columns, settings)
        width = settings.embedding * (1 + feature_holders)
        self.top = nn.Sequential(nn.Linear(width, settings.hidden), nn.Tanh(), nn.Linear(settings.hidden, 1))

    @override
    def forward(self, own: torch.Tensor, received: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits, shape (rows,), of own columns (rows, columns) and received embeddings (rows, width)."""
        logits: torch.Tensor = self.top(torch.cat([self.bottom(own), *received], dim=1))
        return logits[:, 0]


def initialise(network: nn.Module, random: SecureRandom) -> None:
    """Draws weights as Glorot and Bengio (2010) do; biases from [-1/2, 1/2]: frozen ones matter."""
    for parameter in network.parameters():
        shape = tuple(parameter.shape)
        reach = np.sqrt(6.0 / sum(shape)) if len(shape) > 1 else 0.5
        drawn = (random.uniform(int(np.prod(shape))) * 2 - 1) * reach
        parameter.data = torch.from_numpy(drawn.astype(np.float32).reshape(shape))


def state_of(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Copies of all parameters by name."""
    return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}


def restore(network: nn.Module, state: Arrays) -> None:
    """Gives a network its parameters.

    Raises:
        ServingError: ``model.invalid`` if names or shapes are others, or a number is not finite.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: value.shape for name, value in state.items() if np.isfinite(value).all()}
    if expected != given:
        raise ServingError("model.invalid", "the parameters do not fit the network")
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
