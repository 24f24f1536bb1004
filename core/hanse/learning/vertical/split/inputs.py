"""A party's own columns as numbers for its bottom; nobody else learns what is learned here.

A number becomes its place among the party's own quantiles and its distance from the mean; a category with
enough rows a column of its own.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hanse.errors import ConfigurationError
from hanse.learning.transform import as_number, as_numbers, as_word
from hanse.policies.fields import Document, Many

Floats32 = NDArray[np.float32]

_KNOTS: Final = 65
_LARGEST: Final = 4.0  # standard deviations; what is beyond counts as this
_SMALLEST_STD: Final = 1e-9


class InputColumn(Document):
    """One column.

    Attributes:
        name: Of the column.
        kind: ``numeric`` or ``categorical``.
        knots: Quantiles of a numeric column, from the least to the largest value.
        mean: Of a numeric column.
        std: Of a numeric column.
        categories: With enough rows.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    knots: Annotated[Many[float], Field(max_length=_KNOTS)] = ()
    mean: float = 0.0
    std: Annotated[float, Field(gt=0)] = 1.0
    categories: Annotated[Many[str], Field(max_length=1024)] = ()


class Inputs(Document):
    """All columns of a party.

    Attributes:
        columns: In the order of the network's inputs.
    """

    columns: Annotated[Many[InputColumn], Field(min_length=1, max_length=10_000)]

    @classmethod
    def fit(cls, columns: Mapping[str, NDArray[Any]], min_rows: int) -> Self:
        """Learns quantiles, means and categories.

        Args:
            columns: By name, shape (rows,): numbers with NaN where not known, or objects.
            min_rows: Fewest rows of a category with a column of its own.

        Returns:
            The inputs.

        Raises:
            ConfigurationError: ``config.bad-data`` without a column.
        """
        if not columns:
            raise ConfigurationError("config.bad-data", "a party of a split network has at least one column")
        return cls(columns=tuple(_fit(name, values, min_rows) for name, values in columns.items()))

    @property
    def width(self) -> int:
        """How many numbers there are of a person."""
        return sum(len(column.categories) if column.kind == "categorical" else 2 for column in self.columns)

    def apply(self, columns: Mapping[str, NDArray[Any]]) -> Floats32:
        """Numbers of people, between -2 and 2; a missing value is in the middle, an unknown category nowhere.

        Args:
            columns: By name; all of :attr:`columns`, of one length.

        Returns:
            Shape (rows, inputs).

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing.
        """
        absent = [column.name for column in self.columns if column.name not in columns]
        if absent:
            raise ConfigurationError("config.bad-data", f"columns are missing: {', '.join(absent)}")
        parts = [part for column in self.columns for part in _apply(column, columns[column.name])]
        return np.stack(parts, axis=1).astype(np.float32)

    def apply_to_one(self, columns: Mapping[str, NDArray[Any]]) -> Floats32:
        """As :meth:`apply`, of a single row, to the last digit, without numpy, whose calls take longer.

        Args:
            columns: Value by column name, each of shape (1,).

        Returns:
            Shape (1, inputs).

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        """
        numbers: list[float] = []
        for column in self.columns:
            value = columns.get(column.name)
            if value is None or value.shape != (1,):
                raise ConfigurationError(
                    "config.bad-data", f"one value is needed of each column: {column.name}"
                )
            numbers += _numbers_of_one(column, value.tolist()[0])
        return np.array([numbers], dtype=np.float32)


def _fit(name: str, values: NDArray[Any], min_rows: int) -> InputColumn:
    if values.dtype.kind in "OUS":
        words = [word for value in values.tolist() if (word := as_word(value)) is not None]
        found, counts = np.unique(words, return_counts=True)
        return InputColumn(
            name=name, kind="categorical", categories=tuple(found[counts >= min_rows].tolist())
        )
    numbers = as_numbers(values)
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return InputColumn(name=name, kind="numeric", knots=(0.0,))
    knots = np.quantile(known, np.linspace(0, 1, _KNOTS))
    return InputColumn(
        name=name,
        kind="numeric",
        knots=tuple(knots.tolist()),
        mean=float(known.mean()),
        std=max(float(known.std()), _SMALLEST_STD),
    )


def _numbers_of_one(column: InputColumn, value: object) -> list[float]:
    if column.kind == "categorical":
        word = as_word(value)
        return [float(word == category) for category in column.categories]
    number = as_number(value)
    if not math.isfinite(number):
        return [0.0, 0.0]
    distance = (number - column.mean) / column.std
    return [_place(column.knots, number), min(max(distance, -_LARGEST), _LARGEST) / 2]


def _place(knots: Sequence[float], number: float) -> float:
    """As ``numpy.interp`` has it, which takes the last of equal knots."""
    if not knots:
        return number
    heights = _heights(len(knots))
    at = bisect_right(knots, number) - 1
    if at < 0 or at == len(knots) - 1 or knots[at] == number:
        return heights[max(at, 0)]
    slope = (heights[at + 1] - heights[at]) / (knots[at + 1] - knots[at])
    return slope * (number - knots[at]) + heights[at]


@lru_cache(maxsize=_KNOTS)
def _heights(knots: int) -> list[float]:
    heights: list[float] = np.linspace(-1, 1, knots).tolist()
    return heights


def _apply(column: InputColumn, values: NDArray[Any]) -> list[NDArray[np.float64]]:
    if column.kind == "categorical":
        words = np.array([as_word(value) for value in values.tolist()], dtype=object)
        return [(words == category).astype(np.float64) for category in column.categories]
    numbers = as_numbers(values)
    known = np.isfinite(numbers)
    filled = np.where(known, numbers, column.mean)
    places = (
        np.interp(filled, column.knots, np.linspace(-1, 1, len(column.knots))) if column.knots else filled
    )
    distance = np.clip((filled - column.mean) / column.std, -_LARGEST, _LARGEST) / 2
    return [np.where(known, places, 0.0), np.where(known, distance, 0.0)]
