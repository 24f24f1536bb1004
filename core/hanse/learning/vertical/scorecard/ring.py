"""Real numbers as integers modulo 2^64, and how many binary digits each kind of them has.

=================  ======  =====================================================================
kind               digits  size
=================  ======  =====================================================================
features           12      rows of one party, made independent: mean square at most 2
weights            24      of those features
weights to try     28      weights and a sixteenth's multiples of their last step
logits             40      product of the two; only their place in a period of 32 is used
residuals          26      at most 1 in size
gradients          38      at most rows times 1: 2^58 with 2^20 rows
next weights       38 + e  at most 8 times 2^e, e < 20: 2^61; rounded to 24 by :func:`rounded_share`
=================  ======  =====================================================================
"""

import hashlib
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.learning.random_source import SecureRandom

Ring: TypeAlias = NDArray[np.uint64]

FEATURE_BITS: Final = 12
WEIGHT_BITS: Final = 24
MOMENTUM_BITS: Final = 4
RESIDUAL_BITS: Final = 26
LOGIT_BITS: Final = FEATURE_BITS + WEIGHT_BITS + MOMENTUM_BITS
GRADIENT_BITS: Final = FEATURE_BITS + RESIDUAL_BITS

_OFFSET: Final = 1 << 62
_TOP: Final = np.uint64(63)


def encode(values: NDArray[np.float64], bits: int) -> Ring:
    """The nearest multiples of 2^-bits."""
    return np.rint(values * 2.0**bits).astype(np.int64).view(np.uint64)


def decode(ring: Ring, bits: int) -> NDArray[np.float64]:
    """The numbers of ring elements."""
    values: NDArray[np.float64] = ring.view(np.int64).astype(np.float64) * 2.0**-bits
    return values


def lifted(ring: Ring, bits: int) -> Ring:
    """Numbers times 2^bits, or the same ones with so many digits more."""
    result: Ring = ring << np.uint64(bits)
    return result


def multiplied(ring: Ring, factor: int) -> Ring:
    """Numbers times a small whole one."""
    result: Ring = ring * np.uint64(factor)
    return result


def stream(seed: bytes, purpose: str, iteration: int = 0) -> SecureRandom:
    """Random numbers that whoever has the seed can make; those of another purpose or iteration are others."""
    label = f"hanse vertical scorecard\n{purpose}\n{iteration}\n".encode()
    return SecureRandom(hashlib.sha256(label + seed).digest())


def elements(random: SecureRandom, *shape: int) -> Ring:
    """Uniform ring elements."""
    count = int(np.prod(shape))
    return np.frombuffer(random.draw_bytes(8 * count), dtype="<u8").astype(np.uint64).reshape(shape)


def forward(matrix: Ring, vectors: Ring) -> Ring:
    """``matrix`` (rows, features) times each of ``vectors`` (products, features): (products, rows)."""
    product: Ring = np.einsum("ij,kj->ki", matrix, vectors)
    return product


def backward(matrix: Ring, vectors: Ring) -> Ring:
    """The transpose of ``matrix`` (rows, features) times each of ``vectors`` (products, rows)."""
    product: Ring = np.einsum("ij,ki->kj", matrix, vectors)
    return product


def lifted_share(share: Ring, *, first: bool) -> Ring:
    """A party's share of a number below 2^62 in size, plus 2^62: it is below 2^63."""
    return share + np.uint64(_OFFSET if first else 0)


def top_bits(share: Ring) -> Ring:
    """The highest bit of shares, 0 or 1."""
    top: Ring = share >> _TOP
    return top


def product_share(own: Ring, other: Ring, mask: Ring, share: Ring, *, first: bool) -> Ring:
    """A party's share of the product of its own number and the other party's.

    Args:
        own: Its own number.
        other: The other party's less that one's mask, which was opened.
        mask: Of its own number.
        share: Its share of the product of both masks.
        first: Whether this party uses its mask; the other one uses its number.
    """
    return (mask if first else own) * other + share


def rounded_share(share: Ring, both: Ring, bits: int, *, first: bool) -> Ring:
    """A party's share of a number divided by 2^bits, rounded down or one more.

    Shares of a number below 2^63 leave the ring exactly if the highest bit of either is set, which is the sum
    of both bits less their product. There is no other error, of however small a probability.

    Args:
        share: Of :func:`lifted_share`.
        both: This party's share of the product of both parties' highest bits.
        bits: By which is divided.
        first: Whether this party adds what is public.
    """
    left = top_bits(share) - both
    rounded: Ring = (share >> np.uint64(bits)) - left * np.uint64(1 << (64 - bits))
    return rounded + np.uint64(1) - np.uint64(_OFFSET >> bits) if first else rounded


def halvings(rows: int) -> int:
    """e, with 2^e < rows <= 2^(e+1): a step divides by 2^e."""
    return (rows - 1).bit_length() - 1
