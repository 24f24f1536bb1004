"""The encoding of protobuf, as far as messages are read and written here without a class of theirs."""

from collections.abc import Iterator
from typing import Final, NamedTuple

DELIMITED: Final = 2
"""The wire type of texts, bytes and messages."""
_MORE: Final = 0x80
"""Set in each byte of a varint but the last (Encoding, "Base 128 Varints")."""


class Field(NamedTuple):
    """A field of a message: its number and wire type, and where its content begins and ends."""

    number: int
    kind: int
    start: int
    end: int


def tag(number: int) -> int:
    """What a field begins with whose content has a length; for numbers below 16."""
    return number << 3 | DELIMITED


def delimited(number: int, content: bytes) -> bytes:
    """A field whose content has a length; for numbers below 16."""
    length = len(content)
    if length < _MORE:
        return bytes((tag(number), length)) + content
    return bytes((tag(number),)) + _varint_of(length) + content


def fields(message: bytes) -> Iterator[Field]:
    """Fields of a message that protobuf has read, up to the first that is not delimited."""
    place = 0
    while place < len(message):
        key, start = _varint(message, place)
        kind = key & 7
        if kind != DELIMITED:
            yield Field(key >> 3, kind, start, start)
            return
        length, start = _varint(message, start)
        place = start + length
        yield Field(key >> 3, kind, start, place)


def short_text(message: bytes, place: int, number: int) -> tuple[bytes, int]:
    """The content of a field that may stand at a place, and where it ends.

    Returns:
        Nothing, and the place, if there is another field, or the content has more than 127 bytes.
    """
    if len(message) < place + 2 or message[place] != tag(number) or message[place + 1] & _MORE:
        return b"", place
    end = place + 2 + message[place + 1]
    return message[place + 2 : end], end


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & ~_MORE) << shift
        shift += 7
        if not byte & _MORE:
            return value, place


def _varint_of(number: int) -> bytes:
    written = bytearray()
    while number >= _MORE:
        written.append(number & ~_MORE & 0xFF | _MORE)
        number >>= 7
    written.append(number)
    return bytes(written)
