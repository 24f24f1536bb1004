"""Sessions between a member's node and the coordinator that outlive their connections.

Messages in both directions, each delivered once and in order however often the connection breaks, with
bounded memory on both sides. What carries the frames is not in here: the gRPC service is
``hanse.server.exchange``, its client ``hanse.client.exchange``; frames are those of
``hanse/api/v1/exchange.proto``.

* :mod:`hanse.exchange.limits`: sizes and times.
* :mod:`hanse.exchange.outbound`: the sending half: pieces, acknowledgement, credit.
* :mod:`hanse.exchange.inbound`: the receiving half: order, messages, what is granted.
* :mod:`hanse.exchange.endpoint`: both halves of one end. Pure, as the two above.
* :mod:`hanse.exchange.link`: an endpoint that several threads use, with deadlines.
* :mod:`hanse.exchange.peers`: what protocols between two parties are written against.
* :mod:`hanse.exchange.transcript`: what was said, as digests that both parties can compare.
"""

from hanse.exchange.endpoint import Endpoint
from hanse.exchange.limits import FRAME_COST, INCARNATION_BYTES, PROTOCOL, Limits, Timing
from hanse.exchange.link import Link
from hanse.exchange.peers import LONGEST_BODY_BYTES, MemoryChannel, PeerChannel, memory_pair
from hanse.exchange.transcript import Said, Transcript

__all__ = [
    "FRAME_COST",
    "INCARNATION_BYTES",
    "LONGEST_BODY_BYTES",
    "PROTOCOL",
    "Endpoint",
    "Limits",
    "Link",
    "MemoryChannel",
    "PeerChannel",
    "Said",
    "Timing",
    "Transcript",
    "memory_pair",
]
