"""Secrets of 256 bits in shares, any ``threshold`` of which give the secret and fewer give nothing.

Shamir, "How to share a secret", CACM 22 (1979), over the integers modulo p = 2^256 + 297, the smallest prime
above 2^256. Holder number i (from 1) gets the value at i of a polynomial whose constant term is the secret
and whose other coefficients are uniform to within 2^-127. Fewer shares than the threshold are distributed the
same for every secret: this needs no assumption about computing power. What is not protected is integrity: a
wrong share gives a wrong secret, so callers compare with a digest or a public key.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Final

from hanse.errors import ProtocolError

PRIME: Final = 2**256 + 297
SECRET_BYTES: Final = 32
SHARE_BYTES: Final = 33
# 128 bits more than the prime has, so that the remainder is uniform to within 2^-127.
_DRAW_BYTES: Final = 48


def split(secret: bytes, threshold: int, holders: int, entropy: Callable[[int], bytes]) -> list[bytes]:
    """Makes a share for each holder.

    Args:
        secret: 32 bytes.
        threshold: How many shares give the secret, from 1 to ``holders``.
        holders: How many shares to make.
        entropy: Gives so many unpredictable bytes, e.g. ``os.urandom``.

    Returns:
        Shares of 33 bytes, that of holder 1 first.
    """
    drawn = entropy(_DRAW_BYTES * (threshold - 1))
    coefficients = [
        int.from_bytes(drawn[start : start + _DRAW_BYTES], "big") % PRIME
        for start in range(0, len(drawn), _DRAW_BYTES)
    ]
    coefficients.append(int.from_bytes(secret, "big"))
    return [_evaluate(coefficients, holder).to_bytes(SHARE_BYTES, "big") for holder in range(1, holders + 1)]


def _evaluate(coefficients: list[int], point: int) -> int:
    """Horner's rule, highest power first; one reduction at the end is cheaper than one per step."""
    value = 0
    for coefficient in coefficients:
        value = value * point + coefficient
    return value % PRIME


def combine(shares: Mapping[int, bytes]) -> bytes:
    """Computes the secret from exactly as many shares as its threshold.

    Args:
        shares: By number of the holder; from anywhere.

    Returns:
        32 bytes.

    Raises:
        ProtocolError: ``sum.bad-share`` if the shares are not of one secret, as far as that can be seen.
    """
    weights = _weights(tuple(shares))
    values = [_read(share) for share in shares.values()]
    secret = sum(weight * value for weight, value in zip(weights, values, strict=True)) % PRIME
    if secret >> (8 * SECRET_BYTES):
        raise ProtocolError("sum.bad-share", "shares that belong to no secret")
    return secret.to_bytes(SECRET_BYTES, "big")


def _read(share: bytes) -> int:
    value = int.from_bytes(share, "big")
    if len(share) != SHARE_BYTES or value >= PRIME:
        raise ProtocolError("sum.bad-share", "bytes that are no share")
    return value


@functools.lru_cache(maxsize=256)  # the same members reveal for many secrets and many sums
def _weights(points: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange's coefficients at 0."""
    weights = []
    for point in points:
        above = below = 1
        for other in points:
            if other != point:
                above = above * other % PRIME
                below = below * (other - point) % PRIME
        weights.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(weights)
