"""A log that several processes replay, and the same replayed by one."""

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from hanse.audit import Actor, AuditLog, Event, EventType, replay_processes, verify_log
from hanse.audit.replay_processes import MODULES
from hanse.audit.store import CHUNK_ENTRIES, Piece, read_only
from hanse.crypto import SigningKey
from hanse.errors import AuditError
from hanse.pieces import helpers
from hanse.pieces.helpers import Helper
from hanse.pieces.process import read_summary, write_summary
from hanse.pieces.summary import sum_up

KEY = SigningKey("brand.example/log", bytes(32))
NEXT = SigningKey("brand.example/log", b"\1" * 32)
NAMES = ("Brand AG", "Nord GmbH")
SIZE = 7_001


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of four pieces, by two actors, with a change of its key in the third."""
    path = tmp_path_factory.mktemp("helpers") / "log.db"
    AuditLog.create(path, KEY.name, KEY)
    for turn in range(7):
        key = KEY if turn < 5 else NEXT
        actor = Actor(organisation=NAMES[turn % 2], key_id=KEY.verifier.key_id, role="member")
        with closing(AuditLog.open(path, key, actor)) as log:
            log.append(*[Event(type=EventType.ROUND_TRAINED)] * 1_000)
            if turn == 4:
                log.rotate(NEXT)
    return path


@pytest.fixture
def log(written: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That log, long enough for two helpers, of which nobody does anything that they could do."""
    monkeypatch.setattr(replay_processes, "LONG_ENTRIES", 0)
    monkeypatch.setattr(replay_processes, "idle_cores", lambda: 2)
    return written


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each piece that was handed to a helper: whether it was summed up."""
    noted: list[bool] = []
    real = Helper.give

    def give(self: Helper, piece: Piece) -> helpers.Answer:
        answer = real(self, piece)
        noted.append(answer.result(60) is not None)
        return answer

    monkeypatch.setattr(Helper, "give", give)
    return noted


@pytest.mark.parametrize("detailed", [False, True])
def test_helpers_replay_what_one_process_replays(
    log: Path, answers: list[bool], monkeypatch: pytest.MonkeyPatch, detailed: bool
) -> None:
    told: list[int] = []
    verified = verify_log(log, KEY.verifier, detailed=detailed, progress=lambda at, _: told.append(at))
    assert answers == [True] * 4
    assert told == [CHUNK_ENTRIES, 2 * CHUNK_ENTRIES, 3 * CHUNK_ENTRIES, SIZE]
    assert verified.keys == (KEY.verifier, NEXT.verifier)
    assert len(verified.leaves[SIZE - 1]) > 100  # read again, and held against what a helper has read
    monkeypatch.setattr(replay_processes, "idle_cores", lambda: 0)
    assert verify_log(log, KEY.verifier, detailed=False).root == verified.root
    assert len(answers) == 4


@pytest.fixture
def changed(log: Path, tmp_path: Path) -> Path:
    """The log with another entry 4500."""
    path = tmp_path / "changed.db"
    shutil.copy(log, path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        guards = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        for name, _ in guards:
            connection.execute(text(f"DROP TRIGGER {name}"))
        new = "UPDATE audit_entries SET data = CAST(replace(data, 'trained', 'trainee') AS BLOB)"
        connection.execute(text(f"{new} WHERE entry = 4500"))
        for _, statement in guards:
            connection.execute(text(statement))
    engine.dispose()
    return path


def test_a_changed_entry_that_a_helper_read_is_named(changed: Path, answers: list[bool]) -> None:
    with pytest.raises(AuditError, match="entry 4500 does not have beside it its leaf hash"):
        verify_log(changed, KEY.verifier, detailed=False)
    assert answers[:3] == [True, True, False]


def test_without_helpers_that_answer_one_process_replays_all(
    log: Path, answers: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for executable in ("/bin/false", "/bin/echo", "/no/such/program"):
        monkeypatch.setattr(sys, "executable", executable)
        assert verify_log(log, KEY.verifier, detailed=False).size == SIZE
    assert not any(answers)


@pytest.fixture
def helper() -> Iterator[Helper]:
    with closing(Helper(MODULES[False])) as started:
        yield started


def test_a_helper_that_ends_answers_none(log: Path, helper: Helper) -> None:
    with read_only(log) as rows:
        piece = rows.piece(0, CHUNK_ENTRIES)
    assert helper.give(piece).result(60) == sum_up(piece)
    helper._process.kill()
    handed = [helper.give(piece) for _ in range(3)]
    assert all(answer.result(60) is None for answer in handed)
    assert not helper.is_free()


def test_pieces_that_do_not_go_on_are_read_again(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper that mixes up what it was given."""
    with read_only(log) as rows:
        other = sum_up(rows.piece(CHUNK_ENTRIES, 2 * CHUNK_ENTRIES))
        given: list[int] = []

        def give(_: Helper, piece: Piece) -> helpers.Answer:
            given.append(piece.first)
            answer: helpers.Answer = Future()
            answer.set_result(other)
            return answer

        monkeypatch.setattr(Helper, "give", give)
        state = replay_processes.replay(rows, SIZE, None, detailed=False)
        assert len(given) == 4
        monkeypatch.setattr(replay_processes, "idle_cores", lambda: 0)
        assert state == replay_processes.replay(rows, SIZE, None, detailed=False)


def test_a_summary_comes_back_as_it_was(log: Path) -> None:
    with read_only(log) as rows:
        for piece in rows.entries(0, SIZE):
            summary = sum_up(piece)
            assert summary is not None
            assert read_summary(write_summary(summary)) == summary
    assert read_summary(write_summary(None)) is None


@settings(max_examples=50)
@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode))
def test_reading_a_summary_is_total(data: bytes) -> None:
    assert read_summary(data) is None
