"""How two parties toss a coin over their channel; a dealer, whose numbers it tests, takes no part."""

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import Arrays, hear_step, malformed, say, speaker
from hanse.crypto import COIN_BYTES, JsonInput, Toss
from hanse.exchange import PeerChannel

COMMIT, COIN, REVEAL = "commit", "coin", "reveal"


def toss_first(channel: PeerChannel, tossed: Toss, party: str, own: bytes, **fields: JsonInput) -> bytes:
    """The part of whoever is bound to its half before it sees the other one.

    Args:
        channel: To the other party.
        tossed: What for.
        party: Own name.
        own: Own half, random, :data:`COIN_BYTES` long.
        fields: What else the first message says.

    Returns:
        The joint coin.

    Raises:
        ProtocolError: ``protocol.malformed`` or ``protocol.unexpected-step``, naming the peer.
    """
    say(channel, COMMIT, _row(tossed.commitment(party, own)), **fields)
    _, arrays = hear_step(channel, COIN)
    other = _only(channel, arrays)
    say(channel, REVEAL, _row(own))
    return tossed.joint([own, other])


def toss_second(channel: PeerChannel, tossed: Toss, party: str, own: bytes, arrays: Arrays) -> bytes:
    """The part of the other one.

    Args:
        channel: To the first party.
        tossed: What for.
        party: The first party's name.
        own: Own half, random, :data:`COIN_BYTES` long.
        arrays: Of the first party's first message.

    Returns:
        The joint coin.

    Raises:
        ProtocolError: As :func:`toss_first`; ``protocol.malformed`` for a half that the first party was not
            bound to.
    """
    bound = _only(channel, arrays)
    say(channel, COIN, _row(own))
    _, shown = hear_step(channel, REVEAL)
    other = _only(channel, shown)
    tossed.check(party, other, bound, speaker(channel))
    return tossed.joint([other, own])


def _only(channel: PeerChannel, arrays: Arrays) -> bytes:
    if len(arrays) != 1 or arrays[0].dtype != np.uint8 or arrays[0].shape != (COIN_BYTES,):
        raise malformed(channel, "not half of a coin, or what binds to one")
    return arrays[0].tobytes()


def _row(value: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(value, dtype=np.uint8)
