"""The spellings in which one value can turn up in bytes.

As it is and in other case, in several character sets, escaped for URLs, JSON and Python, in hex and base64
(alone or anywhere inside a longer text that was encoded), as a telephone number with other separators or
without its country, and as a bare hash, which names a person to everybody who can guess the value.
"""

import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

MIN_BYTES: Final = 6
"""Shorter values are not looked for: they are everywhere by chance."""

_CERTAIN_BYTES: Final = 12
"""Values this long stand nowhere by chance; shorter ones count only as words of their own."""

_CERTAIN_BASE64: Final = 10
_HASH_DIGITS: Final = 16
_PHONE: Final = re.compile(r"[+(]?[0-9][0-9 ./()\-]{5,24}[0-9]")
_PHONE_DIGITS: Final = 7
_COUNTRY_FROM: Final = 10  # that many digits have a country or a trunk prefix in front
_NATIONAL: Final = 9  # last digits that are the same with and without one
_NUMBER: Final = 17  # no telephone number is longer, 00 and country included

View = Literal["folded", "exact", "digits"]
"""What is searched: the bytes in lower case, as they are, or with separators between digits removed."""

Place = Literal["anywhere", "word", "number"]
"""Where a match counts: everywhere, as a word of its own, or as the end of a number."""


class Spelling(NamedTuple):
    """One spelling.

    Attributes:
        name: For people.
        view: Where to search.
        data: For which bytes.
        place: Where a match counts.
    """

    name: str
    view: View
    data: bytes
    place: Place = "anywhere"


def spellings(value: str) -> list[Spelling]:
    """All spellings of a value.

    Args:
        value: The value; white space around it does not count.

    Returns:
        None for a value of fewer than :data:`MIN_BYTES` bytes.
    """
    value = value.strip()
    plain = value.encode("utf-8", errors="surrogatepass")
    if len(plain) < MIN_BYTES:
        return []
    found = [*_texts(value), *_escaped(value, plain), *_encoded(plain), *_phones(value), *_hashes(value)]
    return [spelling for spelling in found if len(spelling.data) >= MIN_BYTES]


def counts(data: bytes, start: int, end: int, place: Place) -> bool:
    """Whether a match counts where it was found.

    Args:
        data: The searched bytes.
        start: First byte of the match.
        end: One past its last.
        place: Where it counts.
    """
    if place == "anywhere":
        return True
    if data[end : end + 1].isalnum():
        return False
    if place == "word":
        return not data[max(0, start - 1) : start].isalnum()
    before = data[max(0, start - _NUMBER) : start]
    number = re.search(rb"[0-9A-Za-z]*\Z", before)
    digits = b"" if number is None else number[0]
    fraction = before[: len(before) - len(digits)].endswith(b".") or data[end : end + 1] == b"."
    return (not digits or digits.isdigit()) and len(digits) + end - start <= _NUMBER and not fraction


def _texts(value: str) -> Iterator[Spelling]:
    """In several character sets. ASCII letters match in any case; others in the cases that are made here."""
    place: Place = "anywhere" if len(value.encode(errors="surrogatepass")) >= _CERTAIN_BYTES else "word"
    forms = {value}
    if not value.isascii():
        forms |= {unicodedata.normalize(form, value) for form in ("NFC", "NFD")}
        forms |= {changed for form in tuple(forms) for changed in (form.lower(), form.upper())}
    for form in sorted(forms):
        yield Spelling("text", "folded", _bytes(form, "utf-8").lower(), place)
        for charset in ("utf-16-le", "utf-16-be", *(() if value.isascii() else ("latin-1", "gb18030"))):
            yield Spelling(charset, "folded", _bytes(form, charset).lower(), place)


def _escaped(value: str, plain: bytes) -> Iterator[Spelling]:
    for kept in ("", "/"):
        quoted = quote(plain, safe=kept).lower()
        yield Spelling("url", "folded", quoted.encode())
        yield Spelling("url", "folded", quoted.replace("%20", "+").encode())
    yield Spelling("url", "folded", "".join(f"%{byte:02x}" for byte in plain).encode())
    yield Spelling("escaped", "folded", json.dumps(value)[1:-1].lower().encode())
    yield Spelling("escaped", "folded", repr(plain)[2:-1].lower().encode())
    yield Spelling("escaped", "folded", ascii(value)[1:-1].lower().encode())


def _encoded(plain: bytes) -> Iterator[Spelling]:
    for data in (plain, plain.lower(), plain.upper()):
        yield Spelling("hex", "folded", data.hex().encode())
        yield Spelling("base64", "exact", base64.b64encode(data).rstrip(b"="))
        yield Spelling("base64", "exact", base64.urlsafe_b64encode(data).rstrip(b"="))
        for shift in range(3):  # inside a longer text; the first and last characters depend on its neighbours
            whole = bytes(shift) + data
            inner = slice(-(-shift * 8 // 6), len(whole) * 8 // 6)
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                stable = encode(whole)[inner]
                if len(stable) >= _CERTAIN_BASE64:
                    yield Spelling("base64", "exact", stable)


def _phones(value: str) -> Iterator[Spelling]:
    digits = re.sub(r"[^0-9]", "", value)
    if not _PHONE.fullmatch(value) or len(digits) < _PHONE_DIGITS:
        return
    if len(digits) >= _COUNTRY_FROM:
        yield Spelling("digits", "digits", digits[-_NATIONAL:].encode(), "number")
    else:
        yield Spelling("digits", "digits", digits.encode(), "word")


def _hashes(value: str) -> Iterator[Spelling]:
    for text in {value, value.lower(), value.upper()}:
        data = text.encode("utf-8", errors="surrogatepass")
        for name in ("sha256", "sha1", "md5"):
            digest = hashlib.new(name, data, usedforsecurity=False).digest()
            yield Spelling(name, "folded", digest.hex()[:_HASH_DIGITS].encode())
            yield Spelling(name, "exact", base64.b64encode(digest).rstrip(b"=")[:-1])


def _bytes(text: str, charset: str) -> bytes:
    """The text in a character set; empty if it cannot be written in it."""
    try:
        return text.encode(charset)
    except UnicodeEncodeError:
        return b""
