"""What both sides of a conversation must mean, and bytes for it that mean nothing else."""

import hashlib
from dataclasses import dataclass
from typing import Final

from hanse.crypto.keys import VerifierKey

VERSION: Final = 1
"""Version of the protocol; part of the hello and of every digest."""

_LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class SealedTerms:
    """What a conversation is about; both sides take it from their own agreement and command.

    Attributes:
        agreement: Digest of the agreement, hex.
        run: The run.
        phase: The phase of it, as the coordinator named it.
        purpose: What is said in it, such as ``alignment``; every use has its own.
    """

    agreement: str
    run: str
    phase: str
    purpose: str


def framed(*fields: bytes) -> bytes:
    """The fields, each after its length (4 bytes, big-endian): no two lists give the same bytes."""
    return b"".join(len(field).to_bytes(_LENGTH_BYTES, "big") + field for field in fields)


def context_digest(terms: SealedTerms, low: VerifierKey, high: VerifierKey) -> bytes:
    """The context of a conversation.

    Args:
        terms: What it is about.
        low: Key of the side whose name is first in the order of code points.
        high: Key of the other side.

    Returns:
        32 bytes.
    """
    texts = (terms.agreement, terms.run, terms.phase, terms.purpose, low.encode(), high.encode())
    fields = (text.encode("utf-8", "surrogatepass") for text in texts)
    return hashlib.sha256(framed(b"hanse sealed context", bytes([VERSION]), *fields)).digest()
