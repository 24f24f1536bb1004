"""The one JSON encoding that is hashed and signed: equal values have equal bytes.

Keys sorted by code point, no spaces, everything outside ASCII escaped, no newline at the end. Floats are
written as Python's ``repr`` writes them (the shortest text that reads back as the same double), which differs
from RFC 8785 for some exponents; these bytes are only ever compared with bytes that this module wrote.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from hanse.errors import ProtocolError

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
"""What :func:`parse_canonical_json` returns."""

JsonInput: TypeAlias = bool | int | float | str | Sequence["JsonInput"] | Mapping[str, "JsonInput"] | None
"""What :func:`canonical_json` takes. Sequences are lists or tuples, mappings are dicts with string keys."""

_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
_MAX_DEPTH: Final = 64  # no document of ours nests deeper than ten; below any interpreter's recursion limit


def canonical_json(value: JsonInput) -> bytes:
    """Encodes a value canonically.

    Args:
        value: None, bool, int, finite float, string of valid Unicode, list, tuple, or dict with string keys.

    Returns:
        ASCII bytes without a final newline.

    Raises:
        ProtocolError: ``protocol.malformed`` if the value has no canonical encoding.
    """
    _check(value, _MAX_DEPTH)
    try:
        text = _ENCODER.encode(value)
    except ValueError as error:  # an int beyond the interpreter's digit limit
        raise ProtocolError("protocol.malformed", "a number is too long for canonical JSON") from error
    return text.encode("ascii")


def parse_canonical_json(data: bytes) -> JsonValue:
    """Reads bytes that :func:`canonical_json` wrote, and refuses every other encoding of the same value.

    Args:
        data: Bytes from anywhere.

    Returns:
        The value, with ``canonical_json(value) == data``.

    Raises:
        ProtocolError: ``protocol.malformed`` if the bytes are not canonical JSON.
    """
    try:
        value = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("protocol.malformed", "not JSON in ASCII") from error
    # A repeated key survives only once, a space or another spelling not at all: the bytes differ.
    if canonical_json(value) != data:
        raise ProtocolError("protocol.malformed", "not canonical JSON")
    result: JsonValue = value
    return result


def sha256_hex(data: bytes) -> str:
    """SHA-256 of the bytes, as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def _check(value: Any, depth: int) -> None:  # noqa: ANN401 - the point is to look at what it is
    """Refuses what ``json.dumps`` would write but not read back as the same value."""
    if depth == 0:
        raise ProtocolError("protocol.malformed", f"nested deeper than {_MAX_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ProtocolError("protocol.malformed", "a key is not a string")
            _check_scalar(key)
            _check(item, depth - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, depth - 1)
    else:
        _check_scalar(value)


def _check_scalar(value: Any) -> None:  # noqa: ANN401 - as above
    """Refuses numbers and strings without a JSON form, and every other type."""
    if value is None or isinstance(value, int):
        return
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ProtocolError("protocol.malformed", "a string is not valid Unicode")
    elif not isinstance(value, float):
        raise ProtocolError("protocol.malformed", f"canonical JSON has no {type(value).__name__}")
    elif not math.isfinite(value):
        raise ProtocolError("protocol.malformed", "a number is not finite")
