"""The consent ledger: durable, append-only, idempotent, safe for threads and processes."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.errors import PolicyError
from hanse.policies import PURPOSES, Agreement, ConsentEvent, ConsentLedger, current_state, screen
from hanse.policies import store as store_module

Grant = Callable[..., ConsentEvent]
REF = "0" * 32
USE = "joint_modelling.propensity"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[ConsentLedger]:
    with ConsentLedger(tmp_path / "consent.db") as opened:
        yield opened


def grants(grant: Grant, count: int) -> list[ConsentEvent]:
    return [grant(event_id=f"g{i}", subject_ref=f"{i:032x}") for i in range(count)]


def test_a_new_ledger_knows_nobody(ledger: ConsentLedger, agreement: Agreement, now: datetime) -> None:
    snapshot = ledger.snapshot(now)
    assert (snapshot.head, snapshot.size, ledger.head()) == (0, 0, 0)
    assert ledger.subject(REF) == {}
    assert screen(agreement, [REF], snapshot, now).excluded_by_rule == {"P01": 1}


def test_only_the_owner_can_read_it(ledger: ConsentLedger, grant: Grant) -> None:
    ledger.record([grant()])
    for path in ledger.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_recorded_grant_admits_and_a_withdrawal_is_out_of_the_next_snapshot(
    ledger: ConsentLedger, agreement: Agreement, grant: Grant, now: datetime
) -> None:
    assert ledger.record(grants(grant, 3)) == 3
    refs = [f"{i:032x}" for i in range(3)]
    before = ledger.snapshot(now)
    assert screen(agreement, refs, before, now).rows == (0, 1, 2)
    head = ledger.withdraw(refs[1], "joint_modelling", now)
    after = ledger.snapshot(now)
    admission = screen(agreement, refs, after, now)
    assert (admission.rows, admission.excluded_by_rule) == ((0, 2), {"P10": 1})
    assert admission.snapshot_head == head == ledger.head() == 4
    assert before.root != after.root
    # The snapshot that was taken before is what it was.
    assert screen(agreement, refs, before, now).rows == (0, 1, 2)
    ledger.verify()


def test_a_new_grant_after_a_withdrawal(
    ledger: ConsentLedger, agreement: Agreement, grant: Grant, now: datetime
) -> None:
    ledger.record([grant()])
    ledger.withdraw(REF, USE, now)
    late = grant(event_id="late", given_at=now - timedelta(days=1), recorded_at=now)
    ledger.record([late])
    assert screen(agreement, [REF], ledger.snapshot(now), now).excluded_by_rule == {"P10": 1}
    later = now + timedelta(minutes=1)
    ledger.record([grant(event_id="again", given_at=later, recorded_at=later)])
    assert screen(agreement, [REF], ledger.snapshot(later), later).rows == (0,)


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


def test_it_opens_again_with_everything(tmp_path: Path, grant: Grant, now: datetime) -> None:
    path = tmp_path / "consent.db"
    with ConsentLedger(path) as ledger:
        ledger.record(grants(grant, 5))
        ledger.withdraw(REF, USE, now)
        snapshot = ledger.snapshot(now)
    with ConsentLedger(path) as again:
        assert again.snapshot(now) == snapshot
        again.verify()


def test_every_connection_waits_for_the_disk(ledger: ConsentLedger) -> None:
    for connection in (ledger._writer, ledger._reader):
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET act = '[]'",
        "DELETE FROM events",
        "UPDATE terms SET body = '{}'",
        "DELETE FROM terms",
    ],
)
def test_events_cannot_be_changed_by_sql(ledger: ConsentLedger, grant: Grant, statement: str) -> None:
    ledger.record([grant()])
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        ledger._writer.execute(statement)


TAMPERING = {
    "an event": ("UPDATE events SET act = replace(act, 'withdrawn', 'given')", "event 3 "),
    "terms": ("UPDATE terms SET body = replace(body, 'imported', 'signed')", "event 2 "),
    "a link": ("UPDATE events SET chain = zeroblob(32) WHERE seq = 1", "event 1 "),
    "events renumbered": ("UPDATE events SET seq = seq + 10", "event 1 "),
    "an event gone": ("DELETE FROM events WHERE seq = 2", "event 2 "),
    "what stands": ("UPDATE standings SET state = 'given', barrier_ms = NULL", "what stands"),
    "who stands": ("DELETE FROM standings", "what stands"),
}


@pytest.mark.parametrize(("statement", "message"), TAMPERING.values(), ids=TAMPERING)
def test_tampering_around_the_triggers_is_found(
    ledger: ConsentLedger, grant: Grant, now: datetime, statement: str, message: str
) -> None:
    ledger.record([grant(), grant(event_id="b", subject_ref="b" * 32, method="imported")])
    ledger.withdraw(REF, USE, now)
    for table in ("events", "terms"):
        for verb in ("UPDATE", "DELETE"):
            ledger._writer.execute(f"DROP TRIGGER {table}_{verb}")
    ledger.verify()
    ledger._writer.execute(statement)
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
    ledger._writer.execute("DROP TRIGGER terms_UPDATE")
    ledger._writer.execute("UPDATE terms SET body = '{\"surprise\": 1}'")
    with pytest.raises(PolicyError) as refusal:
        ledger.snapshot(now)
    assert refusal.value.code == "policy.ledger"


def test_a_disk_that_refuses_loses_nothing(ledger: ConsentLedger, grant: Grant, now: datetime) -> None:
    ledger.record(grants(grant, 10))
    pages = ledger._writer.execute("PRAGMA page_count").fetchone()[0]
    ledger._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(PolicyError, match="SQLITE_FULL") as refusal:
        ledger.record([grant(event_id=f"x{i}", subject_ref=f"{i:031x}f") for i in range(5000)])
    assert refusal.value.code == "policy.ledger"
    ledger._writer.execute("PRAGMA max_page_count = 1000000")
    assert ledger.head() == 10
    assert ledger.withdraw(REF, USE, now) == 11
    ledger.verify()


def test_two_processes_may_make_it_at_the_same_moment(tmp_path: Path) -> None:
    path = tmp_path / "consent.db"
    processes = [_start(path, number, number + 1) for number in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    with ConsentLedger(path) as ledger:
        assert ledger.head() == 3
        ledger.verify()


def test_a_changed_purpose_tree_is_projected_anew(tmp_path: Path, grant: Grant, now: datetime) -> None:
    path = tmp_path / "consent.db"
    with ConsentLedger(path) as ledger:
        ledger.record([grant(purposes=("joint_modelling",)), *grants(grant, 3)[1:]])
        ledger.withdraw(f"{2:032x}", USE, now)
        expected = ledger.snapshot(now)
        # As if an older version, with fewer purposes, had written it.
        ledger._writer.execute("DELETE FROM standings WHERE purpose = ?", (USE,))
        ledger._writer.execute("UPDATE meta SET value = 'older' WHERE key = 'purposes'")
    with ConsentLedger(path) as again:
        assert again.snapshot(now) == expected
        again.verify()


_ACT = st.tuples(
    st.sampled_from(["given", "withdrawn", "objected"]),
    st.sampled_from(list(PURPOSES)),
    st.none() | st.integers(0, 20),
    st.integers(0, 2),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_ACT, max_size=12))
def test_the_projection_is_the_pure_function(
    tmp_path_factory: pytest.TempPathFactory, grant: Grant, now: datetime, acts: list[tuple[Any, ...]]
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    events = [
        grant(
            event_id=f"e{i}",
            state=state,
            purposes=(purpose,),
            given_at=None if day is None else start + timedelta(days=day),
            subject_ref=f"{subject:032x}",
            notice_version=f"v{i % 3}",
        )
        for i, (state, purpose, day, subject) in enumerate(acts)
    ]
    with ConsentLedger(tmp_path_factory.mktemp("ledger") / "consent.db") as ledger:
        ledger.record(events[: len(events) // 2])
        ledger.record(events[len(events) // 2 :])
        snapshot = ledger.snapshot(now)
        ledger.verify()
    stored = {
        (ref, purpose): standing
        for purpose, subjects in snapshot.standings.items()
        for ref, standing in subjects.items()
    }
    assert stored == current_state(events)


_WORKER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from hanse.policies import ConsentLedger
with ConsentLedger(Path(sys.argv[1])) as ledger:
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        ledger.withdraw(f"{number:032x}", "joint_modelling", datetime.now(UTC))
        print(number, flush=True)
"""


def _start(path: Path, first: int, end: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _WORKER, str(path), str(first), str(end)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_withdrawal_that_returned_survives_kill_9(
    tmp_path: Path, agreement: Agreement, grant: Grant
) -> None:
    path = tmp_path / "consent.db"
    with ConsentLedger(path) as ledger:
        ledger.record(grants(grant, 400))
    acknowledged: list[int] = []
    for killed_after in (1, 7, 40):
        process = _start(path, len(acknowledged), 400)
        assert process.stdout is not None
        acknowledged += [int(process.stdout.readline()) for _ in range(killed_after)]
        os.kill(process.pid, signal.SIGKILL)
        # What it had said before it died counts as well.
        acknowledged += [int(line) for line in process.stdout.read().split()]
        assert process.wait() == -signal.SIGKILL
    with ConsentLedger(path) as ledger:
        ledger.verify()
        now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        admission = screen(agreement, [f"{i:032x}" for i in range(400)], ledger.snapshot(now), now)
        withdrawn = set(range(400)) - set(admission.rows)
        assert set(acknowledged) <= withdrawn
        # At most the one that was under way when each process died was recorded without its word (and then
        # again by the next process, at another time).
        assert len(withdrawn - set(acknowledged)) <= 1
        assert 0 <= ledger.head() - 400 - len(withdrawn) <= 2


def test_two_processes_and_a_thread_write_at_once(tmp_path: Path, grant: Grant) -> None:
    path = tmp_path / "consent.db"
    processes = [_start(path, 0, 40), _start(path, 100, 140)]
    with ConsentLedger(path) as ledger:
        for event in grants(grant, 40):
            ledger.record([event])
        for process in processes:
            assert process.wait(60) == 0
        assert ledger.head() == 120
        ledger.verify()


def test_snapshots_are_consistent_while_others_write(tmp_path: Path, grant: Grant, now: datetime) -> None:
    """A withdrawal that returned before a snapshot was asked for is in it; heads never go back."""
    with ConsentLedger(tmp_path / "consent.db") as ledger:
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
    monkeypatch.setattr("hanse.policies.ledger._MAX_CACHED_TERMS", 2)
    events = [grant(event_id=f"e{i}", subject_ref=f"{i:032x}", notice_version=f"v{i % 5}") for i in range(50)]
    ledger.record(events)
    assert ledger._writer.execute("SELECT count(*) FROM terms").fetchone() == (5,)
    ledger.verify()


def test_errors_that_are_not_the_ledgers_pass_through(ledger: ConsentLedger) -> None:
    with pytest.raises(ZeroDivisionError), store_module.transaction(ledger._writer, "BEGIN IMMEDIATE"):
        raise ZeroDivisionError
    assert not ledger._writer.in_transaction
