"""A party's columns as cells, and its cells as features that are uncorrelated among themselves.

Nothing here is seen by the other party but how many features there are. Cells with few rows count as average:
they have no points, so that nobody's weight is a handful of people's label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError
from hanse.learning.boosting.columns import BinnedColumn, Binning, Codes
from hanse.learning.transform import as_numbers, as_word
from hanse.learning.vertical.scorecard.ring import FEATURE_BITS, Ring, encode, halvings
from hanse.learning.vertical.scorecard.settings import MAX_FEATURES, ScorecardSettings

Floats = NDArray[np.float64]

_SMALLEST_VARIANCE: Final = 1e-4
"""Of a combination of cells that has a feature; below it hardly anybody differs."""

_BLOCK: Final = 1 << 14


def own_binning(columns: Mapping[str, NDArray[Any]], bins: int, min_rows: int) -> Binning:
    """Cuts a party's columns: numeric ones at their quantiles, others into the values with enough rows.

    Args:
        columns: By name, shape (rows,): numbers with NaN where not known, or objects.
        bins: Most bins of a number.
        min_rows: Fewest rows of another value with a cell of its own.

    Returns:
        The binning; the party keeps it.

    Raises:
        ConfigurationError: ``config.bad-data`` without a column.
    """
    if not columns:
        raise ConfigurationError("config.bad-data", "a party of a scorecard has at least one column")
    return Binning(columns=tuple(_cut(name, values, bins, min_rows) for name, values in columns.items()))


def _cut(name: str, values: NDArray[Any], bins: int, min_rows: int) -> BinnedColumn:
    if values.dtype.kind not in "OUS":
        numbers = as_numbers(values)
        known = np.sort(numbers[np.isfinite(numbers)])
        at = (len(known) * np.arange(1, bins)) // bins
        edges = np.unique(known[at]) if len(known) else known
        # A value below every edge has a cell of its own only if there is one.
        inside = edges[edges > known[0]] if len(known) else edges
        return BinnedColumn(name=name, kind="numeric", edges=tuple(inside.tolist()) or (0.0,))
    words, counts = np.unique(
        [word for value in values.tolist() if (word := as_word(value)) is not None], return_counts=True
    )
    enough = words[counts >= min_rows].tolist()
    return BinnedColumn(name=name, kind="categorical", categories=tuple(enough))


@dataclass(frozen=True, slots=True)
class Design:
    """How a party's cells become features.

    Attributes:
        binning: Its columns.
        shares: Part of the rows in each cell, 0 for those with too few, shape (cells,).
        basis: Features are cells, less their shares, times this; shape (cells, features). A constant of the
            label holder, which is not in it, is the last feature.
        constant: Value of that feature; 0 for a feature holder.
    """

    binning: Binning
    shares: Floats
    basis: Floats
    constant: float

    @classmethod
    def fit(cls, binning: Binning, codes: Codes, settings: ScorecardSettings, *, constant: bool) -> Self:
        """Learns shares and basis from a party's own rows.

        Args:
            binning: Its columns.
            codes: Of its rows, shape (rows, columns).
            settings: The run's.
            constant: Whether to add a constant feature, as the label holder does.

        Returns:
            The design.

        Raises:
            ConfigurationError: ``config.bad-data`` if no cell varies, or there are too many.
        """
        rows = len(codes)
        counts = _counts(binning, codes)
        shares = np.where(counts >= settings.min_rows, counts, 0.0) / rows
        values, vectors = np.linalg.eigh(_covariance(binning, codes, shares))
        kept = values > _SMALLEST_VARIANCE
        if not kept.any() or kept.sum() >= MAX_FEATURES:
            raise ConfigurationError(
                "config.bad-data", "no column varies enough, or there are too many cells"
            )
        # A mean square of 2^(e+1) / rows makes the step size of all features a power of two.
        size = np.sqrt(2.0 ** (halvings(rows) + 1) / rows)
        return cls(
            binning, shares, size * vectors[:, kept] / np.sqrt(values[kept]), size if constant else 0.0
        )

    @property
    def features(self) -> int:
        """How many."""
        return int(self.basis.shape[1]) + (self.constant > 0)

    def rows_in_ring(self, codes: Codes) -> Ring:
        """Features of rows as ring elements, shape (rows, features)."""
        ring = np.empty((len(codes), self.features), dtype=np.uint64)
        for start in range(0, len(codes), _BLOCK):
            block = codes[start : start + _BLOCK]
            values = _centred(self.binning, block, self.shares) @ self.basis
            ring[start : start + len(block), : values.shape[1]] = encode(values, FEATURE_BITS)
        if self.constant:
            ring[:, -1] = encode(np.array([self.constant]), FEATURE_BITS)
        return ring

    def log_odds(self, weights: Floats) -> tuple[Floats, float]:
        """What weights of features mean for cells.

        Args:
            weights: Shape (features,).

        Returns:
            Log-odds of each cell against the average of its column, 0 for cells with too few rows, shape
            (cells,); and the constant.
        """
        cells = self.basis @ weights[: self.basis.shape[1]]
        layout = self.binning.layout
        column = np.repeat(np.arange(len(layout.codes)), layout.codes)
        means = np.bincount(column, self.shares * cells) / np.bincount(column, self.shares).clip(1e-12)
        known = self.shares > 0
        return np.where(known, cells - means[column], 0.0), float(
            self.constant and weights[-1] * self.constant
        )


def _offsets(binning: Binning, codes: Codes) -> NDArray[np.int64]:
    return codes.astype(np.int64) + binning.layout.offsets


def _centred(binning: Binning, codes: Codes, shares: Floats) -> Floats:
    """Cells less the mean over rows whose cell counts; of rows whose cell does not, zero for that column."""
    layout = binning.layout
    column = np.repeat(np.arange(len(layout.codes)), layout.codes)
    known = np.bincount(column, shares)
    means = shares / np.maximum(known, 1e-12)[column]
    at = _offsets(binning, codes)
    counts = (shares > 0)[at]
    cells = np.zeros((len(codes), layout.total))
    np.put_along_axis(cells, at, counts.astype(np.float64), axis=1)
    return cells - counts[:, column] * means


def _counts(binning: Binning, codes: Codes) -> Floats:
    """Rows in each cell, shape (cells,)."""
    return np.bincount(_offsets(binning, codes).ravel(), minlength=binning.layout.total).astype(np.float64)


def _covariance(binning: Binning, codes: Codes, shares: Floats) -> Floats:
    """Of centred cells, shape (cells, cells)."""
    total = np.zeros((binning.layout.total,) * 2)
    for start in range(0, len(codes), _BLOCK):
        cells = _centred(binning, codes[start : start + _BLOCK], shares)
        total += cells.T @ cells
    return total / len(codes)
