"""How far a quorum vouches for a log, and cosignatures that their witness never made."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.audit import AuditLog, Checkpoint, Event, EventType, sign_checkpoint, verify_log
from hanse.audit.policy_file import TrustPolicy, quorum_of
from hanse.audit.witnessed import Lines, Witnessed, check_witnessed
from hanse.crypto import SigningKey, unverified_text
from hanse.crypto.cosigning import CosignerKey
from hanse.errors import ConfigurationError

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = [
    CosignerKey.generate("a", "ed25519"), CosignerKey.generate("b", "ml-dsa-44"),
    CosignerKey.generate("c", "ed25519"),
]  # fmt: skip
STRANGER = CosignerKey.generate("d", "ed25519")


def policy_of(key: SigningKey, quorum: int = 2) -> TrustPolicy:
    return quorum_of(key.verifier, [own.verifier for own in KEYS], quorum)


def cosign(log: AuditLog, *keys: CosignerKey) -> None:
    """The newest checkpoint, by these."""
    text = unverified_text(log.checkpoint())
    for own in keys:
        log.cosign(log.size, own.cosign(text, AT))


@pytest.fixture
def log(new_log: Callable[[], AuditLog]) -> AuditLog:
    """Entries under checkpoints: 2 by a and b, 5 by a alone, 9 by nobody."""
    made, event = new_log(), Event(type=EventType.RUN_STARTED)
    made.append(event, event)
    cosign(made, KEYS[0], KEYS[1], STRANGER)
    made.append(*[event] * 3)
    cosign(made, KEYS[0])
    made.append(*[event] * 4)
    return made


def witnessed(log: AuditLog, key: SigningKey, quorum: int = 2) -> Witnessed:
    found = verify_log(log.place, key.verifier, policy=policy_of(key, quorum)).witnessed
    assert found is not None
    return found


def kinds(found: Witnessed) -> list[tuple[str, int | None]]:
    return [(finding.kind, finding.entry) for finding in found.findings]


@pytest.mark.parametrize(("quorum", "size"), [(0, 9), (1, 5), (2, 2)])
def test_newest_checkpoint_with_the_quorum(log: AuditLog, key: SigningKey, quorum: int, size: int) -> None:
    found = witnessed(log, key, quorum)
    assert found.newest is not None
    assert (found.newest.size, found.later, kinds(found)) == (size, 9 - size, [])
    with log.reader() as reader:
        assert verify_log(log.place, key.verifier).witnessed is None, "only if it is asked for"
        assert reader.size == 9


def test_no_checkpoint_has_the_quorum(log: AuditLog, key: SigningKey) -> None:
    found = witnessed(log, key, 3)
    assert (found.newest, found.later, kinds(found)) == (None, 9, [("quorum-missing", None)])


def test_the_newest_checkpoint_counts_too(log: AuditLog, key: SigningKey) -> None:
    cosign(log, *KEYS)
    found = witnessed(log, key, 3)
    assert found.newest is not None
    assert (found.newest.size, found.later) == (9, 0)


def test_cosignature_that_its_witness_did_not_make(log: AuditLog, key: SigningKey) -> None:
    """A log's key holder that invents a line for the missing witness gains nothing and is named."""
    other = sign_checkpoint(Checkpoint("another/log", 9, bytes(32)), key)
    log.cosign(9, KEYS[0].cosign(unverified_text(log.checkpoint()), AT))
    log.cosign(9, KEYS[1].cosign(unverified_text(other), AT))
    log.cosign(9, STRANGER.cosign(unverified_text(other), AT))
    found = witnessed(log, key)
    assert kinds(found) == [("cosignature-wrong", 8)]
    assert found.findings[0].detail.startswith("b at 9 entries")
    assert found.newest is not None
    assert found.newest.size == 2
    log.cosign(9, KEYS[1].cosign(unverified_text(log.checkpoint()), AT))
    found = witnessed(log, key)
    assert found.newest is not None
    assert (found.newest.size, kinds(found)) == (9, [("cosignature-wrong", 8)])


def test_cosignatures_count_under_every_key_of_the_log(log: AuditLog, key: SigningKey) -> None:
    log.rotate(SigningKey.generate(key.name))
    log.append(Event(type=EventType.RUN_STARTED))
    cosign(log, KEYS[0], KEYS[1])
    found = witnessed(log, key)
    assert found.newest is not None
    assert (found.newest.size, found.later) == (11, 0)


def test_policy_of_another_log(log: AuditLog, key: SigningKey) -> None:
    other = policy_of(SigningKey.generate(key.name))
    with pytest.raises(ConfigurationError, match="does not name a key of the log"):
        verify_log(log.place, key.verifier, policy=other)


@given(st.lists(st.text() | st.binary().map(lambda data: f"\u2014 a {data.hex()}\n")))
def test_lines_from_anywhere_are_no_cosignatures(lines: list[str]) -> None:
    key = SigningKey("x", bytes(32))
    note = sign_checkpoint(Checkpoint("x", 0, bytes.fromhex("00" * 32)), key)
    found = check_witnessed("x", 0, [Lines(note, lines)], policy_of(key))
    assert found.newest is None
