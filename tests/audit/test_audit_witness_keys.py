"""A witness's new key is announced by the old one; what the old one cosigned stays evidence."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.witness_tools import LOG_KEY, ORIGIN, History, SetClock

from hanse.audit.witness import Witness
from hanse.audit.witness_keys import WitnessKeys, announce_key
from hanse.audit.witness_rules import WitnessRefusal
from hanse.audit.witness_state import WitnessState
from hanse.crypto import parse_canonical_json
from hanse.crypto.canonical import canonical_json
from hanse.crypto.cosigning import Algorithm, CosignerKey, read_cosignatures
from hanse.errors import HanseError, IdentityError, ProtocolError

NAME = "member.example/witness"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def key(number: int, algorithm: Algorithm = "ed25519", name: str = NAME) -> CosignerKey:
    return CosignerKey(name, algorithm, bytes([number]) * 32)


OLD, NEW, NEWEST = key(1), key(2, "ml-dsa-44"), key(3)
ONE = WitnessKeys.begin(OLD.verifier)
TWO = ONE.announce(OLD, NEW, NOW)
THREE = TWO.announce(NEW, NEWEST, NOW + DAY)


@pytest.mark.parametrize("chain", [ONE, TWO, THREE], ids=["one", "two", "three"])
def test_round_trip(chain: WitnessKeys) -> None:
    assert WitnessKeys.parse(chain.encode()) == chain


def test_whoever_pinned_one_key_has_them_all() -> None:
    expected = (OLD.verifier, NEW.verifier, NEWEST.verifier)
    for pinned in expected:
        assert THREE.verifiers(pinned) == expected
    with pytest.raises(IdentityError, match=r"identity\.bad-key"):
        THREE.verifiers(key(4).verifier)


def test_earlier_cosignatures_stay_valid_and_the_memory_goes_on(tmp_path: Path) -> None:
    """The log grows through a rotation of the witness's key; the history is still one."""
    true, clock = History.of(9), SetClock(NOW - DAY)
    state = WitnessState.create(tmp_path / "witness.db")
    before = Witness(ORIGIN, [LOG_KEY.verifier], OLD, state, clock)
    early = true.note(5) + before.add_checkpoint(0, (), true.note(5)).encode()
    clock.now = NOW + timedelta(seconds=1)
    after = Witness(ORIGIN, [LOG_KEY.verifier], NEW, state, clock)
    late = true.note(9) + after.add_checkpoint(5, true.proof(5, 9), true.note(9)).encode()
    for note, signer in ((early, OLD), (late, NEW)):
        for pinned in (OLD, NEW):
            (found,) = TWO.cosigned_by(note, pinned.verifier)
            assert found.verifier == signer.verifier
    with pytest.raises(WitnessRefusal) as caught:
        after.add_checkpoint(9, (), true.branch(2, "x").note(9))
    assert caught.value.kind == "fork"


def test_an_old_key_does_not_count_once_its_successor_was_announced() -> None:
    true = History.of(9)
    in_time = true.note(9) + OLD.cosign(note_text(true, 9), NOW).encode()
    too_late = true.note(9) + OLD.cosign(note_text(true, 9), NOW + timedelta(seconds=1)).encode()
    assert len(TWO.cosigned_by(in_time, NEW.verifier)) == 1
    assert TWO.cosigned_by(too_late, NEW.verifier) == ()
    assert len(read_cosignatures(too_late, [OLD.verifier])) == 1  # it is genuine, and does not count


def note_text(history: History, size: int) -> str:
    return history.note(size).decode().partition("\n\n")[0] + "\n"


def test_an_announcement_is_remembered_as_any_cosignature(tmp_path: Path) -> None:
    """An old key announces one successor, and states no earlier time than before."""
    state = WitnessState.create(tmp_path / "witness.db")
    chain = announce_key(state, ONE, OLD, NEW, NOW)
    assert chain.keys == TWO.keys
    assert announce_key(state, ONE, OLD, NEW, NOW).keys == TWO.keys  # again, as after an interruption
    with pytest.raises(WitnessRefusal, match="fork"):
        announce_key(state, ONE, OLD, NEWEST, NOW)
    with pytest.raises(WitnessRefusal, match="clock"):
        announce_key(state, ONE, OLD, NEW, NOW - DAY)
    with state.turn(ORIGIN, NEW.verifier.key_id) as turn:
        assert turn.past(0).last_time == NOW  # the new key signed the announcement too
    assert announce_key(state, chain, NEW, NEWEST, NOW + DAY).keys == THREE.keys
    with pytest.raises(WitnessRefusal, match="truncation"):
        announce_key(state, ONE, OLD, NEW, NOW + DAY)
    assert WitnessState.open(tmp_path / "witness.db").newest(f"{NAME}/keys") is not None


def test_only_the_key_in_use_announces() -> None:
    with pytest.raises(IdentityError, match=r"identity\.bad-key"):
        TWO.announce(OLD, NEWEST, NOW)
    with pytest.raises(IdentityError, match=r"identity\.bad-key"):
        TWO.announce(NEW, OLD, NOW)  # a key that was used before
    with pytest.raises(IdentityError, match=r"identity\.bad-key"):
        TWO.announce(NEW, key(4, name="other.example/witness"), NOW)
    with pytest.raises(IdentityError, match=r"identity\.bad-key"):
        TWO.announce(NEW, NEWEST, NOW - DAY)  # before it was announced itself


def changed(chain: WitnessKeys, **fields: object) -> bytes:
    document = parse_canonical_json(chain.encode())
    assert isinstance(document, dict)
    return canonical_json({**document, **fields})  # type: ignore[dict-item]


def test_forged_chains() -> None:
    thief = key(9)
    stolen = ONE.announce(OLD, thief, NOW)
    text = TWO.announcements[0].decode()
    by_old_alone = "".join(text.splitlines(keepends=True)[:-1])
    vkeys = [one.encode() for one in TWO.keys]
    later = [one.encode() for one in THREE.keys[1:]]
    last = THREE.announcements[1].decode()
    forged = {
        "another key": changed(TWO, keys=[vkeys[0], thief.verifier.encode()]),
        "another announcement": changed(TWO, announcements=[stolen.announcements[0].decode()]),
        "the first key left out": changed(THREE, keys=later, announcements=[last]),
        "announced by the old key alone": changed(TWO, announcements=[by_old_alone]),
        "no announcement": changed(TWO, announcements=[]),
        "no key": changed(TWO, keys=[], announcements=[]),
        "other order": changed(TWO, keys=vkeys[::-1]),
    }
    for what, data in forged.items():
        with pytest.raises((IdentityError, ProtocolError)):
            pytest.fail(f"{what}: {WitnessKeys.parse(data)}")


def test_parsing_refuses_every_changed_byte() -> None:
    data = TWO.encode()
    for offset in range(0, len(data), 7):
        with pytest.raises(HanseError):
            WitnessKeys.parse(data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :])


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_parsing_is_total(data: bytes) -> None:
    with pytest.raises((ProtocolError, IdentityError)):
        WitnessKeys.parse(data)
