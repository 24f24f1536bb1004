"""How counts of rows, and sums of one number of [0, 1] for each row, become integers that add up exactly."""

from typing import Final

from hanse.aggregation import FixedPoint

MAX_ROWS: Final = 1 << 24
"""Rows of one member."""

_DOUBLE_BITS: Final = 52


def encoding(contributors: int) -> FixedPoint:
    """The encoding of such sums over members.

    Args:
        contributors: Of at most so many members.
    """
    bits = _DOUBLE_BITS - MAX_ROWS.bit_length() - max(1, contributors).bit_length()
    return FixedPoint(float(MAX_ROWS), max(1, contributors), bits, ring_bits=64)
