"""Figures of the exchange for Prometheus: sizes and counts, no member's name and nothing of a message."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ExchangeMetrics:
    """The figures, in a registry of their own.

    Attributes:
        registry: What a scrape reads.
        sessions: Sessions that are open, one per member and phase.
        connections: Sessions that have a connection now.
        received: Bytes of messages that members sent.
        sent: Bytes of messages that were sent to members; what is sent again after a broken connection
            counts again.
        relayed: Bytes of messages from one member to another.
        dropped: Messages for a member whose session had ended.
        resumes: Connections that went on with a session.
        refusals: Calls that ended in an error, by code.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sessions = self._gauge("sessions", "Sessions that are open.")
        self.connections = self._gauge("connections", "Sessions that have a connection now.")
        self.received = self._counter("received_bytes", "Bytes of messages from members.")
        self.sent = self._counter("sent_bytes", "Bytes of messages to members, repeated ones included.")
        self.relayed = self._counter("relayed_bytes", "Bytes of messages from member to member.")
        self.dropped = self._counter("dropped", "Messages for a member whose session had ended.")
        self.resumes = self._counter("resumes", "Connections that went on with a session.")
        self.refusals = self._counter("refusals", "Calls that ended in an error.", "code")

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"hanse_exchange_{name}", text, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"hanse_exchange_{name}", text, labels, registry=self.registry)
