"""The member's side of the sessions that the inner loops of a round use.

* :mod:`hanse.client.exchange.channel`: one session, which reconnects by itself.
* :mod:`hanse.client.exchange.dialling`: its connections over gRPC.
* :mod:`hanse.client.exchange.sealed`: conversations with other members, sealed, over such a session.
* :mod:`hanse.client.exchange.coordinator`: the one with the coordinator, in the same form.
"""

from hanse.client.exchange.channel import ExchangeChannel
from hanse.client.exchange.coordinator import CoordinatorChannel
from hanse.client.exchange.dialling import open_exchange
from hanse.client.exchange.sealed import SealedChannel, SealedPeers, open_peers

__all__ = [
    "CoordinatorChannel",
    "ExchangeChannel",
    "SealedChannel",
    "SealedPeers",
    "open_exchange",
    "open_peers",
]
