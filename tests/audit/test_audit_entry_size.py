"""No entry is larger than a bundle can hold: who writes one is told which, and who reads one refuses it."""

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hanse.audit import Actor, AuditLog, Counts, Entry, Event, EventType, LogReader, PrivacySpend, verify_log
from hanse.audit.commits import CommitQueue
from hanse.audit.entry import MAX_ENTRY_BYTES, Frame, read_frame, write_entry
from hanse.audit.event import MAX_COUNTED_COLUMNS
from hanse.crypto import SigningKey
from hanse.errors import AuditError, ProtocolError
from hanse.evidence import verify

TIME = "2026-01-02T03:04:05.678Z"
SMALL = Event(type=EventType.RUN_STARTED, run="r1")


def spending(events: int, digits: int = 1) -> Event:
    """An event whose list of mechanisms has some length."""
    mechanisms = ({"steps": 10**digits},) * events
    return Event(
        type=EventType.BUDGET_SPENT, privacy=PrivacySpend(epsilon=1.0, delta=1e-5, events=mechanisms)
    )


def written(actor: Actor, event: Event) -> bytes:
    return write_entry(event, Frame(actor.canonical(), 0, TIME))


@pytest.fixture
def largest(actor: Actor) -> Event:
    """An event whose entry has as many bytes as one can have."""
    one, two = (len(written(actor, spending(1, digits))) for digits in (1, 2))
    whole, rest = divmod(MAX_ENTRY_BYTES - one, len('{"steps":10},'))
    base = spending(whole).privacy
    assert base is not None
    assert two - one == 1
    events = ({"steps": 10 ** (1 + rest)}, *base.events)
    return Event(type=EventType.BUDGET_SPENT, privacy=base.model_copy(update={"events": events}))


def test_largest_entry_is_written_and_read(
    new_log: Callable[[], AuditLog], largest: Event, actor: Actor, key: SigningKey
) -> None:
    data = written(actor, largest)
    assert len(data) == MAX_ENTRY_BYTES
    assert Entry.parse(data).type is EventType.BUDGET_SPENT
    assert read_frame(data) is not None
    log = new_log()
    log.append(largest)
    assert verify_log(log.place, key.verifier).size == 1


def test_larger_entry_is_refused_by_name_and_nothing_is_written(
    new_log: Callable[[], AuditLog], key: SigningKey
) -> None:
    log = new_log()
    log.append(SMALL)
    with pytest.raises(AuditError, match=r"audit\.entry-size.*budget\.spent.*at most 65535.*privacy\.events"):
        log.append(SMALL, spending(6000))
    assert log.size == 1
    log.append(SMALL)
    assert [entry.seq for entry in verify_log(log.place, key.verifier).entries] == [0, 1]


def test_who_shares_a_commit_with_a_larger_entry_is_not_harmed(
    new_log: Callable[[], AuditLog], key: SigningKey
) -> None:
    log = new_log()
    before, too_large, after = log.submit(SMALL), log.submit(spending(6000)), log.submit(SMALL, SMALL)
    log.flush()
    assert (before.result(), after.result()) == (range(1), range(1, 3))
    with pytest.raises(AuditError, match=r"audit\.entry-size"):
        too_large.result()
    assert verify_log(log.place, key.verifier).size == 3


def test_another_error_fails_the_commit_once() -> None:
    """Nothing is tried again that the disk refused: it may be there already."""
    tried = []

    def refuse(events: Any) -> range:
        tried.append(len(events))
        raise AuditError("audit.unavailable", "the disk")

    queue = CommitQueue()
    futures = [queue.submit([SMALL]), queue.submit([SMALL])]
    queue.drain(refuse)
    assert tried == [2]
    assert all(future.exception() is not None for future in futures)


def test_counts_have_a_bounded_number_of_keys() -> None:
    hidden = {str(place): 1 for place in range(MAX_COUNTED_COLUMNS)}
    assert len(Counts(rows_in=1, rows_out=1, hidden=hidden).hidden) == MAX_COUNTED_COLUMNS
    with pytest.raises(ValidationError, match=f"at most {MAX_COUNTED_COLUMNS}"):
        Counts(rows_in=1, rows_out=1, hidden={**hidden, "9999": 1})


def test_readers_refuse_a_larger_entry(actor: Actor, largest: Event) -> None:
    data = written(actor, largest).replace(b'"reasons":[]', b'"reasons":[ ]')
    with pytest.raises(ProtocolError, match="more than 65535"):
        Entry.parse(data)
    assert read_frame(data) is None
    assert verify.read_entry(0, written(actor, largest))["type"] == "budget.spent"
    larger = written(actor, largest).replace(b'"epsilon":1.0', b'"epsilon":1.25')
    assert verify.canonical(json.loads(larger)) == larger
    with pytest.raises(verify.PackageError, match="entry 7: is too long"):
        verify.read_entry(7, larger)


@pytest.mark.parametrize("column", ["data", "hashes"])
def test_huge_row_of_a_database_stays_there(
    new_log: Callable[[], AuditLog], key: SigningKey, column: str
) -> None:
    log = new_log()
    log.append(SMALL, SMALL, SMALL)
    log.close()
    assert isinstance(log.place, Path)
    with closing(sqlite3.connect(log.place)) as database:
        guards = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            database.execute(f"DROP TRIGGER {name}")
        database.execute(f"UPDATE audit_entries SET {column} = zeroblob(50000000) WHERE entry = 1")  # noqa: S608
        for _, sql in guards:
            database.execute(sql)
        database.commit()
    with pytest.raises(AuditError, match=r"entry 1 .* not the bytes") as caught:
        verify_log(log.place, key.verifier)
    assert (caught.value.code, caught.value.entry) == ("audit.integrity", 1)
    with LogReader.open(log.place) as reader, pytest.raises(AuditError, match=r"entry 1 .* not the bytes"):
        list(reader.leaves(0, 3))


def test_threads_that_write_too_much_and_little_at_once(
    new_log: Callable[[], AuditLog], key: SigningKey
) -> None:
    log, refused = new_log(), []

    def write(number: int) -> None:
        try:
            log.append(spending(6000) if number % 2 else SMALL)
        except AuditError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["audit.entry-size"] * 4
    assert verify_log(log.place, key.verifier).size == 4
