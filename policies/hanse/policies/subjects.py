"""Pseudonyms: the only names of people that this layer handles.

Identifiers (customer numbers, phone numbers) become pseudonyms where they are read and go no further.
Two members, or two keys, give the same person unrelated pseudonyms.
"""

import hashlib
from typing import Final

from hanse.errors import ConfigurationError, IdentityError

MINIMUM_KEY_BYTES: Final = 32
_REF_CONTEXT: Final = b"hanse/subject-ref/v1\0"
_REF_BYTES: Final = 16
_HASH_BLOCK_BYTES: Final = 64


class Pseudonymiser:
    """Turns identifiers into pseudonyms with a secret key of the member.

    Args:
        key: At least 32 random bytes.

    Raises:
        IdentityError: ``identity.bad-key`` if the key is shorter.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        _check_key(key)
        # HMAC-SHA256 from its two halves: the hmac module takes twice as long for as short a text.
        block = hashlib.sha256(key).digest() if len(key) > _HASH_BLOCK_BYTES else key
        block = block.ljust(_HASH_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + _REF_CONTEXT)
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def ref(self, identifier: str) -> str:
        """The pseudonym of an identifier.

        Args:
            identifier: As the data source writes it; not normalised, so that no two people become one.

        Returns:
            The first 16 bytes of HMAC-SHA256, as 32 hex digits.

        Raises:
            ConfigurationError: ``config.bad-data`` if the identifier is blank, or not valid Unicode.
        """
        if not identifier.strip():
            # All blank identifiers would share one pseudonym, and one consent.
            raise ConfigurationError(
                "config.bad-data", "a record has no identifier; give it one or leave it out"
            )
        inner, outer = self._inner.copy(), self._outer.copy()
        try:
            inner.update(identifier.encode())
        except UnicodeEncodeError as error:
            raise ConfigurationError("config.bad-data", "an identifier is not valid Unicode") from error
        outer.update(inner.digest())
        return outer.digest()[:_REF_BYTES].hex()


def _check_key(key: bytes) -> None:
    if len(key) < MINIMUM_KEY_BYTES:
        raise IdentityError("identity.bad-key", f"a subject key has at least {MINIMUM_KEY_BYTES} bytes")
