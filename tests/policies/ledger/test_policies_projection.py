"""What the database computes is what the pure functions say, on random histories, on each database."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.policies import PURPOSES, ConsentEvent, ConsentLedger, current_state
from hanse.policies.consent import current_foldings

Grant = Callable[..., ConsentEvent]
START = datetime(2026, 1, 1, tzinfo=UTC)
REF = "0" * 32
USE = "joint_modelling.propensity"

_ACT = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["given", "given", "withdrawn", "objected", "narrowed", "requested"]),
        "purpose": st.sampled_from(["joint_modelling", USE, "scoring", "scoring.marketing"]),
        "given": st.none() | st.integers(0, 9),
        "recorded": st.integers(9, 12),
        "subject": st.integers(0, 1),
        "guardian": st.booleans(),
        "age": st.none() | st.integers(0, 120),
        "form": st.integers(0, 2),
    }
)


def made(grant: Grant, acts: list[dict[str, Any]], mark: str) -> list[ConsentEvent]:
    return [
        grant(
            event_id=f"{mark}-{place}",
            state=act["state"],
            purposes=(act["purpose"],),
            given_at=None if act["given"] is None else START + timedelta(days=act["given"]),
            recorded_at=START + timedelta(days=act["recorded"]),
            subject_ref=f"{act['subject']:032x}",
            guardian_ref="f" * 32 if act["guardian"] else None,
            age_at_least=act["age"],
            notice_version=f"v{act['form']}",
            hidden_columns=("km", "age")[: act["form"]] if act["state"] == "narrowed" else (),
        )
        for place, act in enumerate(acts)
    ]


@pytest.fixture
def clear(ledger: ConsentLedger) -> Callable[[], None]:
    """Empties the ledger, which otherwise never forgets."""
    with ledger._writer.begin():
        sqlite = ledger._database.is_sqlite
        for table in ("consent_events", "consent_batches"):
            guards = (f"{table}_DELETE",) if sqlite else (f"{table}_guard",)
            for guard in guards:
                suffix = "" if sqlite else f" ON {table}"
                ledger._writer.exec_driver_sql(f"DROP TRIGGER {guard}{suffix}")

    def empty() -> None:
        with ledger._writer.begin():
            for table in ("standings", "foldings", "events", "batches"):
                ledger._writer.exec_driver_sql(f"DELETE FROM consent_{table}")  # noqa: S608

    return empty


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(_ACT, max_size=14), cuts=st.sets(st.integers(0, 14), max_size=3))
def test_the_projection_is_the_pure_function(
    ledger: ConsentLedger,
    clear: Callable[[], None],
    grant: Grant,
    now: datetime,
    acts: list[dict[str, Any]],
    cuts: set[int],
) -> None:
    clear()
    events = made(grant, acts, "e")
    edges = [0, *sorted(cuts), len(events)]
    for start, end in pairwise(edges):
        ledger.record(events[start:end])
    snapshot = ledger.snapshot(now)
    ledger.verify()
    stored = {
        (ref, purpose): standing
        for purpose, subjects in snapshot.standings.items()
        for ref, standing in subjects.items()
    }
    assert stored == current_state(events)
    hidden = {
        (ref, purpose): folding
        for purpose, subjects in snapshot.foldings.items()
        for ref, folding in subjects.items()
    }
    assert hidden == current_foldings(events)
    rows = ledger.standing_rows()
    assert {
        (row.subject_ref, row.purpose): (
            row.state,
            row.barrier_ms,
            row.given_ms,
            row.expires_ms,
            None if row.terms_id is None else rows.terms[row.terms_id],
            row.guardian,
            row.age_at_least,
        )
        for row in rows.rows
    } == {key: tuple(standing) for key, standing in stored.items()}


def test_rows_since_a_head_are_those_of_the_subjects_touched_since(
    ledger: ConsentLedger, grant: Grant, now: datetime
) -> None:
    ledger.record([grant(event_id=f"g{i}", subject_ref=f"{i:032x}") for i in range(5)])
    head = ledger.head()
    assert list(ledger.standing_rows(head).rows) == []
    ledger.withdraw(f"{3:032x}", "scoring.marketing", now)
    ledger.fold(f"{4:032x}", USE, ["km_per_month"], [], now)
    ledger.fold(f"{2:032x}", USE, [], [], now)
    rows = ledger.standing_rows(head)
    assert {(row.subject_ref, row.purpose) for row in rows.rows} == {
        (f"{2:032x}", USE),
        (f"{3:032x}", USE),
        (f"{3:032x}", "scoring.marketing"),
        (f"{4:032x}", USE),
    }
    assert rows.foldings.keys() == {USE}
    assert rows.foldings[USE].keys() == {f"{4:032x}"}
    assert rows.head == ledger.head() == head + 3


def test_folding_hides_until_the_subject_unfolds(ledger: ConsentLedger, grant: Grant, now: datetime) -> None:
    ledger.record([grant(recorded_at=now)])
    ledger.fold(REF, "joint_modelling", ["km_per_month"], ["behavioural"], now)
    folding = ledger.snapshot(now).folding(REF, USE)
    assert folding is not None
    assert folding.hidden_columns == {"km_per_month"}
    assert folding.hidden_categories == {"behavioural"}
    # A new grant does not unfold, and folding does not touch the grant.
    later = now + timedelta(minutes=1)
    ledger.record([grant(event_id="again", given_at=later, recorded_at=later)])
    assert ledger.snapshot(now).folding(REF, USE) == folding
    assert ledger.subject(REF)[USE].state == "given"
    ledger.fold(REF, USE, ["age"], [], later)
    changed = ledger.snapshot(now).folding(REF, USE)
    assert changed is not None
    assert changed.hidden_columns == {"age"}
    ledger.fold(REF, "joint_modelling", [], [], later + timedelta(seconds=1))
    assert ledger.snapshot(now).folding(REF, USE) is None
    ledger.verify()


def test_expiry_is_recorded_once_and_widest_first(ledger: ConsentLedger, grant: Grant, now: datetime) -> None:
    day = timedelta(days=1)
    ended = {"expires_at": now - day}
    refs = [f"{i:032x}" for i in range(4)]
    ledger.record(
        [
            grant(event_id="a", subject_ref=refs[0], purposes=("joint_modelling",), **ended),
            grant(event_id="b", subject_ref=refs[1], expires_at=now + day),
            grant(event_id="c", subject_ref=refs[2], purposes=("joint_modelling",), **ended),
            grant(event_id="d", subject_ref=refs[2], given_at="2026-01-20T11:00:00Z"),
            grant(event_id="e", subject_ref=refs[3], expires_at=None),
        ]
    )
    assert ledger.expire(now) == 1
    assert ledger.expire(now) == 0
    states = {ref: {use: s.state for use, s in ledger.subject(ref).items()} for ref in refs}
    assert states[refs[0]] == {"joint_modelling": "expired", USE: "expired"}
    assert states[refs[1]] == states[refs[3]] == {USE: "given"}
    # What is below is in force still, by a grant of its own.
    assert states[refs[2]] == {"joint_modelling": "given", USE: "given"}
    # A renewal from before the end that arrives after it counts.
    ledger.record(
        [
            grant(
                event_id="renewed",
                subject_ref=refs[0],
                purposes=("joint_modelling",),
                given_at=now - 2 * day,
                recorded_at=now + day,
                expires_at=now + 100 * day,
            )
        ]
    )
    assert ledger.subject(refs[0])[USE].state == "given"
    ledger.verify()


def test_contact_is_an_import_or_a_heartbeat(
    ledger: ConsentLedger, grant: Grant, tmp_path: Path, now: datetime
) -> None:
    ledger.record([grant()])
    assert ledger.snapshot(now).synced_at is None
    ledger.heartbeat(now)
    assert ledger.snapshot(now).synced_at == ledger.standing_rows().synced_at == now
    later = now + timedelta(hours=1)
    (tmp_path / "empty.csv").write_text("event_id,subject_ref,state,purposes\n")
    assert ledger.ingest_csv(tmp_path / "empty.csv", later).accepted == 0
    assert ledger.snapshot(now).synced_at == later


def test_every_purpose_is_known_in_two_vocabularies() -> None:
    for key, purpose in PURPOSES.items():
        assert purpose.key == key
        assert purpose.parent is None or purpose.parent in PURPOSES
        assert purpose.dpv.startswith("https://w3id.org/dpv#")
        assert purpose.en
        assert purpose.zh
        assert purpose.legal_bases
    assert PURPOSES[USE].parent == "joint_modelling"
