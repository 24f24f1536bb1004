"""Which of two versions answers: the live one, or the canary that gets a share of the subjects. Pure.

A keyed hash of what is asked about decides, so that the same subject gets the same version as long as share
and canary stay, on every replica, and nobody without the key can choose to be in the share. A share that
grows keeps whom it had.
"""

import hashlib
from typing import Final

_CONTEXT: Final = b"hanse/canary-routing/v1\0"
_POINT_BYTES: Final = 8
_POINTS: Final = 1 << (8 * _POINT_BYTES)
_WHOLE: Final = 100


def routing_key(secret: bytes, canary: str) -> bytes:
    """The key of the hash: one for each canary, so that the share is not always the same subjects.

    Args:
        secret: A secret of the site.
        canary: Digest of the canary's manifest.

    Returns:
        32 bytes.
    """
    return hashlib.blake2b(
        _CONTEXT + canary.encode(), key=secret[: hashlib.blake2b.MAX_KEY_SIZE], digest_size=32
    ).digest()


def gets_canary(key: bytes, asked: bytes, share: int) -> bool:
    """Whether the canary answers.

    Args:
        key: From :func:`routing_key`.
        asked: What is asked about: the subject, or all of a call's.
        share: Percent.
    """
    point = int.from_bytes(hashlib.blake2b(asked, key=key, digest_size=_POINT_BYTES).digest(), "big")
    return point * _WHOLE < share * _POINTS
