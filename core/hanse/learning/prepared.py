"""A transform made ready for a scorer: the same features, in a tenth of the time for a few rows.

:meth:`hanse.learning.transform.Transform.apply` looks at one column after the other, which for one row is
nearly all that it does. Where every column is numeric and cut at edges, this looks at all of them at once;
other transforms are applied as they are.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.transform import NO_FEATURE, Transform

_FEW_EDGES: Final = 64
"""To look at so many, one after the other, takes less time than to search among them."""


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
    def features(self) -> NDArray[np.int64] | None:
        """The feature that is 1 for a value in a cell of a column, all others are 0; shape (columns, cells).

        The number of features where there is none; None if features are made in any other way.
        """
        return self._features if self._plain else None

    def apply(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Transforms rows; see :meth:`hanse.learning.transform.Transform.apply`."""
        cells = self.cells(columns)
        if cells is None:
            return self._transform.apply(columns)
        width = self._transform.n_features + 1
        result = np.zeros((cells.shape[1], width), dtype=np.float32)
        places = self._features.take(cells + self._rows_of_features)
        places += np.arange(0, result.size, width)
        result.reshape(-1)[places.reshape(-1)] = 1.0
        return result[:, :-1]

    def cells(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.integer[Any]] | None:
        """In which cell of its column each value lies.

        Args:
            columns: Values by name of the column, one per row.

        Returns:
            Shape (columns, rows): how many edges are not above the value, one more than there are edges where
            there is none; None where :class:`Transform` is to look at the values.
        """
        values = self._matrix(columns) if self._plain else None
        if values is None:
            return None
        cells: NDArray[np.integer[Any]]
        if len(self._edges) <= _FEW_EDGES:
            cells = np.zeros(values.shape, dtype=np.uint8)
            for edge in self._edges:
                cells += (values >= edge).view(np.uint8)
        else:
            columns_and_edges = zip(values, self._edges[:, :, 0].T, strict=True)
            cells = np.array([edges.searchsorted(each, side="right") for each, edges in columns_and_edges])
        finite = np.isfinite(values)
        return cells if finite.all() else np.where(finite, cells, self._missing)

    def _matrix(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
        """Values by column, shape (columns, rows); None where :class:`Transform` is to look at them."""
        found = [columns.get(name) for name in self._names]
        if any(each is None or each.dtype != np.float64 or each.ndim != 1 for each in found):
            return None
        if len({len(each) for each in found if each is not None}) != 1:
            return None
        return np.array(found)
