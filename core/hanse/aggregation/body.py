"""The parameters of a query when they hold arrays: a JSON header and raw numbers, in one canonical form.

A body is, in this order:

* four bytes: length of the preamble, unsigned, little-endian;
* the preamble, canonical JSON: ``{"arrays": [[type, [length of each axis, …]], …], "header": {…}}``;
* the elements of the arrays, one array after the other without gaps, C order, little-endian.

Types are ``u1 u2 u4 u8 i1 i2 i4 i8 f4 f8``, as numpy names them. Equal values have equal bytes, every byte is
covered, and nothing in a body is executed.
"""

import math
import struct
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.crypto import JsonInput, JsonValue, canonical_json, parse_canonical_json
from hanse.errors import ProtocolError

MAX_BODY_BYTES: Final = 64 << 20
"""Of a whole body."""

MAX_HEADER_BYTES: Final = 1 << 20
"""Of its preamble: headers name things, arrays hold the bulk."""

MAX_ARRAYS: Final = 64
MAX_AXES: Final = 4

_LENGTH: Final = struct.Struct("<I")
_TYPES: Final = frozenset({"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"})


def encode_body(header: Mapping[str, JsonInput], *arrays: NDArray[Any]) -> bytes:
    """Writes a body.

    Args:
        header: What canonical JSON can hold.
        arrays: Of the types above, in either byte order, at most four axes; floats are finite.

    Returns:
        The bytes that :func:`decode_body` reads.

    Raises:
        ProtocolError: ``protocol.malformed`` if a value has no place in a body.
    """
    plain = [np.ascontiguousarray(array).reshape(np.shape(array)) for array in arrays]
    described: list[JsonInput] = [
        [array.dtype.str[1:], _check_array(array.dtype.str[1:], list(array.shape))] for array in plain
    ]
    preamble = canonical_json({"arrays": described, "header": header})
    _check_sizes(len(preamble), len(plain))
    parts = [_LENGTH.pack(len(preamble)), preamble]
    parts += [_finite(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes() for array in plain]
    body = b"".join(parts)
    if len(body) > MAX_BODY_BYTES:
        raise _malformed("it is too long")
    return body


def decode_body(body: bytes) -> tuple[dict[str, JsonValue], tuple[NDArray[Any], ...]]:
    """Reads a body, and refuses every other encoding of the same values.

    Args:
        body: Bytes from anywhere.

    Returns:
        The header, and the arrays in their order: new, aligned, native byte order, floats finite. What they
        mean, and whether they are of the type and shape that the reader needs, is for the reader to check.

    Raises:
        ProtocolError: ``protocol.malformed`` if the bytes are not a body.
    """
    if not _LENGTH.size <= len(body) <= MAX_BODY_BYTES:
        raise _malformed("it is too short or too long")
    start = _LENGTH.size + int(_LENGTH.unpack_from(body)[0])
    if start > len(body):
        raise _malformed("it ends early")
    _check_sizes(start - _LENGTH.size, 0)
    header, described = _read_preamble(body[_LENGTH.size : start])
    sizes = [math.prod(shape) * int(kind[1]) for kind, shape in described]
    if start + sum(sizes) != len(body):
        raise _malformed("its arrays have another length")
    spans = pairwise(accumulate(sizes, initial=start))
    arrays = (
        _array(kind, shape, body[begin:end])
        for (kind, shape), (begin, end) in zip(described, spans, strict=True)
    )
    return header, tuple(arrays)


def _read_preamble(data: bytes) -> tuple[dict[str, JsonValue], list[tuple[str, list[int]]]]:
    match parse_canonical_json(data):
        case {"arrays": list(listed), "header": dict(header), **rest} if not rest:
            pass
        case _:
            raise _malformed("its preamble is of another form")
    _check_sizes(len(data), len(listed))
    described = []
    for item in listed:
        match item:
            case [str(kind), list(shape)]:
                described.append((kind, _check_array(kind, shape)))
            case _:
                raise _malformed("an array is described in another form")
    return header, described


def _check_array(kind: str, shape: list[Any]) -> list[int]:
    """The shape, if an array of it has a place in a body."""
    if kind not in _TYPES or len(shape) > MAX_AXES:
        raise _malformed("an array is of a type or number of axes that it cannot hold")
    # bool is an int in Python, and true is not a length.
    if not all(type(axis) is int and 0 <= axis <= MAX_BODY_BYTES for axis in shape):
        raise _malformed("the length of an axis is not a length")
    if math.prod(max(1, axis) for axis in shape) > MAX_BODY_BYTES:  # numpy refuses some empty giants
        raise _malformed("an array is too large")
    return shape


def _check_sizes(preamble_bytes: int, arrays: int) -> None:
    if preamble_bytes > MAX_HEADER_BYTES or arrays > MAX_ARRAYS:
        raise _malformed("its header is too long, or it has too many arrays")


def _array(kind: str, shape: list[int], data: bytes) -> NDArray[Any]:
    array = np.frombuffer(data, dtype=f"<{kind}").reshape(shape)
    return _finite(array.astype(array.dtype.newbyteorder("=")))


def _finite(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _malformed("a number is not finite")
    return array


def _malformed(what: str) -> ProtocolError:
    return ProtocolError("protocol.malformed", f"a body: {what}")
