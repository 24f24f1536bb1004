"""Quantiles of all members' values together, from sums of counts.

A value is read as float32 and mapped to a 32-bit key that sorts as the values do (sign, exponent, mantissa:
one key step is one representable number). The coordinator asks how many values lie in each cell of a grid of
keys, at first one cell per sign and power of two, and divides what is still too full: 512 cells, then each
full one into 64, at most five queries. No bounds are needed for it, and no tail is too long: cells are as
wide as the values are large.

A cell with few rows is never divided, so a quantile is known to a share of the rows and not to a row: the
cell's lower end is a multiple of a power of two, and a value of its own only where many rows share it. The
counts themselves are exact, and are not noised here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import Aggregator, FixedPoint, Query, Vector, decode_body, encode_body
from hanse.errors import ConfigurationError, ProtocolError

KIND: Final = "quantile.counts"
MAX_ROWS: Final = 1 << 28
"""Of one member; the ring is chosen for it."""

CELLS_PER_BIN: Final = 4
"""A cell is divided while it holds more than this part of a bin: quantiles are known to a quarter of one."""

_DIGITS: Final = (9, 6, 6, 6, 5)
_KEY_BITS: Final = 32
_MAX_CELLS: Final = 1 << 16

Cells = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Where the values of one column lie.

    Attributes:
        lower: Lower end of each cell that is not empty, increasing, in the column's unit; shape (cells,).
        counts: Rows of all members in it, shape (cells,).
    """

    lower: NDArray[np.float64]
    counts: NDArray[np.float64]

    def edges(self, bins: int) -> tuple[float, ...]:
        """Edges of bins that hold about as many rows each.

        A value that many rows share has a bin of its own, and the others divide the rest among themselves.

        Args:
            bins: At most so many, two or more.

        Returns:
            At most ``bins - 1`` edges, increasing; a value at an edge belongs above it.
        """
        edges: list[float] = []
        rows_left, filled = float(self.counts.sum()), 0.0
        for lower, count in zip(self.lower.tolist(), self.counts.tolist(), strict=True):
            target = (rows_left + filled) / (bins - len(edges))
            # Cut before a cell that brings the bin further above its share than it is below.
            if filled and filled + count / 2 >= target and len(edges) < bins - 1:
                edges.append(lower)
                filled = 0.0
            filled += count
            rows_left -= count
        return tuple(edges)

    def quantile(self, share: float) -> float:
        """The value below which about a share of the rows lies.

        Args:
            share: In [0, 1].

        Returns:
            Lower end of a cell.

        Raises:
            ConfigurationError: ``config.bad-data`` if no row has a value.
        """
        if not self.counts.size:
            raise ConfigurationError("config.bad-data", "no row has a value, so there is no quantile")
        below = np.cumsum(self.counts)
        return float(self.lower[min(int(np.searchsorted(below, share * below[-1])), len(below) - 1)])


def federated_quantiles(
    aggregator: Aggregator, columns: Sequence[str], *, bins: int, min_rows: int = 1
) -> dict[str, Quantiles]:
    """Asks the members' :class:`QuantileContributor`.

    Args:
        aggregator: Access to the members.
        columns: Numeric columns, each once.
        bins: For how many bins the quantiles shall serve; more make finer cells.
        min_rows: Cells with fewer rows are not divided, whatever ``bins`` says.

    Returns:
        The quantiles of each column.

    Raises:
        TrainingError: As the aggregator.
    """
    names = list(columns)
    column = np.arange(len(names))
    first = np.zeros(len(names), dtype=np.int64)
    found: list[tuple[Cells, Cells, NDArray[np.float64]]] = []
    rows = np.zeros(0)
    for step in range(len(_DIGITS)):
        column, first, counts = _divide(aggregator, names, step, column, first)
        if step == 0:
            rows = np.bincount(column, counts, len(names)).astype(np.float64)
        full = counts > np.maximum(rows[column] / (CELLS_PER_BIN * bins), max(0, min_rows - 1))
        last = step == len(_DIGITS) - 1
        keep = counts > 0 if last else (counts > 0) & ~full
        found.append((column[keep], first[keep], counts[keep]))
        column, first = column[full][:_MAX_CELLS], first[full][:_MAX_CELLS]
        if last or not column.size:
            break
    return _collect(names, found)


def _divide(
    aggregator: Aggregator, names: list[str], step: int, column: Cells, first: Cells
) -> tuple[Cells, Cells, NDArray[np.float64]]:
    """Divides cells: column, first key and rows of each part."""
    parts = 1 << _DIGITS[step]
    body = encode_body({"columns": names, "step": step}, column.astype("<u2"), first.astype("<u4"))
    query = Query(KIND, body, parts * column.size, _encoding(len(aggregator.members)))
    counts = aggregator.aggregate(query).values
    return np.repeat(column, parts), _parts(first, step).ravel(), counts


def _collect(
    names: list[str], found: Sequence[tuple[Cells, Cells, NDArray[np.float64]]]
) -> dict[str, Quantiles]:
    column, first, counts = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((first, column))
    column, lower, counts = column[order], key_values(first[order]), counts[order]
    return {
        name: Quantiles(lower[column == number], counts[column == number])
        for number, name in enumerate(names)
    }


class QuantileContributor:
    """A member's half: counts its rows per cell, and lets cells be divided once, in order.

    Args:
        columns: Values by column, shape (rows,) each; what is not finite is missing and not counted.
        bounds: By column, lowest and highest value that the agreement allows: others count as these.
    """

    def __init__(
        self,
        columns: Mapping[str, NDArray[Any]],
        bounds: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._keys = {
            name: np.sort(sort_keys(np.clip(values, *(bounds or {}).get(name, (-np.inf, np.inf)))))
            for name, values in columns.items()
        }
        self._step = 0
        self._names: list[str] = []
        self._may_divide = np.zeros(0, dtype=np.int64)

    def contribute(self, query: Query) -> Vector:
        """Counts the rows of every part of the cells that are asked for.

        Args:
            query: One that :func:`federated_quantiles` asks.

        Returns:
            Rows per part.

        Raises:
            ProtocolError: ``protocol.malformed`` or ``protocol.unexpected-step`` for any other.
        """
        names, step, column, first = self._read(query)
        marks = _marks(column, first)
        if step != self._step or (step and not np.isin(marks, self._may_divide).all()):
            raise ProtocolError("protocol.unexpected-step", "cells are divided once, from the widest down")
        if step and names != self._names:
            raise ProtocolError("protocol.unexpected-step", "the columns have changed")
        parts = _parts(first, step)
        self._step, self._names = step + 1, names
        self._may_divide = _marks(np.repeat(column, parts.shape[1]), parts.ravel())
        width = 1 << _width(step + 1)
        counts = np.zeros(parts.shape)
        for number in np.unique(column).tolist():
            chosen = column == number
            begins = parts[chosen]
            keys = self._keys[names[number]]
            counts[chosen] = np.searchsorted(keys, begins + width) - np.searchsorted(keys, begins)
        return counts.ravel()

    def _read(self, query: Query) -> tuple[list[str], int, Cells, Cells]:
        if query.kind != KIND:
            raise ProtocolError("protocol.unexpected-step", "not a question about quantiles")
        match decode_body(query.body):
            case {"columns": list(names), "step": int(step), **rest}, (column, first) if not rest:
                pass
            case _:
                raise ProtocolError("protocol.malformed", "a question about quantiles has another form")
        known = [name for name in names if isinstance(name, str) and name in self._keys]
        if known != names or len(set(known)) != len(known):
            raise ProtocolError("protocol.malformed", "a column is unknown, or is there twice")
        if isinstance(step, bool) or not 0 <= step < len(_DIGITS):
            raise ProtocolError("protocol.unexpected-step", "there is no such step")
        _check_cells(column, first, len(names), step)
        if query.length != column.size << _DIGITS[step] or query.encoding.fraction_bits:
            raise ProtocolError("protocol.malformed", "a question about quantiles has another length")
        return known, step, column.astype(np.int64), first.astype(np.int64)


def sort_keys(values: NDArray[Any]) -> NDArray[np.int64]:
    """Keys of the finite values, in [0, 2^32); they sort as the values do, to the precision of float32."""
    numbers = np.asarray(values, dtype=np.float64)
    largest = float(np.finfo(np.float32).max)
    finite = np.clip(numbers[np.isfinite(numbers)], -largest, largest).astype(np.float32)
    bits = (finite + np.float32(0)).view(np.uint32).astype(np.int64)  # + 0 makes one zero of the two
    return np.where(bits >> 31, 0xFFFFFFFF - bits, bits + (1 << 31))


def key_values(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """The value of each key of :func:`sort_keys`; keys that no number has count as the next largest."""
    low, high = sort_keys(np.array([-np.inf, np.inf]).clip(*_FLOAT32_RANGE))
    inside = np.clip(keys, low, high)
    bits = np.where(inside >> 31, inside - (1 << 31), 0xFFFFFFFF - inside)
    values: NDArray[np.float64] = bits.astype(np.uint32).view(np.float32).astype(np.float64)
    return values


_FLOAT32_RANGE: Final = (float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))


def _width(step: int) -> int:
    """Bits of the keys of a cell before a step."""
    return _KEY_BITS - sum(_DIGITS[:step])


def _parts(first: Cells, step: int) -> Cells:
    """First keys of the parts of cells, shape (cells, parts)."""
    return first[:, None] + (np.arange(1 << _DIGITS[step]) << _width(step + 1))


def _marks(column: Cells, first: Cells) -> Cells:
    """One number for column and first key."""
    return (column << _KEY_BITS) | first


def _check_cells(column: NDArray[Any], first: NDArray[Any], columns: int, step: int) -> None:
    """Refuses what are no cells of this step."""
    if column.dtype != np.uint16 or first.dtype != np.uint32 or column.shape != first.shape:
        raise ProtocolError("protocol.malformed", "cells are described in another form")
    if column.ndim != 1 or not 1 <= column.size <= _MAX_CELLS or column.max() >= columns:
        raise ProtocolError("protocol.malformed", "no cells, too many, or of no column")
    marks = _marks(column.astype(np.int64), first.astype(np.int64))
    if (first & np.uint32((1 << _width(step)) - 1)).any() or (np.diff(marks) <= 0).any():
        raise ProtocolError("protocol.malformed", "cells are not those of the grid, in order")


def _encoding(members: int) -> FixedPoint:
    return FixedPoint(bound=float(MAX_ROWS), contributors=max(1, members), fraction_bits=0, ring_bits=64)
