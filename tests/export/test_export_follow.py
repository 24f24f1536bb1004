"""Following a log: what does not extend what was seen is refused."""

from collections.abc import Callable

import pytest
from tests.export.conftest import MadeLog, events_of_run

from hanse.audit import Event, EventType, root_hash
from hanse.audit.checkpoint import Checkpoint, sign_checkpoint
from hanse.crypto import SigningKey
from hanse.errors import AuditError, IdentityError
from hanse.evidence.follow import Follower
from hanse.evidence.words import SAYS, facts, says


@pytest.fixture
def made(make_log: Callable[..., MadeLog]) -> MadeLog:
    return make_log(events_of_run())


def leaves_of(made: MadeLog) -> list[bytes]:
    return list(made.evidence().leaves)


def note_of(leaves: list[bytes], key: SigningKey, origin: str = "brand") -> bytes:
    return sign_checkpoint(Checkpoint(origin, len(leaves), root_hash(leaves)), key)


def test_tells_what_is_new(made: MadeLog) -> None:
    follower = Follower(made.key.verifier)
    assert len(follower.take(made.log.checkpoint(), leaves_of(made))) == made.log.size
    assert follower.take(made.log.checkpoint(), []) == []
    made.log.append(Event(type=EventType.SCORER_STARTED))
    ((index, entry),) = follower.take(made.log.checkpoint(), leaves_of(made)[follower.size :])
    assert (index, entry.type) == (made.log.size - 1, EventType.SCORER_STARTED)


@pytest.mark.parametrize("attack", ["fork", "cut", "rewrite", "other log", "other key", "saved", "shorter"])
def test_refuses_another_history(made: MadeLog, attack: str) -> None:
    leaves, key = leaves_of(made), made.key
    saved = None
    if attack == "saved":
        saved = note_of([*leaves[:2], leaves[0]], key)
    elif attack == "shorter":
        saved = note_of([*leaves, leaves[0]], key)
    follower = Follower(key.verifier, saved)
    if saved is not None:
        with pytest.raises(AuditError, match=r"saved"):
            follower.take(note_of(leaves, key), leaves)
        return
    follower.take(note_of(leaves[:4], key), leaves[:4])
    other = SigningKey.generate("brand")
    note, more = {
        "fork": (note_of([*leaves[:3], leaves[0]], key), []),
        "cut": (note_of(leaves[:2], key), []),
        "rewrite": (note_of([leaves[1], *leaves[1:]], key), leaves[4:]),
        "other log": (note_of(leaves, key, "insurer"), leaves[4:]),
        "other key": (note_of(leaves, other), leaves[4:]),
    }[attack]
    with pytest.raises(IdentityError if attack == "other key" else AuditError):
        follower.take(note, more)


def test_follows_a_change_of_keys(made: MadeLog) -> None:
    old, new = made.key, SigningKey.generate("brand")
    made.log.rotate(new)
    at_the_change = made.log.checkpoint()
    leaves = leaves_of(made)
    assert len(Follower(old.verifier).take(at_the_change, leaves)) == len(leaves)
    made.log.append(Event(type=EventType.SCORER_STARTED))
    leaves = leaves_of(made)
    with made.log.reader() as reader:
        rotations = reader.rotations()
    for known in (old, new):
        follower = Follower(known.verifier)
        assert len(follower.take(made.log.checkpoint(), leaves, lambda: rotations)) == len(leaves)
        with pytest.raises(IdentityError):
            follower.take(note_of(leaves, old), [])


def test_a_checkpoint_from_before_a_change_of_keys_counts(made: MadeLog) -> None:
    saved, old, new = made.log.checkpoint(), made.key, SigningKey.generate("brand")
    forged = note_of(leaves_of(made), SigningKey.generate("brand"))
    made.log.rotate(new)
    leaves = leaves_of(made)
    Follower(new.verifier, saved, old.verifier).take(made.log.checkpoint(), leaves)
    for unknown, first in ((forged, old.verifier), (saved, None)):
        with pytest.raises(IdentityError, match="saved checkpoint"):
            Follower(new.verifier, unknown, first).take(made.log.checkpoint(), leaves)
    other = note_of(leaves[:2], old)
    with pytest.raises(AuditError, match="not those of the saved checkpoint"):
        Follower(new.verifier, note_of([leaves[1], leaves[0]], old), old.verifier).take(other, leaves)


def test_follows_no_change_that_the_old_key_did_not_sign(made: MadeLog) -> None:
    """Whoever keeps the log can write any entry; only the old key can hand the log over."""
    thief = SigningKey.generate("brand")
    made.log.append(Event(type=EventType.LOG_KEY_ROTATED, new_key=thief.verifier.encode()))
    leaves = leaves_of(made)
    forged = note_of(leaves, thief)
    with pytest.raises(IdentityError):
        Follower(made.key.verifier).take(forged, leaves)
    with pytest.raises(AuditError, match="no checkpoint is kept"):
        Follower(made.key.verifier).take(note_of([*leaves, leaves[0]], thief), [*leaves, leaves[0]])
    other = note_of([leaves[1], *leaves[1:]], made.key)
    with pytest.raises(AuditError, match="over other entries"):
        Follower(made.key.verifier).take(forged, leaves, lambda: [other])


def test_every_type_has_plain_words(made: MadeLog) -> None:
    assert set(SAYS) == set(EventType)
    for entry in made.evidence().entries:
        assert says(entry) != entry.type.value
        assert "\n" not in facts(entry)
