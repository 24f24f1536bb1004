"""What is appended is there, in order, once, and in a file that verifies."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from hanse.audit import (
    Actor,
    AuditLog,
    Checkpoint,
    Event,
    EventType,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    open_checkpoint,
    root_hash,
    verify_log,
)
from hanse.crypto import SigningKey
from hanse.errors import AuditError, ConfigurationError, ProtocolError

NewLog = Callable[[], AuditLog]


class Clock(Protocol):
    now: datetime

    def __call__(self) -> datetime: ...


def test_new_log_is_empty_and_verifies(new_log: NewLog, key: SigningKey) -> None:
    log = new_log()
    verified = verify_log(log.place, key.verifier, origin="brand.example/log")
    assert (log.size, verified.size, list(verified.entries)) == (0, 0, [])
    assert verified.checkpoint == log.checkpoint()
    assert Path(log.place).stat().st_mode & 0o777 == 0o640


def test_commits_are_entries_in_order(new_log: NewLog, key: SigningKey, event: Event, actor: Actor) -> None:
    log = new_log()
    assert log.append(event) == range(1)
    assert log.append(event, Event(type=EventType.ROUND_TRAINED), event) == range(1, 4)
    verified = verify_log(log.place, key.verifier)
    assert [entry.type for entry in verified.entries] == [
        "round.admitted", "round.admitted", "round.trained", "round.admitted",
    ]  # fmt: skip
    assert [entry.seq for entry in verified.entries] == [0, 1, 2, 3]
    assert all(entry.actor == actor for entry in verified.entries)
    assert verified.root == root_hash(verified.leaves)
    expected = Checkpoint("brand.example/log", 4, verified.root)
    assert open_checkpoint(log.checkpoint(), key.verifier) == expected


def test_proofs_while_the_log_grows(new_log: NewLog, key: SigningKey, event: Event) -> None:
    log = new_log()
    log.append(event, event, event)
    old = open_checkpoint(log.checkpoint(), key.verifier)
    log.append(event, event)
    with log.reader() as reader:
        log.append(event)
        new = open_checkpoint(reader.note, key.verifier)
        assert (reader.size, new.size, log.size) == (5, 5, 6)
        [leaf] = reader.leaves(4, 5)
        check_inclusion(leaf, 4, 5, new.root, inclusion_proof(4, 5, reader.hashes))
        proof = consistency_proof(old.size, new.size, reader.hashes)
    check_consistency(old.size, old.root, new.size, new.root, proof)


def test_nothing_is_not_appended(new_log: NewLog) -> None:
    with pytest.raises(ValueError, match="at least one"):
        new_log().append()


def test_open_continues_where_others_stopped(new_log: NewLog, key: SigningKey, event: Event) -> None:
    first, second = new_log(), new_log()
    first.append(event)
    second.append(event, event)
    assert first.append(event) == range(3, 4)
    assert new_log().size == 4
    assert [entry.seq for entry in verify_log(first.place, key.verifier).entries] == [0, 1, 2, 3]


def test_each_actor_has_its_own_sequence(
    new_log: NewLog, key: SigningKey, actor: Actor, event: Event, clock: Clock
) -> None:
    log = new_log()
    scorer = AuditLog.open(log.place, key, actor.model_copy(update={"role": "scorer"}), clock)
    for writer in (log, scorer, scorer, log):
        writer.append(event)
    entries = verify_log(log.place, key.verifier).entries
    assert [(entry.actor.role, entry.seq) for entry in entries] == [
        ("member", 0), ("scorer", 0), ("scorer", 1), ("member", 1),
    ]  # fmt: skip


def test_threads_of_one_log(new_log: NewLog, key: SigningKey, event: Event) -> None:
    log = new_log()
    ranges: list[range] = []

    def work() -> None:
        ranges.extend(log.append(event, event) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(index for indices in ranges for index in indices) == list(range(40))
    assert verify_log(log.place, key.verifier).size == 40


def test_clock_that_goes_back_is_held_and_told(
    new_log: NewLog, key: SigningKey, event: Event, clock: Clock
) -> None:
    log = new_log()
    log.append(event)
    clock.now -= timedelta(seconds=61)
    log.append(event)
    log.append(event)
    clock.now += timedelta(minutes=5)
    log.append(event)
    entries = verify_log(log.place, key.verifier).entries
    assert [entry.clock_behind_ms for entry in entries] == [None, 60_000, 59_000, None]
    assert entries[0].time == entries[1].time == entries[2].time < entries[3].time


def test_default_clock_is_the_systems(tmp_path: Path, key: SigningKey, actor: Actor, event: Event) -> None:
    AuditLog.create(tmp_path / "log", "a/b", key)
    log = AuditLog.open(tmp_path / "log", key, actor)
    log.append(event)
    assert verify_log(log.place, key.verifier).entries[0].at.year >= 2024


def test_create_does_not_replace(new_log: NewLog, key: SigningKey) -> None:
    log = new_log()
    with pytest.raises(ConfigurationError, match=r"config\.exists"):
        AuditLog.create(log.place, "other", key)
    assert verify_log(log.place, key.verifier).origin == "brand.example/log"


def test_origin_is_a_name(tmp_path: Path, key: SigningKey) -> None:
    with pytest.raises(ProtocolError):
        AuditLog.create(tmp_path / "log", "two words", key)
    assert list(tmp_path.iterdir()) == []


def test_log_of_another_key_is_not_opened(new_log: NewLog, actor: Actor) -> None:
    path = new_log().place
    with pytest.raises(AuditError, match=r"audit\.integrity") as caught:
        AuditLog.open(path, SigningKey.generate("brand.example/log"), actor)
    assert caught.value.entry == 0


def test_missing_log_is_unavailable(tmp_path: Path, key: SigningKey, actor: Actor) -> None:
    with pytest.raises(AuditError, match=r"audit\.unavailable.*No such file"):
        AuditLog.open(tmp_path / "absent", key, actor)
    with pytest.raises(AuditError, match=r"audit\.unavailable.*No such file"):
        verify_log(tmp_path / "absent", key.verifier)
