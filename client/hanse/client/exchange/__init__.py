"""The member's side of the sessions that the inner loops of a round use.

* :mod:`hanse.client.exchange.channel`: one session, which reconnects by itself.
* :mod:`hanse.client.exchange.dialling`: its connections over gRPC.
"""

from hanse.client.exchange.channel import ExchangeChannel
from hanse.client.exchange.dialling import open_exchange

__all__ = ["ExchangeChannel", "open_exchange"]
