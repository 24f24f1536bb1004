"""Exact Shapley values of boosted trees.

The game of one row: a coalition of columns is worth the expected log-odds when its columns are the row's and
every other column is drawn from the reference's shares by itself. A leaf adds its value times, for every
column on its path, either whether the row's code passes or the share of codes that do. So a leaf is a product
over at most ``depth`` columns, and the Shapley value of column i in a product of o (the row's) and z (the
reference's) is

    (o_i - z_i) · ∫₀¹ ∏_{j≠i} (t o_j + (1 - t) z_j) dt,

because |S|! (n - 1 - |S|)! / n! is the Beta integral of t^|S| (1 - t)^(n-1-|S|). The integrand is a
polynomial of degree below ``depth``, which Gauss-Legendre nodes integrate exactly. It is what TreeSHAP
computes (Lundberg, Erion and Lee, "Consistent Individualized Feature Attribution for Tree Ensembles", 2018,
algorithm 2, whose EXTEND and UNWIND are the coefficients of this polynomial), with the reference's shares
where TreeSHAP has the training records that went each way: nobody counts records per node here, and where
columns are independent of each other the two are the same.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.boosting.forest import LEAF
from hanse.learning.boosting.predictor import TreesPredictor
from hanse.learning.predictor import FloatArray

_BLOCK: Final = 1 << 21  # numbers per row block


class TreeGame:
    """The leaves of a model as products over columns.

    Args:
        predictor: The trees.
        reference: Shares of the features, shape (features,).
        columns: Names of the model's columns, in order; trees split some of them.
    """

    def __init__(self, predictor: TreesPredictor, reference: FloatArray, columns: Sequence[str]) -> None:
        trees = predictor.trees
        binning = trees.description.binning
        self._predictor = predictor
        self._places = [columns.index(column.name) for column in binning.columns]
        self._n_columns = len(columns)
        self._column, self._passes, self._value = _leaves(predictor)
        shares = predictor.columns.shares(reference)
        self._shares = np.where(self._column < 0, 1.0, (self._passes * shares[self._column]).sum(axis=2))
        depth = max(1, self._column.shape[1])
        nodes, weights = np.polynomial.legendre.leggauss((depth + 1) // 2)
        self._nodes = tuple(zip((0.5 * (nodes + 1)).tolist(), (0.5 * weights).tolist(), strict=True))
        bare = float(predictor.logits(np.zeros((1, predictor.n_features), dtype=np.float32))[0])
        zeros = predictor.columns.codes(np.zeros((1, predictor.n_features), dtype=np.float32))
        # What is left of the log-odds of a row without its leaves is the same for all rows.
        constant = bare - float(self._value @ self._passed(zeros)[0].prod(axis=1))
        self.reference_logit = constant + float(self._value @ self._shares.prod(axis=1))

    def values(self, features: NDArray[np.float32]) -> FloatArray:
        """What each column adds to the log-odds of rows, shape (rows, columns)."""
        codes = self._predictor.columns.codes(features)
        result = np.zeros((len(features), self._n_columns))
        step = max(1, _BLOCK // max(1, self._shares.size))
        for start in range(0, len(features), step):
            result[start : start + step] = self._block(codes[start : start + step])
        return result

    def _block(self, codes: NDArray[np.unsignedinteger]) -> FloatArray:
        passed = self._passed(codes)
        weight = np.zeros_like(passed)
        for node, share in self._nodes:
            weight += share * _others(node * passed + (1 - node) * self._shares)
        parts = self._value[:, None] * (passed - self._shares) * weight
        result = np.zeros((len(codes), self._n_columns))
        for place in range(self._column.shape[1]):
            for number, column in enumerate(self._places):
                own = self._column[:, place] == number
                result[:, column] += parts[:, own, place].sum(axis=1)
        return result

    def _passed(self, codes: NDArray[np.unsignedinteger]) -> FloatArray:
        """Whether each row passes each column of each path, shape (rows, leaves, places)."""
        code = codes[:, np.maximum(self._column, 0)].astype(np.intp)
        leaf, place = np.indices(self._column.shape)
        passed = self._passes[leaf, place, code]
        return np.where(self._column < 0, 1.0, passed)


def _others(factors: FloatArray) -> FloatArray:
    """Product of all factors of a path but each one itself; no division, so zeros do no harm."""
    before = np.ones_like(factors)
    after = np.ones_like(factors)
    before[..., 1:] = np.cumprod(factors[..., :-1], axis=-1)
    after[..., :-1] = np.cumprod(factors[..., :0:-1], axis=-1)[..., ::-1]
    return before * after


def _leaves(predictor: TreesPredictor) -> tuple[NDArray[np.int64], NDArray[np.bool_], FloatArray]:
    """The label's leaves: columns of their paths, codes that pass each, and what each adds.

    Returns:
        Shapes (leaves, places), padded with -1; (leaves, places, width); (leaves,).
    """
    forest, labels = predictor.trees.forest, predictor.trees.settings.labels
    children, splits = forest.children(), np.cumsum(forest.column != LEAF) - 1
    found: list[tuple[dict[int, NDArray[np.bool_]], float]] = []
    for root in forest.first[::labels].tolist():
        waiting: list[tuple[int, dict[int, NDArray[np.bool_]]]] = [(int(root), {})]
        while waiting:
            node, path = waiting.pop()
            column = int(forest.column[node])
            if column == LEAF:
                found.append((path, float(forest.value[node])))
                continue
            left = forest.left[splits[node]]
            for child, codes in ((children[node], left), (children[node] + 1, ~left)):
                waiting.append((int(child), {**path, column: path.get(column, True) & codes}))
    places = max((len(path) for path, _ in found), default=0)
    columns = np.full((len(found), places), -1, dtype=np.int64)
    passes = np.ones((len(found), places, forest.left.shape[1]), dtype=np.bool_)
    for number, (path, _) in enumerate(found):
        for place, (column, codes) in enumerate(path.items()):
            columns[number, place], passes[number, place] = column, codes
    return columns, passes, np.array([value for _, value in found])
