"""Common shuffles from a seed that no party chose: each commits to a coin before anybody opens one."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.crypto import COIN_BYTES, Toss
from hanse.errors import ProtocolError
from hanse.exchange import PeerChannel
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.messages import Shape, receive, send

_TOSS: Final = Toss("shuffles of a split network")
_MOST_PARTIES: Final = 64


def toss_with_all(coin: bytes, peers: Mapping[str, PeerChannel]) -> bytes:
    """The label holder's part, which relays what the others say.

    Args:
        coin: 32 secret random bytes.
        peers: The feature holders.

    Returns:
        The common seed.

    Raises:
        ProtocolError: ``protocol.malformed`` if somebody opens another coin than it committed to.
    """
    said = [_commitment(coin), *(_bytes_of(peer, "commit") for peer in peers.values())]
    for peer in peers.values():
        send(peer, "commitments", 0, _rows(said))
    coins = [coin, *(_bytes_of(peer, "open") for peer in peers.values())]
    for name, opened, committed in zip(("this party", *peers), coins, said, strict=True):
        _TOSS.check("", opened, committed, name)
    for peer in peers.values():
        send(peer, "coins", 0, _rows(coins))
    return _TOSS.joint(coins)


def toss_with(coin: bytes, peer: PeerChannel, parties: int) -> bytes:
    """A feature holder's part.

    Args:
        coin: 32 secret random bytes.
        peer: The label holder.
        parties: How many toss, the label holder included.

    Returns:
        The common seed.

    Raises:
        ProtocolError: ``protocol.malformed`` if a coin is not the one that was committed to, or this party's
            is not among them.
    """
    if not 2 <= parties <= _MOST_PARTIES:  # noqa: PLR2004
        raise ProtocolError("protocol.malformed", f"{peer.peer} names {parties} parties")
    send(peer, "commit", 0, _rows([_commitment(coin)]))
    shape = Shape("u1", (parties, COIN_BYTES))
    _, (said,) = receive(peer, "commitments", 0, shape)
    if _commitment(coin) not in {row.tobytes() for row in said}:
        raise ProtocolError("protocol.malformed", f"{peer.peer} has left out this party's coin")
    send(peer, "open", 0, _rows([coin]))
    _, (coins,) = receive(peer, "coins", 0, shape)
    for opened, committed in zip(coins, said, strict=True):
        _TOSS.check("", opened.tobytes(), committed.tobytes(), peer.peer)
    return _TOSS.joint(row.tobytes() for row in coins)


def shuffled(seed: bytes, epoch: int, rows: int) -> NDArray[np.intp]:
    """The order in which people come in an epoch; the same at every party.

    Args:
        seed: Common.
        epoch: From 0.
        rows: How many people there are.

    Returns:
        A permutation.
    """
    key = hashlib.sha256(seed + epoch.to_bytes(8, "little")).digest()
    return np.argsort(SecureRandom(key).uniform(rows), kind="stable")


def _bytes_of(peer: PeerChannel, step: str) -> bytes:
    _, (array,) = receive(peer, step, 0, Shape("u1", (1, COIN_BYTES)))
    return array.tobytes()


def _rows(values: Iterable[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(values), dtype=np.uint8).reshape(-1, COIN_BYTES)


def _commitment(coin: bytes) -> bytes:
    """Without a name: parties of a run do not know in which order the label holder has them."""
    return _TOSS.commitment("", coin)
