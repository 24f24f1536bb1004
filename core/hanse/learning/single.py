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
_TABLE_ROWS: Final = 256
"""A table has no more, so that all of them stay in the processor's cache."""
_AT_ONCE: Final = 512
"""So many rows at a time, for the same reason."""


class SinglePrecision:
    """Stacked layers of weights; see the module.

    A row has one feature at most per column, so that the first layer is a sum of as many of its weights:
    what several columns add to it together is looked up in tables. Rows are taken some at a time, in memory
    that is used again and stays in the processor's cache.

    Args:
        layers: Weights, shape (outputs, inputs), and biases of each layer; the first output counts.
        features: The feature that is 1 for a value in a cell of a column, shape (columns, cells); the number
            of features where there is none. All other features are 0.

    Attributes:
        bound: Log-odds are off by at most this.
    """

    def __init__(
        self, layers: Sequence[tuple[NDArray[Any], NDArray[Any]]], features: NDArray[np.int64]
    ) -> None:
        columns, self._cells = features.shape
        self._together = _together(columns, self._cells)
        self._tables = _tables(layers[0], features, self._together)
        self._layers = [(weight.T.astype(np.float32), bias.astype(np.float32)) for weight, bias in layers[1:]]
        self.bound = _DOUBLE + float(_bounds(layers, columns, len(self._tables))[0])
        self._spare: list[list[NDArray[np.float32]]] = []

    def logits(self, cells: NDArray[np.integer[Any]]) -> FloatArray:
        """Log-odds of the positive label.

        Args:
            cells: In which cell of its column each value lies, shape (columns, rows).

        Returns:
            Shape (rows,).
        """
        places = self._places(cells)
        result = np.empty(cells.shape[1])
        # Two threads at once take turns with the list, and never have the same memory.
        memory = self._spare.pop() if self._spare else self._memory()
        for start in range(0, len(result), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            result[some] = self._some(places[:, some], memory)
        self._spare.append(memory)
        return result

    def _places(self, cells: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
        """Where each row's sum lies in each table, shape (tables, rows)."""
        places = np.zeros((len(self._tables), cells.shape[1]), dtype=np.intp)
        for offset in range(self._together):
            own = cells[offset :: self._together]
            places[: len(own)] *= self._cells
            places[: len(own)] += own
        return places

    def _memory(self) -> list[NDArray[np.float32]]:
        widths = [self._tables[0].shape[1], *(weight.shape[1] for weight, _ in self._layers)]
        return [np.empty((_AT_ONCE, width), dtype=np.float32) for width in (widths[0], *widths)]

    def _some(self, places: NDArray[np.intp], memory: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        rows = places.shape[1]
        added, hidden, *others = (each[:rows] for each in memory)
        # "clip" looks nothing up anywhere else: it writes where it is told without a copy in between.
        self._tables[0].take(places[0], axis=0, out=hidden, mode="clip")
        for table, own in zip(self._tables[1:], places[1:], strict=True):
            table.take(own, axis=0, out=added, mode="clip")
            hidden += added
        for (weight, bias), result in zip(self._layers, others, strict=True):
            np.tanh(hidden, out=hidden)
            hidden = np.matmul(hidden, weight, out=result)
            hidden += bias
        return hidden[:, 0]


def _together(columns: int, cells: int) -> int:
    """How many columns share a table."""
    together = 1
    while together < columns and cells ** (together + 1) <= _TABLE_ROWS:
        together += 1
    return together


def _tables(
    layer: tuple[NDArray[Any], NDArray[Any]], features: NDArray[np.int64], together: int
) -> list[NDArray[np.float32]]:
    """What the columns of each group add to the first layer, by their cells; the bias is in the first."""
    weight, bias = (each.astype(np.float64) for each in layer)
    by_feature = np.vstack([weight.T, np.zeros(len(weight))])
    tables = []
    for start in range(0, len(features), together):
        table = np.zeros((1, len(weight))) if start else bias[None]
        for own in features[start : start + together]:
            table = (table[:, None] + by_feature[own]).reshape(-1, len(weight))
        tables.append(table.astype(np.float32))
    return tables


def _bounds(layers: Sequence[tuple[NDArray[Any], NDArray[Any]]], columns: int, tables: int) -> FloatArray:
    """How far each output can be off."""
    off = bounds = np.zeros(0)
    for place, (weight, bias) in enumerate(layers):
        sizes = np.abs(weight.astype(np.float64))
        # No more of the first layer's weights are added than there are columns, and those tables at a time.
        counted = sizes if place else np.sort(sizes, axis=1)[:, -columns:]
        roundings = ((sizes.shape[1] if place else tables) + _ROUNDINGS) * _UNIT
        # What comes in is off, and with it every product.
        carried = sizes @ off if place else np.zeros(len(sizes))
        total = counted.sum(axis=1) + np.abs(bias) + carried
        bounds = carried + roundings / (1 - roundings) * total
        off = bounds + _TANH_UNITS * _UNIT
    return bounds
