"""Cosignatures of public witnesses, of another implementation and of ours are read; nothing else counts."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from tlog_scales import signing, tlog

from hanse.crypto import (
    Algorithm,
    CosignerKey,
    CosignerVerifier,
    SigningKey,
    add_lines,
    read_cosignatures,
    sign_note,
)
from hanse.crypto.note import split_note
from hanse.errors import ConfigurationError, HanseError, IdentityError, ProtocolError

# Checkpoints of public Certificate Transparency logs (arche2025h1 and coachandhorses2026h1, both staging),
# cosigned by public witnesses: remora.n621.de with Ed25519, key as in github.com/transparency-dev/formats,
# note/note_cosigv1_test.go (TestCoSigV1NewVerifier); witness.navigli.sunlight.geomys.org with ML-DSA-44 by
# filippo.io/torchwood. As collected by the tests of github.com/florolf/tlog-scales, without the lines of
# other witnesses.
PUBLISHED: dict[Algorithm, Any] = json.loads(
    Path(__file__).with_name("cosigned_checkpoints.json").read_text()
)
TIMES: dict[Algorithm, str] = {
    "ed25519": "2026-05-23T21:50:24+00:00",
    "ml-dsa-44": "2026-08-02T21:04:51+00:00",
}
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)

# https://c2sp.org/tlog-cosignature, the example: its text, and the time that is in the line of the witness.
TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
C2SP_LINE = (
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZq"
    "hf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
NOW = datetime(2023, 3, 20, 12, 25, 47, 999, tzinfo=UTC)
LOG = SigningKey("example.com/behind-the-sofa", bytes(range(32)))
NOTE = sign_note(TEXT, LOG)
KEYS = {algorithm: CosignerKey("witness.example/w", algorithm, bytes(range(32))) for algorithm in ALGORITHMS}


def published_note(algorithm: Algorithm) -> bytes:
    return "".join(f"{line}\n" for line in PUBLISHED[algorithm]["note"]).encode()


def cosigned(*keys: CosignerKey) -> bytes:
    return add_lines(NOTE, *(key.cosign(TEXT, NOW) for key in keys))


@each_algorithm
def test_published_cosignatures(algorithm: Algorithm) -> None:
    verifier = CosignerVerifier.decode(PUBLISHED[algorithm]["verifier"])
    assert verifier.algorithm == algorithm
    assert verifier.encode() == PUBLISHED[algorithm]["verifier"]
    [cosignature] = read_cosignatures(published_note(algorithm), [KEYS[algorithm].verifier, verifier])
    assert cosignature == (verifier, datetime.fromisoformat(TIMES[algorithm]))
    with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
        read_cosignatures(published_note(algorithm).replace(b"85", b"58", 1), [verifier])


def test_the_form_of_the_c2sp_example() -> None:
    """Its key is not published. Name, time and lengths follow from the specification without it."""
    line = split_note(add_lines(NOTE, C2SP_LINE))[1][-1]
    assert line.name == "witness.example.com/w1"
    assert int.from_bytes(line.signature[:8]) == int(NOW.timestamp()) == 1679315147
    assert len(line.signature) == 8 + 64


def test_what_ed25519_signs() -> None:
    """https://c2sp.org/tlog-cosignature, section "Ed25519 signed message", literally."""
    key = KEYS["ed25519"]
    line = split_note(cosigned(key))[1][-1]
    message = f"cosignature/v1\ntime 1679315147\n{TEXT}".encode()
    Ed25519PublicKey.from_public_bytes(key.verifier.public_bytes).verify(line.signature[8:], message)


@each_algorithm
def test_tlog_scales_verifies_ours(algorithm: Algorithm) -> None:
    key = KEYS[algorithm]
    theirs = tlog.Checkpoint.from_text(cosigned(key).decode())
    theirs.verify(signing.Vkey.from_string(key.verifier.encode()))
    other = CosignerKey.generate(key.name, algorithm)
    with pytest.raises(RuntimeError):
        theirs.verify(signing.Vkey.from_string(other.verifier.encode()))


def test_ours_verifies_tlog_scales() -> None:
    """It writes the ML-DSA-44 form alone."""
    key = KEYS["ml-dsa-44"]
    signer = signing.MLDSA44CosignatureSigner(key.name, bytes(range(32)))
    before = datetime.now(UTC).replace(microsecond=0)
    signed = tlog.Checkpoint.make_signed("a/b", 3, bytes(32), [signer]).serialize().encode()
    [cosignature] = read_cosignatures(signed, [key.verifier])
    assert before <= cosignature.time <= datetime.now(UTC)


@each_algorithm
def test_keys_as_text_and_file(algorithm: Algorithm, tmp_path: Path) -> None:
    key = CosignerKey.generate("witness.example/ключ", algorithm)
    assert CosignerVerifier.decode(key.verifier.encode()) == key.verifier
    assert CosignerKey.decode(key.encode()).verifier == key.verifier
    key.save(tmp_path / "witness.key")
    assert (tmp_path / "witness.key").stat().st_mode & 0o777 == 0o600
    assert CosignerKey.load(tmp_path / "witness.key").encode() == key.encode()
    with pytest.raises(ConfigurationError, match=r"config\.exists"):
        key.save(tmp_path / "witness.key")
    assert CosignerKey.decode(key.encode()).cosign(TEXT, NOW).startswith("— witness.example/ключ ")


def bad_key_texts() -> list[str]:
    text = KEYS["ed25519"].verifier.encode()
    name, key_id, data = text.split("+", 2)
    return [
        "", "a", text[:-1], text + "\n", f" {text}", f"{name}+{key_id}", f"{name}+00000000+{data}",
        f"other+{key_id}+{data}", LOG.verifier.encode(), f"{name}+{key_id}+BQ==", KEYS["ed25519"].encode(),
        f"{name}+{key_id}+", f"{name}+{key_id}+!!!!", f"{name} +{key_id}+{data}",
    ]  # fmt: skip


@pytest.mark.parametrize("text", bad_key_texts())
def test_other_verifier_keys_are_refused(text: str) -> None:
    with pytest.raises(IdentityError, match=r"identity\.bad-key"):
        CosignerVerifier.decode(text)


@each_algorithm
def test_other_signing_keys_are_refused_and_not_quoted(algorithm: Algorithm) -> None:
    secret = KEYS[algorithm].encode()
    for text in ("", secret[1:], secret[:-1], secret.replace("/w+", "/v+"), LOG.encode(), secret + "A"):
        with pytest.raises(IdentityError, match=r"identity\.bad-key") as caught:
            CosignerKey.decode(text)
        assert secret[-20:] not in str(caught.value)


@pytest.mark.parametrize("decode", [CosignerVerifier.decode, CosignerKey.decode])
@given(
    st.text()
    | st.builds("{}+{}+{}".format, st.text(), st.from_regex("[0-9a-f]{8}"), st.sampled_from(["BA==", "Bg=="]))
)
def test_reading_keys_is_total(decode: Callable[[str], object], text: str) -> None:
    with pytest.raises(IdentityError):
        decode(text)


def test_names_that_do_not_fit() -> None:
    for name in ("", "a b", "a+b", "ж" * 128):
        with pytest.raises(IdentityError, match=r"identity\.bad-key"):
            CosignerKey.generate(name, "ed25519")
    for algorithm in ALGORITHMS:
        with pytest.raises(IdentityError, match="seed"):
            CosignerKey("a", algorithm, bytes(31))
        with pytest.raises(IdentityError, match="public key"):
            CosignerVerifier("a", algorithm, bytes(33))
    long = f"{'l' * 256}\n{TEXT.partition(chr(10))[2]}"
    assert CosignerKey.generate("a", "ed25519").cosign(long, NOW)
    with pytest.raises(ProtocolError, match="255"):
        KEYS["ml-dsa-44"].cosign(long, NOW)


@each_algorithm
def test_times(algorithm: Algorithm) -> None:
    key = KEYS[algorithm]
    assert read_cosignatures(cosigned(key), [key.verifier])[0].time == NOW.replace(microsecond=0)
    elsewhere = NOW.astimezone(timezone(timedelta(hours=8)))
    line = key.cosign(TEXT, elsewhere)
    assert read_cosignatures(add_lines(NOTE, line), [key.verifier])[0].time == NOW.replace(microsecond=0)
    for bad in (NOW.replace(tzinfo=None), datetime(1970, 1, 1, tzinfo=UTC), datetime(1950, 1, 1, tzinfo=UTC)):
        with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
            key.cosign(TEXT, bad)
    for late in (1 << 63, (1 << 64) - 1, 1 << 40):
        with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
            key.verifier.verify(TEXT, late.to_bytes(8) + bytes(64))


@each_algorithm
def test_only_checkpoints_are_cosigned(algorithm: Algorithm) -> None:
    for text in ("", "hello\n", TEXT + "extension\n", TEXT.replace("20852163", "020852163"), TEXT[:-1]):
        with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
            KEYS[algorithm].cosign(text, NOW)
        with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
            KEYS[algorithm].verifier.verify(text, bytes(72))
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        read_cosignatures(sign_note("hello\n", LOG), [])


def test_who_counts() -> None:
    first, second = KEYS["ed25519"], KEYS["ml-dsa-44"]
    stranger = CosignerKey.generate("stranger", "ed25519")
    note = cosigned(stranger, second, first)
    assert read_cosignatures(NOTE, [first.verifier]) == ()
    assert read_cosignatures(note, []) == ()
    found = read_cosignatures(note, [first.verifier, second.verifier, first.verifier])
    assert [cosignature.verifier for cosignature in found] == [second.verifier, first.verifier]
    namesake = CosignerKey.generate(first.name, "ed25519")
    assert read_cosignatures(note, [namesake.verifier]) == ()


def test_a_logs_key_is_not_a_witness() -> None:
    """The same Ed25519 key has another id as a cosigner's, and what it signs is another text."""
    as_witness = CosignerKey(LOG.name, "ed25519", bytes(range(32)))
    assert as_witness.verifier.public_bytes == LOG.verifier.public_bytes
    assert as_witness.verifier.key_id != LOG.verifier.key_id
    assert read_cosignatures(NOTE, [as_witness.verifier]) == ()


@each_algorithm
def test_a_cosignature_is_of_one_checkpoint_one_time_and_one_name(algorithm: Algorithm) -> None:
    key = KEYS[algorithm]
    line = split_note(cosigned(key))[1][-1]
    for text in (TEXT.replace("sofa", "sofas"), TEXT.replace("63\n", "64\n"), TEXT.replace("CsU", "CsV")):
        with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
            key.verifier.verify(text, line.signature)
    later = (int(NOW.timestamp()) + 1).to_bytes(8) + line.signature[8:]
    other = CosignerVerifier("other", algorithm, key.verifier.public_bytes)
    assert key.verifier.verify(TEXT, line.signature) == NOW.replace(microsecond=0)
    for verifier, signature in ((key.verifier, later), (key.verifier, line.signature[:-1])):
        with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
            verifier.verify(TEXT, signature)
    if algorithm == "ml-dsa-44":  # the Ed25519 form does not sign the name: one key, one name
        with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
            other.verify(TEXT, line.signature)


@each_algorithm
def test_a_bad_or_second_line_of_a_known_cosigner_refuses_the_note(algorithm: Algorithm) -> None:
    key = KEYS[algorithm]
    later = key.cosign(TEXT, NOW + timedelta(seconds=1))
    with pytest.raises(IdentityError, match="twice"):
        read_cosignatures(cosigned(key) + later.encode(), [key.verifier])
    with pytest.raises(ProtocolError, match="already"):
        add_lines(cosigned(key), later)
    first = key.cosign(TEXT, NOW)
    assert add_lines(NOTE, first, first) == add_lines(NOTE, first)
    other = key.cosign(TEXT.replace("63\n", "64\n"), NOW)
    with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
        read_cosignatures(NOTE + other.encode(), [key.verifier])


@pytest.mark.parametrize(
    "line", ["", "\n", C2SP_LINE[:-1], C2SP_LINE * 2, f"\n{C2SP_LINE}", TEXT, "— a b c\n"]
)
def test_only_single_lines_are_added(line: str) -> None:
    """A line cannot bring an empty line with it, which would move the end of the text."""
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        add_lines(NOTE, line)


@each_algorithm
@given(data=st.data())
def test_any_flipped_byte_is_refused_or_loses_the_cosignature(
    algorithm: Algorithm, data: st.DataObject
) -> None:
    key = KEYS[algorithm]
    note = bytearray(COSIGNED[algorithm])
    note[data.draw(st.integers(0, len(note) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = read_cosignatures(bytes(note), [key.verifier])
    except HanseError:
        return
    # A changed name, or a changed line of the log, which is not looked at here.
    assert found == () or split_note(bytes(note))[0] == TEXT


COSIGNED = {algorithm: cosigned(key) for algorithm, key in KEYS.items()}


@given(st.binary() | st.binary().map(lambda tail: NOTE + tail) | st.binary().map(lambda head: head + NOTE))
def test_reading_is_total(note: bytes) -> None:
    with contextlib.suppress(HanseError):
        assert read_cosignatures(note, [key.verifier for key in KEYS.values()]) == ()


@each_algorithm
@given(signature=st.binary(max_size=100))
def test_verifying_is_total(algorithm: Algorithm, signature: bytes) -> None:
    with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
        KEYS[algorithm].verifier.verify(TEXT, signature)
