"""The demo's scoring calls: a calling system with its own certificate, over gRPC, as any client would."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from hanse.api.v1 import scoring_pb2 as pb
from hanse.api.v1 import scoring_pb2_grpc as pb_grpc
from hanse.demo.results import ScoringCall

CALL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back of a call.

    Attributes:
        response: The answer; None of a call that was refused.
        status: Name of the gRPC status.
        code: Error code of a refusal, where the scorer gave one.
        latency_ms: Milliseconds at the caller, with the connection.
    """

    response: pb.ScoreResponse | None
    status: str
    code: str | None
    latency_ms: float

    @property
    def rules(self) -> list[str]:
        """The rule that denied each subject, empty where none did; nothing of a call that was refused."""
        return [] if self.response is None else list(self.response.results.rules)


@dataclass(frozen=True, slots=True)
class Caller:
    """A calling system of one model version.

    Attributes:
        address: ``host:port`` of the scorer.
        folder: With ``tls.key`` and ``tls.crt`` of the calling system; its name is the caller's.
        authority: PEM file, what the scorer's certificate chains to.
        model: Name and version.
    """

    address: str
    folder: Path
    authority: Path
    model: tuple[str, str]

    def ask(self, purpose: str, subject_ids: Sequence[str]) -> Reply:
        """Makes one call.

        Args:
            purpose: The use that the caller declares.
            subject_ids: The subjects, as the member that scores writes them; it looks up their columns.
        """
        key, certificate = (self.folder / name for name in ("tls.key", "tls.crt"))
        credentials = grpc.ssl_channel_credentials(
            self.authority.read_bytes(), key.read_bytes(), certificate.read_bytes()
        )
        name, version = self.model
        request = pb.ScoreRequest(model=name, version=version, purpose=purpose, subject_ids=subject_ids)
        started_s = time.monotonic()
        with grpc.secure_channel(self.address, credentials) as channel:
            try:
                response = pb_grpc.ScoringStub(channel).Score(request, timeout=CALL_TIMEOUT_S)
                status, code = "OK", None
            except grpc.RpcError as error:
                response, status, code = None, error.code().name, _code(error)
        return Reply(response, status, code, 1000 * (time.monotonic() - started_s))

    def score(self, purpose: str, subject_ids: Sequence[str]) -> ScoringCall:
        """Makes one call as :meth:`ask` does, and says how it went."""
        reply = self.ask(purpose, subject_ids)
        rules = reply.rules
        denied = sorted(set(rules) - {""})
        return ScoringCall(
            caller=self.folder.name,
            purpose=purpose,
            allowed=reply.response is not None,
            outcome=reply.status,
            subjects=len(subject_ids),
            scored=rules.count(""),
            code=reply.code,
            rule=denied[0] if denied else None,
            latency_ms=reply.latency_ms,
        )


def _code(error: grpc.RpcError) -> str | None:
    codes = [item.value for item in error.trailing_metadata() or () if item.key == "hanse-error-code"]
    return _text(codes[0]) if codes else None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
