"""The consent ledger: durable, append-only, idempotent, safe for threads and processes."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hanse.errors import PolicyError
from hanse.policies import ConsentEvent, ConsentLedger
from hanse.policies.ledger.tables import APPEND_ONLY

Grant = Callable[..., ConsentEvent]
REF = "0" * 32
USE = "joint_modelling.propensity"


def standing_of(ledger: ConsentLedger, refs: list[str]) -> list[str | None]:
    """What stands for each subject, as a gate would read it now."""
    snapshot = ledger.snapshot(datetime(2026, 3, 1, 12, tzinfo=UTC), refs)
    found = [snapshot.standing(ref, USE) for ref in refs]
    return [None if standing is None else standing.state for standing in found]


def sql(ledger: ConsentLedger, statement: str) -> None:
    """What somebody does who has the database."""
    with ledger._writer.begin():
        ledger._writer.execute(text(statement))


def drop_guards(ledger: ConsentLedger) -> None:
    for table in APPEND_ONLY:
        if ledger._database.is_sqlite:
            for verb in ("UPDATE", "DELETE"):
                sql(ledger, f"DROP TRIGGER {table.name}_{verb}")
        else:
            sql(ledger, f"DROP TRIGGER {table.name}_guard ON {table.name}")


def grants(grant: Grant, count: int) -> list[ConsentEvent]:
    return [grant(event_id=f"g{i}", subject_ref=f"{i:032x}") for i in range(count)]


def test_a_new_ledger_knows_nobody(ledger: ConsentLedger, now: datetime) -> None:
    snapshot = ledger.snapshot(now)
    assert (snapshot.head, snapshot.size, ledger.head()) == (0, 0, 0)
    assert ledger.subject(REF) == {}
    assert not snapshot.knows(REF)
    assert snapshot.synced_at is None
    assert list(ledger.standing_rows().rows) == []


def test_only_the_owner_can_read_it(tmp_path: Path, file_ledger: ConsentLedger, grant: Grant) -> None:
    file_ledger.record([grant()])
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_recorded_grant_stands_and_a_withdrawal_is_in_the_next_snapshot(
    ledger: ConsentLedger, grant: Grant, now: datetime
) -> None:
    assert ledger.record(grants(grant, 3)) == 3
    refs = [f"{i:032x}" for i in range(3)]
    before = ledger.snapshot(now)
    assert standing_of(ledger, refs) == ["given"] * 3
    head = ledger.withdraw(refs[1], "joint_modelling", now)
    after = ledger.snapshot(now)
    assert standing_of(ledger, refs) == ["given", "withdrawn", "given"]
    assert after.head == head == ledger.head() == 4
    assert before.root != after.root
    # The snapshot that was taken before is what it was.
    assert [before.standings[USE][ref].state for ref in refs] == ["given"] * 3
    ledger.verify()


def test_a_new_grant_after_a_withdrawal(ledger: ConsentLedger, grant: Grant, now: datetime) -> None:
    ledger.record([grant()])
    ledger.withdraw(REF, USE, now)
    late = grant(event_id="late", given_at=now - timedelta(days=1), recorded_at=now)
    ledger.record([late])
    assert standing_of(ledger, [REF]) == ["withdrawn"]
    later = now + timedelta(minutes=1)
    ledger.record([grant(event_id="again", given_at=later, recorded_at=later)])
    assert standing_of(ledger, [REF]) == ["given"]


def test_withdrawing_is_idempotent_and_needs_no_grant(
    ledger: ConsentLedger, grant: Grant, now: datetime
) -> None:
    assert ledger.withdraw(REF, USE, now) == ledger.withdraw(REF, USE, now) == 1
    ledger.record([grant()])  # given before the withdrawal, recorded after it
    assert ledger.subject(REF)[USE].state == "withdrawn"


def test_a_withdrawal_that_means_nothing_is_refused(ledger: ConsentLedger, now: datetime) -> None:
    with pytest.raises(PolicyError) as unknown:
        ledger.withdraw(REF, "everything", now)
    assert (unknown.value.code, unknown.value.rule) == ("policy.purpose", "P04")
    with pytest.raises(PolicyError, match="pseudonym") as identifier:
        ledger.withdraw("erika@example.org", USE, now)
    assert "erika" not in str(identifier.value)
    with pytest.raises(PolicyError, match="time zone"):
        ledger.withdraw(REF, USE, datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    assert ledger.head() == 0


def test_the_same_event_twice_is_one_event(ledger: ConsentLedger, grant: Grant, now: datetime) -> None:
    assert ledger.record([grant(), grant()]) == 1
    assert ledger.record([grant(recorded_at=now)]) == 0
    assert ledger.head() == 1


@pytest.mark.parametrize("fields", [{"preticked": True}, {"subject_ref": "f" * 32}, {"state": "withdrawn"}])
def test_another_event_under_the_same_id_is_refused_with_its_whole_batch(
    ledger: ConsentLedger, grant: Grant, fields: dict[str, Any]
) -> None:
    ledger.record([grant()])
    with pytest.raises(PolicyError, match=r"events\.1\.event_id") as refusal:
        ledger.record([grant(event_id="good"), grant(**fields)])
    assert refusal.value.code == "policy.invalid"
    assert ledger.head() == 1
    # What was rolled back has left nothing behind, cached terms included.
    assert ledger.record([grant(event_id="good", notice_version="9")]) == 1
    assert ledger.record([grant(event_id="other", subject_ref="e" * 32, preticked=True)]) == 1
    terms = ledger.subject("e" * 32)[USE].terms
    assert terms is not None
    assert (terms.preticked, terms.notice_version) == (True, "2.1")
    ledger.verify()


def test_a_partial_snapshot_has_those_who_were_asked_about(
    ledger: ConsentLedger, grant: Grant, now: datetime
) -> None:
    ledger.record(grants(grant, 1201))
    refs = [f"{i:032x}" for i in range(1201)]
    whole, some, none = ledger.snapshot(now), ledger.snapshot(now, refs[:1200]), ledger.snapshot(now, [])
    assert (whole.size, some.size, none.size) == (1201, 1200, 0)
    assert whole.root == some.root == none.root
    assert some.standing(refs[7], USE) == whole.standing(refs[7], USE)
    assert some.standing(refs[1200], USE) is None
    assert not some.knows(refs[1200])


def test_it_opens_again_with_everything(place: Path | str, grant: Grant, now: datetime) -> None:
    with ConsentLedger(place) as ledger:
        ledger.record(grants(grant, 5))
        ledger.withdraw(REF, USE, now)
        snapshot = ledger.snapshot(now)
    with ConsentLedger(place) as again:
        assert again.snapshot(now) == snapshot
        again.verify()


def test_every_connection_waits_for_the_disk(ledger: ConsentLedger) -> None:
    for connection in (ledger._writer, ledger._reader):
        if ledger._database.is_sqlite:
            asked = {"PRAGMA synchronous": 2, "PRAGMA journal_mode": "wal"}  # 2 is FULL
        else:
            asked = {"SHOW synchronous_commit": "on", "SHOW fsync": "on"}
        with connection.begin():
            for question, answer in asked.items():
                assert connection.exec_driver_sql(question).scalar_one() == answer


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE consent_events SET state = 2",
        "DELETE FROM consent_events",
        "UPDATE consent_terms SET body = '{}'",
        "DELETE FROM consent_terms",
        "UPDATE consent_batches SET size = 0",
        "DELETE FROM consent_batches",
    ],
)
def test_events_cannot_be_changed_by_sql(ledger: ConsentLedger, grant: Grant, statement: str) -> None:
    ledger.record([grant()])
    with pytest.raises(DBAPIError, match="append-only"):
        sql(ledger, statement)


TAMPERING = {
    "an event": ("UPDATE consent_events SET state = 2 WHERE state = 4", "event 3 "),
    "an id": ("UPDATE consent_events SET event_id = 'x' WHERE seq = 1", "events 1 to 2 "),
    "an id by a space": ("UPDATE consent_events SET event_id = 'b ' WHERE seq = 2", "events 1 to 2 "),
    "a subject": (
        "UPDATE consent_events SET subject = (SELECT subject FROM consent_events WHERE seq = 1)",
        "events 1 to 2 ",
    ),
    "a time": ("UPDATE consent_events SET expires_ms = expires_ms + 1 WHERE seq = 2", "events 1 to 2 "),
    "an age": ("UPDATE consent_events SET age_at_least = 19 WHERE seq = 1", "events 1 to 2 "),
    "a guardian": ("UPDATE consent_events SET guardian = subject WHERE seq = 1", "events 1 to 2 "),
    "whose terms": ("UPDATE consent_events SET terms = 1 WHERE seq = 2", "events 1 to 2 "),
    "terms": ("UPDATE consent_terms SET body = replace(body, 'imported', 'signed')", "events 1 to 2 "),
    "a link": (
        "UPDATE consent_batches SET chain = subject FROM consent_events WHERE first_seq = 1",
        "events 1 to 2 ",
    ),
    "events renumbered": ("UPDATE consent_events SET seq = seq + 10", "events 1 to 2 "),
    "an event gone": ("DELETE FROM consent_events WHERE seq = 2", "events 1 to 2 "),
    "the last event gone": ("DELETE FROM consent_events WHERE seq = 3", "event 3 "),
    "a batch gone": ("DELETE FROM consent_batches WHERE first_seq = 3", "event 3 "),
    "what stands": ("UPDATE consent_standings SET state = 2, barrier_ms = NULL", "what stands"),
    "who stands": ("DELETE FROM consent_standings", "what stands"),
    "what decided": ("UPDATE consent_standings SET seq = 1", "what stands"),
    "what is hidden": ("DELETE FROM consent_foldings", "what stands"),
}


@pytest.mark.parametrize(("statement", "message"), TAMPERING.values(), ids=TAMPERING)
def test_tampering_around_the_triggers_is_found(
    ledger: ConsentLedger, grant: Grant, now: datetime, statement: str, message: str
) -> None:
    ledger.record([grant(), grant(event_id="b", subject_ref="b" * 32, method="imported")])
    ledger.withdraw(REF, USE, now)
    ledger.fold(REF, USE, ["km_per_month"], [], now)
    drop_guards(ledger)
    ledger.verify()
    sql(ledger, statement)
    with pytest.raises(PolicyError, match=message) as refusal:
        ledger.verify()
    assert refusal.value.code == "policy.ledger"


def test_a_foreign_or_broken_file_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE t (x)")
    text = tmp_path / "text.db"
    text.write_text("not a database at all, but long enough to look at" * 100)
    newer = tmp_path / "newer.db"
    ConsentLedger(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    for path in (foreign, text, newer, tmp_path, tmp_path / "no" / "folder.db"):
        with pytest.raises(PolicyError) as refusal:
            ConsentLedger(path)
        assert refusal.value.code == "policy.ledger"


def test_damaged_rows_deny(ledger: ConsentLedger, grant: Grant, now: datetime) -> None:
    ledger.record([grant()])
    drop_guards(ledger)
    sql(ledger, "UPDATE consent_terms SET body = '{\"surprise\": 1}'")
    with pytest.raises(PolicyError) as refusal:
        ledger.snapshot(now)
    assert refusal.value.code == "policy.ledger"


def test_a_disk_that_refuses_loses_nothing(file_ledger: ConsentLedger, grant: Grant, now: datetime) -> None:
    file_ledger.record(grants(grant, 10))
    with file_ledger._writer.begin():
        pages = file_ledger._writer.exec_driver_sql("PRAGMA page_count").scalar_one()
    sql(file_ledger, f"PRAGMA max_page_count = {pages}")
    with pytest.raises(PolicyError, match="SQLITE_FULL") as refusal:
        file_ledger.record([grant(event_id=f"x{i}", subject_ref=f"{i:031x}f") for i in range(5000)])
    assert refusal.value.code == "policy.ledger"
    sql(file_ledger, "PRAGMA max_page_count = 1000000")
    assert file_ledger.head() == 10
    assert file_ledger.withdraw(REF, USE, now) == 11
    file_ledger.verify()


def test_two_processes_may_make_it_at_the_same_moment(place: Path | str) -> None:
    processes = [_start(place, number, number + 1) for number in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    with ConsentLedger(place) as ledger:
        assert ledger.head() == 2
        ledger.verify()


def test_a_changed_purpose_tree_is_projected_anew(place: Path | str, grant: Grant, now: datetime) -> None:
    with ConsentLedger(place) as ledger:
        ledger.record([grant(purposes=("joint_modelling",)), *grants(grant, 3)[1:]])
        ledger.withdraw(f"{2:032x}", USE, now)
        ledger.fold(REF, "joint_modelling", ["km_per_month"], [], now)
        expected = ledger.snapshot(now)
        # As if an older version, with fewer purposes, had written it.
        number = "IN (SELECT id FROM consent_purposes WHERE key LIKE 'joint_modelling.%')"
        for table in ("standings", "foldings", "uses"):
            sql(ledger, f"DELETE FROM consent_{table} WHERE purpose {number}")  # noqa: S608
        sql(ledger, "DELETE FROM consent_purposes WHERE key LIKE 'joint_modelling.%'")
        sql(ledger, "UPDATE consent_meta SET value = 'older' WHERE key = 'purposes'")
    with ConsentLedger(place) as again:
        assert again.snapshot(now) == expected
        again.verify()


_WORKER = """
import sys
from datetime import UTC, datetime
from hanse.policies import ConsentLedger
with ConsentLedger(sys.argv[1]) as ledger:
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        ledger.withdraw(f"{number:032x}", "joint_modelling", datetime.now(UTC))
        print(number, flush=True)
"""


def _start(place: Path | str, first: int, end: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _WORKER, str(place), str(first), str(end)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_withdrawal_that_returned_survives_kill_9(place: Path | str, grant: Grant) -> None:
    with ConsentLedger(place) as ledger:
        ledger.record(grants(grant, 400))
    acknowledged: list[int] = []
    for killed_after in (1, 7, 40):
        process = _start(place, len(acknowledged), 400)
        assert process.stdout is not None
        acknowledged += [int(process.stdout.readline()) for _ in range(killed_after)]
        os.kill(process.pid, signal.SIGKILL)
        # What it had said before it died counts as well.
        acknowledged += [int(line) for line in process.stdout.read().split()]
        assert process.wait() == -signal.SIGKILL
    with ConsentLedger(place) as ledger:
        ledger.verify()
        states = standing_of(ledger, [f"{i:032x}" for i in range(400)])
        withdrawn = {i for i, state in enumerate(states) if state != "given"}
        assert set(acknowledged) <= withdrawn
        # At most the one that was under way when each process died was recorded without its word (and then
        # again by the next process, at another time).
        assert len(withdrawn - set(acknowledged)) <= 1
        assert 0 <= ledger.head() - 400 - len(withdrawn) <= 2


def test_two_processes_and_a_thread_write_at_once(place: Path | str, grant: Grant) -> None:
    processes = [_start(place, 0, 40), _start(place, 100, 140)]
    with ConsentLedger(place) as ledger:
        for event in grants(grant, 40):
            ledger.record([event])
        for process in processes:
            assert process.wait(60) == 0
        assert ledger.head() == 120
        ledger.verify()


def test_snapshots_are_consistent_while_others_write(place: Path | str, grant: Grant, now: datetime) -> None:
    """A withdrawal that returned before a snapshot was asked for is in it; heads never go back."""
    with ConsentLedger(place) as ledger:
        ledger.record(grants(grant, 150))
        done: list[str] = []

        def withdraw_all() -> None:
            for i in range(150):
                ledger.withdraw(f"{i:032x}", USE, now)
                done.append(f"{i:032x}")

        writer = threading.Thread(target=withdraw_all)
        writer.start()
        heads = []
        while writer.is_alive():
            before = tuple(done)
            snapshot = ledger.snapshot(now)
            states = {ref: standing.state for ref, standing in snapshot.standings[USE].items()}
            assert all(states[ref] == "withdrawn" for ref in before)
            assert sum(state == "withdrawn" for state in states.values()) == snapshot.head - 150
            heads.append(snapshot.head)
        writer.join()
        assert heads == sorted(heads)


def test_terms_are_stored_once(ledger: ConsentLedger, grant: Grant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanse.policies.ledger.ledger._MAX_CACHED_TERMS", 2)
    events = [grant(event_id=f"e{i}", subject_ref=f"{i:032x}", notice_version=f"v{i % 5}") for i in range(50)]
    ledger.record(events)
    with ledger._writer.begin():
        assert ledger._writer.exec_driver_sql("SELECT count(*) FROM consent_terms").scalar_one() == 5
    ledger.verify()


def test_errors_that_are_not_the_ledgers_pass_through(ledger: ConsentLedger) -> None:
    with pytest.raises(ZeroDivisionError), ledger._database.errors(), ledger._writer.begin():
        raise ZeroDivisionError
    assert not ledger._writer.in_transaction()
