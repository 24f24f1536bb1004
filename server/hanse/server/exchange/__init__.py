"""The coordinator's side of the sessions that the inner loops of a round use.

* :mod:`hanse.server.exchange.hub`: all sessions there are; finds the one that a member's call belongs to.
* :mod:`hanse.server.exchange.exchange`: the sessions of one phase, as an algorithm sees them.
* :mod:`hanse.server.exchange.members`: the conversation with one of them, for protocols between two parties.
* :mod:`hanse.server.exchange.service`: the gRPC service.
* :mod:`hanse.server.exchange.metrics`: figures for Prometheus.
"""

from hanse.server.exchange.exchange import Exchange
from hanse.server.exchange.hub import Bounds, Hub
from hanse.server.exchange.members import MemberChannel
from hanse.server.exchange.metrics import ExchangeMetrics
from hanse.server.exchange.service import ExchangeService

__all__ = [
    "Bounds",
    "Exchange",
    "ExchangeMetrics",
    "ExchangeService",
    "Hub",
    "MemberChannel",
]
