"""Signed notes have one form, and any change to one is seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.crypto import (
    SigningKey,
    VerifierKey,
    add_signature,
    keep_signatures,
    open_note,
    sign_note,
    unverified_text,
)
from hanse.errors import HanseError, IdentityError, ProtocolError

# golang.org/x/mod/sumdb/note, note_test.go: TestSign and TestOpen.
PETER = SigningKey.decode("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
ENOCH = VerifierKey.decode("EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"  # noqa: E501
ENOCH_LINE = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"  # noqa: E501

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(code) for code in range(32)])
).map(lambda text: text.replace(" ", "\n") + "\n")


def note(*lines: str, text: str = TEXT) -> bytes:
    return f"{text}\n{''.join(lines)}".encode()


def test_go_note_byte_for_byte() -> None:
    assert sign_note(TEXT, PETER) == note(PETER_LINE)


def test_go_open() -> None:
    both = note(PETER_LINE, ENOCH_LINE)
    assert open_note(both, PETER.verifier).signers == ("PeterNeumann",)
    opened = open_note(both, ENOCH, PETER.verifier, ENOCH)
    assert opened.text == TEXT
    assert opened.signers == ("PeterNeumann", "EnochRoot")
    assert opened.keys == (PETER.verifier, ENOCH)
    for verifiers in [(), (SigningKey.generate("PeterNeumann").verifier,)]:
        with pytest.raises(IdentityError, match=r"identity\.unknown-signer"):
            open_note(both, *verifiers)


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        note(),
        note(PETER_LINE[:-1]),
        b"\x01" + note(PETER_LINE),
        b"\xff" + note(PETER_LINE),
        note(PETER_LINE.replace("PeterNeumann", "Bad Name")),
        note(PETER_LINE, "Unexpected line.\n"),
        note(PETER_LINE * 101),
        note(PETER_LINE.replace("x08g", "x08 g")),
        note("— PeterNeumann x08gow==\n"),
        note("— PeterNeumann\n"),
        note(PETER_LINE.removeprefix("— ")),
        b"",
        b"\n\n",
        note(PETER_LINE) * 40_000,
    ],
    ids=[
        "no signatures", "no lines", "no last newline", "control character", "no utf-8", "bad name",
        "other line", "too many", "two spaces", "only a key id", "no signature", "no dash", "empty",
        "newlines", "too long",
    ],
)  # fmt: skip
def test_bad_forms(data: bytes) -> None:
    """The first eight are Go's list of bad messages."""
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        open_note(data, PETER.verifier)


def test_bad_signature_by_a_known_key_refuses_the_note() -> None:
    # TestOpen, "Invalid signature": four characters too many.
    longer = PETER_LINE[:60] + "ABCD" + PETER_LINE[60:]
    with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
        open_note(note(longer), PETER.verifier)
    with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
        open_note(note(ENOCH_LINE, longer), ENOCH, PETER.verifier)
    assert open_note(note(ENOCH_LINE, longer), ENOCH).signers == ("EnochRoot",)


def test_stricter_than_go_a_repeated_signature_is_refused() -> None:
    with pytest.raises(IdentityError, match="twice"):
        open_note(note(PETER_LINE, PETER_LINE), PETER.verifier)


def test_keys_that_cannot_be_told_apart_are_refused() -> None:
    """A second key with the same name and key id takes 2^32 attempts to make; here its id is put in place."""
    twin = VerifierKey("PeterNeumann", bytes(32))
    twin.__dict__["key_id_bytes"] = PETER.verifier.key_id_bytes
    with pytest.raises(IdentityError, match=r"identity\.bad-key"):
        open_note(note(PETER_LINE), PETER.verifier, twin)


def test_base64_has_one_form() -> None:
    """The last character before the padding has two bits that decoders like to ignore."""
    assert PETER_LINE.endswith("nAM=\n")
    for ending in ("nAN=\n", "nAM\n", "nAM==\n"):
        with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
            open_note(note(PETER_LINE.replace("nAM=\n", ending)), PETER.verifier)


@given(st.data())
def test_any_flipped_byte_is_refused_or_loses_a_signature(data: st.DataObject) -> None:
    other = SigningKey("Other", bytes(32))
    signed = bytearray(sign_note(TEXT, PETER, other))
    signed[data.draw(st.integers(0, len(signed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        opened = open_note(bytes(signed), PETER.verifier, other.verifier)
    except HanseError:
        return
    assert len(opened.keys) == 1
    assert opened.text == TEXT


@given(TEXTS)
def test_signed_text_comes_back(text: str) -> None:
    key = SigningKey("Zoë/ключ", bytes(32))
    signed = sign_note(text, PETER, key)
    assert open_note(signed, key.verifier, PETER.verifier).text == text
    assert unverified_text(signed) == text
    assert add_signature(sign_note(text, PETER), key) == signed


@given(st.binary() | st.text().map(str.encode) | st.tuples(TEXTS, TEXTS).map("\n— ".join).map(str.encode))
def test_opening_is_total(data: bytes) -> None:
    with pytest.raises(HanseError):
        open_note(data, PETER.verifier)


@pytest.mark.parametrize("text", ["abc", "", "a\tb\n", "a\0\n", "a\r\n", "\ud800\n"])
def test_texts_that_cannot_be_signed(text: str) -> None:
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        sign_note(text, PETER)


def test_nobody_signs_nothing_and_nobody_signs_twice() -> None:
    with pytest.raises(ProtocolError, match="at least one"):
        sign_note(TEXT)
    with pytest.raises(ProtocolError, match="once"):
        sign_note(TEXT, PETER, PETER)
    with pytest.raises(ProtocolError, match="already"):
        add_signature(note(PETER_LINE), PETER)


def test_keeping_signatures_of_known_keys_alone() -> None:
    one, two, three = (SigningKey.generate(f"key{number}") for number in range(3))
    note = sign_note("text\n", one, two, three)
    assert keep_signatures(note, one.verifier, two.verifier, three.verifier) == note
    assert keep_signatures(note, three.verifier, one.verifier) == sign_note("text\n", one, three)
    with pytest.raises(IdentityError, match=r"identity\.unknown-signer"):
        keep_signatures(note, SigningKey.generate("key1").verifier)
    with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
        keep_signatures(note.replace(b"text", b"tent"), two.verifier)
