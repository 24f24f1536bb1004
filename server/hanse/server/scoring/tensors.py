"""Tensors of the Open Inference Protocol: values in, values out.

A request carries its values either raw (one byte string per input) or typed (one repeated field per
input), never both. Every function here is total: it returns values of the declared number and type or
raises ``scoring.bad-input``. Details name positions and types, never a value.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.errors import ServingError

NUMERIC_TYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT64": np.dtype("<i8"),
}
BYTES: Final = "BYTES"
# A longer identifier or category is no identifier or category of anybody's data.
MAXIMUM_ELEMENT_BYTES: Final = 512

_LENGTH = struct.Struct("<I")
_TYPED_FIELDS: Final = {
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "INT64": "int64_contents",
    BYTES: "bytes_contents",
}


def bad_input(detail: str) -> ServingError:
    """The error of a request that does not fit; ``detail`` names positions and types, never a value."""
    return ServingError("scoring.bad-input", detail)


def row_count(tensor: oip.ModelInferRequest.InferInputTensor, maximum_rows: int) -> int:
    """Number of rows that a tensor declares.

    Args:
        tensor: An input whose shape must be ``[n]`` or ``[n, 1]``.
        maximum_rows: Largest ``n`` accepted.

    Raises:
        ServingError: ``scoring.bad-input`` for any other shape, and for ``n`` outside 1 … ``maximum_rows``.
    """
    shape = tuple(tensor.shape)
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        raise bad_input("an input's shape is neither [n] nor [n, 1]")
    if not 1 <= shape[0] <= maximum_rows:
        raise bad_input(f"an input has {shape[0]} rows; 1 to {maximum_rows} are accepted")
    return shape[0]


def read_numbers(
    tensor: oip.ModelInferRequest.InferInputTensor, raw: bytes | None, rows: int
) -> npt.NDArray[np.float64]:
    """Numbers of one input, as float64.

    Args:
        tensor: The input; FP32, FP64 or INT64. INT64 beyond 2^53 is rounded.
        raw: Its raw contents, or None when the request carries typed ones.
        rows: Number of values expected.

    Returns:
        Array of shape ``(rows,)``, all finite.

    Raises:
        ServingError: ``scoring.bad-input`` for another type, another number of values, or NaN or infinity.
    """
    dtype = NUMERIC_TYPES.get(tensor.datatype)
    if dtype is None:
        raise bad_input("a numeric input is none of FP32, FP64, INT64")
    if raw is None:
        values = _typed_numbers(tensor, dtype, rows)
    else:
        if len(raw) != rows * dtype.itemsize:
            raise bad_input("raw contents do not have the length that the shape declares")
        values = np.frombuffer(raw, dtype)
    numbers = values.astype(np.float64)
    # Of one value numpy would take longer to begin than to look.
    if not (math.isfinite(numbers.item()) if rows == 1 else np.isfinite(numbers).all()):
        raise bad_input("a numeric input is not finite")
    return numbers


def read_texts(
    tensor: oip.ModelInferRequest.InferInputTensor, raw: bytes | None, rows: int
) -> tuple[str, ...]:
    """Texts of one BYTES input.

    Args:
        tensor: The input.
        raw: Its raw contents, or None when the request carries typed ones.
        rows: Number of elements expected.

    Returns:
        ``rows`` texts.

    Raises:
        ServingError: ``scoring.bad-input`` for another type, another number of elements, an element over
            :data:`MAXIMUM_ELEMENT_BYTES`, or one that is not UTF-8.
    """
    if tensor.datatype != BYTES:
        raise bad_input("a text input is not BYTES")
    elements = _typed_contents(tensor).bytes_contents if raw is None else _split(raw, rows)
    if len(elements) != rows:
        raise bad_input("a BYTES input does not have as many elements as rows")
    if max(map(len, elements)) > MAXIMUM_ELEMENT_BYTES:
        raise bad_input(f"an element is longer than {MAXIMUM_ELEMENT_BYTES} bytes")
    try:
        return tuple(element.decode("utf-8") for element in elements)
    except UnicodeDecodeError:
        raise bad_input("an element of a BYTES input is not UTF-8") from None


def pack_texts(texts: Sequence[bytes]) -> bytes:
    """Raw contents of a BYTES tensor: every element with its little-endian 32-bit length in front."""
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def _split(raw: bytes, rows: int) -> list[bytes]:
    """Elements of raw BYTES contents; never more than ``rows`` of them."""
    elements: list[bytes] = []
    offset = 0
    while offset < len(raw):
        start = offset + _LENGTH.size
        if len(elements) == rows or start > len(raw):
            raise bad_input("raw BYTES contents hold something after the last element")
        offset = start + _LENGTH.unpack_from(raw, offset)[0]
        if offset > len(raw):
            raise bad_input("raw BYTES contents end within an element")
        elements.append(raw[start:offset])
    return elements


def _typed_contents(tensor: oip.ModelInferRequest.InferInputTensor) -> oip.InferTensorContents:
    """The typed contents, when only the field of the declared type is in use."""
    filled = [field.name for field, _ in tensor.contents.ListFields()]
    if filled != [_TYPED_FIELDS[tensor.datatype]]:
        raise bad_input("typed contents are not of the declared type")
    return tensor.contents


def _typed_numbers(
    tensor: oip.ModelInferRequest.InferInputTensor, dtype: np.dtype[Any], rows: int
) -> npt.NDArray[Any]:
    contents = _typed_contents(tensor)
    if tensor.datatype == "INT64":
        values = contents.int64_contents
        if len(values) != rows:
            raise bad_input("typed contents do not have as many values as rows")
        return np.fromiter(values, dtype, count=rows)
    # Packed floats lie one after the other at the end of the serialised message, so that numpy reads
    # them as they are: about a hundred times faster than one Python object per value.
    packed = contents.SerializeToString()
    payload_bytes = rows * dtype.itemsize
    head_bytes = 1 + max(1, -(-payload_bytes.bit_length() // 7))
    if len(packed) != head_bytes + payload_bytes:
        raise bad_input("typed contents do not have as many values as rows")
    return np.frombuffer(packed, dtype, offset=head_bytes)
