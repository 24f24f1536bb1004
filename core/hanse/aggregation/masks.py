"""Mask streams, and how they are added to a vector in place.

A mask is the AES-256 key stream in counter mode (NIST SP 800-38A, section 6.5) of a key that is used for
nothing else: counter blocks ``0^96 || i``, i = 2, 3, ..., the stream read as little-endian ring elements.
That is what AES-GCM encrypts with under the nonce 0^96 (SP 800-38D, section 7.1), and it is taken from GCM,
without the tag, because OpenSSL computes it about twice as fast as plain counter mode where the processor has
vector AES instructions. One stream has at most 2^32 - 2 blocks, 64 GiB, and does not repeat before.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import AEADEncryptionContext, Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM

from hanse.aggregation.fixed_point import RingVector

SEED_BYTES: Final = 32
_NONCE: Final = bytes(12)
# Mask, zeros and the piece of the vector that they go to fit into a core's cache together.
_BLOCK_BYTES: Final = 1 << 17
_AES_BLOCK_BYTES: Final = 16
_ZEROS: Final = memoryview(bytes(_BLOCK_BYTES))


def apply_masks(vector: RingVector, add: Sequence[bytes], subtract: Sequence[bytes]) -> None:
    """Adds and subtracts masks, in place, modulo 2^32 or 2^64.

    Args:
        vector: Ring elements, changed; contiguous, any length.
        add: Keys of 32 bytes of the masks to add.
        subtract: Keys of those to subtract.
    """
    block = min(_BLOCK_BYTES, vector.nbytes)
    buffer = bytearray(block + _AES_BLOCK_BYTES)
    mask = np.frombuffer(buffer, dtype=vector.dtype, count=block // vector.itemsize)
    streams = [(_stream(key), np.add) for key in add] + [(_stream(key), np.subtract) for key in subtract]
    for start in range(0, len(vector), max(len(mask), 1)):
        piece = vector[start : start + len(mask)]
        for stream, operation in streams:
            stream.update_into(_ZEROS[: piece.nbytes], buffer)
            operation(piece, mask[: len(piece)], out=piece)


def _stream(key: bytes) -> AEADEncryptionContext:
    return Cipher(AES256(key), GCM(_NONCE)).encryptor()
