"""Spans of some of the calls, for OpenTelemetry; only with the extra ``telemetry``, and when asked for.

One span per sampled call and none for the others: which are sampled is decided when a call comes, so that the
rest costs one random number. A span says how a call ended, how many rows it had, by which model version and
under which index it is in the audit log. Subjects, values and whatever a caller wrote are not among that.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from typing_extensions import override

from hanse.errors import ConfigurationError
from hanse.server.scoring.noted import Metadata, Noted, Watcher

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

SERVICE: Final = "hanse-scorer"
TRACEPARENT: Final = "traceparent"
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_SAMPLED: Final = 1


class Spans(Watcher):
    """Makes a span of each sampled call.

    Args:
        provider: Makes and exports spans.
        share: Share of the calls to sample, 0 to 1.
        rng: Tells which.
        trust_callers: Whether a caller's ``traceparent`` says which trace a call belongs to, and that it is
            sampled. A caller can then make every call of its own cost a span.
    """

    def __init__(
        self, provider: "TracerProvider", share: float, rng: np.random.Generator, *, trust_callers: bool
    ) -> None:
        self._tracer = provider.get_tracer(SERVICE)
        self._share = share
        self._rng = rng
        self._trust_callers = trust_callers
        self._open: dict[int, Any] = {}

    @override
    def begin(self, noted: Noted, metadata: Metadata) -> None:
        """Opens a span, if the call is sampled."""
        parent = _parent(metadata() or ()) if self._trust_callers else None
        if parent is None and self._rng.random() >= self._share:
            return
        self._open[id(noted)] = self._tracer.start_span(noted.method.rpartition("/")[2], context=parent)

    @override
    def end(self, noted: Noted) -> None:
        """Closes it."""
        span = self._open.pop(id(noted), None)
        if span is None:
            return
        known = {
            "rpc.system": "grpc",
            "rpc.method": noted.method,
            "hanse.code": noted.code,
            "hanse.rule": noted.rule,
            "hanse.caller": noted.caller,
            "hanse.rows": noted.rows,
            "hanse.denied_rows": sum(noted.denied.values()),
            "hanse.log_index": noted.log_index,
            "hanse.model": noted.model,
        }
        span.set_attributes({name: value for name, value in known.items() if value is not None})
        span.end()


def open_spans(
    endpoint: str,
    share: float,
    *,
    trust_callers: bool,
    make_exporter: "Callable[[str], SpanExporter] | None" = None,
) -> tuple[Spans, Callable[[], None]]:
    """Spans that go to a collector over OTLP.

    Args:
        endpoint: ``http://host:port`` or ``https://host:port`` of the collector.
        share: Share of the calls to sample, 0 to 1.
        trust_callers: See :class:`Spans`.
        make_exporter: Makes what sends spans to an endpoint; OTLP over gRPC if None.

    Returns:
        The spans, and what to call when the scorer ends: it sends what is left.

    Raises:
        ConfigurationError: ``config.invalid`` if the extra is not installed.
    """
    try:
        # Imported here: an optional extra, which takes half a second to import.
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "config.invalid", "spans need the extra `telemetry`: pip install 'hanse[telemetry]'"
        ) from error
    provider = TracerProvider(resource=Resource({SERVICE_NAME: SERVICE}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor((make_exporter or _otlp)(endpoint)))
    spans = Spans(provider, share, np.random.default_rng(), trust_callers=trust_callers)
    return spans, provider.shutdown


def _otlp(endpoint: str) -> "SpanExporter":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"))


def _parent(metadata: Iterable[tuple[str, str | bytes]]) -> Any:  # noqa: ANN401 - OpenTelemetry's context
    """The context of a caller's span, if it has one and has sampled it; see W3C Trace Context."""
    for name, value in metadata:
        if name == TRACEPARENT and isinstance(value, str):
            match = _TRACEPARENT.fullmatch(value)
            if match is not None and int(match[1], 16) & _SAMPLED:
                return _context(value)
    return None


def _context(traceparent: str) -> Any:  # noqa: ANN401
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    return TraceContextTextMapPropagator().extract({TRACEPARENT: traceparent})
