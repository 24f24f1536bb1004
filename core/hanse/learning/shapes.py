"""Where each layer's parameters are in the one flat vector that travels, and how a model starts.

Both models are stacks of linear layers with tanh between them and one logit at the end; ``logistic`` has no
hidden layer. tanh, because bounded activations keep gradients below the clipping norm (Papernot et al.,
"Tempered Sigmoid Activations for Deep Learning with Differential Privacy", AAAI 2021). No layer keeps
statistics of a
batch: such a layer would let one record change the gradient of another, past every clipping norm.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hanse.policies import Training


def layer_shapes(training: Training, n_features: int) -> tuple[tuple[int, int], ...]:
    """(outputs, inputs) of each linear layer, from the features to the logit.

    Args:
        training: Model and hidden layers.
        n_features: Width of the transformed rows.

    Returns:
        One pair per layer.
    """
    widths = (n_features, *training.hidden, 1)
    return tuple((outputs, inputs) for inputs, outputs in pairwise(widths))


def parameter_count(training: Training, n_features: int) -> int:
    """Length of the flat vector of all weights and biases."""
    return sum(outputs * (inputs + 1) for outputs, inputs in layer_shapes(training, n_features))


def split_flat(
    training: Training, n_features: int, flat: NDArray[np.float32]
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]:
    """Views of the flat vector as (weight, bias) of each layer.

    Args:
        training: Model and hidden layers.
        n_features: Width of the transformed rows.
        flat: Vector of :func:`parameter_count` elements: per layer the weight, row by row, then the bias.

    Returns:
        One pair per layer; weights have shape (outputs, inputs), biases (outputs,).
    """
    layers = []
    start = 0
    for outputs, inputs in layer_shapes(training, n_features):
        bias = start + outputs * inputs
        layers.append((flat[start:bias].reshape(outputs, inputs), flat[bias : bias + outputs]))
        start = bias + outputs
    return tuple(layers)


def initial_weights(training: Training, n_features: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Weights to start a run from; public, and no secret is in them.

    Args:
        training: Model and hidden layers.
        n_features: Width of the transformed rows.
        rng: Gives the hidden layers of an ``mlp`` their start.

    Returns:
        Zeros for ``logistic``. For ``mlp``, uniform weights of variance 1 / inputs and biases of zero.
    """
    flat = np.zeros(parameter_count(training, n_features), dtype=np.float32)
    if training.hidden:
        for weight, _ in split_flat(training, n_features, flat):
            bound = np.sqrt(3.0 / weight.shape[1])
            weight[:] = rng.uniform(-bound, bound, weight.shape)
    return flat
