"""What an agreement and its preprocessing mean to boosted trees: at members, coordinator and scorer alike.

Trees split between the cells that have a feature: bins that were merged stay merged, and a category without a
feature of its own is in the last code with the missing ones. So trees read transformed rows as every other
model does, and a category that is too rare to be named is not named by a split either.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hanse.errors import TrainingError
from hanse.learning.boosting.columns import BinnedColumn, Binning, Codes, code_type
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.transform import NO_FEATURE, ColumnFeatures, Transform
from hanse.policies import Training


def agreed_settings(training: Training, rounds: int) -> BoostingSettings:
    """The settings of the first rounds of a run.

    Args:
        training: What the members agreed on, with ``trees``.
        rounds: So many; all of them are the model's.

    When a run has gained enough is for the rounds to see: growing itself watches nothing.

    Raises:
        TrainingError: ``run.unsupported`` for another model.
    """
    trees = training.trees
    if trees is None:
        raise TrainingError("run.unsupported", f"trees of a model that is {training.model}")
    return BoostingSettings(
        trees=rounds * training.local_steps,
        depth=trees.depth,
        min_rows=trees.min_rows,
        l2=trees.l2,
        learning_rate=training.learning_rate,
        subsample=training.sample_rate,
        positive_weight=training.positive_weight,
    )


@dataclass(frozen=True, slots=True)
class _Coded:
    """One column that trees split.

    Attributes:
        column: What its codes mean.
        features: Its features, which are neighbours: the first one, and one after the last.
        codes: Code of each of them, then that of a row that has none.
    """

    column: BinnedColumn
    features: slice
    codes: NDArray[np.intp]

    @classmethod
    def of(cls, column: ColumnFeatures) -> Self | None:
        """The column; None if there is nothing between which to split."""
        features = sorted(set(column.features) - {NO_FEATURE})
        numeric = column.kind == "numeric"
        named = _bins(column) if numeric else _own(column)
        if not features or not named:
            return None
        places = {feature: code for code, feature in enumerate(named)}
        last = len(named)
        codes = np.array([*(places.get(feature, last) for feature in features), last])
        binned = (
            BinnedColumn(name=column.name, kind="numeric", edges=_edges(column))
            if numeric
            else BinnedColumn(name=column.name, kind="categorical", categories=tuple(named.values()))
        )
        return cls(binned, slice(features[0], features[-1] + 1), codes)

    def read(self, x: NDArray[np.float32]) -> NDArray[np.intp]:
        """Codes of transformed rows."""
        own = x[:, self.features]
        place = own.argmax(axis=1)
        known = own[np.arange(len(x)), place] > 0
        return self.codes[np.where(known, place, len(self.codes) - 1)]


class TreeColumns:
    """The columns that trees split, and the codes of transformed rows.

    Args:
        transform: The fitted preprocessing, whose columns all have cells.

    Raises:
        TrainingError: ``run.no-features`` if no column has two cells, ``run.unsupported`` if one has none.
    """

    def __init__(self, transform: Transform) -> None:
        for column in transform.columns:
            if column.scale is not None or column.buckets:
                raise TrainingError("run.unsupported", f"trees over column {column.name}, which has no cells")
        self._columns = [coded for coded in map(_Coded.of, transform.columns) if coded is not None]
        if not self._columns:
            raise TrainingError("run.no-features", "no column has cells to split between")
        self.binning = Binning(columns=tuple(coded.column for coded in self._columns))
        self._type = code_type(self.binning.layout)

    def codes(self, x: NDArray[np.float32]) -> Codes:
        """Codes of transformed rows: those that :meth:`Binning.encode` gives the rows as they were.

        Args:
            x: Shape (rows, features).

        Returns:
            Shape (rows, columns).
        """
        return np.column_stack([coded.read(x).astype(self._type) for coded in self._columns])

    def shares(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of each code where features have shares.

        Args:
            row: Share of each feature, shape (features,); those of a column add up to at most 1, but for
                rounding.

        Returns:
            Shape (columns, width); every column's add up to 1.
        """
        shares = np.zeros((len(self._columns), self.binning.layout.width))
        for own, coded in zip(shares, self._columns, strict=True):
            given = row[coded.features]
            np.add.at(own, coded.codes, np.append(given, max(0.0, 1.0 - given.sum())))
        total: NDArray[np.float64] = shares.sum(axis=1, keepdims=True)
        return shares / total


def _bins(column: ColumnFeatures) -> dict[int, str]:
    """Features of the bins of a numeric column, in their order."""
    return {feature: "" for feature in column.features[:-1] if feature != NO_FEATURE}


def _edges(column: ColumnFeatures) -> tuple[float, ...]:
    """The edges between bins that were not merged."""
    bins = column.features[:-1]
    return tuple(
        edge for edge, low, high in zip(column.edges, bins[:-1], bins[1:], strict=True) if low != high
    )


def _own(column: ColumnFeatures) -> dict[int, str]:
    """Features that one category has for itself."""
    alone = [feature for feature in column.features if column.features.count(feature) == 1]
    return {
        feature: category
        for feature, category in zip(column.features, column.categories, strict=False)
        if feature in alone and feature != NO_FEATURE
    }
