"""How a scorer runs: what it lets callers hold, and what it tells those who run it."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from hanse.server.scoring.limits import Bounds

HANDSHAKE_S: Final = 10
"""How long a connection may take until it may carry calls; longer than any honest handshake takes."""
PING_S: Final = 30
PONG_S: Final = 10
"""A peer that answers no ping for this long is gone."""
CLOSING_S: Final = 60
"""How long calls may go on over a connection that has become too old."""
MAXIMUM_METADATA_BYTES: Final = 16 * 1024


class Operation(BaseModel):
    """Bounds of a scorer, and what it tells. The defaults hold for one scorer on a machine of its own.

    Attributes:
        maximum_calls: Most calls at once; more are refused unread (`scoring.busy`).
        maximum_calls_per_connection: Most calls at once on one connection; more wait at the caller.
        maximum_connections: Most connections at once; more are closed before they can say anything.
        maximum_receiving: Most requests that are received at once. With the largest request it bounds the
            memory that requests take before they are read.
        receive_s: How long a request may take to arrive, and a message of a stream to be taken, seconds.
        call_s: How long a call may take, seconds, whether its caller sets a deadline or not.
        idle_connection_s: How long a connection may carry no call, seconds.
        connection_s: How old a connection may become, seconds; its caller then opens another.
        metrics_address: ``host:port`` where Prometheus may ask for figures, over plain HTTP; nowhere if None.
        spans_endpoint: Where spans go, ``http://host:port`` of an OpenTelemetry collector (OTLP over gRPC);
            nowhere if None.
        spans_share: Share of the calls that get a span.
        spans_trust_callers: Whether a ``traceparent`` that a caller sends decides on spans of its calls.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    maximum_calls: int = Field(default=256, ge=1, le=65_536)
    maximum_calls_per_connection: int = Field(default=100, ge=1, le=65_536)
    maximum_connections: int = Field(default=256, ge=1, le=65_536)
    maximum_receiving: int = Field(default=32, ge=1, le=65_536)
    receive_s: float = Field(default=10, gt=0, le=3600)
    call_s: float = Field(default=30, gt=0, le=3600)
    idle_connection_s: float = Field(default=300, ge=1, le=86_400)
    connection_s: float = Field(default=3600, ge=1, le=7 * 86_400)
    metrics_address: str | None = None
    spans_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/@\s]+$")
    spans_share: float = Field(default=0.01, ge=0, le=1)
    spans_trust_callers: bool = False

    @property
    def bounds(self) -> Bounds:
        """What bounds calls."""
        return Bounds(self.maximum_calls, self.maximum_receiving, self.receive_s, self.call_s)

    @property
    def connection_options(self) -> list[tuple[str, int]]:
        """What bounds connections, as options of a gRPC server."""
        return [
            ("grpc.max_allowed_incoming_connections", self.maximum_connections),
            ("grpc.max_concurrent_streams", self.maximum_calls_per_connection),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_S * 1000),
            ("grpc.keepalive_time_ms", PING_S * 1000),
            ("grpc.keepalive_timeout_ms", PONG_S * 1000),
            ("grpc.max_connection_idle_ms", round(self.idle_connection_s * 1000)),
            ("grpc.max_connection_age_ms", round(self.connection_s * 1000)),
            ("grpc.max_connection_age_grace_ms", CLOSING_S * 1000),
            ("grpc.max_metadata_size", MAXIMUM_METADATA_BYTES),
            # A refusal by size alone: the hard limit is otherwise larger than the soft one.
            ("grpc.absolute_max_metadata_size", MAXIMUM_METADATA_BYTES),
        ]
