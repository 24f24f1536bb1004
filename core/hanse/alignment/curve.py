"""Hashing to the curve of X25519, and multiplication there. Pure.

An identifier is mapped to a point by ``curve25519_XMD:SHA-512_ELL2_NU_`` of RFC 9380 (sections 5.3.1, 6.7.1
and 8.5) and multiplied by X25519 (RFC 7748), which works on the first coordinate alone. The clearing of the
cofactor is in the multiplication: an X25519 scalar is a multiple of 8, so that ``scalar * Q`` is
``(scalar / 8) * (8 * Q)``, a multiple of the point that RFC 9380 calls P, in the subgroup of prime order
q = 2^252 + 277…493. All values that are sent lie there, and on the curve, never on its twist: nothing about
an identifier survives the multiplication.

The nonuniform encoding suffices: in the proof the hash must only be programmable, and Elligator 2 can be
inverted, so a random multiple of the generator is drawn until it is in the map's image (every second is).

*Keys.* X25519 sets the highest bit of a scalar, so about half of all residues modulo q can be keys, and about
a quarter can be keys that :func:`make_reversible_key` returns. A proof for uniform keys loses one bit and two
bits by that, as it succeeds whenever the uniform key happens to be in the part.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from gmpy2 import invert, jacobi, mpz  # pyright: ignore[reportAttributeAccessIssue] # it has no stubs

from hanse.alignment import multi_buffer

POINT_BYTES: Final = 32
KEY_BYTES: Final = 32

PRIME: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""Of the subgroup."""

_J: Final = 486662
_P: Final = mpz(PRIME)
_FIELD_BYTES: Final = 48  # L of the suite: 255 + 128 bits, rounded up
_SHA512_BLOCK: Final = 128
_MAX_DST: Final = 255


def hash_to_field(messages: Iterable[bytes], dst: bytes) -> list[int]:
    """``hash_to_field`` of RFC 9380, section 5.2, with one element for each message.

    Args:
        messages: Any bytes.
        dst: The domain separation tag, 1 to 255 bytes.

    Returns:
        Elements of the field, below :data:`PRIME`.
    """
    if not 0 < len(dst) <= _MAX_DST:
        raise ValueError("a domain separation tag has 1 to 255 bytes")
    dst_prime = dst + bytes([len(dst)])
    start = hashlib.sha512(bytes(_SHA512_BLOCK))
    between = _FIELD_BYTES.to_bytes(2, "big") + b"\x00" + dst_prime
    after = b"\x01" + dst_prime
    elements = []
    for message in messages:
        first = start.copy()
        first.update(message)
        first.update(between)
        # One block of SHA-512 is longer than an element, so the expansion ends with b_1.
        block = hashlib.sha512(first.digest() + after).digest()
        elements.append(int.from_bytes(block[:_FIELD_BYTES], "big") % PRIME)
    return elements


def map_to_curve(elements: Iterable[int]) -> list[bytes]:
    """Elligator 2 (RFC 9380, section 6.7.1, with Z = 2), first coordinates only.

    Args:
        elements: Elements of the field.

    Returns:
        First coordinates of points of the curve, as X25519 writes them: 32 bytes, little-endian.
    """
    # 1 + 2r² is never zero: -1/2 is no square modulo this prime. So one inversion serves all (Montgomery).
    below = [(1 + 2 * element * element) % _P for element in map(mpz, elements)]
    products = [mpz(1)]
    for value in below:
        products.append(products[-1] * value % _P)
    inverse = invert(products.pop(), _P)
    points = []
    for value in reversed(below):
        x = -_J * inverse * products.pop() % _P
        inverse = inverse * value % _P
        if jacobi(x * ((x * x + _J * x + 1) % _P), _P) < 0:
            x = (-_J - x) % _P
        points.append(int(x).to_bytes(POINT_BYTES, "little"))
    points.reverse()
    return points


def multiply(points: Sequence[bytes], key: bytes) -> list[bytes]:
    """X25519 of each point with one key, eight at once where that is possible.

    Args:
        points: First coordinates, 32 bytes each, from anywhere: X25519 is defined for all of them, and the
            twist of the curve is as hard.
        key: 32 bytes.

    Returns:
        First coordinates of the multiples.

    Raises:
        ValueError: If a multiple is the neutral element, which no honest point has.
        TrainingError: ``alignment.multi-buffer`` if what multiplies eight at once is wrong.
    """
    return (multi_buffer.load(one_by_one) or one_by_one)(points, key)


def one_by_one(points: Sequence[bytes], key: bytes) -> list[bytes]:
    """:func:`multiply` by ``cryptography``."""
    exchange = X25519PrivateKey.from_private_bytes(key).exchange
    parse = X25519PublicKey.from_public_bytes
    return [exchange(parse(point)) for point in points]


def make_reversible_key(entropy: Callable[[int], bytes]) -> tuple[bytes, bytes]:
    """A key and another that undoes it on the subgroup: ``multiply(multiply(x, key), undo)`` is ``x``.

    Args:
        entropy: Gives so many random bytes.

    Returns:
        The key, and what undoes it.
    """
    while True:
        scalar = _clamped(entropy(KEY_BYTES))
        undo = int(invert(scalar, ORDER))
        # Of the residue's representatives, the multiple of 8; it has to have X25519's highest bit as well.
        undo += ORDER * (-undo * pow(ORDER, -1, 8) % 8)
        if undo >> 254 == 1:
            return scalar.to_bytes(KEY_BYTES, "little"), undo.to_bytes(KEY_BYTES, "little")


def _clamped(key: bytes) -> int:
    """The scalar that X25519 reads (RFC 7748, section 5)."""
    scalar = int.from_bytes(key, "little") & ((1 << 255) - 8)
    return scalar | (1 << 254)
