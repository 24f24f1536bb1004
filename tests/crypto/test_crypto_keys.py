"""Keys describe themselves, belong to one name, and sign in one context."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.crypto import SigningKey, VerifierKey
from hanse.errors import ConfigurationError, IdentityError

# golang.org/x/mod/sumdb/note, note_test.go: TestNewSigner and TestNewVerifier.
GO_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
# Same file: a key of the wrong length, and one of an unknown algorithm, each with a fitting key hash.
GO_BAD_VERIFIERS = [
    "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
    "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
]


def test_go_key_pair() -> None:
    key = SigningKey.decode(GO_SIGNER)
    assert key.name == "PeterNeumann"
    assert key.encode() == GO_SIGNER
    assert key.verifier.encode() == GO_VERIFIER
    assert key.verifier.key_id == "c74f20a3"
    assert VerifierKey.decode(GO_VERIFIER) == key.verifier


def test_every_part_of_a_key_is_refused() -> None:
    """As the Go tests do: no substring and no incremented byte is a key."""
    for text, decode in [(GO_VERIFIER, VerifierKey.decode), (GO_SIGNER, SigningKey.decode)]:
        pieces = [text[i:j] for i in range(len(text)) for j in range(i, len(text) + 1) if j - i < len(text)]
        bumped = [text[:i] + chr(ord(text[i]) + 1) + text[i + 1 :] for i in range(len(text))]
        for mangled in [*pieces, *bumped, text + "\n", text + "=", " " + text]:
            with pytest.raises(IdentityError, match=r"identity\.bad-key") as caught:
                decode(mangled)
            assert text[-20:] not in str(caught.value)


@pytest.mark.parametrize("text", GO_BAD_VERIFIERS)
def test_go_bad_verifiers(text: str) -> None:
    with pytest.raises(IdentityError, match=r"identity\.bad-key"):
        VerifierKey.decode(text)


@given(st.text())
def test_decoding_is_total(text: str) -> None:
    for decode in (VerifierKey.decode, SigningKey.decode):
        with pytest.raises(IdentityError):
            decode(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a\u200bb", "\ud800"])
def test_bad_names(name: str) -> None:
    with pytest.raises(IdentityError, match=r"identity\.bad-key"):
        SigningKey.generate(name)


def test_bad_lengths() -> None:
    with pytest.raises(IdentityError, match="seed"):
        SigningKey("a", bytes(31))
    with pytest.raises(IdentityError, match="public key"):
        VerifierKey("a", bytes(33))


@given(st.binary(max_size=64), st.integers(0, 63), st.integers(1, 255))
def test_signature_covers_context_and_body(body: bytes, offset: int, mask: int) -> None:
    key = SigningKey("node", bytes(range(32)))
    signature = key.sign("round-update/1", body)
    key.verifier.verify("round-update/1", body, signature)
    changed = bytearray(signature)
    changed[offset] ^= mask
    other = SigningKey.generate("node").verifier
    for verifier, context, content, made in [
        (key.verifier, "round-update/2", body, signature),
        (key.verifier, "round-update/1", body + b"\0", signature),
        (key.verifier, "round-update/1", body, bytes(changed)),
        (key.verifier, "round-update/1", body, signature[:-1]),
        (other, "round-update/1", body, signature),
    ]:
        with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
            verifier.verify(context, content, made)


def test_context_cannot_run_into_body() -> None:
    key = SigningKey.generate("node")
    for context in ("a\0b", "ü", "a\n"):
        with pytest.raises(IdentityError, match="context"):
            key.sign(context, b"")


def test_a_statement_is_never_a_note() -> None:
    """The bytes of a statement have a byte 0, which no text of a note may have."""
    key = SigningKey.generate("node")
    with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
        key.verifier.verify_note_text("hanse/a", key.sign("a", b""))
    key.verifier.verify_note_text("hanse/a\0", key.sign("a", b""))  # which is why notes refuse byte 0


def test_saved_key_is_private_and_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    key = SigningKey.generate("node")
    key.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKey.load(path).encode() == key.encode()
    with pytest.raises(ConfigurationError, match=r"config\.exists"):
        SigningKey.generate("other").save(path)
    assert SigningKey.load(path).encode() == key.encode()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "node.key"
    SigningKey.generate("node").save(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"config\.insecure-file"):
        SigningKey.load(path)


def test_other_file_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    for content in (b"\xff", b"hello", b""):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(IdentityError, match=r"identity\.bad-key"):
            SigningKey.load(path)
    with pytest.raises(ConfigurationError, match=r"config\.missing-file"):
        SigningKey.load(tmp_path / "absent")


def test_nothing_prints_the_seed() -> None:
    key = SigningKey("node", bytes(range(32)))
    assert key.encode().rsplit("+", 1)[1] not in repr(key)
    assert not hasattr(key, "__dict__") or bytes(range(32)) not in vars(key).values()
