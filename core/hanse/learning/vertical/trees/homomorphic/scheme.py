"""Okamoto-Uchiyama encryption, which adds: the product of ciphertexts decrypts to the sum of what is in them.

Keys, encryption, sums and decryption are those of the library sf-heu, the extra ``homomorphic``. Two things
are done around it, and both are the reason why no other module imports it.

*Randomness.* A ciphertext is ``g^m h^r`` modulo n. The library draws an r of :data:`_DRAWN_BITS` bits, which
would let somebody who guesses m test the guess with about 2^55 multiplications (Pollard's kangaroos). Every
ciphertext is therefore multiplied by a zero under the base ``h^(2^110)``, so that r has 220 bits and the same
test needs 2^110; the secret prime factor of the order of h has 224 bits at this key length.

*Foreign bytes.* The library's reader believes the lengths that it is told. What comes from another party is
a row of little-endian numbers of fixed width instead, each between 1 and n - 1; only then it is put into the
library's format. Nothing here is pickled.

The scheme hides what it encrypts from who has only the public key (Okamoto and Uchiyama, "A New Public-Key
Cryptosystem as Secure as Factoring", EUROCRYPT 1998). It does not bear decrypting what others have chosen:
a number above the prime p comes back reduced, and gives p away. Who decrypts must check the range, and tell
nothing but that the run is over.
"""

import functools
import math
import os
import re
import struct
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError, PolicyError, ProtocolError
from hanse.policies.agreement.vertical import MAX_KEY_BITS, MIN_KEY_BITS

Ciphertexts = NDArray[np.uint8]
"""One to a row, little-endian."""

_DRAWN_BITS: Final = (
    110  # kRandomBits2048 of heu/library/algorithms/ou; 128 of longer keys overlap, which adds
)
_SPARE_BITS: Final = 16  # the library's modulus is a few bits longer than it was asked for
_TAG: Final = struct.pack("<Q", 1)  # the library's number of the scheme
_NUMBER: Final = re.compile(r"=([0-9A-F]+)\[")
_HEADS: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4}  # bytes of a length
_MALFORMED: Final = "protocol.malformed"
_LOADING: Final = threading.Lock()  # two threads that import its modules at once get half of one


def _library() -> tuple[Any, Any]:
    """The library's two modules, its threads begun.

    Raises:
        ConfigurationError: ``config.invalid`` if it is not installed.
    """
    with _LOADING:
        return _loaded()


@functools.cache
def _loaded() -> tuple[Any, Any]:
    try:
        arrays, phe = import_module("heu.numpy"), import_module("heu.phe")  # an extra that few need
    except ImportError as error:
        raise ConfigurationError(
            "config.invalid",
            "training without a dealer needs sf-heu, which there is for Python 3.11 on Linux on x86-64; "
            "install it: pip install 'hanse[homomorphic]'",
        ) from error
    _begin_threads(phe, arrays)
    return phe, arrays


def _begin_threads(phe: Any, arrays: Any) -> None:  # noqa: ANN401 - the library has no types
    """The library says on standard output that it begins threads, with the first numbers: not among ours."""
    kit = arrays.setup(phe.SchemaType.Mock, MIN_KEY_BITS)
    numbers = kit.array(np.zeros(2, dtype=object), phe.BigintEncoder(phe.SchemaType.Mock))
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        kit.encryptor().encrypt(numbers)
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def require_library() -> None:
    """Refuses where the library is missing, before anything is begun that needs it.

    Raises:
        ConfigurationError: ``config.invalid``.
    """
    _library()


class PublicKey:
    """Adds, and encrypts zeros.

    Args:
        n: The modulus.
        g: Base of messages.
        h: Base of randomness.

    Raises:
        ConfigurationError: ``config.invalid`` if the library is not installed.
    """

    def __init__(self, n: int, g: int, h: int) -> None:
        phe, arrays = _library()
        self._arrays = arrays
        self.numbers = (n, g, h)
        self.width = (n.bit_length() + 7) // 8
        """Bytes of a ciphertext."""
        self._encoder = phe.BigintEncoder(phe.SchemaType.OU)
        self._kits = [
            arrays.setup(phe.PublicKey.load_from(_public(n, g, base)))
            for base in (h, pow(h, 1 << _DRAWN_BITS, n))
        ]

    def encode(self) -> NDArray[np.uint8]:
        """The key for another party, shape (3, width)."""
        return _rows([number.to_bytes(self.width, "little") for number in self.numbers], self.width)

    @classmethod
    def decode(cls, rows: NDArray[Any], least_bits: int) -> "PublicKey":
        """Reads a key.

        Raises:
            ProtocolError: ``protocol.malformed`` if it is none.
            PolicyError: ``policy.denied`` if it is shorter than it must be.
        """
        if rows.dtype != np.uint8 or rows.ndim != 2 or len(rows) != 3:  # noqa: PLR2004
            raise ProtocolError(_MALFORMED, "a public key has another form")
        n, g, h = (int.from_bytes(row.tobytes(), "little") for row in rows)
        if n.bit_length() < least_bits:
            raise PolicyError("policy.denied", f"a key of {n.bit_length()} bits where {least_bits} are due")
        good = n % 2 == 1 and all(1 < base < n - 1 and math.gcd(base, n) == 1 for base in (g, h))
        too_long = n.bit_length() > MAX_KEY_BITS + _SPARE_BITS
        if not good or too_long or rows.shape[1] != (n.bit_length() + 7) // 8:
            raise ProtocolError(_MALFORMED, "numbers that are no public key")
        return cls(n, g, h)

    def encrypt(self, messages: NDArray[Any]) -> Ciphertexts:
        """Encrypts whole numbers, not negative ones.

        Args:
            messages: Python's numbers, shape (count,); a public key that was received is for zeros alone.
        """
        zeros = np.zeros(len(messages), dtype=object)
        parts = [
            kit.encryptor().encrypt(kit.array(values, self._encoder))
            for kit, values in zip(self._kits, (messages, zeros), strict=True)
        ]
        return self._written(self._kits[0].evaluator().add(*parts))

    def zeros(self, count: int) -> Ciphertexts:
        """Encrypted zeros, of which no two are alike."""
        return self.encrypt(np.zeros(count, dtype=object))

    def sums(self, ciphertexts: Ciphertexts, groups: Sequence[Sequence[int]]) -> Ciphertexts:
        """Ciphertexts of sums.

        Args:
            ciphertexts: That may be foreign.
            groups: Numbers of those to add; none is empty.

        Raises:
            ProtocolError: ``protocol.malformed`` if they are no ciphertexts of the key.
        """
        chosen = [list(group) for group in groups]
        return self._written(self._kits[0].evaluator().batch_select_sum(self._read(ciphertexts), chosen))

    def _read(self, ciphertexts: Ciphertexts) -> Any:  # noqa: ANN401 - the library has no types
        n, width = self.numbers[0], self.width
        data = ciphertexts.tobytes()
        rows = [data[start : start + width] for start in range(0, len(data), width)]
        if ciphertexts.shape[1] != width or not all(0 < int.from_bytes(row, "little") < n for row in rows):
            raise ProtocolError(_MALFORMED, "numbers that are no ciphertexts")
        head = b"\xda" + struct.pack(">H", width + 13) + b"\x91\xda" + struct.pack(">H", width + 1)
        count = struct.pack(">I", len(rows))
        items = b"".join(head + row + b"\x00" + _TAG for row in rows)
        return self._arrays.CiphertextArray.load_from(b"\x94\xce" + count + b"\x01\x01\xdd" + count + items)

    def _written(self, array: Any) -> Ciphertexts:  # noqa: ANN401 - the library has no types
        """The numbers in an array of the library: MessagePack, an item for each behind a header."""
        data = array.serialize()
        rows, at = [], 1
        for _ in range(4):  # rows, columns, dimensions, items
            at += 1 + _HEADS.get(data[at], 0)
        while at < len(data):
            at, end = _text(data, at)
            first, last = _text(data, at + 1)
            rows.append(data[first:last][: self.width].ljust(self.width, b"\x00"))
            at = end
        return _rows(rows, self.width)


class SecretKey:
    """Encrypts and decrypts; for one run.

    Args:
        bits: Of the modulus, at least.

    Raises:
        ConfigurationError: ``config.invalid`` if the key is too short, or the library is not installed.
    """

    def __init__(self, bits: int) -> None:
        if not MIN_KEY_BITS <= bits <= MAX_KEY_BITS:
            raise ConfigurationError(
                "config.invalid", f"a key of {bits} bits, not of {MIN_KEY_BITS} to {MAX_KEY_BITS}"
            )
        phe, arrays = _library()
        kit = arrays.setup(phe.SchemaType.OU, bits)
        self._decryptor = kit.decryptor()
        self._encoder = phe.BigintEncoder(phe.SchemaType.OU)
        n, g, h = (int(number, 16) for number in _NUMBER.findall(str(kit.public_key()))[:3])
        self.public = PublicKey(n, g, h)
        self.message_bits: int = n.bit_length() // 3 - 4
        """Messages are below two to this power."""

    def decrypt(self, ciphertexts: Ciphertexts, bits: int) -> list[int]:
        """Decrypts, and lets nothing out that is not in range.

        Args:
            ciphertexts: That may be foreign.
            bits: Of the largest number that they can have in them.

        Raises:
            ProtocolError: ``protocol.malformed`` if they are no ciphertexts of the key; ``vertical.sums`` if
                a number is negative or has more bits.
        """
        plain = self._decryptor.decrypt(self.public._read(ciphertexts)).to_numpy(self._encoder)  # noqa: SLF001
        numbers: list[int] = [int(number) for number in plain.tolist()]
        if any(number < 0 or number >> bits for number in numbers):
            raise ProtocolError("vertical.sums", "a sum is out of range")
        return numbers


def _text(data: bytes, at: int) -> tuple[int, int]:
    """Where a string of MessagePack begins and ends."""
    size = _HEADS.get(data[at], 0)
    start = at + 1 + size
    length = int.from_bytes(data[at + 1 : start], "big") if size else data[at] & 0x1F
    return start, start + length


def _rows(rows: Sequence[bytes], width: int) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), width)


def _public(n: int, g: int, h: int) -> bytes:
    """A public key in the library's format: MessagePack of n, g, h and the binary digits of a message."""
    width = (n.bit_length() + 7) // 8 + 1
    numbers = b"".join(
        b"\xda" + struct.pack(">H", width) + number.to_bytes(width, "little") for number in (n, g, h)
    )
    return b"\x94" + numbers + b"\xcd" + struct.pack(">H", n.bit_length() // 3 - 2) + _TAG
