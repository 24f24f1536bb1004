"""Requests that look like one before are read without looking at each part of them again.

A caller's requests differ in their values and hardly ever in anything else. What a request says of its
tensors - names, types, shapes, which outputs - is compared as bytes with what :func:`read_call` has accepted
before; then only the values are read, all numbers of a call at once. Whatever is not quite as expected is
left to :func:`read_call`, which also says what is wrong with it: this module refuses nothing.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.server.scoring.call import SUBJECT_INPUT, Call
from hanse.server.scoring.served import Served
from hanse.server.scoring.tensors import MAXIMUM_ELEMENT_BYTES, NUMERIC_TYPES

_MOST_LAYOUTS: Final = 256
_LENGTH_BYTES: Final = 4
_SPACE: Final = 0x20


class _Layout(NamedTuple):
    """What is known of requests that look alike.

    Attributes:
        rows: Number of rows.
        subject: Place of the subjects among the inputs.
        names: Names of the columns, in the order of the inputs.
        dtype: Type of all of them.
        outputs: Outputs asked for.
    """

    rows: int
    subject: int
    names: tuple[str, ...]
    dtype: np.dtype[Any]
    outputs: tuple[str, ...]


class Layouts:
    """Remembers what requests look like."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[bytes, ...]], _Layout] = {}

    def read(self, request: oip.ModelInferRequest, served: Served) -> Call | None:
        """Reads a request that looks like one before.

        Args:
            request: A parsed request, from anywhere.
            served: The model version that it is for.

        Returns:
            The call, as :func:`hanse.server.scoring.call.read_call` gives it; None if that is to read it.
        """
        raw = list(request.raw_input_contents)
        if not raw:
            return None
        layout = self._known.get(_key(request, served))
        if layout is None or len(raw) != len(layout.names) + 1:
            return None
        subjects = _texts(raw.pop(layout.subject), layout.rows)
        matrix = _numbers(raw, layout)
        if subjects is None or matrix is None:
            return None
        return Call(subjects, dict(zip(layout.names, matrix, strict=True)), layout.outputs, raw=True)

    def learn(self, request: oip.ModelInferRequest, served: Served, call: Call) -> None:
        """Remembers what a request looks like, if its columns are all numbers of one type.

        Args:
            request: A request that was read.
            served: The model version that it is for.
            call: What it was read as.
        """
        types = {tensor.datatype for tensor in request.inputs if tensor.name != SUBJECT_INPUT}
        if not call.raw or len(types) != 1 or not types <= NUMERIC_TYPES.keys():
            return
        names = [tensor.name for tensor in request.inputs]
        subject = names.index(SUBJECT_INPUT)
        del names[subject]
        if len(self._known) >= _MOST_LAYOUTS:
            self._known.clear()
        self._known[_key(request, served)] = _Layout(
            len(call.subjects), subject, tuple(names), NUMERIC_TYPES[types.pop()], call.outputs
        )


def _key(request: oip.ModelInferRequest, served: Served) -> tuple[str, tuple[bytes, ...]]:
    tensors = [tensor.SerializeToString() for tensor in request.inputs]
    tensors.extend(b"\0" + output.SerializeToString() for output in request.outputs)
    return served.digest, tuple(tensors)


def _texts(raw: bytes, rows: int) -> tuple[str, ...] | None:
    """Texts of one length, in ASCII, none of which begins with a space."""
    length = int.from_bytes(raw[:_LENGTH_BYTES], "little")
    if not 1 <= length <= MAXIMUM_ELEMENT_BYTES or len(raw) != rows * (_LENGTH_BYTES + length):
        return None
    if rows == 1:
        only = raw[_LENGTH_BYTES:]
        return (only.decode("ascii"),) if only.isascii() and only[0] > _SPACE else None
    matrix = np.frombuffer(raw, np.uint8).reshape(rows, _LENGTH_BYTES + length)
    if (np.ascontiguousarray(matrix[:, :_LENGTH_BYTES]).view("<u4") != length).any():
        return None
    if (matrix[:, _LENGTH_BYTES] <= _SPACE).any():
        return None
    joined = matrix[:, _LENGTH_BYTES:].tobytes()
    if not joined.isascii():
        return None
    text = joined.decode("ascii")
    return tuple([text[start : start + length] for start in range(0, len(text), length)])


def _numbers(raw: Sequence[bytes], layout: _Layout) -> npt.NDArray[np.float64] | None:
    """Values by column, shape (columns, rows); None if one is not there, or not finite."""
    wanted = layout.rows * layout.dtype.itemsize
    if any(len(each) != wanted for each in raw):
        return None
    values = np.frombuffer(b"".join(raw), layout.dtype).astype(np.float64)
    # A sum of finite numbers may overflow; then `read_call` looks at each.
    if not math.isfinite(float(np.add.reduce(values))):
        return None
    return values.reshape(len(raw), layout.rows)
