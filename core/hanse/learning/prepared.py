"""A transform made ready for a scorer: the same features, in a tenth of the time for a few rows.

:meth:`hanse.learning.transform.Transform.apply` looks at one column after the other, which for one row is
nearly all that it does. Where every column is numeric and cut at edges, this looks at all of them at once;
other transforms are applied as they are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.learning.transform import NO_FEATURE, Transform

_MOST_AT_ONCE = 1 << 20


class PreparedTransform:
    """See the module.

    Args:
        transform: The transform.
    """

    def __init__(self, transform: Transform) -> None:
        self._transform = transform
        self._names = tuple(column.name for column in transform.columns)
        self._plain = all(
            column.kind == "numeric" and column.scale is None and column.edges for column in transform.columns
        )
        if not self._plain:
            return
        edges = max(len(column.edges) for column in transform.columns)
        self._edges = np.full((edges, len(self._names), 1), np.inf)
        self._missing = np.array([[len(column.edges) + 1] for column in transform.columns])
        # A cell without a feature gets one more, which is cut off.
        self._features = np.full((len(self._names), edges + 2), transform.n_features)
        for place, column in enumerate(transform.columns):
            self._edges[: len(column.edges), place, 0] = column.edges
            own = np.asarray(column.features)
            self._features[place, : len(own)] = np.where(own == NO_FEATURE, transform.n_features, own)
        self._rows_of_features = np.arange(len(self._names))[:, None] * (edges + 2)

    @property
    def ones(self) -> int | None:
        """How many features of a row are 1 at most, if all others are 0; None if there may be any number."""
        return len(self._names) if self._plain else None

    def apply(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Transforms rows; see :meth:`hanse.learning.transform.Transform.apply`."""
        values = self._matrix(columns) if self._plain else None
        if values is None:
            return self._transform.apply(columns)
        # As many edges as are not above a value: its bin, as searchsorted(side="right") finds it. Counted on
        # from the place of the column's first feature.
        cells = self._rows_of_features.repeat(values.shape[1], axis=1)
        for edge in self._edges:
            cells += values >= edge
        finite = np.isfinite(values)
        if not finite.all():
            cells = np.where(finite, cells, self._rows_of_features + self._missing)
        width = self._transform.n_features + 1
        result = np.zeros((values.shape[1], width), dtype=np.float32)
        places = self._features.take(cells)
        places += np.arange(0, result.size, width)
        result.reshape(-1)[places.reshape(-1)] = 1.0
        return result[:, :-1]

    def _matrix(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
        """Values by column, shape (columns, rows); None where :class:`Transform` is to look at them."""
        found = [columns.get(name) for name in self._names]
        if any(each is None or each.dtype != np.float64 or each.ndim != 1 for each in found):
            return None
        if len({len(each) for each in found if each is not None}) != 1:
            return None
        matrix = np.array(found)
        return None if matrix.size * len(self._edges) > _MOST_AT_ONCE else matrix
