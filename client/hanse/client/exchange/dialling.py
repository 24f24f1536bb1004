"""Connections of a session over gRPC with mutual TLS."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hanse.api.v1 import exchange_pb2 as pb
from hanse.api.v1 import exchange_pb2_grpc as pb_grpc
from hanse.client.channel import open_channel, translated
from hanse.client.exchange.channel import ExchangeChannel
from hanse.client.home import MemberHome
from hanse.exchange import Limits, Timing

if TYPE_CHECKING:
    import grpc


def open_exchange(
    home: MemberHome,
    address: str,
    run: str,
    phase: str,
    limits: Limits | None = None,
    timing: Timing | None = None,
) -> ExchangeChannel:
    """Opens a session with the coordinator and returns before it is connected.

    Args:
        home: The member's folder: its TLS key and certificate, and the coordinator's authority.
        address: ``host:port`` of the coordinator's gRPC services.
        run: The run.
        phase: The phase of it, as the coordinator named it.
        limits: Sizes; those of the coordinator.
        timing: Times.

    Raises:
        ConfigurationError: ``config.missing-file`` if no coordinator is enrolled.
    """
    return ExchangeChannel(GrpcDialler(home, address), run, phase, limits, timing)


class GrpcDialler:
    """Makes connections over one gRPC channel.

    Args:
        home: As :func:`open_exchange`.
        address: As :func:`open_exchange`.
    """

    def __init__(self, home: MemberHome, address: str) -> None:
        self._address = address
        self._channel = open_channel(home, address)
        self._stub = pb_grpc.ExchangeStub(self._channel)

    def dial(self, requests: Iterator[pb.MemberFrame]) -> "GrpcCall":
        """Starts a call; a thread of gRPC's reads the requests."""
        return GrpcCall(self._stub.Open(requests), self._address)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()


class GrpcCall:
    """One call, with errors as ours."""

    def __init__(self, call: "grpc._CallIterator[pb.CoordinatorFrame]", address: str) -> None:
        self._call = call
        self._address = address

    def __iter__(self) -> Iterator[pb.CoordinatorFrame]:
        """What the coordinator sends.

        Raises:
            HanseError: With the coordinator's code, or ``run.engine`` if the connection broke.
        """
        with translated(self._address):
            yield from self._call

    def cancel(self) -> None:
        """Breaks it off."""
        self._call.cancel()
