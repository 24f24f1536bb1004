"""Equal values have equal bytes, and no other bytes are read."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hanse.crypto import JsonInput, canonical_json, parse_canonical_json, sha256_hex
from hanse.errors import ProtocolError

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


def test_form() -> None:
    value: JsonInput = {"b": [1, 2.5, None, True], "a": "ü\n", "A": (), "z": {"": -0.0}}
    assert canonical_json(value) == b'{"A":[],"a":"\\u00fc\\n","b":[1,2.5,null,true],"z":{"":-0.0}}'


@given(_VALUES)
def test_what_is_written_is_read(value: JsonInput) -> None:
    data = canonical_json(value)
    assert canonical_json(parse_canonical_json(data)) == data
    assert json.loads(data) == value


@given(st.binary() | _VALUES.map(lambda value: json.dumps(value, ensure_ascii=False).encode()))
@example(b"1e999")
@example(b"NaN")
@example(b"[" * 100_000)
@example(b"9" * 5_000)
@example(b'"\\ud800"')
@example(b'{"\\udfff":1}')
def test_every_other_encoding_is_refused(data: bytes) -> None:
    try:
        value = parse_canonical_json(data)
    except ProtocolError:
        return
    assert canonical_json(value) == data


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b"[1, 2]",
        b"1.00",
        b"1\n",
        b'"\\u0061"',
        b'"\xc3\xbc"',
        b'"/\\/"',
        b"",
    ],
    ids=["repeated key", "order", "space", "number", "newline", "escape", "utf-8", "slash", "empty"],
)
def test_named_encodings_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        parse_canonical_json(data)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, "\ud800", {"\ud800": 1}, {1: 2}, {None: 2}, b"bytes", {1, 2}, [object()], 10**5_000],
    ids=["nan", "inf", "surrogate", "surrogate key", "int key", "null key", "bytes", "set", "object", "huge"],
)
def test_values_without_an_encoding_are_refused(value: JsonInput) -> None:
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        canonical_json(value)


def test_depth_is_limited() -> None:
    value: JsonInput = 1
    for _ in range(63):
        value = [value]
    assert parse_canonical_json(canonical_json(value)) == value
    with pytest.raises(ProtocolError, match="nested deeper"):
        canonical_json([value])


def test_sha256() -> None:
    # FIPS 180-2, appendix B.1.
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
