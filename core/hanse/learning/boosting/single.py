"""The same for one row, without numpy: for a single row, calling numpy takes longer than all that it does.

A call about one person is the usual one. What is computed here is what ``Binning.encode`` and
``BoostedTrees.raw`` compute, to the last digit: leaf values are added in the same order.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import add
from typing import Any, NamedTuple

from numpy.typing import NDArray

from hanse.errors import ConfigurationError
from hanse.learning.boosting.columns import BinnedColumn, Binning
from hanse.learning.boosting.model import BoostedTrees
from hanse.learning.transform import as_number, as_word, n_cells


class _Cells(NamedTuple):
    """What the codes of a column mean.

    Attributes:
        name: Its name.
        edges: Of a numeric column.
        cells: Of a categorical column, by category; None of a numeric one.
        other: Code of a missing or other value.
    """

    name: str
    edges: tuple[float, ...]
    cells: Mapping[str | None, int] | None
    other: int


class SingleRow:
    """Codes of one row.

    Args:
        columns: What they mean.
    """

    def __init__(self, columns: Sequence[BinnedColumn]) -> None:
        self._columns = [
            _Cells(
                column.name,
                tuple(column.edges),
                None if column.kind == "numeric" else {name: at for at, name in enumerate(column.categories)},
                n_cells(column) - 1,
            )
            for column in columns
        ]

    def encode(self, values: Mapping[str, NDArray[Any]]) -> list[int]:
        """Codes of a row.

        Args:
            values: Value by column name, each of shape (1,); more columns than needed do no harm.

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        """
        return [_code(column, values.get(column.name)) for column in self._columns]


class SingleCells:
    """Which cell of all is that of each value of a row: ``Binning.encode`` and ``Layout.offsets`` together.

    Args:
        binning: The columns.
    """

    def __init__(self, binning: Binning) -> None:
        self._row = SingleRow(binning.columns)
        self._offsets = binning.layout.offsets.tolist()

    def at(self, values: Mapping[str, NDArray[Any]]) -> list[int]:
        """One cell for each column; see :meth:`SingleRow.encode`."""
        return list(map(add, self._offsets, self._row.encode(values)))


def _code(column: _Cells, values: NDArray[Any] | None) -> int:
    if values is None:
        raise ConfigurationError("config.bad-data", f"columns are missing: {column.name}")
    if values.shape != (1,):
        raise ConfigurationError("config.bad-data", "columns have different lengths")
    (value,) = values.tolist()
    if column.cells is not None:
        return column.cells.get(as_word(value), column.other)
    number = as_number(value)
    return bisect_right(column.edges, number) if math.isfinite(number) else column.other


class SingleScore:
    """Raw scores of one row.

    Args:
        trees: The trees.
    """

    def __init__(self, trees: BoostedTrees) -> None:
        nodes = trees.nodes
        self._base = list(trees.description.base)
        self._first = nodes.first.tolist()
        self._column = nodes.column.tolist()
        self._right = nodes.child.tolist()
        self._left = nodes.left.tobytes()
        self._width = nodes.width
        self._value = trees.forest.value.tolist()
        self._depth = trees.settings.depth

    def raw(self, codes: Sequence[int]) -> list[float]:
        """Sums of leaf values, one for each label.

        Args:
            codes: Of the row.
        """
        column, child, left, width = self._column, self._right, self._left, self._width
        result, labels = list(self._base), len(self._base)
        for tree, first in enumerate(self._first):
            node = first
            for _ in range(self._depth):
                # To the right is one further.
                node = child[node] + 1 - left[node * width + codes[column[node]]]
            result[tree % labels] += self._value[node]
        return result
