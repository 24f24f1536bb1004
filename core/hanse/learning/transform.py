"""Rows to features: one-hot over public cells.

The cells come from the agreement: bins between declared edges, categories of a declared dictionary. They are
not learned from data, so they cost no privacy, and what they gain over a linear use of the values is more
than the noise of training takes away. Every numeric column has one cell more, for values that are missing;
every categorical column one for values that are not in its dictionary.

What is learned, from noisy counts, is only which cells are too rare to have a feature of their own.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError, model_validator

from hanse.crypto import canonical_json, parse_canonical_json, sha256_hex
from hanse.errors import ConfigurationError, ProtocolError, TrainingError
from hanse.policies import Column
from hanse.policies.fields import Document

NO_FEATURE = -1
"""In :attr:`ColumnFeatures.features`: rows of this cell have no feature of the column."""

_BAD_DATA = "config.bad-data"


class Cells(Protocol):
    """Public cells that a column's values fall into; a :class:`Column` of an agreement has them."""

    @property
    def kind(self) -> Literal["numeric", "categorical"]:
        """``numeric`` is cut at the edges, ``categorical`` is one of the categories."""
        ...

    @property
    def edges(self) -> tuple[float, ...]:
        """Bin edges, increasing; a value at an edge belongs above it."""
        ...

    @property
    def categories(self) -> tuple[str, ...]:
        """The dictionary."""
        ...


class ColumnFeatures(Document):
    """The cells of one column and the feature of each.

    Attributes:
        name: Name of the column.
        kind: ``numeric`` or ``categorical``.
        edges: Bin edges of a numeric column, increasing; the bin at an edge is the upper one.
        categories: Dictionary of a categorical column.
        features: Feature of each cell, or :data:`NO_FEATURE`; the last cell is that of missing or other
            values.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    edges: tuple[float, ...]
    categories: tuple[str, ...]
    features: tuple[int, ...]

    @model_validator(mode="after")
    def _features_fit(self) -> Self:
        if len(self.features) != n_cells(self):
            raise ValueError("one feature per cell")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges in increasing order")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("categories differ")
        return self


class Transform(Document):
    """A fitted preprocessing: what members, coordinator and scorer apply alike.

    Attributes:
        version: Version of this form.
        n_features: Width of the transformed rows.
        columns: The columns, in the order of the agreement.
    """

    version: Literal[1]
    n_features: int
    columns: tuple[ColumnFeatures, ...]

    @model_validator(mode="after")
    def _features_used_once(self) -> Self:
        used = [set(column.features) - {NO_FEATURE} for column in self.columns]
        if sum(map(len, used)) != self.n_features or set().union(*used) != set(range(self.n_features)):
            raise ValueError("every feature belongs to one column")
        if len({column.name for column in self.columns}) != len(self.columns) or self.n_features < 1:
            raise ValueError("columns differ and have a feature")
        return self

    @classmethod
    def fit(cls, columns: Sequence[Column], cell_counts: NDArray[np.float64] | None, minimum: float) -> Self:
        """Decides which cells have a feature of their own.

        A rare bin is merged with its upper neighbours until they are many enough, rare categories with each
        other. What is rare even so, and a rare cell of missing values, has no feature.

        Args:
            columns: Columns of the agreement.
            cell_counts: Sum over the members of :func:`count_cells`, with noise; None takes all cells.
            minimum: Fewest rows of a feature. Well above the noise, or noise decides: see :func:`rare_below`.

        Returns:
            The preprocessing.

        Raises:
            ProtocolError: ``protocol.malformed`` if the counts are not one finite number per cell.
            TrainingError: ``run.no-features`` if everything is rare.
        """
        total = sum(n_cells(column) for column in columns)
        if cell_counts is not None and (cell_counts.shape != (total,) or not np.isfinite(cell_counts).all()):
            raise ProtocolError("protocol.malformed", f"not one finite count for each of {total} cells")
        fitted = []
        first_cell = first_feature = 0
        for column in columns:
            last_cell = first_cell + n_cells(column)
            groups = (
                list(range(n_cells(column)))
                if cell_counts is None
                else _group(column, cell_counts[first_cell:last_cell].tolist(), minimum)
            )
            features = tuple(g if g == NO_FEATURE else g + first_feature for g in groups)
            fitted.append(_with_features(column, features))
            first_cell, first_feature = last_cell, first_feature + max(groups) + 1
        if first_feature == 0:
            raise TrainingError("run.no-features", f"no cell has {minimum:g} rows")
        return cls(version=1, n_features=first_feature, columns=tuple(fitted))

    def apply(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Transforms rows. No value is an error: what fits no cell is missing, or other.

        Args:
            columns: Values by column name, all of the same length; more columns than needed do no harm.

        Returns:
            Zeros and ones, shape (rows, features).

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        """
        rows = _row_count(self.columns, columns)
        result = np.zeros((rows, self.n_features), dtype=np.float32)
        for column in self.columns:
            features = np.asarray(column.features)[cells_of(column, columns[column.name])]
            known = np.flatnonzero(features != NO_FEATURE)
            result[known, features[known]] = 1.0
        return result

    def to_json(self) -> bytes:
        """The transform as canonical JSON."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Reads what :meth:`to_json` wrote.

        Args:
            data: Bytes from anywhere.

        Returns:
            The transform, with ``transform.to_json() == data``.

        Raises:
            ProtocolError: ``protocol.malformed`` for all other bytes.
        """
        parse_canonical_json(data)
        try:
            transform = cls.model_validate_json(data)
        except ValidationError as error:
            raise ProtocolError("protocol.malformed", "not a transform") from error
        if transform.to_json() != data:
            raise ProtocolError("protocol.malformed", "not a transform in canonical form")
        return transform

    @property
    def digest(self) -> str:
        """SHA-256 of :meth:`to_json`, 64 hex digits."""
        return sha256_hex(self.to_json())


def n_cells(column: Cells) -> int:
    """Number of cells of a column, that of missing or other values included."""
    return len(column.edges) + 2 if column.kind == "numeric" else len(column.categories) + 1


def cells_of(column: Cells, values: NDArray[Any]) -> NDArray[np.intp]:
    """Cell of each value. No value is an error: what fits no cell is in the last one.

    Args:
        column: The cells.
        values: Shape (rows,), of any type.

    Returns:
        Numbers below :func:`n_cells`, shape (rows,).
    """
    if column.kind == "numeric":
        numbers = _numbers(values)
        bins = np.searchsorted(np.asarray(column.edges), numbers, side="right")
        return np.where(np.isfinite(numbers), bins, n_cells(column) - 1)
    cells: dict[str | None, int] = {category: cell for cell, category in enumerate(column.categories)}
    other = n_cells(column) - 1
    return np.fromiter(
        (cells.get(_word(value), other) for value in values.tolist()), dtype=np.intp, count=len(values)
    )


def count_cells(columns: Sequence[Column], values: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Counts rows per cell. One row is in one cell of each column: the L2 sensitivity is √columns.

    Args:
        columns: Columns of the agreement.
        values: Values by column name, all of the same length.

    Returns:
        Exact counts, one per cell, in the order of the columns; shape (cells,).

    Raises:
        ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
    """
    _row_count(columns, values)
    counts = [
        np.bincount(cells_of(column, values[column.name]), minlength=n_cells(column)) for column in columns
    ]
    return np.concatenate(counts).astype(np.float64)


def rare_below(suppress_below: int, noise_stds: Sequence[float]) -> float:
    """The `minimum` for :meth:`Transform.fit`: the agreement's, or what stands out from the noise.

    Args:
        suppress_below: Smallest count of the agreement.
        noise_stds: Standard deviation of the noise in each member's counts, in rows.

    Returns:
        The larger of the agreement's count and twice the standard deviation of the summed noise.
    """
    return max(float(suppress_below), 2.0 * math.hypot(*noise_stds))


def _with_features(column: Column, features: tuple[int, ...]) -> ColumnFeatures:
    return ColumnFeatures(
        name=column.name,
        kind=column.kind,
        edges=column.edges,
        categories=column.categories,
        features=features,
    )


def _group(column: Column, counts: list[float], minimum: float) -> list[int]:
    """Group of each cell of one column, numbered from 0; :data:`NO_FEATURE` for cells in none."""
    return (_group_bins if column.kind == "numeric" else _group_categories)(counts, minimum)


def _group_bins(counts: list[float], minimum: float) -> list[int]:
    """Bins keep their order, so neighbours are merged; the remainder at the top joins the last group."""
    *bins, missing = counts
    groups = []
    group, rows = 0, 0.0
    for count in bins:
        groups.append(group)
        rows += count
        if rows >= minimum:
            group, rows = group + 1, 0.0
    groups = [min(g, group - 1) for g in groups]  # NO_FEATURE if no group was ever full
    return [*groups, group if missing >= minimum else NO_FEATURE]


def _group_categories(counts: list[float], minimum: float) -> list[int]:
    """Categories have no order: the rare ones are one group together, if they are many enough."""
    common = [i for i, count in enumerate(counts) if count >= minimum]
    rare_rows = sum(count for count in counts if count < minimum)
    rare_group = len(common) if rare_rows >= minimum else NO_FEATURE
    numbers = {cell: number for number, cell in enumerate(common)}
    return [numbers.get(cell, rare_group) for cell in range(len(counts))]


def _row_count(columns: Sequence[Column | ColumnFeatures], values: Mapping[str, NDArray[Any]]) -> int:
    absent = [column.name for column in columns if column.name not in values]
    if absent:
        raise ConfigurationError(_BAD_DATA, f"columns are missing: {', '.join(absent)}")
    lengths = {np.shape(values[column.name]) for column in columns}
    if len(lengths) != 1 or any(len(shape) != 1 for shape in lengths):
        raise ConfigurationError(_BAD_DATA, "columns have different lengths")
    return int(lengths.pop()[0])


def _numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    """Values as numbers; what is none is NaN."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    return np.fromiter((_number(value) for value in values.tolist()), dtype=np.float64, count=len(values))


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type] # what is not a number raises
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _word(value: object) -> str | None:
    """A value as a dictionary writes it: 3.0 is the category 3."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)
