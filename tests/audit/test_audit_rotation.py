"""Following a log from a key that is known to the one that signs it now."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.audit import (
    Actor,
    AuditLog,
    Checkpoint,
    Event,
    EventType,
    RefusalKind,
    Witness,
    WitnessRefusal,
    WitnessState,
    consistency_proof,
    inclusion_proof,
    parse_checkpoint,
    sign_checkpoint,
)
from hanse.audit.rotation import Handover, follow
from hanse.crypto import SigningKey, add_signature, sign_note, unverified_text
from hanse.crypto.cosigning import CosignerKey
from hanse.errors import AuditError, HanseError, IdentityError, ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass
class Changed:
    """A log that changed its key twice, with an entry before and after each change."""

    log: AuditLog
    keys: list[SigningKey]

    def handovers(self) -> list[Handover]:
        found = []
        with self.log.reader() as reader:
            for note in reader.rotations():
                size = parse_checkpoint(unverified_text(note)).size
                (entry,) = reader.leaves(size - 1, size)
                found.append(Handover(note, entry, inclusion_proof(size - 1, size, reader.hashes)))
        return found

    def proof(self, old_size: int) -> tuple[bytes, ...]:
        with self.log.reader() as reader:
            return consistency_proof(old_size, reader.size, reader.hashes)


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    keys = [SigningKey.generate("hub") for _ in range(3)]
    AuditLog.create(tmp_path / "hub.db", "hub", keys[0])
    actor = Actor(organisation="hub", key_id=keys[0].verifier.key_id, role="coordinator")
    log = AuditLog.open(tmp_path / "hub.db", keys[0], actor, lambda: NOW)
    for key in keys[1:]:
        log.append(Event(type=EventType.RUN_STARTED))
        log.rotate(key)
    log.append(Event(type=EventType.RUN_STARTED))
    return Changed(log, keys)


def test_from_every_key_to_the_newest(changed: Changed) -> None:
    handovers, (first, second, third) = changed.handovers(), (key.verifier for key in changed.keys)
    assert [follow(key, handovers) for key in (first, second, third)] == [third] * 3
    assert follow(first, handovers[:1]) == second
    assert follow(first, []) == first
    stranger = SigningKey.generate("hub").verifier
    assert follow(stranger, handovers) == stranger
    with changed.log.reader() as reader:
        assert reader.keys() == (first, second, third)


def test_two_signatures_alone_hand_nothing_over(changed: Changed) -> None:
    """Anybody can add a line of their own to a note that the log signed."""
    first, second, thief = changed.keys[0], changed.handovers()[0], SigningKey.generate("hub")
    both = add_signature(sign_note(unverified_text(second.note), first), thief)
    entry = second.entry.replace(changed.keys[1].verifier.encode().encode(), thief.verifier.encode().encode())
    assert entry != second.entry
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        follow(first.verifier, [Handover(both, entry, second.proof)])


@pytest.mark.parametrize(
    "wrong", ["not the last", "not a change", "new key did not sign", "other log", "empty"]
)
def test_what_is_no_handover_is_refused(changed: Changed, wrong: str) -> None:
    first, (good, later) = changed.keys[0], changed.handovers()
    text = unverified_text(good.note)
    if wrong == "not the last":
        note = add_signature(sign_note(unverified_text(later.note), first), changed.keys[1])
        with changed.log.reader() as reader:
            bad = Handover(note, good.entry, inclusion_proof(1, 4, reader.hashes))
    elif wrong == "not a change":
        with changed.log.reader() as reader:
            bad = Handover(good.note, next(reader.leaves(0, 1)), good.proof)
    elif wrong == "new key did not sign":
        bad = good._replace(note=sign_note(text, first))
    elif wrong == "other log":
        bad = good._replace(
            note=add_signature(sign_note(text.replace("hub\n", "bub\n", 1), first), changed.keys[1])
        )
    else:
        empty = sign_checkpoint(Checkpoint("hub", 0, bytes(32)), first)
        bad = good._replace(note=add_signature(empty, changed.keys[1]), proof=())
    with pytest.raises((AuditError, IdentityError, ProtocolError)):
        follow(first.verifier, [bad])


@given(note=st.binary(), entry=st.binary(), proof=st.lists(st.binary(), max_size=3))
def test_any_bytes_are_refused_by_our_own_errors(note: bytes, entry: bytes, proof: list[bytes]) -> None:
    key = SigningKey.generate("hub").verifier
    with suppress(HanseError):
        assert follow(key, [Handover(note, entry, tuple(proof))]) == key


def test_a_witness_follows_and_drops_the_old_key(changed: Changed, tmp_path: Path) -> None:
    first, _, third = changed.keys
    handovers = changed.handovers()
    state, key = WitnessState.create(tmp_path / "w.db"), CosignerKey.generate("brand/witness", "ed25519")
    witness = Witness("hub", [first.verifier], key, state, lambda: NOW)
    witness.add_checkpoint(0, (), handovers[0].note)
    note = changed.log.checkpoint()
    assert not witness.is_signed(note)
    assert witness.follow(handovers) == third.verifier
    assert witness.follow(handovers) is None
    assert witness.is_signed(note)
    assert witness.add_checkpoint(2, changed.proof(2), note)
    # Whoever has the old key goes on from the same moment: no longer heard.
    forged = sign_checkpoint(Checkpoint("hub", 9, bytes(32)), first)
    with pytest.raises(WitnessRefusal) as caught:
        witness.add_checkpoint(5, (), forged)
    assert caught.value.kind is RefusalKind.FOREIGN_KEY
