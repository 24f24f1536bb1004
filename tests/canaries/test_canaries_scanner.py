"""The scanner finds a planted value in every spelling that it claims to know, and nothing else."""

import base64
import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.canaries.conftest import WRITTEN

from hanse.audit.canaries import Canary, Scanner
from hanse.audit.spellings import MIN_BYTES, spellings

IDENTIFIER = "KD-7Q4ZX-2041-canary"
MAIL = "Ännchen.Tharau+kd@Example.org"
PHONE = "+49 (0) 151 / 2345-6789"
NAME = "Ännchen Müller"
CHINESE = "王小明的客户编号"
SURROUNDINGS = (b"", b'{"detail":"%s"}', b"x%sx", b"\x00%s\xff", b"line\nand %s more\n")


def scanner(*values: str) -> Scanner:
    return Scanner(Canary("planted", number, value) for number, value in enumerate(values, 1))


@pytest.mark.parametrize("value", [IDENTIFIER, MAIL, PHONE, NAME, CHINESE])
@pytest.mark.parametrize("spelling", WRITTEN)
def test_every_spelling_is_found_in_any_surroundings(spelling: str, value: str) -> None:
    written = WRITTEN[spelling](value)
    for surroundings in SURROUNDINGS:
        # A short name counts as a word of its own only: "x" beside it makes another word of it.
        if surroundings == b"x%sx" and len(value.encode()) < 20 and spelling in {"as it is", "upper case"}:
            continue
        data = surroundings.replace(b"%s", written) or written
        found = list(scanner("something else", value).scan(data))
        assert found, f"{spelling} in {surroundings!r}"
        assert {sighting.number for sighting in found} == {2}


@pytest.mark.parametrize("place", range(12))
def test_base64_of_a_longer_text_is_found_wherever_the_value_stands_in_it(place: int) -> None:
    for value in (IDENTIFIER, MAIL, CHINESE):
        text = "x" * place + value + "y" * (11 - place)
        assert list(scanner(value).scan(base64.b64encode(text.encode())))
        assert list(scanner(value).scan(base64.urlsafe_b64encode(text.encode())))


@pytest.mark.parametrize(
    "written",
    [
        "4915123456789",
        "004915123456789",
        "015123456789",
        "0151 234 567 89",
        "0151-23456789",
        "(0151) 2345/6789",
        "+49.151.2345.6789",
        "tel=015123456789;",
    ],
)
def test_a_telephone_number_is_found_however_it_is_written(written: str) -> None:
    for known in ("+49 151 23456789", "0151/234-56789", "004915123456789"):
        assert list(scanner(known).scan(f'{{"a":"{written}"}}'.encode())), known


@pytest.mark.parametrize(
    "innocent",
    [
        b'{"epsilon":0.151234567891234}',
        b'{"root":"a151234567890ff0151234567890abcdef"}',
        b'{"n":99915123456789123456789}',
        b"2015-12-34T56:78:90Z",
    ],
)
def test_digits_inside_other_things_are_no_telephone_number(innocent: bytes) -> None:
    assert not list(scanner("+49 151 23456789").scan(innocent))


def test_a_short_word_counts_as_a_word_only() -> None:
    assert list(scanner("Muster").scan(b'{"name":"muster"}'))
    assert not list(scanner("Muster").scan(b"the musterroll"))
    assert not list(scanner("Muster").scan(b"remuster"))


def test_what_is_too_short_is_not_looked_for_and_counted() -> None:
    short = scanner("yes", "42", " 2041 ", IDENTIFIER)
    assert (short.looked_for, short.too_short) == (1, 3)
    assert not list(short.scan(b"yes 42 2041"))


def test_a_sighting_names_line_kind_and_number_and_never_the_value() -> None:
    sightings = list(scanner(MAIL, IDENTIFIER).scan(f"one\ntwo {IDENTIFIER}\nthree {IDENTIFIER}".encode()))
    assert [(s.kind, s.number, s.spelling, s.line) for s in sightings] == [
        ("planted", 2, "text", 2),
        ("planted", 2, "text", 3),
    ]
    assert IDENTIFIER not in repr(sightings)


def test_limits_are_as_documented() -> None:
    """What the scanner does not know; docs say that only known spellings are found."""
    assert not list(scanner(IDENTIFIER).scan(IDENTIFIER[::-1].encode()))
    assert not list(scanner(MAIL).scan(html.escape(MAIL).replace("@", "&#64;").encode("ascii", "ignore")))


@given(st.binary(max_size=300), st.lists(st.text(max_size=30), max_size=5))
def test_any_bytes_and_any_values(data: bytes, values: list[str]) -> None:
    list(scanner(*values).scan(data))


@given(
    st.text(st.characters(codec="utf-8", min_codepoint=33), min_size=12, max_size=40),
    st.binary(max_size=40),
    st.binary(max_size=40),
)
def test_a_value_in_bytes_is_found(value: str, before: bytes, after: bytes) -> None:
    value = value.strip()
    if len(value.encode()) < 12:
        return
    assert list(scanner(value).scan(before + value.encode() + after))
    assert list(scanner(value).scan(before + value.encode().hex().encode() + after))


@given(st.text(max_size=60))
def test_spellings_of_anything_are_bytes_of_use(value: str) -> None:
    assert all(len(spelling.data) >= MIN_BYTES for spelling in spellings(value))
