"""Columns as small numbers: the code of a value is its bin or category, the last code is missing or other."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hanse.errors import ConfigurationError
from hanse.learning.boosting.settings import MAX_CODES
from hanse.learning.quantiles import Quantiles
from hanse.learning.transform import Cells, cells_of, n_cells
from hanse.policies.fields import Document, Many

Codes: TypeAlias = NDArray[np.unsignedinteger[Any]]
"""Shape (rows, columns); uint8 or uint16."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the sums of each column's codes are in a histogram; all that the engine knows of columns.

    A column that another party holds has a layout and no edges: see the decision record on boosting.

    Attributes:
        codes: Number of codes of each column; the last one is that of missing or other values.
        ordered: Whether the codes before the last one have an order.
    """

    codes: tuple[int, ...]
    ordered: tuple[bool, ...]

    @property
    def total(self) -> int:
        """Length of a histogram."""
        return sum(self.codes)

    @property
    def width(self) -> int:
        """Most codes of a column."""
        return max(self.codes)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each column begins, shape (columns,)."""
        return np.cumsum([0, *self.codes[:-1]])

    def take(self, columns: NDArray[np.int64]) -> "Layout":
        """The layout of some of the columns, given by increasing numbers."""
        chosen = columns.tolist()
        if len(chosen) == len(self.codes):
            return self
        return Layout(tuple(self.codes[c] for c in chosen), tuple(self.ordered[c] for c in chosen))


class BinnedColumn(Document):
    """One column and what its codes mean.

    Attributes:
        name: Name of the column.
        kind: ``numeric`` or ``categorical``.
        edges: Bin edges of a numeric column, increasing; a value at an edge belongs above it. None if all
            rows have one value.
        categories: Dictionary of a categorical column.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    edges: Annotated[Many[float], Field(max_length=MAX_CODES - 2)] = ()
    categories: Annotated[Many[str], Field(max_length=MAX_CODES - 1)] = ()

    @model_validator(mode="after")
    def _cells_fit_kind(self) -> Self:
        if (self.edges and self.kind != "numeric") or (self.categories and self.kind == "numeric"):
            raise ValueError("edges belong to a numeric column, categories to a categorical one")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges in increasing order")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("categories differ")
        return self


class Binning(Document):
    """All columns that trees may split on, in the order of their numbers.

    Attributes:
        columns: At least one; names differ.
    """

    columns: Annotated[Many[BinnedColumn], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({column.name for column in self.columns}) != len(self.columns):
            raise ValueError("columns differ")
        return self

    @classmethod
    def make(
        cls, columns: Mapping[str, Cells], quantiles: Mapping[str, Quantiles], max_bins: int
    ) -> "Binning":
        """The public cells of columns; numeric ones that have quantiles are cut by these instead.

        Args:
            columns: By name, with the cells of the agreement.
            quantiles: By name, see :func:`hanse.learning.quantiles.federated_quantiles`.
            max_bins: Most bins of a column that is cut by quantiles.

        Returns:
            The binning.
        """
        return cls(
            columns=tuple(
                BinnedColumn(
                    name=name,
                    kind=column.kind,
                    edges=quantiles[name].edges(max_bins) if name in quantiles else column.edges,
                    categories=column.categories,
                )
                for name, column in columns.items()
            )
        )

    @property
    def layout(self) -> Layout:
        """See :class:`Layout`."""
        return Layout(
            tuple(n_cells(column) for column in self.columns),
            tuple(column.kind == "numeric" for column in self.columns),
        )

    def encode(self, values: Mapping[str, NDArray[Any]]) -> Codes:
        """Codes of rows. No value is an error: what fits no code is missing, or other.

        Args:
            values: Values by column name, all of the same length; more columns than needed do no harm.

        Returns:
            Shape (rows, columns), uint8 where that is enough.

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        """
        absent = [column.name for column in self.columns if column.name not in values]
        if absent:
            raise ConfigurationError("config.bad-data", f"columns are missing: {', '.join(absent)}")
        lengths = {np.shape(values[column.name]) for column in self.columns}
        if len(lengths) != 1 or any(len(shape) != 1 for shape in lengths):
            raise ConfigurationError("config.bad-data", "columns have different lengths")
        dtype = code_type(self.layout)
        return np.column_stack(
            [cells_of(column, values[column.name]).astype(dtype) for column in self.columns]
        )


def code_type(layout: Layout) -> type[np.uint8 | np.uint16]:
    """The smallest type that holds every code."""
    return np.uint8 if layout.width <= np.iinfo(np.uint8).max + 1 else np.uint16


def sampled_columns(n_columns: int, fraction: float, seed: int, tree: int) -> NDArray[np.int64]:
    """Columns that an iteration may split on; anybody can compute them.

    Args:
        n_columns: Columns there are.
        fraction: Part of them that is taken, rounded up.
        seed: Public.
        tree: Number of the iteration.

    Returns:
        Column numbers, increasing.
    """
    if fraction == 1.0:
        return np.arange(n_columns)
    order = sorted(range(n_columns), key=lambda column: _lot(seed, tree, column))
    return np.array(sorted(order[: int(np.ceil(fraction * n_columns))]))


def _lot(seed: int, tree: int, column: int) -> bytes:
    return hashlib.sha256(f"hanse boosting columns {seed} {tree} {column}".encode()).digest()


def prefix_codes(layout: Layout) -> NDArray[np.bool_]:
    """Which codes have an order, shape (columns, width): a split takes the lowest of them to the left."""
    counts = np.array(layout.codes)[:, None]
    ordered = np.array(layout.ordered)[:, None]
    return ordered & (np.arange(layout.width) < counts - 1)


def check_left_codes(layout: Layout, columns: NDArray[Any], left: NDArray[np.bool_]) -> bool:
    """Whether sets of codes can be the left sides of splits.

    Args:
        layout: Of all columns.
        columns: Column of each split, shape (splits,), within the layout.
        left: Codes that go left, shape (splits, width).

    Returns:
        True if no code is beyond a column's, and ordered codes are cut once.
    """
    if (left & (np.arange(layout.width) >= np.array(layout.codes)[columns, None])).any():
        return False
    inner = prefix_codes(layout)[columns]
    rises = inner[:, 1:] & left[:, 1:] & ~left[:, :-1]
    return not rises.any()
