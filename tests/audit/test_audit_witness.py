"""A witness signs what continues what it signed, and nothing else; what it refuses it keeps."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.audit.witness_tools import LOG_KEY, ORIGIN, History, SetClock

from hanse.audit import Checkpoint, sign_checkpoint
from hanse.audit.tree import EMPTY_ROOT
from hanse.audit.witness import Witness
from hanse.audit.witness_rules import (
    Cosigned,
    Past,
    RefusalKind,
    Submission,
    WitnessRefusal,
    judge,
    read_submission,
)
from hanse.audit.witness_state import WitnessState
from hanse.crypto import SigningKey, add_signature, open_note, sign_note, unverified_text
from hanse.crypto.cosigning import Algorithm, CosignerKey, read_cosignatures
from hanse.crypto.note import add_lines
from hanse.errors import AuditError, ConfigurationError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALGORITHMS: tuple[Algorithm, ...] = ("ed25519", "ml-dsa-44")
STRANGER = SigningKey(ORIGIN, bytes(32))


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def state(tmp_path: Path) -> WitnessState:
    return WitnessState.create(tmp_path / "witness.db")


@pytest.fixture
def key() -> CosignerKey:
    return CosignerKey.generate("member.example/witness", "ed25519")


@pytest.fixture
def witness(key: CosignerKey, state: WitnessState, clock: SetClock) -> Witness:
    return Witness(ORIGIN, [LOG_KEY.verifier], key, state, clock)


def refusal_of(witness: Witness, old_size: int, proof: tuple[bytes, ...], note: bytes) -> WitnessRefusal:
    with pytest.raises(WitnessRefusal) as caught:
        witness.add_checkpoint(old_size, proof, note)
    assert caught.value.code == "audit.witness-refused"
    return caught.value


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_growing_log_is_cosigned(algorithm: Algorithm, state: WitnessState, clock: SetClock) -> None:
    key = CosignerKey.generate("member.example/witness", algorithm)
    witness = Witness(ORIGIN, [LOG_KEY.verifier], key, state, clock)
    history = History.of(40)
    for size in (0, 1, 1, 2, 7, 8, 8, 33, 40):
        clock.turn(1.5)
        line = history.show(witness, size)
        note = history.note(size) + line.encode()
        (cosignature,) = read_cosignatures(note, [key.verifier])
        assert cosignature.time == clock.now.replace(microsecond=0)
        assert witness.newest == Cosigned(
            Checkpoint(ORIGIN, size, history.root(size)), history.note(size), cosignature.time
        )


def test_every_pair_of_sizes_and_every_point_of_rewriting() -> None:
    """Trees to 14 leaves: the true history is taken; one that differs before the witnessed size is not."""
    true = History.of(14)
    for old in range(1, 14):
        past = Past(Cosigned(Checkpoint(ORIGIN, old, true.root(old)), true.note(old), NOW))
        for size in range(old, 15):
            taken = judge(old, true.proof(old, size), submission_of(true, size), past, NOW)
            assert taken.checkpoint.root == true.root(size)
            for at in range(size):
                false = true.branch(at, "x")
                same_size = past.newest if size == old else None
                seen = past._replace(same_size=same_size)
                if at >= old:
                    judge(old, false.proof(old, size), submission_of(false, size), seen, NOW)
                    continue
                with pytest.raises(WitnessRefusal) as caught:
                    judge(old, false.proof(old, size), submission_of(false, size), seen, NOW)
                assert caught.value.kind == ("fork" if size == old else "rewrite")


HISTORIES = [History.of(10), *(History.of(10).branch(at, "x") for at in (0, 1, 4, 7, 9))]
STATED = st.none() | st.integers(0, 10)  # None: the size that the witness knows
MOVES = st.tuples(
    st.sampled_from(HISTORIES), st.integers(0, 10), STATED, st.sampled_from(HISTORIES), st.integers(-1, 2)
)


@settings(max_examples=150)
@given(st.lists(MOVES, max_size=12))
def test_whatever_is_asked_one_history_is_cosigned(
    moves: list[tuple[History, int, int | None, History, int]],
) -> None:
    """Any checkpoints, old sizes and proofs, a clock that jumps: sizes, leaves and times only grow."""
    cosigned: list[tuple[Cosigned, list[bytes]]] = []
    now = NOW
    for history, size, stated, prover, seconds in moves:
        now += timedelta(seconds=seconds)
        newest = cosigned[-1][0] if cosigned else None
        old = stated if stated is not None else newest.checkpoint.size if newest else 0
        same = next((one for one, _ in cosigned if one.checkpoint.size == size), None)
        past = Past(newest, same, newest.at if newest else None)
        proof = prover.proof(min(old, size), size)
        try:
            taken = judge(old, proof, submission_of(history, size), past, now)
        except WitnessRefusal:
            continue
        leaves = history.leaves[:size]
        if cosigned:
            assert leaves[: len(cosigned[-1][1])] == cosigned[-1][1]
            assert taken.at >= cosigned[-1][0].at
        cosigned.append((taken, leaves))


def submission_of(history: History, size: int) -> Submission:
    return read_submission(history.note(size), ORIGIN, [LOG_KEY.verifier])


def test_fork_at_the_newest_size_convicts(witness: Witness) -> None:
    true, false = History.of(9), History.of(9).branch(4, "x")
    true.show(witness, 9)
    refusal = refusal_of(witness, 9, (), false.note(9))
    assert (refusal.kind, refusal.convicts) == ("fork", True)
    assert (refusal.submitted, refusal.known, refusal.known_size) == (false.note(9), true.note(9), 9)
    roots = set()
    for note in (refusal.submitted, refusal.known):
        assert note is not None
        opened = open_note(note, LOG_KEY.verifier)
        roots.add(opened.text.splitlines()[2])
        assert opened.text.splitlines()[:2] == [ORIGIN, "9"]
    assert len(roots) == 2  # both over nine entries, both signed by the log: nothing else is needed


@pytest.mark.parametrize("stated", [0, 3, 5, 9, 400])
def test_fork_at_an_earlier_size_is_named_whatever_the_request_states(witness: Witness, stated: int) -> None:
    true, false = History.of(9), History.of(9).branch(4, "x")
    for size in (5, 9):
        true.show(witness, size)
    refusal = refusal_of(witness, stated, (), false.note(5))
    assert (refusal.kind, refusal.known) == ("fork", true.note(5))


def test_rewrite(witness: Witness) -> None:
    true, false = History.of(12), History.of(12).branch(4, "x")
    true.show(witness, 9)
    for proof in (false.proof(9, 12), true.proof(9, 12), (), (bytes(32),) * 63):
        refusal = refusal_of(witness, 9, proof, false.note(12))
        assert (refusal.kind, refusal.convicts, refusal.known) == ("rewrite", False, true.note(9))


def test_truncation_and_rollback(witness: Witness) -> None:
    true = History.of(12)
    true.show(witness, 9)
    assert refusal_of(witness, 9, (), true.note(5)).kind == "truncation"
    assert refusal_of(witness, 5, (), true.note(5)).kind == "rollback"
    assert refusal_of(witness, 0, (), true.note(0)).kind == "rollback"
    assert witness.newest is not None
    assert witness.newest.checkpoint.size == 9


def test_two_processes_with_one_memory(witness: Witness) -> None:
    """Whoever was overtaken asks again; only what went back since it was asked for accuses the log."""
    history = History.of(12)
    history.show(witness, 9)
    for old, asked, size in [(9, 0, 4), (4, 4, 7), (9, 5, 5), (9, 8, 8), (0, 8, 8)]:
        with pytest.raises(WitnessRefusal) as caught:
            witness.add_checkpoint(old, (), history.note(size), asked=asked)
        assert (caught.value.kind, caught.value.known_size) == (RefusalKind.STALE, 9)
    for old, asked, size, kind in [
        (9, 9, 8, RefusalKind.TRUNCATION), (5, 9, 8, RefusalKind.ROLLBACK), (9, 5, 4, RefusalKind.TRUNCATION),
    ]:  # fmt: skip
        with pytest.raises(WitnessRefusal) as caught:
            witness.add_checkpoint(old, (), history.note(size), asked=asked)
        assert caught.value.kind is kind


def test_stale_tells_where_to_start(witness: Witness) -> None:
    true = History.of(12)
    assert refusal_of(witness, 4, true.proof(4, 12), true.note(12)).known_size == 0
    true.show(witness, 9)
    for old in (0, 8, 10, 12):
        refusal = refusal_of(witness, old, true.proof(old, 12), true.note(12))
        assert (refusal.kind, refusal.known_size) == ("stale", 9)
    witness.add_checkpoint(9, true.proof(9, 12), true.note(12))


@pytest.mark.parametrize(
    ("old", "proof"),
    [(13, ()), (-1, ()), (9, (b"short",)), (9, (bytes(32),) * 64)],
    ids=["old above size", "negative", "short hash", "too many hashes"],
)
def test_malformed_requests(witness: Witness, old: int, proof: tuple[bytes, ...]) -> None:
    true = History.of(12)
    true.show(witness, 9)
    assert refusal_of(witness, old, proof, true.note(12)).kind == "malformed"


def test_a_proof_where_nothing_is_to_be_proved(witness: Witness) -> None:
    true = History.of(12)
    assert refusal_of(witness, 0, (bytes(32),), true.note(12)).kind == "malformed"
    true.show(witness, 12)
    assert refusal_of(witness, 12, (bytes(32),), true.note(12)).kind == "malformed"


def test_an_empty_tree_has_one_root(witness: Witness) -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), LOG_KEY)
    assert refusal_of(witness, 0, (), note).kind == "malformed"
    witness.add_checkpoint(0, (), sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), LOG_KEY))


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_reading_is_total(data: bytes) -> None:
    with pytest.raises(WitnessRefusal) as caught:
        read_submission(data, ORIGIN, [LOG_KEY.verifier])
    assert caught.value.kind == "malformed"


def test_foreign_key_and_foreign_log(witness: Witness) -> None:
    true = History.of(3)
    signed_by_other = History(true.leaves, key=STRANGER).note(3)
    other_log = History(true.leaves, origin="other.example/log").note(3)  # same key, other log
    lines = true.note(3).decode().splitlines(keepends=True)
    forged = "".join([*lines[:-1], lines[-1].replace("A", "B").replace("C", "D")]).encode()
    for note in (signed_by_other, other_log, forged):
        refusal = refusal_of(witness, 0, (), note)
        assert (refusal.kind, refusal.submitted) == ("foreign-key", note)
    assert witness.newest is None


def test_signed_text_that_is_no_checkpoint(witness: Witness) -> None:
    for text in (f"{ORIGIN}\n3\n", f"{ORIGIN}\n03\n{'A' * 43}=\n", f"{ORIGIN}\n3\n{'A' * 43}=\nmore\n"):
        assert refusal_of(witness, 0, (), sign_note(text, LOG_KEY)).kind == "malformed"


def test_added_signatures_make_no_other_note(witness: Witness) -> None:
    """Anybody can add lines to a note; what is kept does not grow by them."""
    true, false = History.of(9), History.of(9).branch(4, "x")
    witness.add_checkpoint(0, (), add_signature(true.note(9), SigningKey.generate("stranger")))
    assert witness.newest is not None
    assert witness.newest.note == true.note(9)
    for _ in range(3):
        noisy = add_signature(false.note(9), SigningKey.generate("stranger"))
        assert refusal_of(witness, 9, (), noisy).submitted == false.note(9)


def test_clock_that_goes_back(witness: Witness, clock: SetClock) -> None:
    true = History.of(9)
    true.show(witness, 3)
    clock.turn(-1)
    refusal = refusal_of(witness, 3, true.proof(3, 9), true.note(9))
    assert refusal.kind == "clock"
    assert "1 s behind" in refusal.detail
    assert witness.newest is not None
    assert witness.newest.checkpoint.size == 3
    clock.turn(1)
    true.show(witness, 9)


def test_the_time_belongs_to_the_key_not_to_the_log(
    witness: Witness, key: CosignerKey, state: WitnessState, clock: SetClock
) -> None:
    """One key cosigns no log with a time before its last one; a new key is the way out of a wrong time."""
    other = History(History.of(3).leaves, origin="other.example/log")
    clock.turn(86_400)
    History.of(3).show(witness, 3)
    clock.turn(-86_400)
    again = Witness(other.origin, [LOG_KEY.verifier], key, state, clock)
    assert refusal_of(again, 0, (), other.note(3)).kind == "clock"
    fresh = CosignerKey.generate(key.verifier.name, "ed25519")
    other.show(Witness(other.origin, [LOG_KEY.verifier], fresh, state, clock), 3)


def test_a_fork_is_named_even_with_a_wrong_clock(witness: Witness, clock: SetClock) -> None:
    History.of(9).show(witness, 9)
    clock.turn(-10)
    assert refusal_of(witness, 9, (), History.of(9).branch(1, "x").note(9)).kind == "fork"


def test_no_message_quotes_what_was_sent(witness: Witness) -> None:
    History.of(9).show(witness, 9)
    secret = "zzsecret"
    notes = [
        secret.encode(),
        sign_note(f"{secret}\n1\n{'A' * 43}=\n", LOG_KEY),
        sign_note(f"{ORIGIN}\n9\n{secret}\n", LOG_KEY),
        sign_note(f"{ORIGIN}\n9\n{'A' * 43}=\n", SigningKey.generate(secret)),
    ]
    for note in notes:
        assert secret not in str(refusal_of(witness, 9, (), note))


def test_a_memory_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "witness.db").touch()  # what an interrupted creation leaves
    WitnessState.create(tmp_path / "witness.db")
    with pytest.raises(ConfigurationError, match=r"config\.exists"):
        WitnessState.create(tmp_path / "witness.db")
    with pytest.raises(AuditError, match=r"audit\.unavailable"):
        WitnessState.create(tmp_path / "no-folder" / "witness.db")


def test_memory_is_missing_or_damaged(tmp_path: Path, witness: Witness) -> None:
    true = History.of(9)
    with pytest.raises(AuditError, match=r"audit\.unavailable"):
        WitnessState.open(tmp_path / "nothing.db")
    assert not (tmp_path / "nothing.db").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(AuditError, match=r"audit\.unavailable"):
        WitnessState.open(tmp_path / "empty.db")
    true.show(witness, 3)
    for name in ("witness.db", "witness.db-wal", "witness.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(AuditError, match=r"audit\.unavailable"):  # it does not begin anew in silence
        true.show(witness, 9)
    (tmp_path / "witness.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(AuditError, match=r"audit\.unavailable"):
        witness.add_checkpoint(0, (), true.note(9))


def test_only_the_owner_reads_the_memory(tmp_path: Path) -> None:
    WitnessState.create(tmp_path / "witness.db")
    assert (tmp_path / "witness.db").stat().st_mode & 0o777 == 0o600


def test_a_log_that_changes_its_key(key: CosignerKey, state: WitnessState, clock: SetClock) -> None:
    """The witness is told the keys; what was cosigned under the old one binds the new one too."""
    true, new_key = History.of(12), SigningKey(ORIGIN, bytes([7]) * 32)
    later, false = (History(one.leaves, key=new_key) for one in (true, true.branch(2, "x")))
    both = add_signature(true.note(7), new_key)
    before = Witness(ORIGIN, [LOG_KEY.verifier], key, state, clock)
    before.add_checkpoint(0, (), both)
    assert refusal_of(before, 7, later.proof(7, 12), later.note(12)).kind == "foreign-key"
    after = Witness(ORIGIN, [new_key.verifier], key, state, clock)
    assert refusal_of(after, 7, false.proof(7, 12), false.note(12)).kind == "rewrite"
    assert refusal_of(after, 7, (), false.note(7)).kind == "fork"
    after.add_checkpoint(7, (), both)
    later.show(after, 12)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_memory_that_was_set_back(algorithm: Algorithm, tmp_path: Path, clock: SetClock) -> None:
    """The witness's own later signature tells it, as soon as the log shows it one."""
    true, key = History.of(9), CosignerKey.generate("member.example/witness", algorithm)
    old = tmp_path / "old.db"
    state = WitnessState.create(tmp_path / "witness.db")
    true.show(Witness(ORIGIN, [LOG_KEY.verifier], key, state, clock), 3)
    shutil.copyfile(tmp_path / "witness.db", old)
    clock.turn(60)
    line = true.show(Witness(ORIGIN, [LOG_KEY.verifier], key, state, clock), 5)
    back = Witness(ORIGIN, [LOG_KEY.verifier], key, WitnessState.open(old), clock)
    with pytest.raises(AuditError, match="set back"):
        back.add_checkpoint(3, true.proof(3, 5), add_lines(true.note(5), line))
    fresh = Witness(ORIGIN, [LOG_KEY.verifier], key, WitnessState.create(tmp_path / "new.db"), clock)
    with pytest.raises(AuditError, match="set back"):
        fresh.add_checkpoint(0, (), add_lines(true.note(5), line))
    again = Witness(ORIGIN, [LOG_KEY.verifier], key, state, clock)
    again.add_checkpoint(5, (), add_lines(true.note(5), line))


def test_a_made_up_line_of_the_witness_changes_nothing(witness: Witness, key: CosignerKey) -> None:
    true = History.of(9)
    line = key.cosign(unverified_text(true.note(5)), NOW)
    witness.add_checkpoint(0, (), add_lines(true.note(3), line))
