"""Coins that parties toss together: each is bound to its own before any is shown, so that nobody can choose.

Every party draws :data:`COIN_BYTES` random bytes, says :meth:`Toss.commitment` of them, and shows them only
when it has the others' commitments. What comes of all coins together is random if one of them is. A party
that shows nothing after it has seen the others' coins ends the run: it can stop a toss, not steer one.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hanse.errors import ProtocolError

COIN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Toss:
    """What coins are tossed for; those of one purpose and context fit no other.

    Attributes:
        purpose: In words.
        context: What else the parties have in common, such as the run.
    """

    purpose: str
    context: bytes = b""

    def commitment(self, party: str, coin: bytes) -> bytes:
        """What binds a party to its coin without showing it, 32 bytes.

        Args:
            party: Its name or part, so that nobody repeats another's; empty where parties do not know names.
            coin: Its own, secret.
        """
        return self._hash("commitment", [party.encode(), coin])

    def check(self, party: str, coin: bytes, committed: bytes, who: str) -> None:
        """Holds a coin that is shown against what its party was bound to.

        Args:
            party: As in :meth:`commitment`.
            coin: Shown.
            committed: Said before.
            who: Who has shown it, for people.

        Raises:
            ProtocolError: ``protocol.malformed`` if it is another one.
        """
        if self.commitment(party, coin) != committed:
            raise ProtocolError("protocol.malformed", f"{who}: its coin is not the one that it committed to")

    def joint(self, coins: Iterable[bytes]) -> bytes:
        """What comes of all coins, 32 bytes.

        Args:
            coins: In an order that is the same for all parties.
        """
        return self._hash("joint", coins)

    def _hash(self, label: str, parts: Iterable[bytes]) -> bytes:
        """SHA-256 over parts that cannot run into each other."""
        state = hashlib.sha256(b"hanse coin v1 " + label.encode() + b"\0")
        for part in (self.purpose.encode(), self.context, *parts):
            state.update(len(part).to_bytes(4, "big") + part)
        return state.digest()
