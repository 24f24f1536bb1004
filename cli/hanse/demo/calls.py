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


def ask(
    address: str,
    caller: Path,
    authority: Path,
    model: tuple[str, str],
    purpose: str,
    subject_ids: Sequence[str],
) -> Reply:
    """Makes one call.

    Args:
        address: ``host:port`` of the scorer.
        caller: Folder with ``tls.key`` and ``tls.crt`` of the calling system; its name is the caller's.
        authority: PEM file, what the scorer's certificate chains to.
        model: Name and version.
        purpose: The use that the caller declares.
        subject_ids: The subjects, as the member that scores writes them; it looks up their columns.
    """
    credentials = grpc.ssl_channel_credentials(
        authority.read_bytes(), (caller / "tls.key").read_bytes(), (caller / "tls.crt").read_bytes()
    )
    request = pb.ScoreRequest(model=model[0], version=model[1], purpose=purpose, subject_ids=subject_ids)
    started_s = time.monotonic()
    with grpc.secure_channel(address, credentials) as channel:
        try:
            response = pb_grpc.ScoringStub(channel).Score(request, timeout=CALL_TIMEOUT_S)
            status, code = "OK", None
        except grpc.RpcError as error:
            response, status, code = None, error.code().name, _code(error)
    return Reply(response, status, code, 1000 * (time.monotonic() - started_s))


def score(
    address: str,
    caller: Path,
    authority: Path,
    model: tuple[str, str],
    purpose: str,
    subject_ids: Sequence[str],
) -> ScoringCall:
    """Makes one call as :func:`ask` does, and says how it went."""
    reply = ask(address, caller, authority, model, purpose, subject_ids)
    rules = [] if reply.response is None else list(reply.response.results.rules)
    denied = sorted(set(rules) - {""})
    return ScoringCall(
        caller=caller.name,
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
