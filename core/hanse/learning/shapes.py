"""Where each parameter is in the one flat vector that travels, and how a model starts.

Every model ends in stacked linear layers with tanh between them and one logit per output; ``logistic`` and
``scorecard`` have no hidden layer. tanh, because bounded activations keep gradients below the clipping norm
(Papernot et al., "Tempered Sigmoid Activations for Deep Learning with Differential Privacy", AAAI 2021). No
layer keeps statistics of a batch: such a layer would let one record change the gradient of another, past
every clipping norm.

``wide_and_deep`` (Cheng et al., "Wide & Deep Learning for Recommender Systems", DLRS 2016) adds a linear
layer from all features to the logits, and its hidden layers read each group of features (the cells of one
categorical column, of which a row has at most one) as an embedding: the row of a table that belongs to the
cell, which is what a linear layer without bias makes of it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ProtocolError
from hanse.policies import Training

FloatArray: TypeAlias = NDArray[np.floating[Any]]

MAX_WEIGHT: Final = 1e4
"""Largest absolute value of a weight that a member trains from."""

Groups: TypeAlias = tuple[tuple[int, ...], ...]
"""Features of each categorical column; :attr:`hanse.learning.transform.Transform.groups`."""


class Parameters(NamedTuple):
    """Views of the flat vector.

    Attributes:
        layers: (weight, bias) of each stacked layer; weights have shape (outputs, inputs).
        embeddings: Shape (embedding, features of the group), one for each group; none but in wide_and_deep.
        wide: Shape (outputs, features); None but in wide_and_deep.
    """

    layers: tuple[tuple[FloatArray, FloatArray], ...]
    embeddings: tuple[FloatArray, ...]
    wide: FloatArray | None


def deep_features(n_features: int, groups: Groups) -> tuple[int, ...]:
    """Features that the hidden layers of ``wide_and_deep`` read as they are: those in no group."""
    grouped = {feature for group in groups for feature in group}
    return tuple(feature for feature in range(n_features) if feature not in grouped)


def layer_shapes(training: Training, n_features: int, groups: Groups = ()) -> tuple[tuple[int, int], ...]:
    """(outputs, inputs) of each stacked layer, from the features to the logits.

    Args:
        training: Model, hidden layers and targets.
        n_features: Width of the transformed rows.
        groups: Features of each categorical column; only ``wide_and_deep`` reads them.

    Returns:
        One pair per layer.
    """
    inputs = n_features
    if training.model == "wide_and_deep":
        inputs = len(deep_features(n_features, groups)) + training.embedding * len(groups)
    widths = (inputs, *training.hidden, training.outputs)
    return tuple((after, before) for before, after in pairwise(widths))


def parameter_shapes(training: Training, n_features: int, groups: Groups = ()) -> tuple[tuple[int, ...], ...]:
    """Shape of every parameter, in the order of the flat vector.

    Args:
        training: As for :func:`layer_shapes`.
        n_features: As above.
        groups: As above.

    Returns:
        Per stacked layer that of the weight and of the bias; then those of the embeddings and the wide part.
    """
    shapes: list[tuple[int, ...]] = []
    for outputs, inputs in layer_shapes(training, n_features, groups):
        shapes += [(outputs, inputs), (outputs,)]
    if training.model == "wide_and_deep":
        shapes += [(training.embedding, len(group)) for group in groups]
        shapes.append((training.outputs, n_features))
    return tuple(shapes)


def parameter_count(training: Training, n_features: int, groups: Groups = ()) -> int:
    """Length of the flat vector of all parameters; arguments as for :func:`layer_shapes`."""
    return sum(int(np.prod(shape)) for shape in parameter_shapes(training, n_features, groups))


def split_flat(training: Training, n_features: int, flat: FloatArray, groups: Groups = ()) -> Parameters:
    """The parameters as views of the flat vector.

    Args:
        training: As for :func:`layer_shapes`.
        n_features: As above.
        flat: Vector of :func:`parameter_count` elements; matrices row by row.
        groups: As above.

    Returns:
        The views.
    """
    shapes = parameter_shapes(training, n_features, groups)
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    views = [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]
    stacked = 2 * (len(training.hidden) + 1)
    layers = tuple(zip(views[:stacked:2], views[1:stacked:2], strict=True))
    extra = views[stacked:]
    return Parameters(layers, tuple(extra[:-1]), extra[-1] if extra else None)


def check_weights(
    training: Training, n_features: int, flat: NDArray[np.float32], bound: float, groups: Groups = ()
) -> None:
    """Refuses weights that do not fit the model, or with which the arithmetic could overflow.

    Args:
        training: Model, hidden layers and targets.
        n_features: Width of the transformed rows.
        flat: Weights from a peer.
        bound: Largest absolute value of a weight.
        groups: Features of each categorical column.

    Raises:
        ProtocolError: ``protocol.malformed``.
    """
    if flat.shape != (parameter_count(training, n_features, groups),):
        raise ProtocolError("protocol.malformed", f"{flat.size} weights do not fit the model")
    if not (np.abs(flat) <= bound).all():  # False for NaN
        raise ProtocolError("protocol.malformed", f"a weight is not finite, or above {bound:g}")


def initial_weights(
    training: Training, n_features: int, rng: np.random.Generator, groups: Groups = ()
) -> NDArray[np.float32]:
    """Weights to start a run from; public, and no secret is in them.

    Args:
        training: As for :func:`layer_shapes`.
        n_features: As above.
        rng: Gives hidden layers and embeddings their start.
        groups: As above.

    Returns:
        Zeros for a model without hidden layers. For the others, uniform weights of variance 1 / inputs,
        embeddings of variance 1 / embedding, and zeros for biases and the wide part.
    """
    flat = np.zeros(parameter_count(training, n_features, groups), dtype=np.float32)
    if training.hidden:
        parameters = split_flat(training, n_features, flat, groups)
        _draw([weight for weight, _ in parameters.layers], [w.shape[1] for w, _ in parameters.layers], rng)
        _draw(parameters.embeddings, [training.embedding] * len(parameters.embeddings), rng)
    return flat


def _draw(weights: Sequence[FloatArray], inputs: Sequence[int], rng: np.random.Generator) -> None:
    for weight, size in zip(weights, inputs, strict=True):
        bound = np.sqrt(3.0 / max(size, 1))
        weight[:] = rng.uniform(-bound, bound, weight.shape)
