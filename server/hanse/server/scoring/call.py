"""One scoring call: what a request asks, and what the response says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.policies import Column, Scoring
from hanse.server.scoring.tensors import BYTES, bad_input, pack_texts, read_numbers, read_texts, row_count

SUBJECT_INPUT: Final = "subject_id"
SCORE_OUTPUT: Final = "score"
DECISION_OUTPUT: Final = "decision"
OUTPUTS: Final = (SCORE_OUTPUT, DECISION_OUTPUT)
PERMIT: Final = b"permit"
BANDS: Final = 10


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


@dataclass(frozen=True, slots=True)
class Answers:
    """What is said about each subject of a call.

    Attributes:
        scores: float32 per subject, in the form that the agreement allows; NaN for whom it is denied.
        rules: The rule that denied each subject, None where none did.
    """

    scores: npt.NDArray[np.float32]
    rules: tuple[str | None, ...]


def read_call(request: oip.ModelInferRequest, columns: Sequence[Column], maximum_rows: int) -> Call:
    """Reads the tensors of a request.

    Args:
        request: A parsed request, from anywhere.
        columns: Columns of the agreement; the request must carry each of them, and ``subject_id``.
        maximum_rows: Most subjects in one call.

    Returns:
        The call.

    Raises:
        ServingError: ``scoring.bad-input`` if the inputs are not exactly these, in type, shape and number.
    """
    raw = _raw_contents(request)
    inputs = {tensor.name: (tensor, content) for tensor, content in zip(request.inputs, raw, strict=True)}
    if len(inputs) != len(request.inputs) or inputs.keys() != set(input_names(columns)):
        raise bad_input("the inputs are not the agreement's columns and subject_id, each once")
    if any(tensor.parameters for tensor in request.inputs) or any(
        output.parameters for output in request.outputs
    ):
        # Shared memory is asked for by such parameters; reading it as "no values" would hide the refusal.
        raise bad_input("parameters of a tensor are not served")
    rows = row_count(inputs[SUBJECT_INPUT][0], maximum_rows)
    if any(row_count(tensor, maximum_rows) != rows for tensor in request.inputs):
        raise bad_input("the inputs have different numbers of rows")
    subjects = read_texts(*inputs[SUBJECT_INPUT], rows)
    if not all(subject.strip() for subject in subjects):
        raise bad_input("a subject_id is blank")
    values = {column.name: _read_column(column, *inputs[column.name], rows) for column in columns}
    return Call(subjects, values, _requested(request), raw=bool(request.raw_input_contents))


def input_names(columns: Sequence[Column]) -> tuple[str, ...]:
    """Names of all inputs of a call, ``subject_id`` first."""
    return (SUBJECT_INPUT, *(column.name for column in columns))


def minimised(scores: npt.NDArray[np.float64], terms: Scoring) -> npt.NDArray[np.float32]:
    """Scores in the form that the agreement allows to leave.

    Args:
        scores: Probabilities in [0, 1].
        terms: The agreement's terms of scoring.

    Returns:
        The probability rounded to the agreed decimals, or the number of its band: 1 for [0, 0.1) up to
        10 for [0.9, 1].
    """
    if terms.output == "band":
        return (np.minimum(np.floor(scores * BANDS), BANDS - 1) + 1).astype(np.float32)
    return np.round(scores, terms.decimals).astype(np.float32)


def write_outputs(response: oip.ModelInferResponse, call: Call, answers: Answers) -> None:
    """Adds the outputs that the call asked for, raw or typed as its inputs were.

    Args:
        response: Gets the outputs.
        call: The call.
        answers: What is said about each subject.
    """
    decisions = [PERMIT if rule is None else f"deny:{rule}".encode() for rule in answers.rules]
    for name in call.outputs:
        tensor = response.outputs.add(name=name, shape=[len(call.subjects)])
        if name == SCORE_OUTPUT:
            tensor.datatype = "FP32"
            packed = answers.scores.astype("<f4").tobytes()
        else:
            tensor.datatype = BYTES
            packed = pack_texts(decisions)
        if call.raw:
            response.raw_output_contents.append(packed)
        elif name == SCORE_OUTPUT:
            tensor.contents.fp32_contents.extend(answers.scores.tolist())
        else:
            tensor.contents.bytes_contents.extend(decisions)


def _raw_contents(request: oip.ModelInferRequest) -> Sequence[bytes | None]:
    """The raw contents of each input; None for each when the request carries typed values."""
    if not request.raw_input_contents:
        return [None] * len(request.inputs)
    if len(request.raw_input_contents) != len(request.inputs):
        raise bad_input("there are not as many raw contents as inputs")
    if any(tensor.HasField("contents") for tensor in request.inputs):
        raise bad_input("raw and typed contents are mixed")
    return request.raw_input_contents


def _read_column(
    column: Column, tensor: oip.ModelInferRequest.InferInputTensor, raw: bytes | None, rows: int
) -> npt.NDArray[Any]:
    if column.kind == "numeric":
        return read_numbers(tensor, raw, rows)
    return np.array(read_texts(tensor, raw, rows), dtype=object)


def _requested(request: oip.ModelInferRequest) -> tuple[str, ...]:
    """Outputs asked for; all when none is named."""
    names = tuple(output.name for output in request.outputs) or OUTPUTS
    if len(set(names)) != len(names) or not set(names) <= set(OUTPUTS):
        raise bad_input("an output is asked for that is not served, or twice")
    return names
