"""Who is admitted: default deny, one missing field at a time; nothing added ever admits more."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.errors import PolicyError
from hanse.policies import (
    PURPOSES,
    ROW_RULES,
    Agreement,
    ConsentEvent,
    ConsentSnapshot,
    admit,
    check_call,
    check_columns,
    current_state,
    require_cohort,
    score_subjects,
    screen,
    suppress,
)
from hanse.policies.admission import RowRule, first_failure, make_request

Grant = Callable[..., ConsentEvent]
Changed = Callable[..., Agreement]
REF = "0" * 32


def snapshot_of(events: Iterable[ConsentEvent], taken_at: datetime) -> ConsentSnapshot:
    standings: dict[str, dict[str, Any]] = {}
    for (ref, purpose), standing in current_state(events).items():
        standings.setdefault(purpose, {})[ref] = standing
    return ConsentSnapshot(head=1, root="00" * 32, taken_at=taken_at, standings=standings)


def refused_by(agreement: Agreement, events: Iterable[ConsentEvent], now: datetime) -> str | None:
    admission = screen(agreement, [REF], snapshot_of(events, now), now)
    assert admission.considered == 1
    assert (admission.rows == (0,)) == (not admission.excluded_by_rule)
    assert sum(admission.excluded_by_rule.values()) + len(admission.rows) == 1
    return next(iter(admission.excluded_by_rule), None)


def test_a_good_grant_admits(agreement: Agreement, grant: Grant, now: datetime) -> None:
    assert refused_by(agreement, [grant()], now) is None
    # The member that asked may be either; both are named.
    other = grant(controller="Hanse Versicherung Süd", recipients=("Nordwagen AG",))
    assert refused_by(agreement, [other], now) is None
    assert refused_by(agreement, [grant(purposes=("joint_modelling", "scoring"))], now) is None
    assert refused_by(agreement, [grant(method="signed")], now) is None


# Each row changes one field of a grant that admits. Missing, null, stale, wrong: always out, with its rule.
TRUTH_TABLE: dict[str, tuple[dict[str, Any], str]] = {
    "another purpose": ({"purposes": ("personalisation",)}, "P04"),
    "scoring only": ({"purposes": ("scoring",)}, "P04"),
    "sharing only": ({"purposes": ("sharing",)}, "P04"),
    "withdrawn": ({"state": "withdrawn"}, "P10"),
    "refused": ({"state": "refused"}, "P10"),
    "objected": ({"state": "objected"}, "P10"),
    "invalidated": ({"state": "invalidated"}, "P10"),
    "expired by event": ({"state": "expired"}, "P10"),
    "expired by time": ({"expires_at": "2026-02-28T00:00:00Z"}, "P10"),
    "expires now": ({"expires_at": "2026-03-01T12:00:00Z"}, "P10"),
    "no end": ({"expires_at": None}, "P10"),
    "pre-ticked": ({"preticked": True}, "P02"),
    "pre-ticked unknown": ({"preticked": None}, "P02"),
    "no method": ({"method": None}, "P02"),
    "imported": ({"method": "imported"}, "P02"),
    "no notice version": ({"notice_version": None}, "P02"),
    "no notice digest": ({"notice_sha256": None}, "P02"),
    "notice never published": ({"notice_published_at": None}, "P02"),
    "notice published later": ({"notice_published_at": "2026-01-20T10:00:00.001Z"}, "P02"),
    "given nobody knows when": ({"given_at": None}, "P02"),
    "given in the future": (
        {"given_at": "2026-03-01T12:00:00.001Z", "recorded_at": "2026-03-02T00:00:00Z"},
        "P02",
    ),
    "bundled": ({"bundled": True}, "P03"),
    "bundled unknown": ({"bundled": None}, "P03"),
    "no class named": ({"categories": ()}, "P05"),
    "a class not named": ({"categories": ("basic", "transaction")}, "P05"),
    "no controller": ({"controller": None}, "P06"),
    "controller is a stranger": (
        {"controller": "Stranger Ltd", "recipients": ("Nordwagen AG", "Hanse Versicherung Süd")},
        "P06",
    ),
    "no recipient": ({"recipients": ()}, "P06"),
    "another recipient": ({"recipients": ("Stranger Ltd",)}, "P06"),
    "no jurisdiction": ({"jurisdiction": None}, "P21"),
    "no storage country": ({"storage_country": None}, "P21"),
    "stored abroad": ({"storage_country": "US"}, "P21"),
    "subject abroad": ({"jurisdiction": "CN"}, "P21"),
}


@pytest.mark.parametrize(("fields", "rule"), TRUTH_TABLE.values(), ids=TRUTH_TABLE)
def test_one_thing_wrong_excludes_with_its_rule(
    agreement: Agreement, grant: Grant, now: datetime, fields: dict[str, Any], rule: str
) -> None:
    assert refused_by(agreement, [grant(**fields)], now) == rule


def test_every_optional_field_is_in_the_truth_table(grant: Grant) -> None:
    """A field that is added to consents without a rule that denies its absence fails here."""
    optional = {name for name, field in ConsentEvent.model_fields.items() if not field.is_required()}
    emptied = {
        name
        for fields, _ in TRUTH_TABLE.values()
        for name, value in fields.items()
        if value is None or value == ()
    }
    assert emptied == optional
    assert grant().state == "given"


def test_an_unknown_subject_is_excluded(agreement: Agreement, grant: Grant, now: datetime) -> None:
    assert refused_by(agreement, [], now) == "P01"
    assert refused_by(agreement, [grant(subject_ref="f" * 32)], now) == "P01"


def test_upward_generalisation_is_excluded(changed: Changed, grant: Grant, now: datetime) -> None:
    wide = changed({"purpose": "joint_modelling"})
    assert refused_by(wide, [grant()], now) == "P04"
    assert refused_by(wide, [grant(purposes=("joint_modelling",))], now) is None


def test_withdrawal_and_new_grant(agreement: Agreement, grant: Grant, now: datetime) -> None:
    withdrawn = grant(
        event_id="w", state="withdrawn", given_at="2026-02-01T00:00:00Z", recorded_at="2026-02-01T00:00:00Z"
    )
    again = grant(event_id="g", given_at="2026-02-02T00:00:00Z", recorded_at="2026-02-02T00:00:00Z")
    assert refused_by(agreement, [grant(), withdrawn], now) == "P10"
    assert refused_by(agreement, [grant(), withdrawn, again], now) is None
    # A new grant is judged by itself: what was good about the old one does not help it.
    careless = again.model_copy(update={"preticked": True})
    assert refused_by(agreement, [grant(), careless], now) == "P02"


SEPARATE = {
    "provider": ("sharing", {"members.0.role": "provider"}, "P06"),
    "sensitive": (
        "sensitive_data",
        {"columns.0.classification": "sensitive", "columns.0.necessity": "Age decides who may drive"},
        "P07",
    ),
    "border": (
        "cross_border",
        {"members.1.jurisdiction": "CN", "border": {"mechanism": "standard_contract", "reference": "SCC 7"}},
        "P21",
    ),
}


@pytest.mark.parametrize(("purpose", "values", "rule"), SEPARATE.values(), ids=SEPARATE)
def test_what_needs_a_separate_consent_gets_nothing_less(
    *, changed: Changed, grant: Grant, now: datetime, purpose: str, values: dict[str, Any], rule: str
) -> None:
    agreement = changed(values)
    basic = grant(categories=("basic", "behavioural", "sensitive"))
    separate = basic.model_copy(update={"event_id": "separate", "purposes": (purpose,)})
    assert refused_by(agreement, [basic], now) == rule
    assert refused_by(agreement, [basic, separate], now) is None
    spoilt: list[dict[str, Any]] = [
        {"purposes": (purpose, "personalisation")},  # not separate
        {"state": "withdrawn"},
        {"expires_at": None},
        {"preticked": True},
        {"bundled": True},
        {"recipients": ()},
        {"method": None},
    ]
    for fields in spoilt:
        assert refused_by(agreement, [basic, separate.model_copy(update=fields)], now) == rule, fields
    both = basic.model_copy(update={"purposes": ("joint_modelling", purpose)})
    assert refused_by(agreement, [both], now) == rule


def test_a_provider_role_binds_the_subjects_of_the_provider(
    changed: Changed, grant: Grant, now: datetime
) -> None:
    agreement = changed({"members.1.role": "provider"})
    assert refused_by(agreement, [grant()], now) is None
    theirs = grant(controller="Hanse Versicherung Süd", recipients=("Nordwagen AG",))
    assert refused_by(agreement, [theirs], now) == "P06"


def test_a_foreign_record_needs_the_agreements_mechanism(
    agreement: Agreement, grant: Grant, now: datetime
) -> None:
    foreign = grant(storage_country="US")
    separate = foreign.model_copy(update={"event_id": "separate", "purposes": ("cross_border",)})
    assert refused_by(agreement, [foreign, separate], now) == "P21"


def test_counts_rows_and_first_rules(agreement: Agreement, grant: Grant, now: datetime) -> None:
    refs = [f"{i:032x}" for i in range(6)]
    events = [
        grant(event_id="a", subject_ref=refs[0]),
        grant(event_id="b", subject_ref=refs[1], preticked=True, bundled=True),  # P02 comes first
        grant(event_id="c", subject_ref=refs[2], state="withdrawn"),
        grant(event_id="d", subject_ref=refs[3], state="withdrawn", preticked=True),
        grant(event_id="e", subject_ref=refs[4]),
    ]
    admission = screen(agreement, [*refs, refs[0]], snapshot_of(events, now), now)
    assert admission.rows == (0, 4, 6)
    assert admission.subjects == 2
    assert admission.considered == 7
    assert admission.excluded_by_rule == {"P01": 1, "P02": 1, "P10": 2}
    assert admission.snapshot_head == 1


def test_the_cohort_counts_subjects_not_rows(agreement: Agreement, grant: Grant, now: datetime) -> None:
    refs = [f"{i:032x}" for i in range(100)]
    snapshot = snapshot_of([grant(subject_ref=ref) for ref in refs], now)
    assert len(admit(agreement, refs, snapshot, now).rows) == 100
    with pytest.raises(PolicyError) as refusal:
        admit(agreement, [*refs[:99], *refs[:99]], snapshot, now)
    assert (refusal.value.code, refusal.value.rule) == ("policy.cohort", "P15")
    with pytest.raises(PolicyError):
        admit(agreement, [], snapshot, now)
    require_cohort(agreement, screen(agreement, refs, snapshot, now))


def test_a_gap_of_the_agreement_admits_nobody(changed: Changed, grant: Grant, now: datetime) -> None:
    with pytest.raises(PolicyError) as refusal:
        screen(changed({"privacy.epsilon": 50}), [REF], snapshot_of([grant()], now), now)
    assert (refusal.value.code, refusal.value.rule) == ("policy.denied", "P18")


@pytest.mark.parametrize("age_s", [-0.001, 60.001, 86_400])
def test_a_stale_snapshot_admits_nobody(
    agreement: Agreement, grant: Grant, now: datetime, age_s: float
) -> None:
    snapshot = snapshot_of([grant()], now - timedelta(seconds=age_s))
    for decide in (screen, score_subjects):
        with pytest.raises(PolicyError) as refusal:
            decide(agreement, [REF], snapshot, now)
        assert refusal.value.rule == "P10"


def test_no_rules_permit_nothing(agreement: Agreement, grant: Grant, now: datetime) -> None:
    request = make_request(agreement, agreement.purpose, now)
    with pytest.raises(PolicyError):
        first_failure((), request, snapshot_of([grant()], now), REF)


_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "purposes": st.lists(st.sampled_from(list(PURPOSES)), min_size=1, max_size=3).map(tuple),
        "state": st.sampled_from(["given", "withdrawn", "refused"]),
        "given_at": st.none() | st.sampled_from(["2025-12-01T00:00:00Z", "2026-01-20T10:00:00Z"]),
        "expires_at": st.none() | st.sampled_from(["2026-02-01T00:00:00Z", "2027-01-01T00:00:00Z"]),
        "controller": st.none() | st.sampled_from(["Nordwagen AG", "Stranger Ltd"]),
        "recipients": st.lists(
            st.sampled_from(["Hanse Versicherung Süd", "Nordwagen AG", "Third SE"]), max_size=3
        ).map(tuple),
        "categories": st.lists(st.sampled_from(["basic", "behavioural", "sensitive"]), max_size=3).map(tuple),
        "method": st.none() | st.sampled_from(["active_click", "imported"]),
        "preticked": st.none() | st.booleans(),
        "bundled": st.none() | st.booleans(),
        "jurisdiction": st.none() | st.sampled_from(["DE", "CN"]),
        "storage_country": st.none() | st.sampled_from(["DE", "US"]),
    },
)
_EVENTS = st.lists(_FIELDS, min_size=1, max_size=4)


def _events(grant: Grant, drawn: list[dict[str, Any]]) -> list[ConsentEvent]:
    return [grant(event_id=f"e{i}", **fields) for i, fields in enumerate(drawn)]


@settings(deadline=None)
@given(drawn=_EVENTS, rules=st.lists(st.sampled_from(ROW_RULES), min_size=1), more=st.sampled_from(ROW_RULES))
def test_one_more_rule_never_admits_more(
    *,
    agreement: Agreement,
    grant: Grant,
    now: datetime,
    drawn: list[dict[str, Any]],
    rules: list[RowRule],
    more: RowRule,
) -> None:
    request = make_request(agreement, agreement.purpose, now)
    snapshot = snapshot_of(_events(grant, drawn), now)
    without = first_failure(rules, request, snapshot, REF)
    for place in range(len(rules) + 1):
        with_more = first_failure([*rules[:place], more, *rules[place:]], request, snapshot, REF)
        assert without is None or with_more is not None


@settings(deadline=None)
@given(
    drawn=_EVENTS,
    role=st.sampled_from(["joint", "provider", "entrusted"]),
    jurisdiction=st.sampled_from(["DE", "CN"]),
    mechanism=st.booleans(),
)
def test_one_more_member_never_admits_more(
    *,
    changed: Changed,
    grant: Grant,
    now: datetime,
    drawn: list[dict[str, Any]],
    role: str,
    jurisdiction: str,
    mechanism: bool,
) -> None:
    border = (
        {"mechanism": "certification", "reference": "C 1"}
        if mechanism
        else {"mechanism": "none", "reference": None}
    )
    two = changed({"border": border})
    third = two.members[0].model_copy(
        update={"name": "third", "organisation": "Third SE", "role": role, "jurisdiction": jurisdiction}
    )
    three = two.model_copy(update={"members": (*two.members, third)})
    snapshot = snapshot_of(_events(grant, drawn), now)
    before = first_failure(ROW_RULES, make_request(two, two.purpose, now), snapshot, REF)
    after = first_failure(ROW_RULES, make_request(three, three.purpose, now), snapshot, REF)
    assert before is None or after is not None


@settings(deadline=None)
@given(drawn=_EVENTS)
def test_one_more_class_of_columns_never_admits_more(
    agreement: Agreement, grant: Grant, now: datetime, drawn: list[dict[str, Any]]
) -> None:
    sensitive = agreement.columns[0].model_copy(update={"name": "iban", "classification": "sensitive"})
    more = agreement.model_copy(update={"columns": (*agreement.columns, sensitive)})
    snapshot = snapshot_of(_events(grant, drawn), now)
    before = first_failure(ROW_RULES, make_request(agreement, agreement.purpose, now), snapshot, REF)
    after = first_failure(ROW_RULES, make_request(more, more.purpose, now), snapshot, REF)
    assert before is None or after is not None


def test_columns_outside_the_agreement_are_refused_without_being_named(agreement: Agreement) -> None:
    check_columns(agreement, ["age", "km per year", "y"])
    for asked in ([], ["age", "erika@example.org"], ["Age"]):
        with pytest.raises(PolicyError) as refusal:
            check_columns(agreement, asked)
        assert (refusal.value.code, refusal.value.rule) == ("policy.column", "P13")
        assert "erika" not in str(refusal.value)


def test_small_counts_do_not_leave() -> None:
    assert suppress({"P01": 0, "P02": 9, "P10": 10, "rows": 4000}, 10) == {
        "P01": "<10",
        "P02": "<10",
        "P10": 10,
        "rows": 4000,
    }


def test_a_call_that_the_agreement_allows(agreement: Agreement, now: datetime) -> None:
    check_call(agreement, "campaign-tool", "scoring.marketing", now)


@pytest.mark.parametrize(
    ("caller", "purpose", "code"),
    [
        ("stranger", "scoring.marketing", "policy.denied"),
        ("", "scoring.marketing", "policy.denied"),
        ("campaign-tool", "scoring", "policy.purpose"),
        ("campaign-tool", "scoring.retention", "policy.purpose"),
        ("campaign-tool", "joint_modelling.propensity", "policy.purpose"),
        ("campaign-tool", "", "policy.purpose"),
        ("campaign-tool", "scoring.marketing.", "policy.purpose"),
        ("campaign-tool", "pricing", "policy.denied"),
        ("campaign-tool", "scoring.credit", "policy.denied"),
        ("campaign-tool", "scoring.marketing.employment", "policy.denied"),
        ("campaign-tool", "scoring.underwriting", "policy.denied"),
        ("campaign-tool", "scoring.eligibility", "policy.denied"),  # the agreement's own
    ],
)
def test_other_calls_are_denied(
    agreement: Agreement, now: datetime, caller: str, purpose: str, code: str
) -> None:
    with pytest.raises(PolicyError) as refusal:
        check_call(agreement, caller, purpose, now)
    assert (refusal.value.code, refusal.value.rule) == (code, "P23")


def test_calls_end_with_the_agreement(agreement: Agreement) -> None:
    with pytest.raises(PolicyError) as refusal:
        check_call(agreement, "campaign-tool", "scoring.marketing", datetime(2026, 8, 1, tzinfo=UTC))
    assert refusal.value.rule == "P20"


def test_nobody_may_call_where_nobody_is_named(changed: Changed, now: datetime) -> None:
    with pytest.raises(PolicyError):
        check_call(changed({"scoring.callers": []}), "campaign-tool", "scoring.marketing", now)


def test_scores_need_their_own_grant_and_denials_do_not_say_why(
    agreement: Agreement, grant: Grant, now: datetime
) -> None:
    refs = [f"{i:032x}" for i in range(6)]
    scoring = ("scoring.marketing",)
    events = [
        grant(event_id="a", subject_ref=refs[0], purposes=scoring),
        grant(event_id="b", subject_ref=refs[1]),  # training only
        grant(event_id="c", subject_ref=refs[2], purposes=scoring, state="withdrawn"),
        grant(event_id="d", subject_ref=refs[3], purposes=scoring, expires_at="2026-02-01T00:00:00Z"),
        grant(event_id="e", subject_ref=refs[4], purposes=("scoring",), recipients=()),
    ]
    decisions = score_subjects(agreement, refs, snapshot_of(events, now), now)
    assert decisions == [None, "P26", "P26", "P26", None, "P26"]


def test_a_million_subjects_take_minutes_at_most(agreement: Agreement, grant: Grant, now: datetime) -> None:
    refs = [f"{i:032x}" for i in range(25_000)]
    standing = current_state([grant()])[REF, agreement.purpose]
    snapshot = ConsentSnapshot(1, "00" * 32, now, {agreement.purpose: dict.fromkeys(refs, standing)})
    started = time.process_time()
    assert len(screen(agreement, refs, snapshot, now).rows) == 25_000
    # A fortieth of a million, with room for a busy machine and for the tracing of coverage.
    assert time.process_time() - started < 240 / 40
