"""With whom a person is compared, column by column."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hanse.learning.artifact import ModelManifest
from hanse.learning.transform import NO_FEATURE, ColumnFeatures, Transform, n_cells

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reference:
    """Somebody in between.

    Attributes:
        row: Share of each feature, as if it were a transformed row, shape (features,). The features of a
            column add up to at most 1; what is missing to it is the share without a feature.
        kind: ``average``: shares among the training records of all members, as the model version says them.
            ``neutral``: every cell with a feature alike, and the cells without one together as one more;
            the model version says nothing of shares.
    """

    row: FloatArray
    kind: Literal["average", "neutral"]


def reference_of(manifest: ModelManifest) -> Reference:
    """The reference of a model version: the average where it says one, else the neutral one."""
    if manifest.average:
        return Reference(np.array(manifest.average), "average")
    if manifest.cell_counts:
        return Reference(shares_of(manifest.transform, np.array(manifest.cell_counts)), "average")
    return Reference(_neutral(manifest.transform), "neutral")


def shares_of(transform: Transform, cell_counts: FloatArray) -> FloatArray:
    """Share of each feature from counts per cell.

    Args:
        transform: The preprocessing.
        cell_counts: Rows per cell of its columns, in their order, maybe with noise; below zero counts as 0.

    Returns:
        Shares, shape (features,); 0 for distances from the mean, whose mean that is.
    """
    row = np.zeros(transform.n_features)
    first = 0
    for column in transform.columns:
        cells = n_cells(column)
        counts = np.maximum(cell_counts[first : first + cells], 0.0)
        _add(row, column, counts / max(float(counts.sum()), 1.0))
        first += cells
    return row


def _neutral(transform: Transform) -> FloatArray:
    row = np.zeros(transform.n_features)
    for column in transform.columns:
        own = sorted(set(column.features) - {NO_FEATURE})
        if own and column.scale is None:
            row[own] = 1 / (len(own) + (NO_FEATURE in column.features))
    return row


def _add(row: FloatArray, column: ColumnFeatures, shares: FloatArray) -> None:
    for cell, (feature, share) in enumerate(zip(column.features, shares.tolist(), strict=True)):
        if feature != NO_FEATURE and not (column.scale is not None and cell == 0):
            row[feature] += share
