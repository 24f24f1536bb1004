"""Sealed conversations: composition, refusals, rekeying, arbitrary bytes."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.crypto import SigningKey, VerifierKey
from hanse.crypto.sealed import (
    CLOSE_BYTES,
    HELLO_BYTES,
    PROOF_BYTES,
    Handshake,
    Opener,
    SealedTerms,
    Sealer,
    Session,
)
from hanse.crypto.sealed.records import LONGEST_MESSAGE_BYTES
from hanse.errors import HanseError

KEYS = {name: SigningKey(name, name.encode().ljust(32, b".")) for name in ("brand", "insurer", "media")}
TERMS = SealedTerms("ab" * 32, "run-20260101-000000-abcdef", "align-1", "alignment")
ENTROPY = {name: hashlib.sha256(name.encode()).digest() for name in KEYS}


def shake(name: str, peer: str, terms: SealedTerms = TERMS, entropy: bytes = b"", key: str = "") -> Handshake:
    secret = entropy or ENTROPY[name]
    return Handshake(KEYS[key or name], KEYS[peer].verifier, terms, lambda _: secret)


def sessions(terms: SealedTerms = TERMS, entropy: bytes = b"") -> tuple[Session, Session]:
    """What brand and insurer have after an honest handshake."""
    brand, insurer = shake("brand", "insurer", terms, entropy), shake("insurer", "brand", terms)
    proofs = insurer.prove(brand.hello), brand.prove(insurer.hello)
    return brand.finish(proofs[0]), insurer.finish(proofs[1])


def code(call: Callable[[], Any]) -> str:
    try:
        call()
    except HanseError as error:
        return error.code
    return "no error"


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """RFC 5869, for one block."""
    return expand(hmac.digest(salt, secret, "sha256"), info, length)


def expand(pseudo_random: bytes, info: bytes, length: int = 32) -> bytes:
    return hmac.digest(pseudo_random, info + b"\x01", "sha256")[:length]


def test_the_composition_is_what_the_modules_say_and_stays_so() -> None:
    brand, insurer = shake("brand", "insurer"), shake("insurer", "brand")
    proof = brand.prove(insurer.hello)
    session = brand.finish(insurer.prove(brand.hello))
    records = [session.sealer.seal(b"first"), session.sealer.seal(b""), session.sealer.close("run.cancelled")]

    def framed(*fields: bytes) -> bytes:
        return b"".join(len(field).to_bytes(4, "big") + field for field in fields)

    texts = (*vars_of(TERMS), KEYS["brand"].verifier.encode(), KEYS["insurer"].verifier.encode())
    context = hashlib.sha256(framed(b"hanse sealed context", b"\x01", *(t.encode() for t in texts))).digest()
    ours = X25519PrivateKey.from_private_bytes(ENTROPY["brand"])
    assert brand.hello == b"\x01" + context + ours.public_key().public_bytes_raw()
    transcript = hashlib.sha256(
        framed(b"hanse sealed transcript", b"\x01", context, brand.hello, insurer.hello)
    ).digest()
    assert session.transcript == transcript
    shared = ours.exchange(X25519PublicKey.from_public_bytes(insurer.hello[33:]))
    keys = [
        hkdf(shared, transcript, b"hanse sealed/1 low " + use) for use in (b"proof", b"finished", b"traffic")
    ]
    signature = KEYS["brand"].sign("sealed-session/1", transcript + b"low")
    finished = hmac.digest(keys[1], transcript + signature, "sha256")
    assert proof == AESGCM(keys[0]).encrypt(bytes(12), signature + finished, transcript)
    cipher = AESGCM(expand(keys[2], b"hanse sealed/1 key"))
    base = int.from_bytes(expand(keys[2], b"hanse sealed/1 nonce", 12), "big")
    for number, (record, kind, plaintext) in enumerate(
        zip(records, (b"m", b"m", b"c"), (b"first", b"", b"run.cancelled".ljust(64, b"\0")), strict=True)
    ):
        beside = transcript + b"l" + kind + number.to_bytes(8, "big")
        assert cipher.decrypt((base ^ number).to_bytes(12, "big"), record, beside) == plaintext
    # Known answers: any change of these is another protocol and needs another version.
    assert brand.hello.hex() == KNOWN["hello"]
    assert hashlib.sha256(proof).hexdigest() == KNOWN["proof"]
    assert [record.hex()[:64] for record in records] == KNOWN["records"]


def vars_of(terms: SealedTerms) -> tuple[str, ...]:
    return (terms.agreement, terms.run, terms.phase, terms.purpose)


KNOWN: dict[str, Any] = {
    "hello": "01b959d846ad8707ad644f4b1a30e7a2fcd4e9d77d603d397fa0b7538c16c41ab1"
    "fcfecefe39c88d4da52fa34134a65522baa6ed17f146cebada6d4ca68e5d673d",
    "proof": "5c7f88bc27238b2154902e13de62d08db8013308c3f77b175aded695d8e8d47e",
    "records": [
        "b56609fcac661154be94ab47abbd147aadfea83d99",
        "02222daa7c6ffa041ed376d51c0df8a6",
        "66e316c70c68b1c18a0ca104b9447f73fba436c2885edec87268638e3c39828a",
    ],
}


def test_both_sides_have_the_same_session_and_hear_each_other() -> None:
    brand, insurer = sessions()
    assert brand.transcript == insurer.transcript
    for body in (b"", b"x", bytes(100_000)):
        sealed = brand.sealer.seal(body)
        assert len(sealed) == len(body) + 16
        assert insurer.opener.open(sealed) == body
        assert brand.opener.open(insurer.sealer.seal(body)) == body


def test_the_same_message_never_looks_the_same() -> None:
    brand, insurer = sessions()
    seen = {end.sealer.seal(b"again and again") for end in (brand, insurer) for _ in range(50)}
    assert len(seen) == 100


@pytest.mark.parametrize("field", ["agreement", "run", "phase", "purpose"])
def test_who_means_another_conversation_is_refused(field: str) -> None:
    other = replace(TERMS, **{field: "cd" * 32})
    here, there = shake("brand", "insurer"), shake("insurer", "brand", other)
    assert code(lambda: here.prove(there.hello)) == "sealed.foreign"
    assert code(lambda: there.prove(here.hello)) == "sealed.foreign"


def test_fields_do_not_run_into_each_other() -> None:
    moved = replace(TERMS, run=TERMS.run + "a", phase=TERMS.phase.removeprefix("a"))
    assert vars_of(moved)[1] + vars_of(moved)[2] == TERMS.run + TERMS.phase
    assert (
        code(lambda: shake("brand", "insurer").prove(shake("insurer", "brand", moved).hello))
        == "sealed.foreign"
    )


def test_a_member_that_is_not_the_one_meant_is_refused() -> None:
    """Media is asked by brand, but answers as what it is, to whom it believes to be brand."""
    here, there = shake("brand", "insurer"), shake("media", "brand")
    assert code(lambda: here.prove(there.hello)) == "sealed.foreign"


class Claimed:
    """A key that says that it is another."""

    def __init__(self, key: SigningKey, claimed: VerifierKey) -> None:
        self.sign, self.verifier = key.sign, claimed


def impostor(claimed: str, peer: str) -> Handshake:
    """Media says that it is somebody else: hello and context are right, the signature is not."""
    key: Any = Claimed(KEYS["media"], KEYS[claimed].verifier)
    return Handshake(key, KEYS[peer].verifier, TERMS, lambda _: ENTROPY["media"])


def test_a_wrong_key_behind_a_right_hello_is_refused() -> None:
    here = shake("brand", "insurer")
    media = impostor("insurer", "brand")
    here.prove(media.hello)
    assert code(lambda: here.finish(media.prove(here.hello))) == "identity.bad-signature"


def test_a_relay_that_puts_itself_between_both_is_refused() -> None:
    """With its own ephemeral keys it has both keys of the exchange, and neither signature."""
    brand, insurer = shake("brand", "insurer"), shake("insurer", "brand")
    towards_brand, towards_insurer = impostor("insurer", "brand"), impostor("brand", "insurer")
    proof = insurer.prove(towards_insurer.hello)
    brand.prove(towards_brand.hello)
    towards_insurer.prove(insurer.hello)
    assert code(lambda: brand.finish(proof)) == "sealed.broken"  # insurer's, of the other exchange
    assert code(lambda: brand.finish(towards_brand.prove(brand.hello))) == "identity.bad-signature"


def test_reflections_are_refused() -> None:
    here = shake("brand", "insurer")
    assert code(lambda: here.prove(here.hello)) == "sealed.broken"
    there = shake("insurer", "brand")
    mine = here.prove(there.hello)
    assert code(lambda: here.finish(mine)) == "sealed.broken"
    brand, _ = sessions()
    assert code(lambda: brand.opener.open(brand.sealer.seal(b"echo"))) == "sealed.broken"


def test_a_handshake_of_before_is_of_no_use() -> None:
    before, there = shake("brand", "insurer"), shake("insurer", "brand")
    old = before.prove(there.hello)
    again = shake("insurer", "brand", entropy=b"n" * 32)
    again.prove(before.hello)
    assert code(lambda: again.finish(old)) == "sealed.broken"


def test_steps_out_of_order_are_refused() -> None:
    here, there = shake("brand", "insurer"), shake("insurer", "brand")
    assert code(lambda: here.finish(bytes(PROOF_BYTES))) == "protocol.unexpected-step"
    here.prove(there.hello)
    assert code(lambda: here.prove(there.hello)) == "protocol.unexpected-step"
    assert code(lambda: shake("brand", "brand")) == "identity.bad-key"


def test_hellos_that_are_none_are_refused_by_name() -> None:
    good = shake("insurer", "brand").hello
    cases = {
        good[:-1]: "protocol.malformed",
        b"": "protocol.malformed",
        b"\x02" + good[1:]: "protocol.version",
        good[:33] + bytes(32): "protocol.malformed",  # small order: a secret that everybody has
        good[:33] + b"\x01" + bytes(31): "protocol.malformed",
    }
    for hello, expected in cases.items():
        assert code(lambda hello=hello: shake("brand", "insurer").prove(hello)) == expected  # type: ignore[misc]


RECORD_FAULTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "replayed": lambda sealed: [sealed[0], sealed[0]],
    "replayed later": lambda sealed: [*sealed, sealed[0]],
    "reordered": lambda sealed: [sealed[1]],
    "left out": lambda sealed: [sealed[0], sealed[2]],
    "truncated": lambda sealed: [sealed[0][:-1]],
    "extended": lambda sealed: [sealed[0] + b"\0"],
    "empty": lambda sealed: [sealed[0][:0]],
    "two in one": lambda sealed: [sealed[0] + sealed[1]],
}


@pytest.mark.parametrize("fault", RECORD_FAULTS)
def test_records_other_than_the_next_are_refused_and_nothing_follows(fault: str) -> None:
    brand, insurer = sessions()
    sealed = [*(brand.sealer.seal(b"%d" % number) for number in range(3)), brand.sealer.close()]
    *good, bad = RECORD_FAULTS[fault](sealed)
    for record in good:
        insurer.opener.open(record)
    assert code(lambda: insurer.opener.open(bad)) == "sealed.broken"
    for record in sealed:
        assert code(lambda record=record: insurer.opener.open(record)) == "sealed.broken"  # type: ignore[misc]


@pytest.mark.parametrize(
    "other",
    [
        sessions(entropy=b"another ephemeral key of 32 bytes"[:32]),
        *(sessions(replace(TERMS, **{field: "other"})) for field in ("agreement", "run", "phase", "purpose")),
    ],
)
def test_records_of_another_conversation_are_refused(other: tuple[Session, Session]) -> None:
    brand, insurer = sessions()
    assert code(lambda: insurer.opener.open(other[0].sealer.seal(b"spliced"))) == "sealed.broken"
    assert insurer.transcript not in {session.transcript for session in other}
    assert code(lambda: brand.opener.open(other[0].sealer.seal(b""))) == "sealed.broken"


def test_a_close_says_why_once() -> None:
    for told, heard in (("", ""), ("run.cancelled", "run.cancelled"), ("no.such-code", "exchange.closed")):
        brand, insurer = sessions()
        assert insurer.opener.end is None
        last = brand.sealer.close(told)
        assert len(last) == CLOSE_BYTES
        assert insurer.opener.open(last) is None
        assert insurer.opener.end == heard
        assert code(lambda brand=brand: brand.sealer.seal(b"more")) == "exchange.closed"
        assert code(lambda brand=brand: brand.sealer.close()) == "exchange.closed"


def test_a_message_that_looks_like_a_close_is_a_message() -> None:
    brand, insurer = sessions()
    body = b"run.cancelled".ljust(64, b"\0")
    assert insurer.opener.open(brand.sealer.seal(body)) == body
    assert insurer.opener.end is None


def test_what_is_too_large_is_refused_before_it_counts() -> None:
    brand, insurer = sessions()
    assert code(lambda: brand.sealer.seal(bytes(LONGEST_MESSAGE_BYTES + 1))) == "exchange.too-large"
    assert insurer.opener.open(brand.sealer.seal(b"goes on")) == b"goes on"
    assert code(lambda: insurer.opener.open(bytes(LONGEST_MESSAGE_BYTES + 17))) == "sealed.broken"


@given(st.lists(st.binary(max_size=60), max_size=30), st.integers(1, 200), st.integers(1, 7))
def test_both_sides_change_keys_at_the_same_record(bodies: list[bytes], size: int, count: int) -> None:
    direction = (bytes(32), "low", b"t" * 32, size, count)
    sealer, opener = Sealer(*direction), Opener(*direction)  # type: ignore[arg-type]
    ciphers = set()
    for body in bodies:
        ciphers.add(id(sealer._cipher))
        assert sealer._records < count
        assert sealer._bytes < size
        assert opener.open(sealer.seal(body)) == body
    assert sealer._number == len(bodies)
    assert sealer._traffic == opener._traffic


def test_a_key_does_not_open_what_the_one_before_sealed() -> None:
    sealer = Sealer(bytes(32), "low", b"t" * 32, 10**9, 2)
    first, cipher = sealer._traffic, sealer._cipher
    sealer.seal(b"one")
    sealer.seal(b"two")
    assert sealer._cipher is not cipher
    assert sealer._traffic not in (first, b"t" * 32)
    opener = Opener(bytes(32), "low", b"t" * 32, 10**9, 3)  # believes that the key still holds
    late = Sealer(bytes(32), "low", b"t" * 32, 10**9, 2)
    records = [late.seal(b"x") for _ in range(3)]
    assert [opener.open(record) for record in records[:2]] == [b"x", b"x"]
    assert code(lambda: opener.open(records[2])) == "sealed.broken"


@settings(max_examples=40)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    here, there = shake("brand", "insurer"), shake("insurer", "brand")
    named = {"protocol.malformed", "protocol.version", "sealed.foreign", "sealed.broken"}
    assert code(lambda: here.prove(data)) in named
    there.prove(shake("brand", "insurer").hello)
    assert code(lambda: there.finish(data)) == "sealed.broken"
    assert code(lambda: Opener(bytes(32), "low", b"t" * 32).open(data)) == "sealed.broken"


@settings(max_examples=60)
@given(st.integers(0, 8 * (HELLO_BYTES + 2 * PROOF_BYTES) - 1))
def test_any_changed_bit_of_a_handshake_is_refused_by_somebody(bit: int) -> None:
    """A relay changes one bit of brand's hello, its proof, or the insurer's proof."""
    brand, insurer = shake("brand", "insurer"), shake("insurer", "brand")
    position = bit

    def through(message: bytes) -> bytes:
        nonlocal position
        at, position = position, position - 8 * len(message)
        if 0 <= at < 8 * len(message):
            changed = bytearray(message)
            changed[at // 8] ^= 1 << at % 8
            return bytes(changed)
        return message

    def run() -> None:
        theirs = insurer.prove(through(brand.hello))
        mine = brand.prove(insurer.hello)
        insurer.finish(through(mine))
        brand.finish(through(theirs))

    # The top bit of an X25519 key is not looked at (RFC 7748, section 5), but it is in the transcript.
    assert code(run) in {"protocol.version", "protocol.malformed", "sealed.foreign", "sealed.broken"}


@given(st.binary(max_size=80), st.data())
def test_any_changed_bit_of_a_record_is_refused(body: bytes, data: st.DataObject) -> None:
    direction = (bytes(32), "low", b"t" * 32)
    record = bytearray(Sealer(*direction).seal(body))  # type: ignore[arg-type]
    at = data.draw(st.integers(0, 8 * len(record) - 1))
    record[at // 8] ^= 1 << at % 8
    assert code(lambda: Opener(*direction).open(bytes(record))) == "sealed.broken"  # type: ignore[arg-type]
