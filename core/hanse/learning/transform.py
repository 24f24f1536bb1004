"""Rows to features: one-hot over cells, or a distance from the mean.

As a rule the cells come from the agreement: bins between declared edges, categories of a declared dictionary.
They are not learned from data, so they cost no privacy, and what they gain over a linear use of the values is
more than the noise of training takes away. Every numeric column has one cell more, for values that are
missing; every categorical column one for values that are missing or not in its dictionary.

What is always learned, from counts, is which cells are too rare to have a feature of their own. Where the
agreement says so, more is learned from sums over all members (:mod:`hanse.learning.preprocessing`): bin edges
at quantiles, mean and standard deviation, and which hashed categories are common. A category is hashed with
SHA-256 to one of some buckets, so that a transform names no word that a member has not agreed to publish;
whoever guesses a word can see whether its bucket has a feature.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from hanse.crypto import canonical_json, parse_canonical_json, sha256_hex
from hanse.errors import ConfigurationError, ProtocolError, TrainingError
from hanse.policies import Column
from hanse.policies.fields import Document

NO_FEATURE = -1
"""In :attr:`ColumnFeatures.features`: rows of this cell have no feature of the column."""

MAX_BUCKETS: Final = 4096
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


class Scale(Document):
    """How a value becomes a distance from the mean.

    Attributes:
        low: Smaller values count as this one.
        high: Larger values count as this one.
        mean: Mean over all members, of values so cut.
        std: Their standard deviation, above zero.
    """

    low: float
    high: float
    mean: float
    std: float = Field(gt=0)

    @model_validator(mode="after")
    def _mean_inside(self) -> Self:
        if not self.low <= self.mean <= self.high or self.std > self.high - self.low:
            raise ValueError("mean and deviation are those of values between the bounds")
        return self

    def standardise(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standard deviations from the mean; same shape, NaN where a value is."""
        return (np.clip(values, self.low, self.high) - self.mean) / self.std


class ColumnFeatures(Document):
    """The cells of one column and the feature of each.

    Attributes:
        name: Name of the column.
        kind: ``numeric`` or ``categorical``.
        edges: Bin edges of a numeric column, increasing; the bin at an edge is the upper one.
        categories: Dictionary of a categorical column.
        features: Feature of each cell, or :data:`NO_FEATURE`; the last cell is that of missing or other
            values.
        scale: For a numeric column without bins: it has two cells, any value and none, and the feature of
            the first is the standardised value. Null for all others.
        buckets: For a categorical column without a dictionary: number of buckets, which are its cells beside
            that of missing values. 0 for all others.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    edges: tuple[float, ...]
    categories: tuple[str, ...]
    features: tuple[int, ...]
    scale: Scale | None = Field(default=None, exclude_if=lambda scale: scale is None)
    buckets: int = Field(default=0, ge=0, le=MAX_BUCKETS, exclude_if=lambda buckets: buckets == 0)

    @model_validator(mode="after")
    def _features_fit(self) -> Self:
        if (self.scale is not None and (self.kind != "numeric" or self.edges)) or (
            self.buckets and (self.kind != "categorical" or self.categories)
        ):
            raise ValueError("a column has cells of one sort")
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
    def fit(
        cls,
        columns: Sequence[Column | ColumnFeatures],
        cell_counts: NDArray[np.float64] | None,
        minimum: float,
        common: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Decides which cells have a feature of their own.

        A rare bin is merged with its upper neighbours until they are many enough, rare categories with each
        other. What is rare even so, and a rare cell of missing values, has no feature.

        Args:
            columns: Columns of the agreement, or what was learned of their cells.
            cell_counts: Sum over the members of :func:`count_cells`, with noise; None takes all cells.
            minimum: Fewest rows of a feature. Well above the noise, or noise decides: see :func:`rare_below`.
            common: Which cells enough members have; a category that too few have counts as rare however many
                rows it has. Shape of the counts; None takes all.

        Returns:
            The preprocessing.

        Raises:
            ProtocolError: ``protocol.malformed`` if the counts are not one finite number per cell.
            TrainingError: ``run.no-features`` if everything is rare, ``run.unprepared`` if the cells of a
                column have to be learned first.
        """
        cells = [public_cells(column) for column in columns]
        total = sum(n_cells(column) for column in cells)
        if common is not None and common.shape != (total,):
            raise ProtocolError("protocol.malformed", f"not one truth for each of {total} cells")
        if cell_counts is not None and (cell_counts.shape != (total,) or not np.isfinite(cell_counts).all()):
            raise ProtocolError("protocol.malformed", f"not one finite count for each of {total} cells")
        # Nothing is rarer than any minimum where no counts are given.
        counts = np.full(total, np.inf) if cell_counts is None else cell_counts
        shared = np.ones(total, dtype=np.bool_) if common is None else common
        fitted = []
        first_cell = first_feature = 0
        for column in cells:
            last_cell = first_cell + n_cells(column)
            own = slice(first_cell, last_cell)
            groups = _group(column, counts[own].tolist(), minimum, shared[own].tolist())
            features = tuple(g if g == NO_FEATURE else g + first_feature for g in groups)
            fitted.append(column.model_copy(update={"features": features}))
            first_cell, first_feature = last_cell, first_feature + max(groups) + 1
        if first_feature == 0:
            raise TrainingError("run.no-features", f"no cell has {minimum:g} rows")
        return cls(version=1, n_features=first_feature, columns=tuple(fitted))

    def apply(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Transforms rows. No value is an error: what fits no cell is missing, or other.

        Args:
            columns: Values by column name, all of the same length; more columns than needed do no harm.

        Returns:
            Zeros and ones, and distances from the mean; shape (rows, features).

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        """
        rows = _row_count(self.columns, columns)
        result = np.zeros((rows, self.n_features), dtype=np.float32)
        for column in self.columns:
            features = np.asarray(column.features)[cells_of(column, columns[column.name])]
            known = np.flatnonzero(features != NO_FEATURE)
            result[known, features[known]] = 1.0
            if column.scale is not None and column.features[0] != NO_FEATURE:
                distances = column.scale.standardise(as_numbers(columns[column.name]))
                result[:, column.features[0]] = np.where(np.isfinite(distances), distances, 0.0)
        return result

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Features of each categorical column that has any: what a model can learn an embedding of."""
        features = (
            tuple(sorted(set(column.features) - {NO_FEATURE}))
            for column in self.columns
            if column.kind == "categorical"
        )
        return tuple(group for group in features if group)

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
    if isinstance(column, ColumnFeatures) and column.scale is not None:
        return 2
    if isinstance(column, ColumnFeatures) and column.buckets:
        return column.buckets + 1
    return len(column.edges) + 2 if column.kind == "numeric" else len(column.categories) + 1


def cells_of(column: Cells, values: NDArray[Any]) -> NDArray[np.intp]:
    """Cell of each value. No value is an error: what fits no cell is in the last one.

    Args:
        column: The cells.
        values: Shape (rows,), of any type.

    Returns:
        Numbers below :func:`n_cells`, shape (rows,).
    """
    if isinstance(column, ColumnFeatures) and column.buckets:
        return _buckets(column, values)
    if isinstance(column, ColumnFeatures) and column.scale is not None:
        return np.where(np.isfinite(as_numbers(values)), 0, 1)
    if column.kind == "numeric":
        numbers = as_numbers(values)
        bins = np.searchsorted(np.asarray(column.edges), numbers, side="right")
        return np.where(np.isfinite(numbers), bins, n_cells(column) - 1)
    cells: dict[str | None, int] = {category: cell for cell, category in enumerate(column.categories)}
    other = n_cells(column) - 1
    return np.fromiter(
        (cells.get(as_word(value), other) for value in values.tolist()), dtype=np.intp, count=len(values)
    )


def public_cells(column: Column | ColumnFeatures) -> ColumnFeatures:
    """The cells that an agreement gives a column, each with a feature; cells that were learned as they are.

    Raises:
        TrainingError: ``run.unprepared`` if the agreement lets them be learned, and nobody has.
    """
    if isinstance(column, ColumnFeatures):
        return column
    if column.transform != "one_hot":
        raise TrainingError("run.unprepared", f"column {column.name}")
    return ColumnFeatures(
        name=column.name,
        kind=column.kind,
        edges=column.edges,
        categories=column.categories,
        features=tuple(range(n_cells(column))),
    )


def cell_names(column: ColumnFeatures) -> tuple[str, ...]:
    """The cells of a column in words, for people."""
    if column.scale is not None:
        return ("any value, in standard deviations from the mean", "missing")
    if column.buckets:
        return (*(f"bucket {bucket}" for bucket in range(column.buckets)), "missing")
    if column.kind == "categorical":
        return (*column.categories, "missing or other")
    inner = (f"{low:g} to below {high:g}" for low, high in zip(column.edges, column.edges[1:], strict=False))
    return (f"below {column.edges[0]:g}", *inner, f"from {column.edges[-1]:g}", "missing")


def bucket_of(column: str, word: str, buckets: int) -> int:
    """Bucket of a category: SHA-256 of the column's name and the word, so that columns collide apart."""
    digest = hashlib.sha256(b"hanse/bucket/v1\0" + canonical_json([column, word])).digest()
    return int.from_bytes(digest[:8], "big") % buckets


def count_cells(
    columns: Sequence[Column | ColumnFeatures], values: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64]:
    """Counts rows per cell. One row is in one cell of each column: the L2 sensitivity is √columns.

    Args:
        columns: Columns of the agreement, or what was learned of their cells.
        values: Values by column name, all of the same length.

    Returns:
        Exact counts, one per cell, in the order of the columns; shape (cells,).

    Raises:
        ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        TrainingError: ``run.unprepared`` if the cells of a column have to be learned first.
    """
    cells = [public_cells(column) for column in columns]
    _row_count(cells, values)
    counts = [
        np.bincount(cells_of(column, values[column.name]), minlength=n_cells(column)) for column in cells
    ]
    return np.concatenate(counts).astype(np.float64)


def rare_below(suppress_below: int, noise_stds: Sequence[float]) -> float:
    """The `minimum` for :meth:`Transform.fit`: the agreement's, or what stands out from the noise.

    The same rule decides how many members must have a category before it is named.

    Args:
        suppress_below: Smallest count of the agreement.
        noise_stds: Standard deviation of the noise in each member's counts, in rows.

    Returns:
        The larger of the agreement's count and twice the standard deviation of the summed noise.
    """
    return max(float(suppress_below), 2.0 * math.hypot(*noise_stds))


def _group(column: ColumnFeatures, counts: list[float], minimum: float, common: list[bool]) -> list[int]:
    """Group of each cell of one column, numbered from 0; :data:`NO_FEATURE` for cells in none."""
    if column.kind == "numeric":
        return _group_bins(counts, minimum)
    return _group_categories(counts, minimum, common)


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


def _group_categories(counts: list[float], minimum: float, common: list[bool]) -> list[int]:
    """Categories have no order: the rare ones are one group together, if they are many enough."""
    own = [cell for cell, count in enumerate(counts) if count >= minimum and common[cell]]
    rare_rows = sum(count for cell, count in enumerate(counts) if cell not in set(own))
    rare_group = len(own) if rare_rows >= minimum else NO_FEATURE
    numbers = {cell: number for number, cell in enumerate(own)}
    return [numbers.get(cell, rare_group) for cell in range(len(counts))]


def _row_count(columns: Sequence[Column | ColumnFeatures], values: Mapping[str, NDArray[Any]]) -> int:
    absent = [column.name for column in columns if column.name not in values]
    if absent:
        raise ConfigurationError(_BAD_DATA, f"columns are missing: {', '.join(absent)}")
    lengths = {np.shape(values[column.name]) for column in columns}
    if len(lengths) != 1 or any(len(shape) != 1 for shape in lengths):
        raise ConfigurationError(_BAD_DATA, "columns have different lengths")
    return int(lengths.pop()[0])


def _buckets(column: ColumnFeatures, values: NDArray[Any]) -> NDArray[np.intp]:
    """Cell of each value of a hashed column: its bucket, or the last one where there is no value."""
    cells: dict[str | None, int] = {None: column.buckets, "": column.buckets, "nan": column.buckets}
    words = [as_word(value) for value in values.tolist()]
    for word in set(words) - cells.keys():
        cells[word] = bucket_of(column.name, str(word), column.buckets)
    return np.fromiter((cells[word] for word in words), dtype=np.intp, count=len(words))


def as_numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    """Values as numbers; what is none is NaN."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    return np.fromiter((as_number(value) for value in values.tolist()), dtype=np.float64, count=len(values))


def as_number(value: object) -> float:
    """A value as a number; what is none is NaN."""
    try:
        return float(value)  # type: ignore[arg-type] # what is not a number raises
    except (TypeError, ValueError, OverflowError):
        return math.nan


def as_word(value: object) -> str | None:
    """A value as a dictionary writes it: 3.0 is the category 3."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)
