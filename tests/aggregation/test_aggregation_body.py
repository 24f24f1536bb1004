"""Bodies of queries: every value comes back, every other byte string is refused."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hanse.aggregation import decode_body, encode_body
from hanse.aggregation.body import MAX_HEADER_BYTES
from hanse.errors import ProtocolError

KINDS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    dtype = np.dtype(draw(st.sampled_from("<>")) + draw(st.sampled_from(KINDS)))
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    shape = draw(npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    return draw(npst.arrays(dtype, shape, elements=elements))


@settings(max_examples=40)
@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3), st.lists(arrays())
)
def test_what_is_written_is_read(header: dict[str, Any], written: list[Any]) -> None:
    body = encode_body(header, *written)
    read_header, read = decode_body(body)
    assert read_header == header
    assert len(read) == len(written)
    for one, other in zip(read, written, strict=True):
        assert one.shape == other.shape
        assert one.dtype.isnative
        assert one.dtype == other.dtype.newbyteorder("=")
        np.testing.assert_array_equal(one, other)
    assert encode_body(read_header, *read) == body


@given(st.binary())
def test_other_bytes_are_refused(data: bytes) -> None:
    try:
        header, read = decode_body(data)
    except ProtocolError:
        return
    assert encode_body(header, *read) == data


@given(st.data())
def test_a_changed_byte_is_refused_or_changes_a_value(data: st.DataObject) -> None:
    body = bytearray(encode_body({"depth": 3}, np.arange(4, dtype=np.uint16), np.array([1.5, -2.0])))
    where = data.draw(st.integers(0, len(body) - 1))
    body[where] ^= data.draw(st.integers(1, 255))
    try:
        header, read = decode_body(bytes(body))
    except ProtocolError:
        return
    assert encode_body(header, *read) == body


@pytest.mark.parametrize(
    "preamble",
    [
        b"[]",
        b'{"arrays":[],"header":{},"more":1}',
        b'{"arrays":[],"header":[]}',
        b'{"arrays":[["u3",[1]]],"header":{}}',
        b'{"arrays":[["O",[1]]],"header":{}}',
        b'{"arrays":[["u1",[-1]]],"header":{}}',
        b'{"arrays":[["u1",[true]]],"header":{}}',
        b'{"arrays":[["u1",[1.0]]],"header":{}}',
        b'{"arrays":[["u1",[0,99999999999999999999]]],"header":{}}',
        b'{"arrays":[["f8",[1]],["u1",[0,67108864,67108864,67108864]]],"header":{}}',
        b'{"arrays":[["u1",[1,1,1,1,1]]],"header":{}}',
        b'{"arrays":[["u1",1]],"header":{}}',
        b'{"arrays":[["f8",[1,1]],["f8",[1]]],"header":{}}',
        b'{"arrays":[' + b",".join([b'["u1",[0]]'] * 65) + b'],"header":{}}',
    ],
)
def test_a_wrong_preamble_is_refused(preamble: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        decode_body(struct.pack("<I", len(preamble)) + preamble + bytes(8))


def test_what_has_no_place_is_refused() -> None:
    for array in (
        np.array([np.nan]),
        np.array([np.inf]),
        np.array(["a"]),
        np.array([None]),
        np.zeros((1,) * 5),
    ):
        with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
            encode_body({}, array)
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        encode_body({"text": "x" * MAX_HEADER_BYTES})
    with pytest.raises(ProtocolError, match="too long"):
        encode_body({}, np.zeros(9 << 20))


def test_numbers_that_are_none_are_refused() -> None:
    body = encode_body({}, np.array([1.0]))
    with pytest.raises(ProtocolError, match="not finite"):
        decode_body(body[:-8] + np.array([np.nan]).tobytes())
