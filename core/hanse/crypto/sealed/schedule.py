"""Every key of a sealed conversation, and from what it comes.

::

    transcript = SHA-256(framed("hanse sealed transcript", version, context, hello of low, hello of high))
    key of a label = HKDF-SHA256(secret = X25519(ephemeral, ephemeral), salt = transcript,
                                 info = "hanse sealed/1 " || label)

with the labels ``low proof``, ``low finished``, ``low traffic`` and the same for ``high``: low is the side
whose name comes first. A traffic secret gives the key and the nonces of one generation of records and the
secret of the next (HKDF-Expand, as in RFC 8446, sections 7.2 and 7.3), so that a generation's key is no help
with the one before.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from hanse.crypto.sealed.terms import VERSION, framed

Role: TypeAlias = Literal["low", "high"]

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_INFO: Final = f"hanse sealed/{VERSION} ".encode()


@dataclass(frozen=True, slots=True, repr=False)
class RoleKeys:
    """The keys with which one side speaks.

    Attributes:
        proof: Encrypts its proof, once.
        finished: MACs its signature.
        traffic: Secret of its first generation of records.
    """

    proof: bytes
    finished: bytes
    traffic: bytes


def transcript_hash(context: bytes, low_hello: bytes, high_hello: bytes) -> bytes:
    """What both have said and meant before any key, 32 bytes."""
    fields = (b"hanse sealed transcript", bytes([VERSION]), context, low_hello, high_hello)
    return hashlib.sha256(framed(*fields)).digest()


def role_keys(shared: bytes, transcript: bytes, role: Role) -> RoleKeys:
    """The keys of one side.

    Args:
        shared: Result of the key agreement, 32 bytes.
        transcript: From :func:`transcript_hash`.
        role: Which side.
    """

    def derived(label: str) -> bytes:
        info = _INFO + f"{role} {label}".encode()
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=transcript, info=info).derive(shared)

    return RoleKeys(derived("proof"), derived("finished"), derived("traffic"))


def generation(secret: bytes) -> tuple[bytes, bytes, bytes]:
    """One generation of records.

    Args:
        secret: Its traffic secret.

    Returns:
        Key (32 bytes), base of the nonces (12 bytes), traffic secret of the next generation.
    """

    def expanded(label: bytes, length: int) -> bytes:
        return HKDFExpand(algorithm=SHA256(), length=length, info=_INFO + label).derive(secret)

    return expanded(b"key", KEY_BYTES), expanded(b"nonce", NONCE_BYTES), expanded(b"next", KEY_BYTES)
