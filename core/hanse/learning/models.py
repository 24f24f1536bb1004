"""The models as torch modules. Their parameters come and go as one flat vector, in torch's own order."""

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from typing_extensions import override

from hanse.errors import ProtocolError
from hanse.learning.shapes import Groups, deep_features, layer_shapes
from hanse.policies import Training

FloatVector: TypeAlias = NDArray[np.float32]


class WideAndDeep(nn.Module):
    """A linear part beside hidden layers that read embeddings; see :mod:`hanse.learning.shapes`.

    Args:
        training: Model, hidden layers, embedding and targets.
        n_features: Width of the transformed rows.
        groups: Features of each categorical column.
    """

    def __init__(self, training: Training, n_features: int, groups: Groups) -> None:
        super().__init__()
        # The order of these three is that of the flat vector.
        self.layers = _stacked(layer_shapes(training, n_features, groups))
        self.embeddings = nn.ModuleList(
            _linear(len(group), training.embedding, bias=False) for group in groups
        )
        self.wide = _linear(n_features, training.outputs, bias=False)
        self._plain = list(deep_features(n_features, groups))
        self._groups = [list(group) for group in groups]

    @override
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (rows, outputs), of features, shape (rows, features)."""
        embedded = [embed(x[:, group]) for embed, group in zip(self.embeddings, self._groups, strict=True)]
        deep: torch.Tensor = self.layers(torch.cat([x[:, self._plain], *embedded], dim=1))
        wide: torch.Tensor = self.wide(x)
        return deep + wide


def build(training: Training, n_features: int, groups: Groups = ()) -> nn.Module:
    """The model, with all parameters zero until :func:`set_flat` gives it weights.

    Args:
        training: Model, hidden layers and targets.
        n_features: Width of the transformed rows.
        groups: Features of each categorical column; only ``wide_and_deep`` reads them.

    Returns:
        A module from (rows, features) to logits of shape (rows, outputs), the label's first.
    """
    if training.model == "wide_and_deep":
        return WideAndDeep(training, n_features, groups)
    return _stacked(layer_shapes(training, n_features))


def get_flat(model: nn.Module) -> FloatVector:
    """A copy of the model's parameters as one float32 vector (the order of :mod:`hanse.learning.shapes`)."""
    flat: FloatVector = parameters_to_vector(model.parameters()).detach().numpy().copy()
    return flat


def set_flat(model: nn.Module, flat: FloatVector) -> None:
    """Gives the model its parameters.

    Args:
        model: A module of :func:`build`.
        flat: All parameters as one vector.

    Raises:
        ProtocolError: ``protocol.malformed`` if the vector has another length.
    """
    size = sum(parameter.numel() for parameter in model.parameters())
    if flat.shape != (size,):
        raise ProtocolError("protocol.malformed", f"{flat.size} weights for a model of {size}")
    # A copy: the vector may be a read-only view of a message.
    vector_to_parameters(torch.from_numpy(flat.astype(np.float32)), model.parameters())


def _stacked(shapes: tuple[tuple[int, int], ...]) -> nn.Sequential:
    modules: list[nn.Module] = []
    for outputs, inputs in shapes:
        modules += [_linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*modules[:-1])


def _linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)  # type: ignore[no-untyped-call]
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    return linear
