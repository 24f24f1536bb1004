"""A scoring call in the Open Inference Protocol: what a request asks, and what the response says."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.errors import PolicyError
from hanse.policies import Column
from hanse.server.scoring.asked import Answer, Output
from hanse.server.scoring.messages import delimited
from hanse.server.scoring.tensors import BYTES, bad_input, pack_texts, read_numbers, read_texts, row_count

SUBJECT_INPUT: Final = "subject_id"
SCORE_OUTPUT: Final = "score"
DECISION_OUTPUT: Final = "decision"
OUTPUTS: Final = (SCORE_OUTPUT, DECISION_OUTPUT)
_KINDS: Final = {SCORE_OUTPUT: "FP32", DECISION_OUTPUT: BYTES}
PERMIT: Final = b"permit"
PURPOSE_PARAMETER: Final = "purpose"
RAW_SIZE: Final = "binary_data_size"
_KEY, _VALUE = 1, 2  # of every map's entries (Encoding, "Maps")
_ID, _PARAMETERS, _RAW = (
    oip.ModelInferResponse.DESCRIPTOR.fields_by_name[name].number
    for name in ("id", "parameters", "raw_output_contents")
)
_TEXT_VALUE: Final = oip.InferParameter.DESCRIPTOR.fields_by_name["string_param"].number


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks.

    Attributes:
        subjects: Identifier of each subject, as the caller writes it.
        columns: Values per column of the agreement, one per subject: float64, or objects of type ``str``.
        outputs: Names of the outputs asked for.
        raw: Whether the values came raw; the response then carries raw values as well.
    """

    subjects: tuple[str, ...]
    columns: Mapping[str, npt.NDArray[Any]]
    outputs: tuple[str, ...]
    raw: bool


def read_call(
    request: oip.ModelInferRequest,
    columns: Sequence[Column],
    maximum_rows: int,
    extras: Collection[str] = (),
) -> Call:
    """Reads the tensors of a request.

    Args:
        request: A parsed request, from anywhere.
        columns: Columns of the agreement; the request must carry each of them, and ``subject_id``.
        maximum_rows: Most subjects in one call.
        extras: Names of the extra outputs that the model serves, each when it is asked for.

    Returns:
        The call.

    Raises:
        ServingError: ``scoring.bad-input`` if the inputs are not exactly these, in type, shape and number.
    """
    raw = _raw_contents(request)
    inputs = {tensor.name: (tensor, content) for tensor, content in zip(request.inputs, raw, strict=True)}
    if len(inputs) != len(request.inputs) or inputs.keys() != set(input_names(columns)):
        raise bad_input("the inputs are not the agreement's columns and subject_id, each once")
    if any(output.parameters for output in request.outputs):
        raise bad_input("parameters of a tensor are not served")
    for tensor, content in inputs.values():
        # Most callers send none, and looking at an empty map costs little.
        if tensor.parameters:
            _require_harmless(tensor, content)
    rows = row_count(inputs[SUBJECT_INPUT][0], maximum_rows)
    if any(row_count(tensor, maximum_rows) != rows for tensor in request.inputs):
        raise bad_input("the inputs have different numbers of rows")
    subjects = read_texts(*inputs[SUBJECT_INPUT], rows)
    if not all(subject.strip() for subject in subjects):
        raise bad_input("a subject_id is blank")
    values = {column.name: _read_column(column, *inputs[column.name], rows) for column in columns}
    return Call(subjects, values, _requested(request, extras), raw=bool(request.raw_input_contents))


def input_names(columns: Sequence[Column]) -> tuple[str, ...]:
    """Names of all inputs of a call, ``subject_id`` first."""
    return (SUBJECT_INPUT, *(column.name for column in columns))


def routing_bytes(request: oip.ModelInferRequest) -> bytes:
    """Whom a request asks about, for the choice between a live version and its canary; nothing is checked.

    Raw and typed requests about the same subjects give the same bytes.
    """
    for place, tensor in enumerate(request.inputs):
        if tensor.name == SUBJECT_INPUT:
            if place < len(request.raw_input_contents):
                return request.raw_input_contents[place]
            return pack_texts(tensor.contents.bytes_contents)
    return b""


def read_purpose(request: oip.ModelInferRequest, declared: Collection[str]) -> str:
    """The purpose that the caller declares: as a parameter, in the metadata, or as both alike.

    Args:
        request: A parsed request.
        declared: Purposes named in the metadata of the call.

    Raises:
        PolicyError: ``policy.purpose`` (P23) if there is none, or two that differ.
    """
    purposes = set(declared)
    if PURPOSE_PARAMETER in request.parameters:
        purposes.add(request.parameters[PURPOSE_PARAMETER].string_param)
    if len(purposes) != 1:
        raise PolicyError("policy.purpose", "a call declares exactly one purpose", rule="P23")
    return purposes.pop()


def write_response(request_id: bytes, outputs: Sequence[str], answer: Answer, *, raw: bool) -> bytes:
    """What is answered, raw or typed as the inputs were.

    Args:
        request_id: What the caller calls the request, UTF-8.
        outputs: Names of the outputs asked for.
        answer: What is said about each subject.
        raw: Whether the values came raw.

    Returns:
        The serialised response. Messages of protobuf that are written one after the other are read as one
        (Encoding, "Last One Wins"), so what is the same for many responses is written once.
    """
    served, rows = answer.served, len(answer.rules)
    parts = [_response_head(served.name, served.version, served.digest, served.agreement.digest)]
    if request_id:
        parts.append(delimited(_ID, request_id))
    parts.append(_number_parameter("log_index", answer.entry.index))
    if answer.entry.path:
        parts.append(_number_parameter("log_position", answer.entry.position))
        parts.append(_text_parameter("log_path", b"".join(answer.entry.path).hex()))
    parts += [_text_parameter(name, mark) for name, mark in answer.marks.items()]
    if not raw:
        parts.append(_typed(outputs, answer, rows))
        return b"".join(parts)
    kinds = [(name, _KINDS.get(name) or _datatype(answer.outputs[name])) for name in outputs]
    parts.append(_output_heads(tuple(kinds), rows))
    for name in outputs:
        decided = name == DECISION_OUTPUT
        parts.append(
            _raw_decisions(answer.rules) if decided else delimited(_RAW, _packed(_output(answer, name)))
        )
    return b"".join(parts)


def _typed(outputs: Sequence[str], answer: Answer, rows: int) -> bytes:
    response = oip.ModelInferResponse()
    for name in outputs:
        _write_typed(response, name, _output(answer, name), rows)
    return response.SerializeToString()


@lru_cache(maxsize=1024)
def _number_parameter(name: str, number: int) -> bytes:
    """A parameter; the index of an entry and a position in it are those of several calls."""
    response = oip.ModelInferResponse()
    response.parameters[name].int64_param = number
    return response.SerializeToString()


def _text_parameter(name: str, text: str) -> bytes:
    value = delimited(_TEXT_VALUE, text.encode())
    return delimited(_PARAMETERS, delimited(_KEY, name.encode()) + delimited(_VALUE, value))


@lru_cache(maxsize=256)
def _response_head(name: str, version: str, digest: str, agreement: str) -> bytes:
    """What every response of a model version says."""
    response = oip.ModelInferResponse(model_name=name, model_version=version)
    response.parameters["model_version"].string_param = version
    response.parameters["model_digest"].string_param = digest
    response.parameters["agreement"].string_param = agreement
    return response.SerializeToString()


@lru_cache(maxsize=1024)
def _output_heads(kinds: tuple[tuple[str, str], ...], rows: int) -> bytes:
    """Names, types and shapes of outputs whose contents are raw."""
    response = oip.ModelInferResponse()
    for name, datatype in kinds:
        response.outputs.add(name=name, datatype=datatype, shape=[rows])
    return response.SerializeToString()


def _output(answer: Answer, name: str) -> Output:
    if name == SCORE_OUTPUT:
        return answer.scores
    if name == DECISION_OUTPUT:
        return _decisions(answer.rules)
    return answer.outputs[name]


@lru_cache(maxsize=64)
def _decisions(rules: tuple[str | None, ...]) -> tuple[bytes, ...]:
    return tuple(PERMIT if rule is None else f"deny:{rule}".encode() for rule in rules)


@lru_cache(maxsize=64)
def _raw_decisions(rules: tuple[str | None, ...]) -> bytes:
    return delimited(_RAW, pack_texts(_decisions(rules)))


def _datatype(output: Output) -> str:
    return "FP32" if isinstance(output, np.ndarray) else BYTES


def _packed(output: Output) -> bytes:
    if isinstance(output, np.ndarray):
        return output.astype("<f4", copy=False).tobytes()
    return pack_texts(output)


def _write_typed(response: oip.ModelInferResponse, name: str, output: Output, rows: int) -> None:
    tensor = response.outputs.add(name=name, datatype=_datatype(output), shape=[rows])
    if isinstance(output, np.ndarray):
        tensor.contents.fp32_contents.extend(output.tolist())
    else:
        tensor.contents.bytes_contents.extend(output)


def _raw_contents(request: oip.ModelInferRequest) -> Sequence[bytes | None]:
    """The raw contents of each input; None for each when the request carries typed values."""
    if not request.raw_input_contents:
        return [None] * len(request.inputs)
    if len(request.raw_input_contents) != len(request.inputs):
        raise bad_input("there are not as many raw contents as inputs")
    if any(tensor.HasField("contents") for tensor in request.inputs):
        raise bad_input("raw and typed contents are mixed")
    return request.raw_input_contents


def _require_harmless(tensor: oip.ModelInferRequest.InferInputTensor, raw: bytes | None) -> None:
    """The one parameter that says nothing new: KServe's client repeats the length of raw contents.

    Shared memory is asked for by others; reading those as "no values" would hide the refusal.
    """
    size = tensor.parameters[RAW_SIZE].int64_param if RAW_SIZE in tensor.parameters else None
    if raw is None or len(tensor.parameters) != 1 or size != len(raw):
        raise bad_input("parameters of a tensor are not served")


def _read_column(
    column: Column, tensor: oip.ModelInferRequest.InferInputTensor, raw: bytes | None, rows: int
) -> npt.NDArray[Any]:
    if column.kind == "numeric":
        return read_numbers(tensor, raw, rows)
    return np.array(read_texts(tensor, raw, rows), dtype=object)


def _requested(request: oip.ModelInferRequest, extras: Collection[str]) -> tuple[str, ...]:
    """Outputs asked for; score and decision when none is named."""
    names = tuple(output.name for output in request.outputs) or OUTPUTS
    if len(set(names)) != len(names) or not set(names) <= {*OUTPUTS, *extras}:
        raise bad_input("an output is asked for that is not served, or twice")
    return names
