"""Products of matrices of whole numbers modulo 2^32, through floating-point multiplication that is exact.

The right factor is taken as signed numbers, at most 2^31 in size; the left one is cut into limbs of eleven
bits. A sum of 1,024 products of the two is at most ``2^31 * 2^11 * 2^10 = 2^52``, and every whole number of
that size is a float64, so that the fast multiplication of the linear algebra library makes no error.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from numpy.typing import NDArray

from hanse.aggregation.masks import SEED_BYTES, MaskStream

Ring: TypeAlias = NDArray[np.uint32]
"""Elements of the integers modulo 2^32."""

BLOCK: Final = 1024
"""Terms of a sum that is exact."""

_LIMB_BITS: Final = 11
_LIMBS: Final = 3
_LIMB_MASK: Final = np.uint32((1 << _LIMB_BITS) - 1)
_WIDTH: Final = 1 << 13  # columns of the right factor at once: they stay near the processor


def multiply(left: Ring, right: Ring) -> Ring:
    """The product of two matrices modulo 2^32.

    Args:
        left: Shape (a, b).
        right: Shape (b, c).

    Returns:
        Shape (a, c).
    """
    result = np.empty((left.shape[0], right.shape[1]), dtype=np.uint32)
    for start in range(0, right.shape[1], _WIDTH):
        strip = right[:, start : start + _WIDTH]
        total = Accumulator(left.shape[0], strip.shape[1])
        for first in range(0, left.shape[1], BLOCK):
            total.add(left[:, first : first + BLOCK], strip[first : first + BLOCK])
        result[:, start : start + _WIDTH] = total.value
    return result


class Accumulator:
    """A sum of products.

    Args:
        rows: Of each product.
        columns: Of each product.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._rows = rows
        self._limbs = np.zeros((_LIMBS * rows, columns), dtype=np.int64)

    def add(self, left: Ring, right: Ring) -> None:
        """Adds the product of two matrices.

        Args:
            left: Shape (rows, terms), at most :data:`BLOCK` terms.
            right: Shape (terms, columns).
        """
        limbs = np.empty((_LIMBS, *left.shape))
        for number in range(_LIMBS):
            limbs[number] = (left >> np.uint32(number * _LIMB_BITS)) & _LIMB_MASK
        signed = right.view(np.int32).astype(np.float64)
        # What goes beyond 64 bits after many blocks is a multiple of 2^32.
        self._limbs += (limbs.reshape(-1, left.shape[1]) @ signed).astype(np.int64)

    @property
    def value(self) -> Ring:
        """The sum, shape (rows, columns)."""
        low, middle, high = self._limbs.reshape(_LIMBS, self._rows, -1)
        value: Ring = (low + (middle << _LIMB_BITS) + (high << 2 * _LIMB_BITS)).astype(np.uint32)
        return value


def derive(seed: bytes, purpose: str, *numbers: int) -> bytes:
    """A seed of its own for one purpose: HKDF-Expand (RFC 5869, section 2.3) with SHA-256, 32 bytes."""
    info = " ".join(["hanse vertical trees", purpose, *map(str, numbers)]).encode()
    return HKDFExpand(SHA256(), SEED_BYTES, info).derive(seed)


def random_matrix(seed: bytes, rows: int, columns: int) -> Ring:
    """Ring elements that only who has the seed can tell from even ones, shape (rows, columns)."""
    matrix = np.empty((rows, columns), dtype=np.uint32)
    MaskStream(seed).fill(matrix.reshape(-1))
    return matrix


def random_blocks(seed: bytes, rows: int, columns: int) -> Iterator[tuple[slice, Ring]]:
    """The same matrix, :data:`BLOCK` rows at a time, with where they are."""
    stream = MaskStream(seed)
    for start in range(0, rows, BLOCK):
        block = np.empty((min(BLOCK, rows - start), columns), dtype=np.uint32)
        stream.fill(block.reshape(-1))
        yield slice(start, start + len(block)), block


def multiply_random(left: Ring, seed: bytes, columns: int) -> Ring:
    """The product of a matrix and the one that a seed makes, which is never in memory as a whole.

    Args:
        left: Shape (a, b).
        seed: Of the right factor.
        columns: Of the right factor.

    Returns:
        Shape (a, columns).
    """
    total = Accumulator(len(left), columns)
    for rows, block in random_blocks(seed, left.shape[1], columns):
        total.add(left[:, rows], block)
    return total.value
