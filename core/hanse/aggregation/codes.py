"""Codes by which members confirm to each other what the coordinator told them.

For every ordered pair of members there is a key, derived from what their channel keys of the epoch have in
common, with the session as salt: HMAC-SHA256 (RFC 2104) under it is something that only these two can make.
The coordinator relays codes and can neither make nor check one.
"""

import hmac
from collections.abc import Mapping
from typing import Final

from hanse.aggregation.channels import derive

CODE_BYTES: Final = 32
_KEY: Final = "hanse secure sum 1 list"


class Codes:
    """The codes of one member in one epoch.

    Args:
        member: This member.
        session: Digest of the session.
        common: What this member's channel key has in common with that of every peer, 32 bytes each.
    """

    def __init__(self, member: str, session: bytes, common: Mapping[str, bytes]) -> None:
        def key(secret: bytes, sender: str, recipient: str) -> bytes:
            return derive(secret, session, f"{_KEY} {sender} {recipient}".encode())

        self._to = {peer: key(secret, member, peer) for peer, secret in common.items()}
        self._by = {peer: key(secret, peer, member) for peer, secret in common.items()}

    def make(self, peer: str, body: bytes) -> bytes:
        """The code that tells a peer that this member was told ``body``."""
        return hmac.digest(self._to[peer], body, "sha256")

    def genuine(self, peer: str, body: bytes, code: bytes) -> bool:
        """Whether a peer has made a code for ``body``, and for this member."""
        return hmac.compare_digest(hmac.digest(self._by[peer], body, "sha256"), code)
