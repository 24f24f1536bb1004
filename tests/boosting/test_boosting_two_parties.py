"""The engine's interface admits parties that hold columns of the same rows, with rows' nodes hidden.

A label holder answers the engine. Sums over the feature holder's codes are products of two secret matrices
(its one-hot rows, the label holder's gradients per node), computed on secret shares with random numbers that
a dealer hands out. What the feature holder sees is masked, or is a split of a column of its own.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.boosting.boosting_data import BINNING, make_table, train

from hanse.learning.boosting import (
    Answer,
    Beginning,
    Binning,
    BoostingSettings,
    Engine,
    Forest,
    Layout,
    Question,
)
from hanse.learning.boosting.forest import Splits, descend
from hanse.learning.boosting.objective import gradients, quantise, row_weights, sum_units

Ring = NDArray[np.uint64]
SETTINGS = BoostingSettings(trees=3, depth=3, min_rows=5, learning_rate=0.3, category_l2=1.0)


def secret(rng: np.random.Generator, *shape: int) -> Ring:
    return rng.integers(0, 1 << 64, shape, dtype=np.uint64)


class FeatureHolder:
    """Holds columns, no labels. Keeps everything that it is told in :attr:`seen`."""

    def __init__(
        self, binning: Binning, columns: Mapping[str, NDArray[Any]], rng: np.random.Generator
    ) -> None:
        self.layout = binning.layout
        codes = binning.encode(columns)
        self._codes = codes
        hot = [codes[:, [c]] == np.arange(n) for c, n in enumerate(self.layout.codes)]
        self._one_hot = np.concatenate(hot, axis=1).astype(np.uint64)
        self.mask = secret(rng, *self._one_hot.shape)  # from the dealer's seed
        self.opened = self._one_hot - self.mask
        self.seen: list[Ring] = []

    def share(self, masked: Ring, correlated: Ring) -> Ring:
        self.seen.append(masked)
        return self.mask.T @ masked + correlated

    def goes_left(self, column: int, left: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of all rows, so that it says nothing about which are in the node."""
        return left[self._codes[:, column]]


class LabelHolder:
    """Answers the engine; holds labels, rows' nodes and columns of its own, which come first."""

    def __init__(
        self,
        binning: Binning,
        columns: Mapping[str, NDArray[Any]],
        labels: NDArray[np.float64],
        weights: NDArray[np.float64],
        other: FeatureHolder,
        rng: np.random.Generator,
    ) -> None:
        self._own = binning.encode(columns)
        self._own_layout = binning.layout
        self._other = other
        self._rng = rng
        self._targets = labels.T
        self._weights = row_weights(SETTINGS, self._targets, weights)
        self._raw = np.zeros(len(labels))
        self._nodes = np.zeros(len(labels), dtype=np.int32)
        self._n_nodes = 1
        self._gradients = np.zeros((len(labels), 3))

    @property
    def layout(self) -> Layout:
        return Layout(
            self._own_layout.codes + self._other.layout.codes,
            self._own_layout.ordered + self._other.layout.ordered,
        )

    def begin(self) -> Beginning:
        weights = quantise(SETTINGS, self._weights)
        weighted = quantise(SETTINGS, self._weights * np.nan_to_num(self._targets))
        return Beginning(len(self._raw), 0, weighted.sum(axis=1) / weights.sum(axis=1))

    def answer(self, question: Question) -> Answer:
        self._move(question.splits)
        if question.level == 0:
            self._raw += question.values[self._nodes]
            self._nodes[:] = 0
            self._n_nodes = 1
            slopes, curves = gradients(SETTINGS, self._raw[None], self._targets, self._weights)
            self._gradients = np.column_stack([slopes[0], curves[0], self._weights[0] > 0])
        inside = self._nodes[:, None] == question.asked
        per_node = (inside[:, :, None] * self._gradients[:, None, :]).reshape(len(self._raw), -1)
        scale = 2.0**SETTINGS.gradient_bits
        fixed = (per_node * scale).astype(np.int64).view(np.uint64)
        hot = [self._own[:, [c]] == np.arange(n) for c, n in enumerate(self._own_layout.codes)]
        own = np.concatenate(hot, axis=1).astype(np.uint64).T @ fixed
        sums = np.concatenate([own, self._with_other(fixed)]).view(np.int64) / scale
        histograms = sums.reshape(-1, len(question.asked), 3).transpose(1, 0, 2) * sum_units(SETTINGS)
        return Answer(histograms, np.zeros((0, 2)), ("feature", "label"))

    def _with_other(self, fixed: Ring) -> Ring:
        """B'G of the other's one-hot rows B and own gradients G, neither of which is shown."""
        mask = secret(self._rng, *fixed.shape)  # from the dealer's seed
        product = self._other.mask.T @ mask  # known to the dealer, who hands out shares of it
        to_other = secret(self._rng, *product.shape)
        others = self._other.share(fixed - mask, to_other)
        return self._other.opened.T @ fixed + (product - to_other) + others

    def _move(self, splits: Splits) -> None:
        codes, columns, left = self._own.copy(), splits.columns.copy(), splits.left.copy()
        n_own = codes.shape[1]
        for number, column in enumerate(splits.columns.tolist()):
            if column >= n_own:  # ask the other one for its side, and keep it as a column of two codes
                bits = self._other.goes_left(column - n_own, splits.left[number])
                codes = np.column_stack([codes, bits.astype(codes.dtype)])
                columns[number] = codes.shape[1] - 1
                left[number] = np.arange(left.shape[1]) == 1
        self._nodes = descend(self._nodes, codes, Splits(splits.nodes, columns, left), self._n_nodes)
        self._n_nodes += 2 * len(splits.nodes)


def same(one: Forest, other: Forest) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("first", "column", "left", "value")
    )


def test_two_parties_grow_the_pooled_trees() -> None:
    rng = np.random.default_rng(6)
    table = make_table(rng, 300)
    table = table.take(~table.validation)
    first, rest = Binning(columns=BINNING.columns[:1]), Binning(columns=BINNING.columns[1:])
    features = FeatureHolder(rest, table.columns, rng)
    holder = LabelHolder(first, table.columns, table.labels, table.weights, features, rng)
    pooled = train(SETTINGS, [table])
    engine = Engine(holder, holder.layout, SETTINGS)
    assert len(list(engine.grow())) == SETTINGS.trees
    assert engine.base == pooled.description.base
    assert same(engine.forest, pooled.forest)
    used = engine.forest.column[engine.forest.column >= 0]
    assert (used == 0).any()
    assert (used > 0).any()
    # What the feature holder was sent is as random as its mask: half of all bits are set.
    bits = np.unpackbits(np.concatenate([seen.ravel() for seen in features.seen]).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / np.sqrt(bits.size)
