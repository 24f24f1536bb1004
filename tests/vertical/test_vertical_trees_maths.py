"""Products, sums over bins and merged bins are what their definitions say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.learning.vertical.trees.one_hot import OneHot
from hanse.learning.vertical.trees.released import merge_ordered, merge_unordered
from hanse.learning.vertical.trees.ring import BLOCK, multiply, multiply_random, random_matrix

TOP = (1 << 32) - 1


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([1, 7, BLOCK, 2 * BLOCK + 1]))
def test_products_are_exact_modulo_two_to_the_32(seed: int, terms: int) -> None:
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 1 << 32, (3, terms), dtype=np.uint32)
    right = rng.integers(0, 1 << 32, (terms, 5), dtype=np.uint32)
    left[0], right[:, 0], right[:, 1] = TOP, 1 << 31, TOP  # the largest sums there are
    wanted = left.astype(object) @ right.astype(object) % (1 << 32)
    assert (multiply(left, right) == wanted).all()


def test_a_product_with_a_stream_is_that_with_its_matrix() -> None:
    seed = bytes(range(32))
    left = random_matrix(seed, 2, BLOCK + 5)
    matrix = random_matrix(seed[::-1], BLOCK + 5, 3)
    assert (multiply_random(left, seed[::-1], 3) == multiply(left, matrix)).all()


@settings(max_examples=30)
@given(st.integers(0, 1000), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_sums_over_bins_are_products_with_one_hot_rows(seed: int, counts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    rows = 300
    bins = np.stack([rng.integers(0, count, rows) for count in counts], axis=1)
    one_hot = OneHot(bins, tuple(counts))
    key = bytes(32)
    opened = np.concatenate([block for _, block in one_hot.opened(key)])
    hot = opened + random_matrix(key, rows, one_hot.width)
    assert ((hot == 0) | (hot == 1)).all()
    assert (hot.sum(axis=1) == len(counts)).all()
    columns = rng.integers(0, 1 << 32, (2, rows), dtype=np.uint32)
    columns[1] = TOP
    assert (one_hot.sums(columns) == multiply(columns, hot)).all()


@settings(max_examples=60)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=12), st.integers(1, 50))
@pytest.mark.parametrize("merge", [merge_ordered, merge_unordered])
def test_no_shown_bin_has_too_few_rows(merge: object, counts: list[int], least: int) -> None:
    numbers = np.array(counts)
    shown, codes = (merge_ordered if merge is merge_ordered else merge_unordered)(numbers, least)
    rows = np.bincount(shown, numbers, minlength=codes)
    assert len(rows) == codes
    if numbers.sum() >= least:
        assert not ((rows > 0) & (rows < least)).any()
    if merge is merge_ordered:
        assert (np.diff(shown[:-1]) >= 0).all()
        assert (shown[:-1] < codes - 1).all()
