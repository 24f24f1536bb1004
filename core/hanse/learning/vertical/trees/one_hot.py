"""What a feature holder computes with its one-hot rows: opening them behind a mask, and sums over them."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.vertical.trees.ring import Ring, random_blocks

_CELLS: Final = 1 << 14
_ROWS_PER_CELL: Final = 8  # fewer, and taking sums apart costs more than making them
_ROWS: Final = 1 << 20  # sums of as many numbers below 2^32 are below 2^53


class OneHot:
    """Bins of rows, of which each column has exactly one.

    Args:
        bins: Bin of each row in each column, counted from 0 within the column; shape (rows, columns).
        counts: Bins of each column.
    """

    def __init__(self, bins: NDArray[np.integer], counts: tuple[int, ...]) -> None:
        self.rows = len(bins)
        self.width = sum(counts)
        """All bins."""
        self._bins = bins
        self._offsets = np.cumsum([0, *counts[:-1]])
        self._groups = _grouped(counts, max(1, min(_CELLS, self.rows // _ROWS_PER_CELL)))
        self._counts = counts
        self._joint = [
            np.ravel_multi_index(
                tuple(bins[:, column].astype(np.intp) for column in group), _shape(counts, group)
            )
            for group in self._groups
        ]

    def opened(self, seed: bytes) -> Iterator[tuple[slice, Ring]]:
        """One-hot rows less a mask, in blocks, with where they are.

        Args:
            seed: Of the mask, shape (rows, width).
        """
        for rows, mask in random_blocks(seed, self.rows, self.width):
            hot = np.negative(mask)
            at = self._bins[rows] + self._offsets
            hot[np.arange(len(hot))[:, None], at] += np.uint32(1)
            yield rows, hot

    def cells(self, part: slice) -> tuple[list[list[int]], list[list[int]]]:
        """Some rows by combinations of their bins in several columns, which are fewer to add up than columns.

        Args:
            part: Which rows.

        Returns:
            Of each cell that has rows these, counted from the part's first; and of each bin its cells.
        """
        cells: list[list[int]] = []
        bins: list[list[int]] = [[] for _ in range(self.width)]
        for group, joint in zip(self._groups, self._joint, strict=True):
            order = np.argsort(joint[part], kind="stable")
            found, starts = np.unique(joint[part][order], return_index=True)
            codes = np.unravel_index(found, _shape(self._counts, group))
            for column, own in zip(group, codes, strict=True):
                for number, code in enumerate(own.tolist()):
                    bins[int(self._offsets[column]) + code].append(len(cells) + number)
            cells += [rows.tolist() for rows in np.split(order, starts[1:])]
        return cells, bins

    def sums(self, columns: Ring) -> Ring:
        """Sums over the rows of each bin, modulo 2^32: the product with the one-hot rows.

        Columns are summed several at a time, by all combinations of their bins, because a row is read once
        for each group of columns.

        Args:
            columns: Shape (columns, rows).

        Returns:
            Shape (columns, width).
        """
        result = np.zeros((len(columns), self.width), dtype=np.uint32)
        for start in range(0, self.rows, _ROWS):
            part = slice(start, start + _ROWS)
            for number, column in enumerate(columns):
                result[number] += self._sum(part, column[part].astype(np.float64))
        return result

    def _sum(self, part: slice, values: NDArray[np.float64]) -> Ring:
        sums = np.empty(self.width, dtype=np.uint32)
        for group, joint in zip(self._groups, self._joint, strict=True):
            shape = _shape(self._counts, group)
            cells = np.bincount(joint[part], values, int(np.prod(shape))).reshape(shape)
            for axis, column in enumerate(group):
                others = tuple(other for other in range(len(group)) if other != axis)
                # A float64 of 2^32 or more has no uint32: by way of 64 bits it is reduced.
                bins = cells.sum(axis=others).astype(np.uint64).astype(np.uint32)
                sums[self._offsets[column] :][: len(bins)] = bins
        return sums


def _grouped(counts: tuple[int, ...], cells: int) -> list[list[int]]:
    """Columns in groups, of which each has at most so many combinations of bins, or is one column."""
    groups: list[list[int]] = []
    size = cells + 1
    for column, count in enumerate(counts):
        if size * count > cells:
            groups.append([])
            size = 1
        groups[-1].append(column)
        size *= count
    return groups


def _shape(counts: tuple[int, ...], group: list[int]) -> tuple[int, ...]:
    return tuple(counts[column] for column in group)
