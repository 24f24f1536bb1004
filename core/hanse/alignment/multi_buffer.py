"""X25519 of eight points at once, where the processor and an optional library can.

Intel's Cryptography Primitives Library (``crypto_mb``, "multi-buffer") does eight multiplications in the
lanes of a vector register, in constant time: some six times as many per second as one after the other. It
needs the instructions AVX-512 IFMA (Intel since 2019, AMD since 2022) and comes with
``hanse[multi-buffer]`` (docs/adr/0060). Its results are those of ``cryptography``, which computes
without it, and by which it is checked when it is loaded and with one value of each block.

One defect is known: it subtracts wrongly where a value just above the prime meets a tiny one. Random values
do that about once in 2^60 points, coordinates just below the prime always. So a block with one near zero or
the prime, which nobody sends who follows the protocol, is computed one by one.

This is the one module that opens a library by itself.
"""

import ctypes
import functools
import secrets
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Final, TypeAlias

from hanse.errors import TrainingError

LANES: Final = 8
_BYTES: Final = 32  # of a point, and of a key
_CHECKED: Final = 3 * LANES  # values that are compared when the library is loaded
# A coordinate is near zero or the prime if this part of it, 120 of 255 bits, is one of these.
_MIDDLE: Final = slice(16, 31)
_NEAR: Final = frozenset({bytes(15), b"\xff" * 15})

_LIBRARY: Final = ("ipp-crypto", "libcrypto_mb.so")
# What its compiler expects at run time. Each is opened by its path before the library asks for it by name.
_RUNTIME: Final = tuple(
    ("intel-cmplr-lib-rt", name) for name in ("libintlc.so.5", "libirng.so", "libimf.so", "libsvml.so")
)

Multiply: TypeAlias = Callable[[Sequence[bytes], bytes], list[bytes]]
"""Multiples of points of 32 bytes with a key of 32 bytes; raises ValueError for the neutral element."""


@functools.cache
def load(reference: Multiply) -> Multiply | None:
    """What multiplies eight at once.

    Args:
        reference: Computes the same, one after the other.

    Returns:
        None where the library is not installed, cannot be opened, or does not know the processor.

    Raises:
        TrainingError: ``alignment.multi-buffer`` if it computes something else than the reference.
    """
    try:
        for distribution, name in _RUNTIME:
            ctypes.CDLL(_path(distribution, name), ctypes.RTLD_GLOBAL)
        library = ctypes.CDLL(_path(*_LIBRARY))
        applicable, eight = library.mbx_is_crypto_mb_applicable, library.mbx_x25519_mb8
    except (OSError, AttributeError, metadata.PackageNotFoundError):
        return None
    applicable.restype, applicable.argtypes = ctypes.c_int, [ctypes.c_uint64]
    eight.restype, eight.argtypes = ctypes.c_uint32, [ctypes.c_void_p] * 3
    return checked(functools.partial(_multiply, eight), reference) if applicable(0) else None


def checked(many: Multiply, reference: Multiply) -> Multiply:
    """``many`` where it can be trusted, compared with the reference: now, and one value of each block.

    Raises:
        TrainingError: ``alignment.multi-buffer`` if ``many`` differs from the reference.
    """

    def compare(points: Sequence[bytes], key: bytes, made: Sequence[bytes]) -> None:
        if made != reference(points, key):
            raise TrainingError(
                "alignment.multi-buffer", "the multi-buffer library computes something else than X25519"
            )

    def multiply(points: Sequence[bytes], key: bytes) -> list[bytes]:
        if not _NEAR.isdisjoint(point[_MIDDLE] for point in points):
            return reference(points, key)
        made = many(points, key)
        at = secrets.randbelow(len(points)) if points else 0
        compare(points[at : at + 1], key, made[at : at + 1])
        return made

    points, key = [secrets.token_bytes(_BYTES) for _ in range(_CHECKED)], secrets.token_bytes(_BYTES)
    compare(points, key, many(points, key))
    return multiply


def _path(distribution: str, name: str) -> str:
    """Where an installed distribution has a file.

    Raises:
        OSError: If it has none of this name.
    """
    for file in metadata.distribution(distribution).files or ():
        if file.name == name:
            return str(file.locate())
    raise FileNotFoundError(name)


def _multiply(eight: Callable[[int, int, int], int], points: Sequence[bytes], key: bytes) -> list[bytes]:
    """Eight after eight; what is missing of the last ones are copies of the first point."""
    if not points:
        return []
    size = -(-len(points) // LANES) * LANES
    given = ctypes.create_string_buffer(b"".join(points) + points[0] * (size - len(points)), size * _BYTES)
    made = ctypes.create_string_buffer(size * _BYTES)
    factor = ctypes.create_string_buffer(key, _BYTES)
    sources, targets = _addresses(given, size), _addresses(made, size)
    factors = (ctypes.c_void_p * LANES)(*[ctypes.addressof(factor)] * LANES)
    at_source, at_target, at_factor = map(ctypes.addressof, (sources, targets, factors))
    step = LANES * ctypes.sizeof(ctypes.c_void_p)
    failed = 0
    for at in range(0, size // LANES * step, step):
        failed |= eight(at_target + at, at_factor, at_source + at)
    ctypes.memset(factor, 0, _BYTES)
    values = made.raw
    multiples = [values[at : at + _BYTES] for at in range(0, len(points) * _BYTES, _BYTES)]
    if failed or bytes(_BYTES) in multiples:
        raise ValueError("a multiple is the neutral element")
    return multiples


def _addresses(buffer: "ctypes.Array[ctypes.c_char]", size: int) -> "ctypes.Array[ctypes.c_void_p]":
    start = ctypes.addressof(buffer)
    return (ctypes.c_void_p * size)(*range(start, start + size * _BYTES, _BYTES))
