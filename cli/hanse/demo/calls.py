"""The demo's scoring calls: a calling system with its own certificate, over gRPC, as any client would."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.inference import open_inference_grpc_pb2_grpc as oip_grpc
from hanse.demo.results import ScoringCall
from hanse.policies import Column

CALL_TIMEOUT_S = 10.0
PERMIT = b"permit"


def score(
    address: str,
    caller: Path,
    authority: Path,
    model: tuple[str, str],
    purpose: str,
    rows: oip.ModelInferRequest,
) -> ScoringCall:
    """Makes one call and says how it went.

    Args:
        address: ``host:port`` of the scorer.
        caller: Folder with ``tls.key`` and ``tls.crt`` of the calling system; its name is the caller's.
        authority: PEM file, what the scorer's certificate chains to.
        model: Name and version.
        purpose: The use that the caller declares.
        rows: The subjects and their columns, as :func:`make_rows` builds them.
    """
    credentials = grpc.ssl_channel_credentials(
        authority.read_bytes(), (caller / "tls.key").read_bytes(), (caller / "tls.crt").read_bytes()
    )
    request = oip.ModelInferRequest(model_name=model[0], model_version=model[1])
    request.MergeFrom(rows)
    request.parameters["purpose"].string_param = purpose
    subjects = len(request.inputs[0].contents.bytes_contents)
    started_s = time.monotonic()
    with grpc.secure_channel(address, credentials) as channel:
        stub = oip_grpc.GRPCInferenceServiceStub(channel)
        try:
            response = stub.ModelInfer(request, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            return _refused(caller.name, purpose, subjects, error, started_s)
    decisions = _decisions(response)
    denied = sorted(
        {decision.removeprefix(b"deny:").decode() for decision in decisions if decision != PERMIT}
    )
    return ScoringCall(
        caller=caller.name,
        purpose=purpose,
        allowed=True,
        outcome="OK",
        subjects=subjects,
        scored=sum(decision == PERMIT for decision in decisions),
        rule=denied[0] if denied else None,
        latency_ms=1000 * (time.monotonic() - started_s),
    )


def make_rows(
    columns: Sequence[Column], subject_ids: Sequence[str], values: Mapping[str, npt.NDArray[Any]]
) -> oip.ModelInferRequest:
    """Builds the input tensors: one per column of the agreement, and the subjects."""
    request = oip.ModelInferRequest()
    _texts(request, "subject_id", subject_ids)
    for column in columns:
        if column.kind == "categorical":
            _texts(
                request, column.name, ["" if value is None else str(value) for value in values[column.name]]
            )
        else:
            tensor = request.inputs.add(name=column.name, datatype="FP64", shape=[len(subject_ids)])
            tensor.contents.fp64_contents.extend(np.asarray(values[column.name], dtype=np.float64).tolist())
    return request


def _texts(request: oip.ModelInferRequest, name: str, values: Sequence[str]) -> None:
    tensor = request.inputs.add(name=name, datatype="BYTES", shape=[len(values)])
    tensor.contents.bytes_contents.extend(value.encode() for value in values)


def _decisions(response: oip.ModelInferResponse) -> list[bytes]:
    for tensor in response.outputs:
        if tensor.name == "decision":
            return list(tensor.contents.bytes_contents)
    return []


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
