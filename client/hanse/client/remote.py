"""What a member asks of the coordinator outside a run, over gRPC with mutual TLS."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from hanse.api.v1 import coordinator_pb2 as pb
from hanse.api.v1 import coordinator_pb2_grpc as pb_grpc
from hanse.client.channel import CALL_TIMEOUT_S, open_channel, translated
from hanse.client.home import MemberHome
from hanse.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One step of a run's progress; see the protocol file."""

    run: str
    time: str
    type: str
    round: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """A model version, not checked yet.

    Attributes:
        manifest: Its signed manifest, a note.
        weights: Safetensors.
        registration: Its entry ``model.registered`` of the shared log.
        proof: That the entry is in a checkpoint that the witnesses co-signed.
    """

    manifest: bytes
    weights: bytes
    registration: bytes
    proof: bytes


class CoordinatorClient:
    """A connection to the coordinator; use it as a context manager.

    Args:
        home: The member's folder: its TLS key and certificate, and the coordinator's authority.
        address: ``host:port`` of the coordinator's gRPC service.
    """

    def __init__(self, home: MemberHome, address: str) -> None:
        self._address = address
        self._channel = open_channel(home, address)
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

    def start(self, agreement_digest: str, trials: int = 0) -> Iterator[RunEvent]:
        """Starts a run and yields its events until it ends.

        Args:
            agreement_digest: Of the agreement.
            trials: How many trials a sweep has; 0 for one run of the training as it was agreed.
        """
        request = pb.StartRunRequest(agreement_digest=agreement_digest, trials=trials)
        return self._events(self._stub.StartRun(request))

    def watch(self, run: str) -> Iterator[RunEvent]:
        """Yields the events of a run, from its first to its last."""
        return self._events(self._stub.WatchRun(pb.WatchRunRequest(run=run)))

    def cancel(self, run: str) -> None:
        """Asks a run to end."""
        with self._translated():
            self._stub.CancelRun(pb.CancelRunRequest(run=run), timeout=CALL_TIMEOUT_S)

    def model(self, reference: str) -> FetchedModel:
        """A registered model version, as the coordinator hands it out."""
        with self._translated():
            answer = self._stub.GetModel(pb.GetModelRequest(model=reference), timeout=CALL_TIMEOUT_S)
            return FetchedModel(
                answer.manifest, answer.weights, answer.registration, answer.registration_proof
            )

    def _events(self, stream: Iterator[pb.RunEvent]) -> Iterator[RunEvent]:
        with self._translated():
            for event in stream:
                yield RunEvent(event.run, event.time, event.type, event.round, _facts(event.facts))

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self._address)


def _facts(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ProtocolError("protocol.malformed", "the coordinator sent facts that are not JSON") from error
    return value if isinstance(value, dict) else {}
