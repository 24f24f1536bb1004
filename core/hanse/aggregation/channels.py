"""Keys that two members agree on: one to seal shares to each other, one for each mask that they share.

X25519 (RFC 7748, section 6.1), HKDF with SHA-256 (RFC 5869) and ChaCha20-Poly1305 (RFC 8439). The salt of
every derivation is a digest of what the members must agree on; if two of them were told different things
their keys differ, shares do not open and masks do not cancel.
"""

from collections.abc import Callable
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hanse.errors import ProtocolError

KEY_BYTES: Final = 32
_NONCE: Final = bytes(12)


class KeyPair:
    """An X25519 key pair.

    Args:
        private: 32 bytes.

    Attributes:
        private: As given.
        public: 32 bytes.
    """

    def __init__(self, private: bytes) -> None:
        # Kept, because making it costs as much as an agreement.
        self._key = X25519PrivateKey.from_private_bytes(private)
        self.private = private
        self.public = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> Self:
        """Makes a pair from 32 unpredictable bytes."""
        return cls(entropy(KEY_BYTES))

    def agree(self, public: bytes, peer: str) -> bytes:
        """What this pair and another have in common.

        Args:
            public: The other's public key.
            peer: Whose it is, for the error.

        Returns:
            32 bytes, not uniform; derive keys from them.

        Raises:
            ProtocolError: ``protocol.malformed`` for a key with which everybody has the same in common.
        """
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise ProtocolError("protocol.malformed", f"{peer}: not an X25519 key") from error


def derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """A key of 32 bytes.

    Args:
        secret: At least 128 bits that others cannot guess.
        salt: Digest of what both sides must agree on.
        info: What the key is for; different in every use of a secret.
    """
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def seal(key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Encrypts and authenticates the only message that a key is ever used for.

    Args:
        key: 32 bytes.
        plaintext: What only the holder of the key may read.
        context: What is authenticated beside it.
    """
    return ChaCha20Poly1305(key).encrypt(_NONCE, plaintext, context)


def unseal(key: bytes, sealed: bytes, context: bytes, peer: str) -> bytes:
    """Opens what :func:`seal` made.

    Args:
        key: As there.
        sealed: From anywhere.
        context: As there.
        peer: Who should have sealed it, for the error.

    Raises:
        ProtocolError: ``sum.bad-share`` if this key has not sealed it in this context.
    """
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, sealed, context)
    except InvalidTag as error:
        raise ProtocolError("sum.bad-share", f"what {peer} sealed for this member does not open") from error
