"""The demo's scoring calls: a calling system with its own certificate, over gRPC, as any client would."""

import time
from collections.abc import Sequence
from pathlib import Path

import grpc

from hanse.api.v1 import scoring_pb2 as pb
from hanse.api.v1 import scoring_pb2_grpc as pb_grpc
from hanse.demo.results import ScoringCall

CALL_TIMEOUT_S = 10.0


def score(
    address: str,
    caller: Path,
    authority: Path,
    model: tuple[str, str],
    purpose: str,
    subject_ids: Sequence[str],
) -> ScoringCall:
    """Makes one call and says how it went.

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
        stub = pb_grpc.ScoringStub(channel)
        try:
            response = stub.Score(request, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            return _refused(caller.name, purpose, len(subject_ids), error, started_s)
    rules = list(response.results.rules)
    denied = sorted(set(rules) - {""})
    return ScoringCall(
        caller=caller.name,
        purpose=purpose,
        allowed=True,
        outcome="OK",
        subjects=len(subject_ids),
        scored=rules.count(""),
        rule=denied[0] if denied else None,
        latency_ms=1000 * (time.monotonic() - started_s),
    )


def _refused(caller: str, purpose: str, subjects: int, error: grpc.RpcError, started_s: float) -> ScoringCall:
    codes = [item.value for item in error.trailing_metadata() or () if item.key == "hanse-error-code"]
    return ScoringCall(
        caller=caller,
        purpose=purpose,
        allowed=False,
        outcome=error.code().name,
        subjects=subjects,
        scored=0,
        code=_text(codes[0]) if codes else None,
        latency_ms=1000 * (time.monotonic() - started_s),
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
