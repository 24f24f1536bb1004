"""Randomness that nobody can predict, for privacy noise and for the coins of Poisson sampling.

numpy's and torch's generators can be predicted from their outputs, and a noise that is known can be
subtracted. This one is AES-256 in counter mode under a key from the operating system.
"""

import os
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

_KEY_BYTES: Final = 32
_SUMMANDS: Final = 4
_ZEROS: Final = bytes(1 << 20)


class SecureRandom:
    """A stream of secret random numbers.

    Args:
        key: 32 bytes. By default they come from the operating system, as privacy needs it; a key that is
            given gives the same numbers again, and whoever knows it knows the noise.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._process = os.getpid() if key is None else None
        self._stream = _stream(os.urandom(_KEY_BYTES) if key is None else key)

    def uniform(self, size: int) -> NDArray[np.float64]:
        """Numbers in [0, 1), each a multiple of 2^-53.

        Args:
            size: How many.

        Returns:
            Array of shape (size,).
        """
        words = np.frombuffer(self.draw_bytes(8 * size), dtype="<u8")
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, size: int) -> NDArray[np.float64]:
        """Standard normal numbers.

        Each is the scaled sum of four, because the set of doubles that one Box-Muller draw can produce is
        sparse enough to betray what was added to it (Holohan and Braghin, "Secure Random Sampling in
        Differential Privacy", 2021).

        Args:
            size: How many.

        Returns:
            Array of shape (size,).
        """
        total = _SUMMANDS * size
        radius = np.sqrt(-2.0 * np.log(1.0 - self.uniform(total)))
        draws = radius * np.cos(2.0 * np.pi * self.uniform(total))
        scaled: NDArray[np.float64] = draws.reshape(_SUMMANDS, size).sum(axis=0) / np.sqrt(_SUMMANDS)
        return scaled

    def draw_bytes(self, length: int) -> bytes:
        """The next bytes of the stream.

        Args:
            length: How many.

        Returns:
            As many bytes, each value as likely as any other.
        """
        if self._process is not None and self._process != os.getpid():
            self.__init__()  # type: ignore[misc] # a forked child must not repeat its parent's noise
        zeros = memoryview(_ZEROS)[:length] if length <= len(_ZEROS) else bytes(length)
        return self._stream.update(zeros)


def _stream(key: bytes) -> CipherContext:
    return Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
