"""The member's half of preprocessing: sums and counts of its own rows, for what was agreed on and once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import Query, Vector
from hanse.errors import ProtocolError
from hanse.learning.preprocessing.questions import (
    CELLS,
    MOMENTS,
    SPREAD,
    read_cells,
    read_moments,
    read_spread,
)
from hanse.learning.quantiles import KIND as QUANTILES
from hanse.learning.quantiles import QuantileContributor
from hanse.learning.release import Release, exact
from hanse.learning.transform import ColumnFeatures, as_numbers, count_cells
from hanse.policies import Column


class PreprocessingContributor:
    """Answers what :func:`hanse.learning.preprocessing.fit` asks.

    Args:
        columns: Columns of the agreement.
        values: The member's values by column, all of the same length.
        release: What is done to exact figures before they leave.
    """

    def __init__(
        self, columns: Sequence[Column], values: Mapping[str, NDArray[Any]], release: Release = exact
    ) -> None:
        self._columns = {column.name: column for column in columns}
        self._values = values
        self._release = release
        self._answered: set[str] = set()
        learned = [column for column in columns if column.transform == "quantiles"]
        self._quantiles = QuantileContributor(
            {column.name: as_numbers(values[column.name]) for column in learned},
            {column.name: (column.edges[0], column.edges[1]) for column in learned},
        )

    def contribute(self, query: Query) -> Vector:
        """Answers a question of :mod:`hanse.learning.preprocessing.questions`, or one about quantiles.

        Args:
            query: From a coordinator.

        Returns:
            The answer.

        Raises:
            ProtocolError: ``protocol.malformed`` or ``protocol.unexpected-step`` for any other question, one
                that was answered, or one about cells that the agreement does not give.
        """
        if query.kind == QUANTILES:
            # A row is in one cell of each column that is asked about.
            answer = self._quantiles.contribute(query)
            return self._release(answer, float(len(self._columns) ** 0.5))
        answers = {MOMENTS: self._moments, SPREAD: self._spread, CELLS: self._cells}
        if query.kind not in answers or query.kind in self._answered:
            raise ProtocolError(
                "protocol.unexpected-step", "not a question about columns, or answered before"
            )
        answer, sensitivity = answers[query.kind](query)
        self._answered.add(query.kind)
        return self._release(answer, sensitivity)

    def _moments(self, query: Query) -> tuple[Vector, float]:
        values = [self._in_unit(name) for name in read_moments(query)]
        answer = np.array([figure for own in values for figure in (float(own.size), float(own.sum()))])
        return answer, float((2 * len(values)) ** 0.5)

    def _spread(self, query: Query) -> tuple[Vector, float]:
        columns, means = read_spread(query)
        pairs = zip(columns, means, strict=True)
        answer = np.array([float(((self._in_unit(name) - mean) ** 2).sum()) for name, mean in pairs])
        return answer, float(len(columns) ** 0.5)

    def _cells(self, query: Query) -> tuple[Vector, float]:
        columns = read_cells(query)
        if [column.name for column in columns] != list(self._columns):
            raise ProtocolError("protocol.malformed", "not the columns of the agreement")
        for column in columns:
            check_cells(self._columns[column.name], column)
        counts = count_cells(columns, self._values)
        # A row moves one count and one truth of each column.
        return np.concatenate([counts, (counts > 0).astype(np.float64)]), float((2 * len(columns)) ** 0.5)

    def _in_unit(self, name: str) -> NDArray[np.float64]:
        """Values that are not missing, cut at the bounds and moved to [0, 1]."""
        column = self._columns.get(name)
        if column is None or column.transform != "standardised":
            raise ProtocolError("protocol.malformed", "not a column whose mean is agreed on")
        low, high = column.edges
        numbers = as_numbers(self._values[name])
        return (np.clip(numbers[np.isfinite(numbers)], low, high) - low) / (high - low)


def check_cells(agreed: Column, cells: ColumnFeatures) -> None:
    """Holds the cells of a transform against what was agreed on for the column.

    Args:
        agreed: The column in the agreement.
        cells: Its cells, learned or not, from a peer.

    Raises:
        ProtocolError: ``protocol.malformed`` if they are others than the agreement lets be learned.
    """
    given = (cells.name, cells.kind, cells.categories, cells.buckets)
    buckets = agreed.bins or 0 if agreed.transform == "hashed" else 0
    fits = given == (agreed.name, agreed.kind, agreed.categories, buckets)
    fits &= (cells.scale is not None) == (agreed.transform == "standardised")
    if agreed.transform == "one_hot":
        fits &= cells.edges == agreed.edges
    elif agreed.transform == "quantiles":
        low, high = agreed.edges
        fits &= len(cells.edges) < (agreed.bins or 0) and all(low <= edge <= high for edge in cells.edges)
    elif cells.scale is not None:
        fits &= (cells.scale.low, cells.scale.high) == agreed.edges
    if not fits:
        raise ProtocolError("protocol.malformed", f"column {agreed.name}: not the cells that were agreed on")
