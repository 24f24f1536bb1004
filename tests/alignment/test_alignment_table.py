"""A table gives its values to who has the keys, and noise to everybody else."""

import os

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hanse.alignment.table import build, look_up, slots_for
from hanse.policies.agreement.alignment import bucket


def rows(count: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.frombuffer(os.urandom(count * width), np.uint8).reshape(count, width)


@given(st.integers(0, 300))
def test_keys_have_their_values_and_others_have_none(size: int) -> None:
    keys, values = rows(size, 48), rows(size, 12)
    table = build(keys, values, os.urandom)
    assert len(table.slots) == slots_for(size)
    assert (look_up(table, keys) == values).all()
    assert look_up(table, rows(50, 48)).any(axis=1).all()


def test_a_table_of_zeros_looks_random_too() -> None:
    table = build(rows(3000, 48), np.zeros((3000, 12), np.uint8), os.urandom)
    ones = np.unpackbits(table.slots).mean()
    assert abs(ones - 0.5) < 5 * 0.5 / np.sqrt(table.slots.size * 8)  # five standard deviations


@given(st.integers(0, 10_000_000), st.integers(16, 1_000_000))
def test_sizes_are_filled_up_by_a_tenth_at_most(size: int, smallest: int) -> None:
    shown = bucket(size, smallest)
    assert max(size, smallest) <= shown <= max(size, smallest) * 1.1
    assert not str(shown)[2:].strip("0")
    assert bucket(shown, smallest) == shown
