"""An entry has one form, and no field takes what must not be in a log."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hanse.audit import (
    Actor,
    Checkpoint,
    ConsentState,
    Counts,
    Entry,
    Event,
    EventType,
    PrivacySpend,
    sign_checkpoint,
)
from hanse.audit.entry import (
    Frame,
    format_time,
    milliseconds_between,
    parse_time,
    read_frame,
    write_entry,
)
from hanse.audit.event import Restored
from hanse.crypto import SigningKey, canonical_json
from hanse.errors import CATALOGUE, ProtocolError

DIGEST = "ab" * 32
TIME = "2026-01-02T03:04:05.678Z"


@pytest.fixture
def full(key: SigningKey) -> Event:
    return Event(
        type=EventType.ROUND_TRAINED,
        decision="permit",
        reasons=("P10", "policy.cohort"),
        agreement=DIGEST,
        run="run-7",
        round=3,
        purpose="joint_modelling.propensity",
        peer="publisher-2",
        policy_digest=DIGEST,
        consent=ConsentState(head=4, size=3, root=DIGEST),
        counts=Counts(rows_in=1000, rows_out="<10", by_rule={"P10": "<10"}),
        subject_set_root=DIGEST,
        subject_set_size=900,
        subject_epoch=2,
        aligned_set_root=DIGEST,
        input_set=DIGEST,
        conversation=DIGEST,
        rows_used=900,
        columns_digest=DIGEST,
        app_digest=DIGEST,
        request=DIGEST,
        requests=2,
        model_in=DIGEST,
        model_out=DIGEST,
        privacy=PrivacySpend(
            epsilon=1.5, delta=1e-5, events=({"type": "SampledGaussian", "steps": 3, "sample_rate": 0.1},)
        ),
        member_checkpoint=sign_checkpoint(Checkpoint("a/b", 1, bytes(32)), key).decode(),
        statement_signature="A" * 86 + "==",
        new_key=key.verifier.encode(),
        serving=DIGEST,
        package=DIGEST,
        restored=Restored(size=4, root=DIGEST, known_size=5, known_root=DIGEST),
        detail="run.update-rejected",
    )


def entry_of(event: Event, actor: Actor) -> Entry:
    return Entry.parse(write_entry(event, Frame(actor.canonical(), 0, TIME), 5))


def test_full_entry_comes_back(full: Event, actor: Actor) -> None:
    entry = entry_of(full, actor)
    data = entry.canonical()
    assert Entry.parse(data) == entry
    assert all(getattr(entry, name) == getattr(full, name) for name in Event.model_fields)
    assert set(Event.model_fields) == full.model_fields_set, "a field that this test forgot"


def test_form_of_the_smallest_entry(actor: Actor) -> None:
    event = Event(type=EventType.MEMBER_INITIALISED)
    assert write_entry(event, Frame(actor.canonical(), 0, TIME)) == (
        b'{"actor":{"key_id":"00c0ffee","organisation":"Brand","role":"member"},"reasons":[],"seq":0,'
        b'"time":"2026-01-02T03:04:05.678Z","type":"member.initialised","version":1}'
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.builds(
        Actor,
        organisation=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(
            lambda text: re.fullmatch(r"[^\x00-\x1f\x7f@]+", text)
        ),
        key_id=st.just("00c0ffee"),
        role=st.sampled_from(["member", "a.b-c_d"]),
    ),
    st.integers(0, 10**17),
    st.none() | st.integers(1, 10**12),
)
def test_bytes_and_frame_of_any_entry(full: Event, actor: Actor, seq: int, behind_ms: int | None) -> None:
    """Entries are written and their frames found by short cuts; here is the long way."""
    frame = Frame(actor.canonical(), seq, TIME)
    for event in (full, Event(type=EventType.RUN_STARTED), Event(type=EventType.LOG_RESTORED, detail="time")):
        data = write_entry(event, frame, behind_ms)
        entry = Entry.parse(data)
        assert data == canonical_json(entry.model_dump(mode="json", exclude_none=True))
        assert (entry.actor, entry.seq, entry.time, entry.clock_behind_ms) == (actor, seq, TIME, behind_ms)
        assert read_frame(data) == frame


@given(st.binary())
def test_looking_for_a_frame_is_total(data: bytes) -> None:
    read_frame(data)
    assert read_frame(b'{"actor":' + data) is None


def test_no_name_sorts_before_the_actor() -> None:
    assert min({*Entry.model_fields}) == "actor"


def test_frame_is_that_of_the_entry_whatever_its_texts_hold(actor: Actor) -> None:
    name = '","role":"x"},"seq":7,"time":"2026-01-02T03:04:05.678Z","type":"run.started","version":1}'
    frame = Frame(actor.model_copy(update={"organisation": name}).canonical(), 3, TIME)
    assert read_frame(write_entry(Event(type=EventType.RUN_STARTED), frame)) == frame


@given(st.binary() | st.text().map(str.encode))
def test_parsing_is_total(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        Entry.parse(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"seq":0', b'"seq":-1'), (b'"seq":0', b'"seq":"0"'), (b'"seq":0', b'"seq":false'),
        (b'"seq":0', b'"seq": 0'), (b'"seq":0', b'"seq":0,"seq":0'), (b'"version":1', b'"version":2'),
        (b'"version":1}', b'"version":1,"x":"someone@example.com"}'), (b'"run":"run-7"', b'"run":null'),
        (b"05.678Z", b"05.67Z"), (b"-01-02T", b"-13-02T"), (b"05.678Z", b"05.678+00:00"),
        (b"5.678Z", b"5.678z"),
        (b'"round":3', b'"round":0'), (b"round.trained", b"round.invented"), (b"run-7", b"Run-7"),
    ],
)  # fmt: skip
def test_changed_entries_are_refused(full: Event, actor: Actor, old: bytes, new: bytes) -> None:
    data = entry_of(full, actor).canonical()
    assert old in data
    with pytest.raises(ProtocolError, match=r"protocol\.malformed") as caught:
        Entry.parse(data.replace(old, new, 1))
    assert "example.com" not in str(caught.value)


LEAKS = ["someone@example.com", "+49 170 1234567", "Jo Doe", "17012345678", "x" * 65, "", "a\n", "a\x00"]


@pytest.mark.parametrize("field", ["detail", "purpose", "peer", "agreement", "model_in"])
@pytest.mark.parametrize("leak", LEAKS)
def test_no_field_takes_an_identifier(field: str, leak: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Event.model_validate({"type": "run.started", field: leak})
    assert not leak.strip() or leak not in str(caught.value)


@pytest.mark.parametrize("leak", [*LEAKS, "P1", "nodot", "P100"])
def test_reasons_are_rules_and_codes(leak: str) -> None:
    with pytest.raises(ValidationError):
        Event.model_validate({"type": "run.started", "reasons": [leak]})


def test_every_error_code_is_a_reason_and_a_detail() -> None:
    for code in CATALOGUE:
        Event(type=EventType.RUN_FAILED, reasons=(code,), detail=code)


@pytest.mark.parametrize(
    "part",
    [
        {"counts": {"rows_in": -1, "rows_out": 0}},
        {"counts": {"rows_in": "<0", "rows_out": 0}},
        {"counts": {"rows_in": 1, "rows_out": 0, "by_rule": {"someone": 1}}},
        {"counts": {"rows_in": 1, "rows_out": 0, "ids": 1}},
        {"consent": {"head": -1, "size": 0}},
        {"privacy": {"epsilon": float("nan"), "delta": 0.0}},
        {"privacy": {"epsilon": float("inf"), "delta": 0.0}},
        {"privacy": {"epsilon": 1.0, "delta": 1.0}},
        {"privacy": {"epsilon": 1.0, "delta": 0.1, "events": [{"type": "some one"}]}},
        {"cut": {"size_bytes": 0, "digest": DIGEST}},
        {"member_checkpoint": "hello"},
        {"member_checkpoint": "\ud800"},
        {"member_checkpoint": f"a\n1\n{'A' * 43}=\n\n" + f"— a {'A' * 8200}\n"},
        {"round": 0},
        {"decision": "maybe"},
        {"unknown": 1},
        {"type": "run.invented"},
    ],
)
def test_bad_parts_are_refused(part: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Event.model_validate({"type": "run.started", **part})


@pytest.mark.parametrize(
    "change", [{"organisation": "a@b"}, {"organisation": ""}, {"key_id": "00C0FFEE"}, {"role": "role 1"}]
)
def test_bad_actors_are_refused(actor: Actor, change: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Actor.model_validate({**actor.model_dump(), **change})


def test_organisations_have_any_script(actor: Actor) -> None:
    entry = entry_of(
        Event(type=EventType.RUN_STARTED), actor.model_copy(update={"organisation": "汉莎 GmbH & Co"})
    )
    assert Entry.parse(entry.canonical()) == entry


def test_times_are_utc_and_sort() -> None:
    at = datetime(2026, 1, 2, 4, 4, 5, 678_999, tzinfo=timezone(timedelta(hours=1)))
    assert format_time(at) == TIME
    assert parse_time(TIME) == at.replace(microsecond=678_000)
    assert format_time(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"
    assert milliseconds_between(TIME, "2026-01-02T03:04:06.000Z") == 322
    assert milliseconds_between("2026-01-02T03:04:06.000Z", TIME) == -322
    with pytest.raises(ProtocolError, match="time zone"):
        format_time(at.replace(tzinfo=None))


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_text_order_is_time_order(one: datetime, two: datetime) -> None:
    if format_time(one) < format_time(two):
        assert one < two


def test_entry_knows_its_time(actor: Actor) -> None:
    assert entry_of(Event(type=EventType.RUN_STARTED), actor).at == parse_time(TIME)


def test_events_cannot_be_changed(full: Event) -> None:
    with pytest.raises(ValidationError):
        full.round = 4  # type: ignore[misc]
    assert canonical_json(full.model_dump(mode="json")) == canonical_json(
        full.model_copy().model_dump(mode="json")
    )
