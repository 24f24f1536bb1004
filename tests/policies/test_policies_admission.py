"""Who is admitted: default deny, one missing field at a time; nothing added ever admits more."""

import dataclasses
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.errors import PolicyError
from hanse.policies import (
    PURPOSES,
    TRAINING_RULES,
    Agreement,
    ConsentEvent,
    ConsentSnapshot,
    Job,
    Level,
    Policy,
    admit,
    check_call,
    check_columns,
    current_state,
    require_cohort,
    score_subjects,
    screen,
    suppress,
)
from hanse.policies.admission import first_failure
from hanse.policies.consent import Folding
from hanse.policies.facts import job_facts, subject_facts
from hanse.policies.rules import RowRules, rules_at

Grant = Callable[..., ConsentEvent]
Changed = Callable[..., Agreement]
REF = "0" * 32


# As a grant that the other member asked for, under its own notice.
INSURERS: dict[str, Any] = {
    "controller": "Hanse Versicherung Süd",
    "recipients": ("Nordwagen AG",),
    "notice_version": "1",
    "notice_sha256": "cd" * 32,
}


def snapshot_of(events: Iterable[ConsentEvent], taken_at: datetime) -> ConsentSnapshot:
    standings: dict[str, dict[str, Any]] = {}
    for (ref, purpose), standing in current_state(events).items():
        standings.setdefault(purpose, {})[ref] = standing
    return ConsentSnapshot(1, "00" * 32, taken_at, standings, synced_at=taken_at)


def job_of(agreement: Agreement, policy: Policy, now: datetime) -> Job:
    return Job(agreement, policy, agreement.purpose, now, "brand", opening_head=1)


def failure(job: Job, snapshot: ConsentSnapshot, rules: RowRules | None = None) -> str | None:
    facts = {**job_facts(job, snapshot), **subject_facts(snapshot, REF, job.purpose)}
    chosen = rules_at(Level.SUBJECT, TRAINING_RULES, job.policy) if rules is None else rules
    return first_failure(chosen, facts)


def refused_by(
    agreement: Agreement, policy: Policy, events: Iterable[ConsentEvent], now: datetime
) -> str | None:
    admission = screen(job_of(agreement, policy, now), [REF], snapshot_of(events, now))
    assert admission.considered == 1
    assert (admission.rows == (0,)) == (not admission.excluded_by_rule)
    assert sum(admission.excluded_by_rule.values()) + len(admission.rows) == 1
    return next(iter(admission.excluded_by_rule), None)


def test_a_good_grant_admits(agreement: Agreement, policy: Policy, grant: Grant, now: datetime) -> None:
    assert refused_by(agreement, policy, [grant()], now) is None
    # The member that asked may be either; both are named.
    other = grant(**INSURERS)
    assert refused_by(agreement, policy, [other], now) is None
    assert refused_by(agreement, policy, [grant(purposes=("joint_modelling", "scoring"))], now) is None
    assert refused_by(agreement, policy, [grant(method="signed")], now) is None


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
    "given nobody knows when": ({"given_at": None}, "P10"),
    "given in the future": (
        {"given_at": "2026-03-01T12:00:00.001Z", "recorded_at": "2026-03-02T00:00:00Z"},
        "P02",
    ),
    "a notice that nobody knows": ({"notice_sha256": "ef" * 32}, "P02"),
    "a version that nobody knows": ({"notice_version": "2.2"}, "P02"),
    "no legal basis": ({"legal_basis": None}, "P01"),
    "another legal basis": ({"legal_basis": "contract"}, "P01"),
    "service depends on it": ({"conditional": True}, "P03"),
    "service may depend on it": ({"conditional": None}, "P03"),
    "a child": ({"age_at_least": 10}, "P08"),
    "bundled": ({"bundled": True}, "P03"),
    "bundled unknown": ({"bundled": None}, "P03"),
    "no class named": ({"categories": ()}, "P05"),
    "a class not named": ({"categories": ("basic", "transaction")}, "P05"),
    # Whose notice it was is not known either, and that is asked first.
    "no controller": ({"controller": None}, "P02"),
    "controller is a stranger": (
        {"controller": "Stranger Ltd", "recipients": ("Nordwagen AG", "Hanse Versicherung Süd")},
        "P02",
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
    agreement: Agreement, policy: Policy, grant: Grant, now: datetime, fields: dict[str, Any], rule: str
) -> None:
    assert refused_by(agreement, policy, [grant(**fields)], now) == rule


def test_every_optional_field_is_in_the_truth_table(grant: Grant) -> None:
    """A field that is added to consents without a rule that denies its absence fails here."""
    optional = {name for name, field in ConsentEvent.model_fields.items() if not field.is_required()}
    emptied = {
        name
        for fields, _ in TRUTH_TABLE.values()
        for name, value in fields.items()
        if value is None or value == ()
    }
    # An age is needed only where children may be; a guardian, only by them; the rest is not about grants.
    elsewhere = {"age_at_least", "guardian_ref", "withdrawal_method", "hidden_columns", "hidden_categories"}
    assert emptied == optional - elsewhere
    assert grant().state == "given"


def test_children_need_a_guardian_and_unknown_ages_are_out_where_children_may_be(
    changed: Changed, policy: Policy, grant: Grant, now: datetime
) -> None:
    mixed, adults = changed({"may_contain_minors": True}), changed({})
    child = grant(age_at_least=15)
    assert refused_by(mixed, policy, [child], now) == "P08"
    guarded = grant(age_at_least=15, guardian_ref="a" * 32)
    assert refused_by(mixed, policy, [guarded], now) is None
    unknown = grant(age_at_least=None)
    assert refused_by(mixed, policy, [unknown], now) == "P08"
    assert refused_by(adults, policy, [unknown], now) is None
    assert refused_by(adults, policy, [child], now) == "P08"


def test_a_new_main_version_of_the_notice_asks_anew(
    changed: Changed, agreement: Agreement, policy: Policy, grant: Grant, now: datetime
) -> None:
    def with_notice(version: str, published: str) -> Agreement:
        newer = {"version": version, "sha256": "ef" * 32, "published_at": published}
        known = agreement.members[0].notices[0].model_dump(mode="json")
        return changed({"members.0.notices": [known, newer]})

    assert refused_by(with_notice("2.2", "2026-02-01T00:00:00Z"), policy, [grant()], now) is None
    assert refused_by(with_notice("3", "2026-02-01T00:00:00Z"), policy, [grant()], now) == "P05"
    assert refused_by(with_notice("3", "2026-03-02T00:00:00Z"), policy, [grant()], now) is None


def test_a_folded_column_is_hidden_and_a_folded_required_one_leaves_the_person_out(
    changed: Changed, policy: Policy, grant: Grant, now: datetime
) -> None:
    snapshot = snapshot_of([grant()], now)
    folding = Folding(hidden_columns=frozenset({"age"}), hidden_categories=frozenset())
    folded = dataclasses.replace(snapshot, foldings={"joint_modelling.propensity": {REF: folding}})
    optional = screen(job_of(changed({"columns.0.required": False}), policy, now), [REF], folded)
    assert (optional.rows, dict(optional.hidden)) == ((0,), {"age": (0,)})
    required = screen(job_of(changed({}), policy, now), [REF], folded)
    assert (required.rows, dict(required.excluded_by_rule)) == ((), {"P05": 1})


def test_an_optional_sensitive_column_is_hidden_from_who_did_not_agree_to_it(
    changed: Changed, policy: Policy, grant: Grant, now: datetime
) -> None:
    values = {
        "columns.0.required": False,
        "columns.0.classification": "sensitive",
        "columns.0.special": "medical",
        "columns.0.necessity": "Age decides who may drive",
        "assessment.classifications": ["basic", "behavioural", "sensitive"],
    }
    named = grant(categories=("basic", "behavioural", "sensitive"))
    separate = named.model_copy(update={"event_id": "separate", "purposes": ("sensitive_data",)})
    job = job_of(changed(values), policy, now)
    assert dict(screen(job, [REF], snapshot_of([named], now)).hidden) == {"age": (0,)}
    assert dict(screen(job, [REF], snapshot_of([named, separate], now)).hidden) == {}


def test_an_unknown_subject_is_excluded(
    agreement: Agreement, policy: Policy, grant: Grant, now: datetime
) -> None:
    assert refused_by(agreement, policy, [], now) == "P01"
    assert refused_by(agreement, policy, [grant(subject_ref="f" * 32)], now) == "P01"


def test_upward_generalisation_is_excluded(
    changed: Changed, policy: Policy, grant: Grant, now: datetime
) -> None:
    wide = changed({"purpose": "joint_modelling"})
    assert refused_by(wide, policy, [grant()], now) == "P04"
    assert refused_by(wide, policy, [grant(purposes=("joint_modelling",))], now) is None


def test_withdrawal_and_new_grant(agreement: Agreement, policy: Policy, grant: Grant, now: datetime) -> None:
    withdrawn = grant(
        event_id="w", state="withdrawn", given_at="2026-02-01T00:00:00Z", recorded_at="2026-02-01T00:00:00Z"
    )
    again = grant(event_id="g", given_at="2026-02-02T00:00:00Z", recorded_at="2026-02-02T00:00:00Z")
    assert refused_by(agreement, policy, [grant(), withdrawn], now) == "P10"
    assert refused_by(agreement, policy, [grant(), withdrawn, again], now) is None
    # A new grant is judged by itself: what was good about the old one does not help it.
    careless = again.model_copy(update={"preticked": True})
    assert refused_by(agreement, policy, [grant(), careless], now) == "P02"


SEPARATE = {
    "provider": ("sharing", {"members.0.role": "provider"}, "P06"),
    "sensitive": (
        "sensitive_data",
        {
            "columns.0.classification": "sensitive",
            "columns.0.special": "medical",
            "columns.0.necessity": "Age decides who may drive",
            "assessment.classifications": ["basic", "behavioural", "sensitive"],
        },
        "P07",
    ),
    "border": (
        "cross_border",
        {
            "members.1.jurisdiction": "CN",
            "border.mechanism": "standard_contract",
            "border.reference": "SCC 7",
        },
        "P21",
    ),
}


@pytest.mark.parametrize(("purpose", "values", "rule"), SEPARATE.values(), ids=SEPARATE)
def test_what_needs_a_separate_consent_gets_nothing_less(
    *,
    changed: Changed,
    policy: Policy,
    grant: Grant,
    now: datetime,
    purpose: str,
    values: dict[str, Any],
    rule: str,
) -> None:
    agreement = changed(values)
    basic = grant(categories=("basic", "behavioural", "sensitive"))
    separate = basic.model_copy(update={"event_id": "separate", "purposes": (purpose,)})
    assert refused_by(agreement, policy, [basic], now) == rule
    assert refused_by(agreement, policy, [basic, separate], now) is None
    spoilt: list[dict[str, Any]] = [
        {"purposes": (purpose, "personalisation")},  # not separate
        {"state": "withdrawn"},
        {"expires_at": None},
        {"preticked": True},
        {"bundled": True},
        {"conditional": None},
        {"legal_basis": None},
        {"notice_sha256": "ef" * 32},
        {"recipients": ()},
        {"method": None},
    ]
    for fields in spoilt:
        assert refused_by(agreement, policy, [basic, separate.model_copy(update=fields)], now) == rule, fields
    both = basic.model_copy(update={"purposes": ("joint_modelling", purpose)})
    assert refused_by(agreement, policy, [both], now) == rule


def test_a_provider_role_binds_the_subjects_of_the_provider(
    changed: Changed, policy: Policy, grant: Grant, now: datetime
) -> None:
    agreement = changed({"members.1.role": "provider"})
    assert refused_by(agreement, policy, [grant()], now) is None
    theirs = grant(**INSURERS)
    assert refused_by(agreement, policy, [theirs], now) == "P06"


def test_a_foreign_record_needs_the_agreements_mechanism(
    agreement: Agreement, policy: Policy, grant: Grant, now: datetime
) -> None:
    foreign = grant(storage_country="US")
    separate = foreign.model_copy(update={"event_id": "separate", "purposes": ("cross_border",)})
    assert refused_by(agreement, policy, [foreign, separate], now) == "P21"


def test_counts_rows_and_first_rules(
    agreement: Agreement, policy: Policy, grant: Grant, now: datetime
) -> None:
    refs = [f"{i:032x}" for i in range(6)]
    events = [
        grant(event_id="a", subject_ref=refs[0]),
        grant(event_id="b", subject_ref=refs[1], preticked=True, bundled=True),  # P02 comes first
        grant(event_id="c", subject_ref=refs[2], state="withdrawn"),
        grant(event_id="d", subject_ref=refs[3], state="withdrawn", preticked=True),
        grant(event_id="e", subject_ref=refs[4]),
    ]
    admission = screen(job_of(agreement, policy, now), [*refs, refs[0]], snapshot_of(events, now))
    assert admission.rows == (0, 4, 6)
    assert admission.subjects == 2
    assert admission.considered == 7
    assert admission.excluded_by_rule == {"P01": 1, "P02": 1, "P10": 2}
    assert admission.snapshot_head == 1


def test_the_cohort_counts_subjects_not_rows(
    agreement: Agreement, policy: Policy, grant: Grant, now: datetime
) -> None:
    refs = [f"{i:032x}" for i in range(100)]
    snapshot = snapshot_of([grant(subject_ref=ref) for ref in refs], now)
    job = job_of(agreement, policy, now)
    assert len(admit(job, refs, snapshot).rows) == 100
    with pytest.raises(PolicyError) as refusal:
        admit(job, [*refs[:99], *refs[:99]], snapshot)
    assert (refusal.value.code, refusal.value.rule) == ("policy.cohort", "P15")
    with pytest.raises(PolicyError):
        admit(job, [], snapshot)
    require_cohort(job, screen(job, refs, snapshot).subjects)


def test_a_gap_of_the_agreement_admits_nobody(
    changed: Changed, policy: Policy, grant: Grant, now: datetime
) -> None:
    with pytest.raises(PolicyError) as refusal:
        screen(job_of(changed({"privacy.epsilon": 50}), policy, now), [REF], snapshot_of([grant()], now))
    assert (refusal.value.code, refusal.value.rule) == ("policy.denied", "P18")


@pytest.mark.parametrize("age_s", [-0.001, 60.001, 86_400])
def test_a_stale_snapshot_admits_nobody(
    agreement: Agreement, policy: Policy, grant: Grant, now: datetime, age_s: float
) -> None:
    snapshot = snapshot_of([grant()], now - timedelta(seconds=age_s))
    for decide in (screen, score_subjects):
        with pytest.raises(PolicyError) as refusal:
            decide(job_of(agreement, policy, now), [REF], snapshot)
        assert refusal.value.rule == "P10"


@pytest.mark.parametrize("silent", [None, timedelta(hours=24, seconds=1)], ids=["never fed", "long silent"])
def test_a_ledger_that_nobody_feeds_admits_nobody(
    agreement: Agreement, policy: Policy, grant: Grant, now: datetime, silent: timedelta | None
) -> None:
    fed = None if silent is None else now - silent
    snapshot = dataclasses.replace(snapshot_of([grant()], now), synced_at=fed)
    with pytest.raises(PolicyError) as refusal:
        screen(job_of(agreement, policy, now), [REF], snapshot)
    assert refusal.value.rule == "P10"


def test_a_snapshot_older_than_the_opening_of_the_round_admits_nobody(
    agreement: Agreement, policy: Policy, grant: Grant, now: datetime
) -> None:
    opened_later = dataclasses.replace(job_of(agreement, policy, now), opening_head=2)
    with pytest.raises(PolicyError) as refusal:
        screen(opened_later, [REF], snapshot_of([grant()], now))
    assert refusal.value.rule == "P10"


def test_no_rules_permit_nothing(agreement: Agreement, policy: Policy, grant: Grant, now: datetime) -> None:
    with pytest.raises(PolicyError):
        failure(job_of(agreement, policy, now), snapshot_of([grant()], now), ())


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
@given(
    drawn=_EVENTS,
    chosen=st.lists(st.integers(0, len(TRAINING_RULES) - 1), min_size=1),
    another=st.integers(0, len(TRAINING_RULES) - 1),
)
def test_one_more_rule_never_admits_more(
    *,
    agreement: Agreement,
    policy: Policy,
    grant: Grant,
    now: datetime,
    drawn: list[dict[str, Any]],
    chosen: list[int],
    another: int,
) -> None:
    job = job_of(agreement, policy, now)
    steps = rules_at(Level.SUBJECT, TRAINING_RULES, policy)
    rules, more = [steps[number % len(steps)] for number in chosen], steps[another % len(steps)]
    snapshot = snapshot_of(_events(grant, drawn), now)
    without = failure(job, snapshot, rules)
    for place in range(len(rules) + 1):
        with_more = failure(job, snapshot, [*rules[:place], more, *rules[place:]])
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
    policy: Policy,
    grant: Grant,
    now: datetime,
    drawn: list[dict[str, Any]],
    role: str,
    jurisdiction: str,
    mechanism: bool,
) -> None:
    two = changed({"border.mechanism": "certification", "border.reference": "C 1"} if mechanism else {})
    third = two.members[0].model_copy(
        update={"name": "third", "organisation": "Third SE", "role": role, "jurisdiction": jurisdiction}
    )
    three = two.model_copy(update={"members": (*two.members, third)})
    snapshot = snapshot_of(_events(grant, drawn), now)
    before = failure(job_of(two, policy, now), snapshot)
    after = failure(job_of(three, policy, now), snapshot)
    assert before is None or after is not None


@settings(deadline=None)
@given(drawn=_EVENTS)
def test_one_more_class_of_columns_never_admits_more(
    agreement: Agreement, policy: Policy, grant: Grant, now: datetime, drawn: list[dict[str, Any]]
) -> None:
    sensitive = agreement.columns[0].model_copy(update={"name": "iban", "classification": "sensitive"})
    more = agreement.model_copy(update={"columns": (*agreement.columns, sensitive)})
    snapshot = snapshot_of(_events(grant, drawn), now)
    before = failure(job_of(agreement, policy, now), snapshot)
    after = failure(job_of(more, policy, now), snapshot)
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


def test_a_call_that_the_agreement_allows(agreement: Agreement, policy: Policy, now: datetime) -> None:
    check_call(job_of(agreement, policy, now), "campaign-tool", "scoring.marketing")


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
    agreement: Agreement, policy: Policy, now: datetime, caller: str, purpose: str, code: str
) -> None:
    with pytest.raises(PolicyError) as refusal:
        check_call(job_of(agreement, policy, now), caller, purpose)
    assert (refusal.value.code, refusal.value.rule) == (code, "P23")


def test_calls_end_with_the_agreement(agreement: Agreement, policy: Policy) -> None:
    with pytest.raises(PolicyError) as refusal:
        check_call(
            job_of(agreement, policy, datetime(2026, 8, 1, tzinfo=UTC)), "campaign-tool", "scoring.marketing"
        )
    assert refusal.value.rule == "P20"


def test_nobody_may_call_where_nobody_is_named(changed: Changed, policy: Policy, now: datetime) -> None:
    with pytest.raises(PolicyError):
        check_call(
            job_of(changed({"scoring.callers": []}), policy, now), "campaign-tool", "scoring.marketing"
        )


def test_scores_need_their_own_grant_and_denials_do_not_say_why(
    agreement: Agreement, policy: Policy, grant: Grant, now: datetime
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
    job = dataclasses.replace(job_of(agreement, policy, now), purpose=agreement.scoring.purpose)
    decisions = score_subjects(job, refs, snapshot_of(events, now))
    assert decisions == [None, "P26", "P26", "P26", None, "P26"]
