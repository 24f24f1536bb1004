"""What a member asks of the coordinator outside a run, over gRPC with mutual TLS."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc

from hanse.api.v1 import coordinator_pb2 as pb
from hanse.api.v1 import coordinator_pb2_grpc as pb_grpc
from hanse.client.home import MemberHome
from hanse.errors import CATALOGUE, ConfigurationError, HanseError, ProtocolError

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
CALL_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One step of a run's progress; see the protocol file."""

    run: str
    time: str
    type: str
    round: int
    facts: dict[str, Any]


class CoordinatorClient:
    """A connection to the coordinator; use it as a context manager.

    Args:
        home: The member's folder: its TLS key and certificate, and the coordinator's authority.
        address: ``host:port`` of the coordinator's gRPC service.
    """

    def __init__(self, home: MemberHome, address: str) -> None:
        if not home.authority.is_file():
            raise ConfigurationError(
                "config.missing-file", "the coordinator is not known here; `hanse enrol` its identity first"
            )
        credentials = grpc.ssl_channel_credentials(
            home.authority.read_bytes(), home.tls_key.read_bytes(), home.tls_certificate.read_bytes()
        )
        options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
        self._address = address
        self._channel = grpc.secure_channel(address, credentials, options=options)
        self._stub = pb_grpc.CoordinatorStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def submit(self, note: bytes) -> str:
        """Hands in a signed agreement; returns its digest."""
        with self._translated():
            request = pb.SubmitAgreementRequest(agreement=note)
            return self._stub.SubmitAgreement(request, timeout=CALL_TIMEOUT_S).agreement_digest

    def start(self, agreement_digest: str) -> Iterator[RunEvent]:
        """Starts a run and yields its events until it ends."""
        return self._events(self._stub.StartRun(pb.StartRunRequest(agreement_digest=agreement_digest)))

    def watch(self, run: str) -> Iterator[RunEvent]:
        """Yields the events of a run, from its first to its last."""
        return self._events(self._stub.WatchRun(pb.WatchRunRequest(run=run)))

    def cancel(self, run: str) -> None:
        """Asks a run to end."""
        with self._translated():
            self._stub.CancelRun(pb.CancelRunRequest(run=run), timeout=CALL_TIMEOUT_S)

    def model(self, reference: str) -> tuple[bytes, bytes]:
        """Manifest note and weights of a registered model version."""
        with self._translated():
            answer = self._stub.GetModel(pb.GetModelRequest(model=reference), timeout=CALL_TIMEOUT_S)
            return answer.manifest, answer.weights

    def shared_log(self) -> bytes:
        """The coordinator's shared log, exact bytes."""
        with self._translated():
            return b"".join(
                part.chunk for part in self._stub.GetLog(pb.GetLogRequest(), timeout=CALL_TIMEOUT_S)
            )

    def _events(self, stream: Iterator[pb.RunEvent]) -> Iterator[RunEvent]:
        with self._translated():
            for event in stream:
                yield RunEvent(event.run, event.time, event.type, event.round, _facts(event.facts))

    def _translated(self) -> "_Translated":
        return _Translated(self._address)


class _Translated:
    """Turns gRPC errors into ours: the coordinator's code where it sent one."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, grpc.RpcError):
            return
        code = next(
            (item.value for item in error.trailing_metadata() or () if item.key == "hanse-error-code"), ""
        )
        if code in CATALOGUE:
            raise HanseError(str(code), f"the coordinator answered: {error.details()}") from error
        raise HanseError(
            "run.engine",
            f"the coordinator at {self._address} did not answer ({error.code().name}); is it running?",
        ) from error


def _facts(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ProtocolError("protocol.malformed", "the coordinator sent facts that are not JSON") from error
    return value if isinstance(value, dict) else {}
