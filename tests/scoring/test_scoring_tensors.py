"""Tensor contents: both forms, the same values; every other byte string is refused."""

import contextlib
import struct
from collections.abc import Callable, Sequence, Sized
from typing import TypeVar

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.errors import ServingError
from hanse.server.scoring.tensors import (
    MAXIMUM_ELEMENT_BYTES,
    pack_texts,
    read_numbers,
    read_texts,
    row_count,
)

T = TypeVar("T")
Tensor = oip.ModelInferRequest.InferInputTensor
NUMERIC = {
    "FP32": ("fp32_contents", "<f4"),
    "FP64": ("fp64_contents", "<f8"),
    "INT64": ("int64_contents", "<i8"),
}


def tensor(
    datatype: str, shape: list[int], **contents: Sequence[float] | Sequence[bytes]
) -> oip.ModelInferRequest.InferInputTensor:
    made = Tensor(name="x", datatype=datatype, shape=shape)
    if contents:
        made.contents.CopyFrom(oip.InferTensorContents(**contents))  # type: ignore[arg-type]
    return made


def read_or_none(read: Callable[[], T]) -> T | None:
    """What was read; None if it was refused as it should be. Any other exception fails the test."""
    try:
        return read()
    except ServingError as error:
        return None if error.code == "scoring.bad-input" else pytest.fail(error.code)


@pytest.mark.parametrize("datatype", NUMERIC)
@given(values=st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=300))
def test_numbers_are_the_same_raw_and_typed(datatype: str, values: list[int]) -> None:
    field, dtype = NUMERIC[datatype]
    rows = len(values)
    expected = np.array(values, dtype=np.float64)
    typed = read_numbers(tensor(datatype, [rows], **{field: values}), None, rows)
    raw = read_numbers(tensor(datatype, [rows]), np.array(values, dtype=dtype).tobytes(), rows)
    np.testing.assert_array_equal(typed, expected)
    np.testing.assert_array_equal(raw, expected)
    assert typed.dtype == raw.dtype == np.float64


@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=50))
def test_texts_are_the_same_raw_and_typed(texts: list[str]) -> None:
    elements = [text.encode() for text in texts]
    rows = len(texts)
    assert read_texts(tensor("BYTES", [rows], bytes_contents=elements), None, rows) == tuple(texts)
    assert read_texts(tensor("BYTES", [rows]), pack_texts(elements), rows) == tuple(texts)


def test_raw_texts_have_the_lengths_of_the_protocol() -> None:
    # Open Inference Protocol, "Tensor data": 4 bytes little-endian length, then the bytes.
    assert pack_texts([b"ab", b""]) == b"\x02\0\0\0ab\0\0\0\0"


@given(
    raw=st.binary(max_size=200), rows=st.integers(1, 20), datatype=st.sampled_from(["FP32", "FP64", "INT64"])
)
def test_any_raw_numbers_are_values_or_refused(raw: bytes, rows: int, datatype: str) -> None:
    values = read_or_none(lambda: read_numbers(tensor(datatype, [rows]), raw, rows))
    assert values is None or (values.shape == (rows,) and np.isfinite(values).all())


@given(raw=st.binary(max_size=200), rows=st.integers(1, 20))
def test_any_raw_texts_are_values_or_refused(raw: bytes, rows: int) -> None:
    values = read_or_none(lambda: read_texts(tensor("BYTES", [rows]), raw, rows))
    assert values is None or pack_texts([value.encode() for value in values]) == raw


@given(body=st.binary(max_size=200), rows=st.integers(1, 20), datatype=st.sampled_from([*NUMERIC, "BYTES"]))
def test_any_typed_contents_are_values_or_refused(body: bytes, rows: int, datatype: str) -> None:
    given_tensor = tensor(datatype, [rows])
    with contextlib.suppress(DecodeError):  # what is no message at all is refused before
        given_tensor.contents.MergeFromString(body)
    read: Callable[..., Sized] = read_texts if datatype == "BYTES" else read_numbers
    values = read_or_none(lambda: read(given_tensor, None, rows))
    assert values is None or len(values) == rows


def test_unknown_fields_cannot_shift_typed_values() -> None:
    shifted = tensor("FP32", [1], fp32_contents=[1.0])
    shifted.contents.MergeFromString(b"\x9d\x06" + struct.pack("<f", 9.0))  # field 99, fixed 32 bits
    with pytest.raises(ServingError, match="as many values"):
        read_numbers(shifted, None, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_numbers_that_are_not_finite_are_refused(bad: float, datatype: str) -> None:
    field, dtype = NUMERIC[datatype]
    with pytest.raises(ServingError, match="not finite"):
        read_numbers(tensor(datatype, [2], **{field: [0.0, bad]}), None, 2)
    with pytest.raises(ServingError, match="not finite"):
        read_numbers(tensor(datatype, [2]), np.array([0.0, bad], dtype=dtype).tobytes(), 2)


@pytest.mark.parametrize(
    ("given_tensor", "raw"),
    [
        (tensor("BYTES", [1], bytes_contents=[b"1"]), None),  # a type for texts
        (tensor("FP16", [1]), b"\0\0"),  # a type that is not served
        (tensor("FP64", [1], fp32_contents=[1.0]), None),  # declared as one type, filled as another
        (tensor("FP64", [1], fp64_contents=[1.0], fp32_contents=[1.0]), None),  # filled twice
        (tensor("FP64", [1]), None),  # neither raw nor typed
        (tensor("FP64", [2], fp64_contents=[1.0]), None),  # too few
        (tensor("FP64", [1], fp64_contents=[1.0, 2.0]), None),  # too many
        (tensor("INT64", [2], int64_contents=[1]), None),
        (tensor("FP64", [2]), b"\0" * 8),
    ],
)
def test_numbers_of_another_type_or_number_are_refused(
    given_tensor: oip.ModelInferRequest.InferInputTensor, raw: bytes | None
) -> None:
    with pytest.raises(ServingError) as caught:
        read_numbers(given_tensor, raw, given_tensor.shape[0])
    assert caught.value.code == "scoring.bad-input"


@pytest.mark.parametrize(
    "raw",
    [
        pack_texts([b"a"]),  # too few
        pack_texts([b"a", b"b", b"c"]),  # too many
        pack_texts([b"a", b"b"])[:-1],  # ends within an element
        pack_texts([b"a", b"b"]) + b"\0\0",  # ends within a length
        pack_texts([b"a", b"\xff"]),  # not UTF-8
        pack_texts([b"a", b"x" * (MAXIMUM_ELEMENT_BYTES + 1)]),
        b"\xff\xff\xff\xff",  # announces 4 GiB
    ],
)
def test_texts_that_do_not_fit_are_refused(raw: bytes) -> None:
    with pytest.raises(ServingError) as caught:
        read_texts(tensor("BYTES", [2]), raw, 2)
    assert caught.value.code == "scoring.bad-input"


def test_texts_of_a_numeric_type_are_refused() -> None:
    with pytest.raises(ServingError, match="not BYTES"):
        read_texts(tensor("FP64", [1]), b"\0" * 8, 1)


@pytest.mark.parametrize(("shape", "rows"), [([3], 3), ([3, 1], 3), ([10], 10)])
def test_shapes_of_one_value_per_row_are_read(shape: list[int], rows: int) -> None:
    assert row_count(tensor("FP64", shape), maximum_rows=10) == rows


@pytest.mark.parametrize("shape", [[], [0], [-1], [11], [2**62], [3, 2], [3, 1, 1], [1, 3]])
def test_other_shapes_are_refused(shape: list[int]) -> None:
    with pytest.raises(ServingError) as caught:
        row_count(tensor("FP64", shape), maximum_rows=10)
    assert caught.value.code == "scoring.bad-input"
