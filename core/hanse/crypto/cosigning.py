r"""Cosignatures (https://c2sp.org/tlog-cosignature): what a witness says of a checkpoint, a line of its note.

A cosigner says: at this time, this is the largest tree of this log that I saw, and all that I saw before is
part of it. The line is ``— <name> <base64(key id || time || signature)>``, the time eight bytes, POSIX
seconds, big-endian. There are two algorithms, which differ in what is signed:

* ``ed25519`` (type 0x04): the text ``cosignature/v1\ntime <seconds>\n`` and the checkpoint's text;
* ``ml-dsa-44`` (type 0x06, FIPS 204, safe against quantum computers; for new witnesses): the bytes
  ``subtree/v1\n\0``, cosigner's name, time, log's origin, 0, size, root; names with a byte of length before
  them, numbers in eight bytes, big-endian.

A verifier key is ``<name>+<key id>+<base64(type || public key)>`` as in C2SP signed-note. A signing key,
which the specification leaves open, is ``PRIVATE+KEY+<name>+<key id>+<base64(type || seed of 32 bytes)>``, as
in Go's ``github.com/transparency-dev/formats/note``.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from hanse.crypto.checkpoint import parse_checkpoint
from hanse.crypto.keys import (
    PRIVATE_PREFIX,
    check_key_id,
    check_name,
    join_key,
    key_id_of,
    read_key,
    split_key,
    split_private_key,
    write_key,
)
from hanse.crypto.note import SignatureLine, by_name_and_id, split_note
from hanse.errors import IdentityError, ProtocolError

Algorithm = Literal["ed25519", "ml-dsa-44"]

_SEED_BYTES: Final = 32
_TIME_BYTES: Final = 8
_NAME_BYTES: Final = 255  # what the one byte of length before a name in an ML-DSA-44 message allows
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


class _Public(Protocol):
    """A public key of either algorithm."""

    def verify(self, signature: bytes, data: bytes, /) -> None: ...


class _Private(Protocol):
    """A private key of either algorithm."""

    def sign(self, data: bytes, /) -> bytes: ...


class _Scheme(NamedTuple):
    """What differs between the algorithms."""

    kind: bytes
    public_size: int
    message: Callable[[str, str, int], bytes]
    load_public: Callable[[bytes], _Public]


def _ed25519_message(_: str, text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _ml_dsa_message(name: str, text: str, seconds: int) -> bytes:
    checkpoint = parse_checkpoint(text)
    numbers = [number.to_bytes(8) for number in (seconds, 0, checkpoint.size)]
    names = [_with_length(name), _with_length(checkpoint.origin)]
    return b"".join([b"subtree/v1\n\0", names[0], numbers[0], names[1], *numbers[1:], checkpoint.root])


def _with_length(name: str) -> bytes:
    data = name.encode()
    if len(data) > _NAME_BYTES:
        raise ProtocolError("protocol.malformed", f"a log that is cosigned has a name of {_NAME_BYTES} bytes")
    return len(data).to_bytes(1) + data


_SCHEMES: Final[dict[Algorithm, _Scheme]] = {
    "ed25519": _Scheme(b"\x04", 32, _ed25519_message, Ed25519PublicKey.from_public_bytes),
    "ml-dsa-44": _Scheme(b"\x06", 1312, _ml_dsa_message, MLDSA44PublicKey.from_public_bytes),
}
_ALGORITHMS: Final[dict[bytes, Algorithm]] = {scheme.kind: name for name, scheme in _SCHEMES.items()}


@dataclass(frozen=True)
class CosignerVerifier:
    """The public half of a cosigner's key.

    Attributes:
        name: Who holds the signing key. No spaces, no ``+``, at most 255 bytes.
        algorithm: ``ed25519`` or ``ml-dsa-44``.
        public_bytes: The public key, 32 or 1312 bytes.
    """

    name: str
    algorithm: Algorithm
    public_bytes: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.name.encode()) > _NAME_BYTES:
            raise IdentityError("identity.bad-key", f"a cosigner's name has at most {_NAME_BYTES} bytes")
        size = self._scheme.public_size
        if len(self.public_bytes) != size:
            raise IdentityError("identity.bad-key", f"an {self.algorithm} public key has {size} bytes")

    @functools.cached_property
    def key_id_bytes(self) -> bytes:
        """The four bytes that name this key in a signature line."""
        return key_id_of(self.name, self._scheme.kind + self.public_bytes)

    @property
    def key_id(self) -> str:
        """:attr:`key_id_bytes` as eight hex digits."""
        return self.key_id_bytes.hex()

    def encode(self) -> str:
        """The key as text, to be given to others."""
        return join_key(self.name, self.key_id, self._scheme.kind + self.public_bytes)

    @classmethod
    def decode(cls, text: str) -> Self:
        """Reads what :meth:`encode` wrote.

        Args:
            text: A verifier key from anywhere.

        Returns:
            The key.

        Raises:
            IdentityError: ``identity.bad-key`` for any other text, also for the key of a log (type 0x01).
        """
        name, key_id, data = split_key(text)
        key = cls(name, _algorithm(data), data[1:])
        check_key_id(key_id, key.key_id)
        return key

    def verify(self, checkpoint_text: str, signature: bytes) -> datetime:
        """Checks a cosignature.

        Args:
            checkpoint_text: The text of a checkpoint, of which the caller knows nothing yet.
            signature: Time and signature, as in a signature line after the key id.

        Returns:
            When the cosigner says that it signed, UTC, whole seconds. With ML-DSA-44, 1970 means that it says
            nothing about the time, nor that the tree is the largest that it saw.

        Raises:
            IdentityError: ``identity.bad-signature`` if this key did not cosign this checkpoint.
            ProtocolError: ``protocol.malformed`` if the text is not one of a checkpoint.
        """
        parse_checkpoint(checkpoint_text)
        seconds = int.from_bytes(signature[:_TIME_BYTES])
        if len(signature) <= _TIME_BYTES or seconds > _LAST_SECOND:
            raise self._refusal()
        message = self._scheme.message(self.name, checkpoint_text, seconds)
        try:
            self._public_key.verify(signature[_TIME_BYTES:], message)
        except InvalidSignature as error:
            raise self._refusal() from error
        return _EPOCH + timedelta(seconds=seconds)

    def _refusal(self) -> IdentityError:
        return IdentityError("identity.bad-signature", f"not cosigned by {self.name}+{self.key_id}")

    @property
    def _scheme(self) -> _Scheme:
        return _SCHEMES[self.algorithm]

    @functools.cached_property
    def _public_key(self) -> _Public:
        return self._scheme.load_public(self.public_bytes)


class CosignerKey:
    """The private half. Its text form, and nothing else of it, is ever written down.

    One key cosigns for one name: what Ed25519 signs does not have the cosigner's name in it, so that its
    cosignatures would be those of every name that the key is given.

    Args:
        name: Who holds it. No spaces, no ``+``, at most 255 bytes.
        algorithm: ``ed25519`` or ``ml-dsa-44``.
        seed: The seed of the key, 32 bytes for either.

    Raises:
        IdentityError: ``identity.bad-key`` if name or seed is not valid.
    """

    def __init__(self, name: str, algorithm: Algorithm, seed: bytes) -> None:
        if len(seed) != _SEED_BYTES:
            raise IdentityError("identity.bad-key", f"a cosigner's seed has {_SEED_BYTES} bytes")
        self._seed = seed
        self._key, public_bytes = _load_private(algorithm, seed)
        self._verifier = CosignerVerifier(name, algorithm, public_bytes)

    @classmethod
    def generate(cls, name: str, algorithm: Algorithm) -> Self:
        """Makes a new key from the operating system's entropy.

        Args:
            name: Who holds it.
            algorithm: ``ed25519`` or ``ml-dsa-44``.

        Returns:
            The key.

        Raises:
            IdentityError: ``identity.bad-key`` if the name is not valid.
        """
        kind = Ed25519PrivateKey if algorithm == "ed25519" else MLDSA44PrivateKey
        return cls(name, algorithm, kind.generate().private_bytes_raw())

    @property
    def name(self) -> str:
        """Who holds the key."""
        return self._verifier.name

    @property
    def verifier(self) -> CosignerVerifier:
        """The public half."""
        return self._verifier

    def cosign(self, checkpoint_text: str, time: datetime) -> str:
        """Cosigns a checkpoint. The caller has checked it against all that it saw of this log before.

        Args:
            checkpoint_text: The text of the checkpoint.
            time: Now, with a time zone; cut off to seconds.

        Returns:
            A signature line, with its newline, to be added to the note: :func:`hanse.crypto.note.add_lines`.

        Raises:
            ProtocolError: ``protocol.malformed`` if the text is not one of a checkpoint, its origin is longer
                than 255 bytes (ML-DSA-44), or the time has no time zone or is not after 1970.
        """
        parse_checkpoint(checkpoint_text)
        if time.tzinfo is None or time < _EPOCH + timedelta(seconds=1):
            raise ProtocolError(
                "protocol.malformed", "a cosignature's time has a time zone and is after 1970"
            )
        seconds = (time - _EPOCH) // timedelta(seconds=1)
        message = _SCHEMES[self._verifier.algorithm].message(self.name, checkpoint_text, seconds)
        signature = seconds.to_bytes(_TIME_BYTES) + self._key.sign(message)
        return SignatureLine(self.name, self._verifier.key_id_bytes, signature).encode()

    def encode(self) -> str:
        """The key as text. It is a secret."""
        data = _SCHEMES[self._verifier.algorithm].kind + self._seed
        return PRIVATE_PREFIX + join_key(self.name, self._verifier.key_id, data)

    @classmethod
    def decode(cls, text: str) -> Self:
        """Reads what :meth:`encode` wrote.

        Args:
            text: A signing key from anywhere.

        Returns:
            The key.

        Raises:
            IdentityError: ``identity.bad-key`` for any other text. The text is not quoted.
        """
        name, key_id, data = split_private_key(text)
        key = cls(name, _algorithm(data), data[1:])
        check_key_id(key_id, key.verifier.key_id)
        return key

    def save(self, path: Path) -> None:
        """Writes the key to a file that only its owner can read.

        Args:
            path: A file that does not exist yet, in a folder that does.

        Raises:
            ConfigurationError: ``config.exists`` if there is a file already, ``config.unwritable`` if it
                cannot be written.
        """
        write_key(path, self.encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a key that :meth:`save` wrote.

        Args:
            path: The file.

        Returns:
            The key.

        Raises:
            ConfigurationError: As :func:`hanse.crypto.read_secret`.
            IdentityError: ``identity.bad-key`` if it is not a key.
        """
        return cls.decode(read_key(path))


class Cosignature(NamedTuple):
    """A cosignature that was checked.

    Attributes:
        verifier: Whose it is.
        time: When it says that it was made; see :meth:`CosignerVerifier.verify`.
    """

    verifier: CosignerVerifier
    time: datetime


def read_cosignatures(note: bytes, verifiers: Sequence[CosignerVerifier]) -> tuple[Cosignature, ...]:
    """Checks the cosignatures of a checkpoint.

    Args:
        note: The checkpoint's note, from anywhere.
        verifiers: The cosigners that count. Lines of all others are ignored, the log's own too.

    Returns:
        The cosignatures, in the order of the note; maybe none.

    Raises:
        IdentityError: ``identity.bad-signature`` if a known cosigner's line is wrong or repeated,
            ``identity.bad-key`` if two different verifiers cannot be told apart.
        ProtocolError: ``protocol.malformed`` if it is not the note of a checkpoint.
    """
    known = by_name_and_id(verifiers)
    text, lines = split_note(note)
    parse_checkpoint(text)
    found: dict[CosignerVerifier, datetime] = {}
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        if key in found:
            raise IdentityError("identity.bad-signature", f"{key.name} cosigned the checkpoint twice")
        found[key] = key.verify(text, line.signature)
    return tuple(Cosignature(key, time) for key, time in found.items())


def _algorithm(typed: bytes) -> Algorithm:
    """The algorithm that the type byte of a key stands for."""
    algorithm = _ALGORITHMS.get(typed[:1])
    if algorithm is None:
        raise IdentityError("identity.bad-key", "not a cosigner's key (type 0x04 or 0x06)")
    return algorithm


def _load_private(algorithm: Algorithm, seed: bytes) -> tuple[_Private, bytes]:
    """The private key of a seed, and its public key."""
    if algorithm == "ed25519":
        ed25519 = Ed25519PrivateKey.from_private_bytes(seed)
        return ed25519, ed25519.public_key().public_bytes_raw()
    ml_dsa = MLDSA44PrivateKey.from_seed_bytes(seed)
    return ml_dsa, ml_dsa.public_key().public_bytes_raw()
