"""The models as torch modules. Their parameters come and go as one flat vector, in torch's own order."""

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from hanse.errors import ProtocolError
from hanse.learning.shapes import layer_shapes, parameter_count
from hanse.policies import Training

FloatVector: TypeAlias = NDArray[np.float32]


def build(training: Training, n_features: int) -> nn.Sequential:
    """The model, with all parameters zero until :func:`set_flat` gives it weights.

    Args:
        training: Model and hidden layers.
        n_features: Width of the transformed rows.

    Returns:
        A module from (rows, features) to logits of shape (rows, 1).
    """
    modules: list[nn.Module] = []
    for outputs, inputs in layer_shapes(training, n_features):
        linear: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        modules += [linear, nn.Tanh()]
    return nn.Sequential(*modules[:-1])


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


def check_weights(training: Training, n_features: int, flat: FloatVector, bound: float) -> None:
    """Refuses weights that do not fit the model, or with which the arithmetic could overflow.

    Args:
        training: Model and hidden layers.
        n_features: Width of the transformed rows.
        flat: Weights from a peer.
        bound: Largest absolute value of a weight.

    Raises:
        ProtocolError: ``protocol.malformed``.
    """
    if flat.shape != (parameter_count(training, n_features),):
        raise ProtocolError("protocol.malformed", f"{flat.size} weights do not fit the model")
    if not (np.abs(flat) <= bound).all():  # False for NaN
        raise ProtocolError("protocol.malformed", f"a weight is not finite, or above {bound:g}")
