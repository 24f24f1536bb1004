"""Common shuffles from a seed that no party chose: each commits to a coin before anybody opens one."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ProtocolError
from hanse.exchange import PeerChannel
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.split.messages import Shape, receive, send

COIN_BYTES: Final = 32
_MOST_PARTIES: Final = 64


def commitment(coin: bytes) -> bytes:
    """What a party says of its coin before it opens it."""
    return hashlib.sha256(b"hanse split coin\0" + coin).digest()


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
    mine = commitment(coin)
    said = [mine, *(_bytes_of(peer, "commit") for peer in peers.values())]
    for peer in peers.values():
        send(peer, "commitments", 0, _rows(said))
    coins = [coin, *(_bytes_of(peer, "open") for peer in peers.values())]
    for name, opened, committed in zip(("this party", *peers), coins, said, strict=True):
        _check(opened, committed, name)
    for peer in peers.values():
        send(peer, "coins", 0, _rows(coins))
    return hashlib.sha256(b"".join(coins)).digest()


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
    send(peer, "commit", 0, _rows([commitment(coin)]))
    shape = Shape("u1", (parties, COIN_BYTES))
    _, (said,) = receive(peer, "commitments", 0, shape)
    if commitment(coin) not in {row.tobytes() for row in said}:
        raise ProtocolError("protocol.malformed", f"{peer.peer} has left out this party's coin")
    send(peer, "open", 0, _rows([coin]))
    _, (coins,) = receive(peer, "coins", 0, shape)
    for opened, committed in zip(coins, said, strict=True):
        _check(opened.tobytes(), committed.tobytes(), peer.peer)
    return hashlib.sha256(coins.tobytes()).digest()


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


def _check(opened: bytes, committed: bytes, name: str) -> None:
    if commitment(opened) != committed:
        raise ProtocolError("protocol.malformed", f"{name} opened another coin than it had committed to")
