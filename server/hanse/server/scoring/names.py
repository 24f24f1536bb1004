"""Names that are looked up one at a time, or by the thousand.

To look up a thousand names in a set, the processor waits for memory twice for each, one after the other.
Names of one length that are asked about together are therefore looked up together, in a table of numpy. A
table has some of the names of the set, whole, and never one that the set has not: who is not found there is
looked up in the set. A name comes into a table when it was found in the set, and leaves both at once.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

_Words = npt.NDArray[np.uint64]

_WORD_BYTES: Final = 8
_LONGEST_BYTES: Final = 64
"""Longer names are looked up in the set."""
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd, with bits set all over it."""
_TAKEN: Final = np.uint64(1)
_PLACES: Final = 8
"""So many places a name can have in a table; when all are taken, it has none there."""
_LEAST_BITS: Final = 12
_WORD_BITS: Final = 64


class Names:
    """A set of names, each not empty. Not safe for threads."""

    def __init__(self) -> None:
        self._all: set[bytes] = set()
        self._tables: dict[int, _Table] = {}  # by the length of the names

    def __len__(self) -> int:
        """How many there are."""
        return len(self._all)

    def __contains__(self, name: bytes) -> bool:
        """Whether a name is there."""
        return name in self._all

    def issuperset(self, names: Iterable[bytes]) -> bool:
        """Whether all of some names are there."""
        return self._all.issuperset(names)

    def add(self, name: bytes) -> None:
        """Adds a name."""
        self._all.add(name)

    def discard(self, name: bytes) -> None:
        """Takes a name away, if it is there."""
        self._all.discard(name)
        table = self._tables.get(len(name))
        if table is not None:
            table.discard(_rows(np.frombuffer(name, f"V{len(name)}"))[0])

    def clear(self) -> None:
        """Takes all names away."""
        self._all.clear()
        self._tables.clear()

    def count_if_all(self, names: npt.NDArray[np.void]) -> int:
        """How many different names there are among some, if all of them are here.

        Args:
            names: At least one.

        Returns:
            0 if one is not.
        """
        length = names.itemsize
        if length > _LONGEST_BYTES:
            different = set(names.tolist())
            return len(different) if different <= self._all else 0
        rows = _rows(names)
        table = self._tables.get(length)
        if table is None:
            table = self._tables[length] = _Table(rows.shape[1])
        missing = table.missing(rows)
        if len(missing):
            if not self._all.issuperset(names[missing].tolist()):
                return 0
            table.add(rows[missing])
        numbers = np.sort(rows[:, 0])
        # Equal names have equal numbers: where no two of these are equal, no two names are.
        return len(names) if (numbers[1:] != numbers[:-1]).all() else len(set(names.tolist()))


def _rows(names: npt.NDArray[np.void]) -> _Words:
    """What a table has of names: a number that is not 0 and follows from the name, and the name."""
    words = -(-names.itemsize // _WORD_BYTES)
    padded = np.zeros((len(names), (1 + words) * _WORD_BYTES), dtype=np.uint8)
    padded[:, _WORD_BYTES : _WORD_BYTES + names.itemsize] = (
        np.ascontiguousarray(names).view(np.uint8).reshape(len(names), -1)
    )
    rows = padded.view(np.uint64)
    numbers = rows[:, 1] * _FACTOR
    for word in rows.T[2:]:
        numbers ^= word ^ (numbers >> np.uint64(29))
        numbers *= _FACTOR
    rows[:, 0] = numbers | _TAKEN
    return rows


class _Table:
    """Rows at places that follow from their numbers; a row of zeros is free.

    Args:
        words: Of a name.
    """

    def __init__(self, words: int) -> None:
        self._bits = _LEAST_BITS
        self._kept = np.zeros((1 << self._bits, words), dtype=np.uint64)
        self._taken = 0  # places that were, since the table has its size

    def missing(self, rows: _Words) -> npt.NDArray[np.intp]:
        """Positions of rows that are not found."""
        first = self._first(rows)
        left = np.flatnonzero(_differ(self._kept.take(first, axis=0), rows))
        for step in range(1, _PLACES):
            if not len(left):
                break
            kept = self._kept.take(first[left] + step, axis=0, mode="wrap")
            left = left[_differ(kept, rows[left])]
        return left

    def add(self, rows: _Words) -> None:
        """Adds rows that are not there, as far as there is a place for them."""
        if 2 * (self._taken + len(rows)) > len(self._kept):
            self._grow(len(rows))
        self._put(rows)

    def discard(self, row: _Words) -> None:
        """Frees every place that has a row."""
        places = (self._first(row[None]) + np.arange(_PLACES)) % len(self._kept)
        self._kept[places[~_differ(self._kept[places], row[None])]] = 0

    def _first(self, rows: _Words) -> npt.NDArray[np.intp]:
        return (rows[:, 0] >> np.uint64(_WORD_BITS - self._bits)).astype(np.intp)

    def _put(self, rows: _Words) -> None:
        self._taken += len(rows)
        for step in range(_PLACES):
            places = (self._first(rows) + step) % len(self._kept)
            is_free = self._kept[places, 0] == 0
            self._kept[places[is_free]] = rows[is_free]  # of several for one place, one gets it
            rows = rows[_differ(self._kept[places], rows)]
            if not len(rows):
                return

    def _grow(self, more: int) -> None:
        rows = self._kept[self._kept[:, 0] != 0]
        while 1 << self._bits < 3 * (len(rows) + more):
            self._bits += 1
        self._kept = np.zeros((1 << self._bits, self._kept.shape[1]), dtype=np.uint64)
        self._taken = 0
        self._put(rows)


def _differ(kept: _Words, rows: _Words) -> npt.NDArray[np.bool_]:
    """Which rows are not the same; column by column, which takes a tenth of the time of row by row."""
    differ: npt.NDArray[np.bool_] = kept[:, 0] != rows[:, 0]
    for column in range(1, kept.shape[1]):
        differ |= kept[:, column] != rows[:, column]
    return differ
