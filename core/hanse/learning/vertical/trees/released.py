"""A feature holder's columns as it shows them: merged bins, in an order that says nothing.

The label holder learns how many columns there are, how many bins each has and whether these have an order.
It learns no names, values or edges; columns and categories are in random order, and a numeric column may run
backwards.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hanse.learning.boosting.columns import BinnedColumn, Binning, Codes, Layout, code_type
from hanse.learning.boosting.settings import MAX_CODES
from hanse.learning.random_source import SecureRandom
from hanse.learning.transform import n_cells
from hanse.policies.fields import Document, Many

Integers = NDArray[np.int64]


class ReleasedColumn(Document):
    """A column, and the code that each of its codes is shown as.

    Attributes:
        column: What its own codes mean.
        shown: Of each of its own codes.
        codes: How many are shown, the last one for missing or other values included.
    """

    column: BinnedColumn
    shown: Annotated[Many[int], Field(min_length=1, max_length=MAX_CODES)]
    codes: Annotated[int, Field(ge=1, le=MAX_CODES)]

    @model_validator(mode="after")
    def _shown_fits(self) -> Self:
        if len(self.shown) != n_cells(self.column) or not all(0 <= code < self.codes for code in self.shown):
            raise ValueError("one code to show for each code")
        return self

    @property
    def ordered(self) -> bool:
        """Whether the codes before the last one have an order."""
        return self.column.kind == "numeric"


def layout_of(columns: Sequence[ReleasedColumn]) -> Layout:
    """The layout of shown codes."""
    return Layout(tuple(c.codes for c in columns), tuple(c.ordered for c in columns))


def show(columns: Sequence[ReleasedColumn], values: Mapping[str, NDArray[Any]]) -> Codes:
    """Shown codes of rows, shape (rows, columns).

    Args:
        columns: At least one.
        values: Values by column name.

    Raises:
        ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
    """
    own = Binning(columns=tuple(released.column for released in columns)).encode(values)
    kind = code_type(layout_of(columns))
    shown = [np.array(released.shown, dtype=kind)[own[:, i]] for i, released in enumerate(columns)]
    return np.column_stack(shown)


def release(
    binning: Binning, values: Mapping[str, NDArray[Any]], min_rows: int, random: SecureRandom
) -> tuple[ReleasedColumn, ...]:
    """Decides how columns are shown.

    Args:
        binning: Of the columns.
        values: Of the aligned rows, by column name.
        min_rows: Fewest of these rows of a bin that is shown.
        random: For the order.

    Returns:
        All columns in random order. Every code that rows have has at least ``min_rows`` of them, unless there
        are fewer rows altogether.
    """
    own = binning.encode(values)
    released = []
    for number, column in enumerate(binning.columns):
        counts = np.bincount(own[:, number], minlength=n_cells(column))
        merge = merge_ordered if column.kind == "numeric" else merge_unordered
        shown, codes = _shuffled(*merge(counts, min_rows), random, ordered=column.kind == "numeric")
        released.append(ReleasedColumn(column=column, shown=tuple(shown.tolist()), codes=codes))
    return tuple(released[i] for i in _permutation(len(released), random).tolist())


def merge_ordered(counts: Integers, min_rows: int) -> tuple[Integers, int]:
    """Merges neighbours until each has enough rows.

    Args:
        counts: Rows of each code, the last one for missing values.
        min_rows: Fewest of a code that is shown.

    Returns:
        New code of each code, and how many new codes there are. Missing values, when they are too few or
        all others are, are counted with the largest bin.
    """
    group, filled, groups = 0, 0, []
    for count in counts[:-1].tolist():
        groups.append(group)
        filled += count
        if filled >= min_rows:
            group, filled = group + 1, 0
    last = max(group - 1, 0)
    new = np.minimum(np.array(groups, dtype=np.int64), last)
    missing = last + 1
    if 0 < counts[-1] < min_rows or counts[:-1].sum() < min_rows:
        missing = int(np.bincount(new, counts[:-1]).argmax())
    return np.append(new, missing), last + 2


def merge_unordered(counts: Integers, min_rows: int) -> tuple[Integers, int]:
    """Counts rare categories with other values, and these, when still too few, with the smallest of the rest.

    Args:
        counts: Rows of each code, the last one for other values.
        min_rows: Fewest of a code that is shown.

    Returns:
        New code of each code, and how many new codes there are.
    """
    rare = counts < min_rows
    rare[-1] = True
    by_size = np.argsort(counts, kind="stable")
    for code in by_size[~rare[by_size]].tolist():
        if not 0 < counts[rare].sum() < min_rows:
            break
        rare[code] = True
    kept = int((~rare).sum())
    return np.where(rare, kept, np.cumsum(~rare) - 1), kept + 1


def _shuffled(shown: Integers, codes: int, random: SecureRandom, *, ordered: bool) -> tuple[Integers, int]:
    """The last code stays the last."""
    places = np.arange(codes)
    if ordered:
        places[:-1] = places[:-1][:: 1 if random.uniform(1)[0] < 0.5 else -1]  # noqa: PLR2004
    else:
        places[:-1] = _permutation(codes - 1, random)
    return places[shown], codes


def _permutation(length: int, random: SecureRandom) -> Integers:
    return np.argsort(random.uniform(length), kind="stable")
