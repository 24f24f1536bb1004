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


def forward(matrix: Ring, vector: Ring) -> Ring:
    """``matrix`` (rows, features) times ``vector`` (features,) in the ring."""
    product: Ring = np.einsum("ij,j->i", matrix, vector)
    return product


def backward(matrix: Ring, vector: Ring) -> Ring:
    """The transpose of ``matrix`` (rows, features) times ``vector`` (rows,) in the ring."""
    product: Ring = np.einsum("ij,i->j", matrix, vector)
    return product


def masked_for_rounding(share: Ring, mask: Ring, *, first: bool) -> Ring:
    """What a party opens of its share of a number below 2^62 in size, so that it can be rounded."""
    return share + mask + np.uint64(_OFFSET if first else 0)


def rounded_share(opened: Ring, shifted: Ring, top: Ring, bits: int, *, first: bool) -> Ring:
    """A party's share of a number divided by 2^bits, rounded down or one more.

    The number plus 2^62 is below 2^63. Adding a mask leaves the ring exactly if the mask's highest bit is
    set and that of the result is not, which is linear in shares of the mask's bit (Escudero et al., "Improved
    Primitives for MPC over Mixed Arithmetic-Binary Circuits", CRYPTO 2020). There is no other error, of
    however small a probability.

    Args:
        opened: The number plus 2^62 plus the mask.
        shifted: This party's share of the mask divided by 2^bits.
        top: Its share of the mask's highest bit.
        bits: By which is divided.
        first: Whether this party adds what is public.
    """
    left = np.uint64(1) - (opened >> _TOP)
    share: Ring = top * left * np.uint64(1 << (64 - bits)) - shifted
    if first:
        share += (opened >> np.uint64(bits)) - np.uint64(_OFFSET >> bits)
    return share


def halvings(rows: int) -> int:
    """e, with 2^e < rows <= 2^(e+1): a step divides by 2^e."""
    return (rows - 1).bit_length() - 1
