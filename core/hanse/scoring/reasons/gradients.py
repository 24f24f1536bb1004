"""Integrated gradients of layers, in numpy."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.predictor import FloatArray, Predictor

_FEWEST: Final = 16
_MOST: Final = 1024
_CLOSE: Final = 1e-9


def integrated(
    predictor: Predictor, reference: FloatArray, features: NDArray[np.float32], *, exact: bool
) -> FloatArray:
    """What each feature adds to the log-odds on the way from the reference to a row.

    The integral over the straight line is taken by Gauss-Legendre nodes, twice as many until what the
    features add is the difference of the log-odds to 1e-9: gradients of tanh layers are smooth, so that a few
    dozen do.

    Args:
        predictor: The layers.
        reference: Shape (features,).
        features: Transformed rows, shape (rows, features).
        exact: Whether the layers are linear, so that one node is exact.

    Returns:
        Shape (rows, features).
    """
    way = features.astype(np.float64) - reference
    if exact:
        return way * predictor.gradients(reference[None, :])
    wanted = predictor.logits(features) - predictor.logits(reference[None, :])
    nodes = _FEWEST
    while True:
        parts = way * _mean_gradient(predictor, reference, way, nodes)
        gap = np.abs(parts.sum(axis=1) - wanted).max(initial=0.0)
        if gap <= _CLOSE or nodes >= _MOST:
            return parts
        nodes *= 2


def _mean_gradient(predictor: Predictor, reference: FloatArray, way: FloatArray, nodes: int) -> FloatArray:
    places, weights = np.polynomial.legendre.leggauss(nodes)
    mean = np.zeros_like(way)
    for place, weight in zip(places.tolist(), weights.tolist(), strict=True):
        mean += 0.5 * weight * predictor.gradients(reference + 0.5 * (place + 1) * way)
    return mean
