r"""Ed25519 keys (RFC 8032) that carry a name and describe themselves, in the text form of signed notes.

A verifier key is ``<name>+<key id>+<base64(0x01 || public key)>``, a signing key
``PRIVATE+KEY+<name>+<key id>+<base64(0x01 || seed)>``, as in golang.org/x/mod/sumdb/note. The key id is the
first four bytes of SHA-256(name || newline || 0x01 || public key) (C2SP signed-note), so a name cannot be
moved to another key by accident.

A key signs two kinds of bytes that can never be confused. :meth:`SigningKey.sign` signs
``hanse/<context>\0<body>``; :meth:`SigningKey.sign_note_text` signs the text of a note, which has no byte 0.
"""

import base64
import binascii
import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hanse.crypto.files import read_secret, write_atomic
from hanse.errors import IdentityError

KEY_ID_BYTES: Final = 4
SIGNATURE_BYTES: Final = 64
_ED25519: Final = b"\x01"
_KEY_BYTES: Final = 32
PRIVATE_PREFIX: Final = "PRIVATE+KEY+"
_FORM: Final = re.compile(r"(?P<name>[^+]+)\+(?P<id>[0-9a-f]{8})\+(?P<data>[A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True)
class VerifierKey:
    """The public half: whose signature it is.

    Attributes:
        name: Who holds the signing key. No spaces, no ``+``.
        public_bytes: The Ed25519 public key, 32 bytes.
    """

    name: str
    public_bytes: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public_bytes) != _KEY_BYTES:
            raise IdentityError("identity.bad-key", f"an Ed25519 public key has {_KEY_BYTES} bytes")

    @functools.cached_property
    def key_id_bytes(self) -> bytes:
        """The four bytes that name this key in a signature."""
        return key_id_of(self.name, _ED25519 + self.public_bytes)

    @property
    def key_id(self) -> str:
        """:attr:`key_id_bytes` as eight hex digits."""
        return self.key_id_bytes.hex()

    def encode(self) -> str:
        """The key as text, to be given to others."""
        return join_key(self.name, self.key_id, _ED25519 + self.public_bytes)

    @classmethod
    def decode(cls, text: str) -> Self:
        """Reads what :meth:`encode` wrote.

        Args:
            text: A verifier key from anywhere.

        Returns:
            The key.

        Raises:
            IdentityError: ``identity.bad-key`` for any other text.
        """
        name, key_id, data = split_key(text)
        key = cls(name, _ed25519_bytes(data))
        check_key_id(key_id, key.key_id)
        return key

    def verify(self, context: str, body: bytes, signature: bytes) -> None:
        """Checks a signature that :meth:`SigningKey.sign` made.

        Args:
            context: What kind of statement was signed, e.g. ``round-update/1``.
            body: The signed bytes.
            signature: 64 bytes.

        Raises:
            IdentityError: ``identity.bad-signature`` if this key did not sign this body in this context.
        """
        self._verify(_in_context(context, body), signature)

    def verify_note_text(self, text: str, signature: bytes) -> None:
        """Checks the signature of a note's text (C2SP signed-note, type 0x01).

        Args:
            text: The note's text, with its final newline.
            signature: 64 bytes.

        Raises:
            IdentityError: ``identity.bad-signature`` if this key did not sign this text.
        """
        self._verify(text.encode(), signature)

    def _verify(self, message: bytes, signature: bytes) -> None:
        try:
            self._public_key.verify(signature, message)
        except InvalidSignature as error:
            raise IdentityError(
                "identity.bad-signature", f"not signed by {self.name}+{self.key_id}"
            ) from error

    @functools.cached_property
    def _public_key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.public_bytes)


class SigningKey:
    """The private half. Its text form, and nothing else of it, is ever written down.

    Args:
        name: Who holds it. No spaces, no ``+``.
        seed: The Ed25519 seed, 32 bytes.

    Raises:
        IdentityError: ``identity.bad-key`` if either is not valid.
    """

    def __init__(self, name: str, seed: bytes) -> None:
        if len(seed) != _KEY_BYTES:
            raise IdentityError("identity.bad-key", f"an Ed25519 seed has {_KEY_BYTES} bytes")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._verifier = VerifierKey(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> Self:
        """Makes a new key from the operating system's entropy.

        Args:
            name: Who holds it.

        Returns:
            The key.

        Raises:
            IdentityError: ``identity.bad-key`` if the name is not valid.
        """
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def name(self) -> str:
        """Who holds the key."""
        return self._verifier.name

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return self._verifier

    def sign(self, context: str, body: bytes) -> bytes:
        """Signs a statement.

        Args:
            context: What kind of statement it is, e.g. ``round-update/1``; it is valid in no other.
            body: The bytes to sign.

        Returns:
            The signature, 64 bytes.
        """
        return self._key.sign(_in_context(context, body))

    def sign_note_text(self, text: str) -> bytes:
        """Signs the text of a note; :func:`hanse.crypto.sign_note` makes the whole note.

        Args:
            text: A valid note text, with its final newline.

        Returns:
            The signature, 64 bytes.
        """
        return self._key.sign(text.encode())

    def encode(self) -> str:
        """The key as text. It is a secret."""
        data = _ED25519 + self._key.private_bytes_raw()
        return PRIVATE_PREFIX + join_key(self.name, self.verifier.key_id, data)

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
        key = cls(name, _ed25519_bytes(data))
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


@functools.lru_cache(maxsize=256)  # a log writes its own name once for each commit
def check_name(name: str) -> None:
    """Checks the name of a key (C2SP signed-note): not empty, no Unicode space, no ``+``, nothing invisible.

    Args:
        name: The name.

    Raises:
        IdentityError: ``identity.bad-key`` if it is not valid.
    """
    if not name or not name.isprintable() or "+" in name or any(character.isspace() for character in name):
        raise IdentityError("identity.bad-key", "a key name is printable text without spaces and +")


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648, section 4)."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Reads base64 strictly.

    Args:
        text: Text from anywhere.

    Returns:
        The bytes, with ``encode_base64(result) == text``: no space, no missing padding, no stray bits.

    Raises:
        ValueError: For any other text.
    """
    data = base64.b64decode(text, validate=True)
    if encode_base64(data) != text:
        raise binascii.Error("not canonical base64")
    return data


def key_id_of(name: str, typed: bytes) -> bytes:
    """The key id of C2SP signed-note.

    Args:
        name: Who holds the key.
        typed: The type byte of its signatures and its public key.

    Returns:
        Four bytes.
    """
    return hashlib.sha256(name.encode() + b"\n" + typed).digest()[:KEY_ID_BYTES]


def join_key(name: str, key_id: str, typed: bytes) -> str:
    """The text form of a key; after :data:`PRIVATE_PREFIX` if it is a signing key.

    Args:
        name: Who holds the key.
        key_id: Its id, eight hex digits.
        typed: Type byte and key bytes.

    Returns:
        ``name+id+base64``.
    """
    return f"{name}+{key_id}+{encode_base64(typed)}"


def split_key(text: str) -> tuple[str, str, bytes]:
    """Reads what :func:`join_key` wrote.

    Args:
        text: Text from anywhere.

    Returns:
        Name, key id, and type byte with key bytes, of which nothing is checked.

    Raises:
        IdentityError: ``identity.bad-key`` for any other text.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise IdentityError("identity.bad-key", "not of the form name+id+key")
    try:
        return match["name"], match["id"], decode_base64(match["data"])
    except ValueError as error:
        raise IdentityError("identity.bad-key", "the key is not base64") from error


def split_private_key(text: str) -> tuple[str, str, bytes]:
    """As :func:`split_key`, for a signing key.

    Args:
        text: Text from anywhere.

    Returns:
        As :func:`split_key`.

    Raises:
        IdentityError: ``identity.bad-key`` for any other text.
    """
    if not text.startswith(PRIVATE_PREFIX):
        raise IdentityError("identity.bad-key", "not a signing key")
    return split_key(text.removeprefix(PRIVATE_PREFIX))


def check_key_id(claimed: str, actual: str) -> None:
    """Checks the key id in a key's text form against the one that follows from name and key.

    Args:
        claimed: As in the text.
        actual: As computed.

    Raises:
        IdentityError: ``identity.bad-key`` if they differ.
    """
    if claimed != actual:
        raise IdentityError("identity.bad-key", "the key id does not belong to this name and key")


def write_key(path: Path, text: str) -> None:
    """Writes a signing key to a file that only its owner can read.

    Args:
        path: A file that does not exist yet, in a folder that does.
        text: The key's text form.

    Raises:
        ConfigurationError: ``config.exists`` if there is a file already, ``config.unwritable`` if it cannot
            be written.
    """
    write_atomic(path, f"{text}\n".encode(), mode=0o600, overwrite=False)


def read_key(path: Path) -> str:
    """Reads what :func:`write_key` wrote.

    Args:
        path: The file.

    Returns:
        The text, of which nothing is checked.

    Raises:
        ConfigurationError: As :func:`hanse.crypto.read_secret`.
        IdentityError: ``identity.bad-key`` if it is not text.
    """
    try:
        return read_secret(path).decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise IdentityError("identity.bad-key", f"{path} is not a signing key") from error


def _ed25519_bytes(typed: bytes) -> bytes:
    """The key without its type byte, which must be that of an Ed25519 key for notes."""
    if typed[:1] != _ED25519:
        raise IdentityError("identity.bad-key", "not an Ed25519 key")
    return typed[1:]


def _in_context(context: str, body: bytes) -> bytes:
    """The bytes that are signed for a statement; the context cannot run into the body."""
    if not context.isascii() or not context.isprintable():
        raise IdentityError("identity.bad-key", "a signing context is printable ASCII")
    return b"hanse/" + context.encode("ascii") + b"\0" + body
