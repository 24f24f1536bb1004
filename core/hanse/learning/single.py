"""Log-odds in single precision, and how far they can be from those in double precision.

Half the bytes and half the time for many rows. Whoever uses it keeps the answers of double precision: where
both ends of what a score can be are answered alike, so is the score; the others are computed again.

The bound holds for any order of the sums (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
3.1: a sum of n products is off by at most n u / (1 - n u) times the sum of their sizes, u being half the
distance from 1 to the next number), and lets it grow from layer to layer by the sizes of the weights; the
slope of tanh is at most 1.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_UNIT: Final = 2.0**-24
_TANH_UNITS: Final = 8
"""By how many units a tanh may be off; numpy's are off by fewer than 4."""
_DOUBLE: Final = 1e-9
"""More than double precision is off, for layers of up to a million weights of up to a thousand."""
_ROUNDINGS: Final = 3
"""Of a weight, of the bias, and of their sum."""


class SinglePrecision:
    """Stacked layers of weights; see the module.

    Args:
        layers: Weights, shape (outputs, inputs), and biases of each layer; the first output counts.
        ones: A row has at most so many features that are 1; all others are 0.

    Attributes:
        bound: Log-odds are off by at most this.
    """

    def __init__(self, layers: Sequence[tuple[NDArray[Any], NDArray[Any]]], ones: int) -> None:
        self._layers = [(weight.T.astype(np.float32), bias.astype(np.float32)) for weight, bias in layers]
        self.bound = _DOUBLE + float(_bounds(layers, ones)[0])

    def logits(self, x: NDArray[np.float32]) -> FloatArray:
        """Log-odds of the positive label, shape (rows,), of rows of shape (rows, features)."""
        hidden = x
        for place, (weight, bias) in enumerate(self._layers):
            if place:
                np.tanh(hidden, out=hidden)
            hidden = hidden @ weight
            hidden += bias
        return hidden[:, 0].astype(np.float64)


def _bounds(layers: Sequence[tuple[NDArray[Any], NDArray[Any]]], ones: int) -> FloatArray:
    """How far each output can be off."""
    off = 0.0
    bounds = np.zeros(1)
    for place, (weight, bias) in enumerate(layers):
        sizes = np.sort(np.abs(weight.astype(np.float64)), axis=1)
        # A product with 0 is exact, and so is adding it.
        counted = sizes if place else sizes[:, -ones:]
        roundings = (counted.shape[1] + _ROUNDINGS) * _UNIT
        total = counted.sum(axis=1) + np.abs(bias)
        # What comes in is off, and with it every product.
        bounds = counted.sum(axis=1) * off + roundings / (1 - roundings) * total * (1 + off)
        off = float(bounds.max()) + _TANH_UNITS * _UNIT
    return bounds
