"""Mask streams, and how they are added to a vector in place.

A mask is the key stream of AES-128-GCM (NIST SP 800-38D, section 7.1), read as little-endian ring elements.
Of the 32 bytes that make it, used for nothing else, the first half is the key and the second the nonce: a
secret place to begin at, so that a table made for one place serves against no other mask. It is counter mode,
taken from GCM without the tag because OpenSSL computes it about twice as fast as plain counter mode where the
processor has vector AES instructions. One stream has at most 2^32 - 2 blocks, 64 GiB, and does not repeat
before.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import AEADEncryptionContext, Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import GCM

from hanse.aggregation.fixed_point import RingVector

SEED_BYTES: Final = 32
_AES_KEY_BYTES: Final = 16
# Mask, zeros and the piece of the vector that they go to fit into a core's cache together.
_BLOCK_BYTES: Final = 1 << 17
# Likewise, of several threads.
_SHARED_BLOCK_BYTES: Final = 1 << 19
_AES_BLOCK_BYTES: Final = 16
_ZEROS: Final = memoryview(bytes(_SHARED_BLOCK_BYTES))


def apply_masks(
    vector: RingVector, add: Sequence[bytes], subtract: Sequence[bytes], threads: int = 1
) -> None:
    """Adds and subtracts masks, in place, modulo 2^32 or 2^64.

    Args:
        vector: Ring elements, changed; contiguous, any length.
        add: What makes the masks to add, 32 bytes each.
        subtract: The same of those to subtract.
        threads: How many make masks side by side; each but the first needs a vector of its own. Ciphers and
            sums let other threads run; with pieces as small as one thread's, taking turns costs what is won.
    """
    masks = [(key, np.add) for key in add] + [(key, np.subtract) for key in subtract]
    if threads == 1 or vector.nbytes < _SHARED_BLOCK_BYTES:
        _apply(vector, masks, _BLOCK_BYTES)
        return
    targets = [vector, *(np.zeros_like(vector) for _ in range(threads - 1))]
    shares = [masks[place::threads] for place in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(_apply, targets, shares, repeat(_SHARED_BLOCK_BYTES)):
            pass
    for part in targets[1:]:
        np.add(vector, part, out=vector)


def _apply(vector: RingVector, masks: Sequence[tuple[bytes, np.ufunc]], block_bytes: int) -> None:
    """Adds and subtracts masks, in place, piece by piece."""
    block = min(block_bytes, vector.nbytes)
    buffer = bytearray(block + _AES_BLOCK_BYTES)
    mask = np.frombuffer(buffer, dtype=vector.dtype, count=block // vector.itemsize)
    streams = [(_stream(key), operation) for key, operation in masks]
    for start in range(0, len(vector), max(len(mask), 1)):
        piece = vector[start : start + len(mask)]
        for stream, operation in streams:
            stream.update_into(_ZEROS[: piece.nbytes], buffer)
            operation(piece, mask[: len(piece)], out=piece)


class MaskStream:
    """A mask as it is made, from its beginning on.

    Args:
        key: What makes it, 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._stream = _stream(key)
        self._buffer = bytearray(_BLOCK_BYTES + _AES_BLOCK_BYTES)

    def fill(self, target: RingVector) -> None:
        """Overwrites a vector with the next ring elements.

        Args:
            target: Contiguous, one axis, any length.
        """
        block = _BLOCK_BYTES // target.itemsize
        mask = np.frombuffer(self._buffer, dtype=target.dtype, count=block)
        for start in range(0, len(target), block):
            piece = target[start : start + block]
            self._stream.update_into(_ZEROS[: piece.nbytes], self._buffer)
            piece[:] = mask[: len(piece)]


def _stream(key: bytes) -> AEADEncryptionContext:
    return Cipher(AES128(key[:_AES_KEY_BYTES]), GCM(key[_AES_KEY_BYTES:])).encryptor()
