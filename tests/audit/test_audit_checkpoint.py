"""Checkpoints have one form, and another implementation reads and verifies them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tlog_scales import signing, tlog

from hanse.audit import (
    Checkpoint,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    root_hash,
    sign_checkpoint,
)
from hanse.crypto import SigningKey, add_signature, sign_note
from hanse.errors import IdentityError, ProtocolError

# https://c2sp.org/tlog-checkpoint, the example.
C2SP_TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def test_c2sp_example() -> None:
    checkpoint = parse_checkpoint(C2SP_TEXT)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert format_checkpoint(checkpoint.origin, checkpoint.size, checkpoint.root) == C2SP_TEXT


@given(st.integers(0, 10**17), st.binary(min_size=32, max_size=32))
def test_what_is_written_is_read(size: int, root: bytes) -> None:
    assert parse_checkpoint(format_checkpoint("a/b", size, root)) == Checkpoint("a/b", size, root)


@pytest.mark.parametrize(
    "change",
    [
        ("20852163", "020852163"), ("20852163", "+1"), ("20852163", "0x1"), ("20852163", "-1"),
        ("20852163", ""), ("20852163", "٣"), ("20852163", "1" * 30), ("q2I=", "q2J="), ("q2I=", "q2I"),
        ("q2I=", "AAAA"),
        ("q2I=\n", "q2I="), ("q2I=\n", "q2I=\nextension\n"), ("example.com", "exam ple"),
        ("example.com", "a+b"),
        (C2SP_TEXT, ""),
    ],
)  # fmt: skip
def test_other_forms_are_refused(change: tuple[str, str]) -> None:
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        parse_checkpoint(C2SP_TEXT.replace(*change))


@given(st.text())
def test_parsing_is_total(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_checkpoint(text)


def test_only_the_logs_signature_counts(key: SigningKey) -> None:
    checkpoint = Checkpoint("a/b", 1, root_hash([b"x"]))
    note = sign_checkpoint(checkpoint, key)
    witness = SigningKey.generate("witness")
    assert open_checkpoint(add_signature(note, witness), key.verifier) == checkpoint
    with pytest.raises(IdentityError, match=r"identity\.unknown-signer"):
        open_checkpoint(sign_checkpoint(checkpoint, witness), key.verifier)
    with pytest.raises(ProtocolError):
        open_checkpoint(sign_note("hello\n", key), key.verifier)


def test_bad_values_are_not_signed(key: SigningKey) -> None:
    for bad in (
        Checkpoint("a b", 1, bytes(32)),
        Checkpoint("a", -1, bytes(32)),
        Checkpoint("a", 1, bytes(31)),
    ):
        with pytest.raises(ProtocolError):
            sign_checkpoint(bad, key)


def test_tlog_scales_verifies_ours(key: SigningKey) -> None:
    note = sign_checkpoint(Checkpoint("a/b", 2, root_hash([b"x", b"y"])), key)
    theirs = tlog.Checkpoint.from_text(note.decode())
    theirs.verify(signing.Vkey.from_string(key.verifier.encode()))
    assert (theirs.origin, theirs.size, theirs.root_hash) == ("a/b", 2, root_hash([b"x", b"y"]))
    with pytest.raises(RuntimeError):
        theirs.verify(signing.Vkey.from_string(SigningKey.generate(key.name).verifier.encode()))


def test_ours_verifies_tlog_scales() -> None:
    seed = bytes(range(32))
    key = SigningKey("a/b", seed)
    signed = tlog.Checkpoint.make_signed("a/b", 3, bytes(32), [signing.PlainEd25519Signer("a/b", seed)])
    assert open_checkpoint(signed.serialize().encode(), key.verifier) == Checkpoint("a/b", 3, bytes(32))
