"""The exchange over gRPC: who calls, and nothing else."""

from collections.abc import Iterator

import grpc
from typing_extensions import override

from hanse.api.v1 import exchange_pb2 as pb
from hanse.api.v1 import exchange_pb2_grpc as pb_grpc
from hanse.policies import Identity
from hanse.server.calls import member_of, stream
from hanse.server.coordinator import Coordinator
from hanse.server.exchange.hub import Hub
from hanse.server.runs import RunBook


class ExchangeService(pb_grpc.ExchangeServicer):
    """See the protocol file.

    Args:
        coordinator: Knows the enrolled members by their certificates.
        book: Knows who takes part in which run.
        hub: The sessions.
    """

    def __init__(self, coordinator: Coordinator, book: RunBook, hub: Hub) -> None:
        self._coordinator = coordinator
        self._book = book
        self._hub = hub

    def authenticate(self, context: grpc.ServicerContext) -> Identity:
        """The enrolled member that calls; raises ``identity.unauthenticated`` for everybody else."""
        return member_of(context, self._coordinator)

    @override
    @stream
    def Open(
        self, request_iterator: Iterator[pb.MemberFrame], context: grpc.ServicerContext, caller: Identity
    ) -> Iterator[pb.CoordinatorFrame]:
        """See the protocol file."""

        def admit(run: str) -> None:
            self._book.get(run).require_member(caller.name)

        yield from self._hub.connect(caller.name, request_iterator, context.cancel, admit)
