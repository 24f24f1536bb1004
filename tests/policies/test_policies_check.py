"""Every gap of an agreement is listed, with rule, place, articles, what was found and what to do."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hanse.errors import PolicyError
from hanse.policies import RULES, Agreement, Policy, builtin_pack, check_agreement, merge, require_no_gap

Changed = Callable[..., Agreement]


def test_the_example_has_no_gap(agreement: Agreement, policy: Policy, now: datetime) -> None:
    assert check_agreement(agreement, policy, now) == ()
    require_no_gap(agreement, policy, now)


SENSITIVE = {
    "columns.0.classification": "sensitive",
    "columns.0.special": "medical",
    "assessment.classifications": ["basic", "behavioural", "sensitive"],
}
CONTRACT = {
    "reference": "DPA 7",
    "purposes": ["joint_modelling"],
    "until": "2027-01-01T00:00:00Z",
    "sub_processors": False,
    "at_end": "delete",
}
ENTRUSTED = {"members.0.role": "entrusted", "members.0.contract": CONTRACT}
CALLER = {"name": "crm", "daily_quota": 9, "opt_out_available": True, "non_personalised_path": True}
GAPS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "basis that no pack allows": (
        {"overrides": [{"member": "brand", "basis": "legitimate_interest", "reason": "We like to"}]},
        ["P01"],
    ),
    "purpose beside the tree": ({"purpose": "sell_data"}, ["P04", "P19"]),
    "purpose of another branch": ({"purpose": "personalisation"}, ["P04", "P19"]),
    "purpose widened": ({"purpose": "joint_modelling.everything"}, ["P04", "P19"]),
    "silence of the sources": ({"consent.propagation_hours": 25}, ["P10"]),
    "late acknowledgement": ({"consent.acknowledge_hours": 25}, ["P11"]),
    "late retraining": ({"consent.retrain_days": 31}, ["P11"]),
    "scores for something else": ({"scoring.purpose": "joint_modelling.propensity"}, ["P23"]),
    "scores for pricing": ({"scoring.purpose": "scoring.pricing"}, ["P19", "P23"]),
    "significant without review": ({"scoring.significant_effect": True}, ["P25"]),
    "too exact scores": ({"scoring.decimals": 5}, ["P27"]),
    "sensitive without a note": (SENSITIVE, ["P07"]),
    "sensitive without a category": (
        {**SENSITIVE, "columns.0.special": None, "columns.0.necessity": "Age decides who may drive"},
        ["P07"],
    ),
    "sensitive without privacy": (
        {**SENSITIVE, "columns.0.necessity": "Age decides who may drive", "privacy": None},
        ["P18"],
    ),
    "required and disclosed to nobody": ({"columns.1.disclosure": []}, ["P13"]),
    "required and disclosed to one": (
        {"columns.1.disclosure": [{"to": "brand", "form": "model"}]},
        ["P13"],
    ),
    "cohort of a few": ({"cohort.minimum_rows": 99}, ["P15"]),
    "counts of a few": ({"cohort.suppress_below": 4}, ["P15"]),
    "more members than there are": ({"cohort.minimum_members": 3}, ["P17"]),
    "nobody witnesses": ({"evidence.quorum": 0}, ["P28"]),
    "more witnesses than there are": ({"evidence.quorum": 3}, ["P28"]),
    "wide budget": ({"privacy.epsilon": 10.1}, ["P18"]),
    "delta of one record": ({"privacy.delta": 0.01}, ["P18"]),
    "deleted before the end": (
        {"retention.intermediates_days": 1, "training.rounds": 1441},
        ["P12"],
    ),
    "models for ever": ({"retention.model_days": 10_000}, ["P12"]),
    "assessment to come": ({"assessment.approved_at": "2026-03-02T00:00:00Z"}, ["P19"]),
    "assessment expired": ({"assessment.expires_at": "2026-03-01T12:00:00Z"}, ["P19"]),
    "assessment too old": ({"assessment.approved_at": "2025-02-28T00:00:00Z"}, ["P19"]),
    "assessment of another purpose": ({"assessment.purposes": ["scoring"]}, ["P19"]),
    "assessment without a partner": ({"assessment.members": ["brand"]}, ["P19"]),
    "assessment without a class": ({"assessment.classifications": ["basic"]}, ["P19"]),
    "not yet in force": ({"valid_from": "2026-03-01T12:00:00.001Z"}, ["P20"]),
    "no longer in force": ({"valid_until": "2026-03-01T12:00:00Z"}, ["P20"]),
    "nobody responsible": (
        {**ENTRUSTED, "members.1.role": "entrusted", "members.1.contract": CONTRACT},
        ["P20"],
    ),
    "entrusted without a contract": ({"members.0.role": "entrusted"}, ["P20"]),
    "entrusted with something else": (
        {**ENTRUSTED, "members.0.contract": {**CONTRACT, "purposes": ["scoring"]}},
        ["P20"],
    ),
    "entrusted to whomever": (
        {**ENTRUSTED, "members.0.contract": {**CONTRACT, "sub_processors": True}},
        ["P20"],
    ),
    "border without mechanism": ({"members.1.jurisdiction": "CN"}, ["P21"]),
    "storage across a border": ({"members.1.storage_country": "CN"}, ["P21"]),
    "coordinator across a border": ({"coordinator.jurisdiction": "US"}, ["P21"]),
    "served across a border": ({"border.other_places": ["US"]}, ["P21"]),
    "mechanism without reference": ({"border.mechanism": "certification"}, ["P21"]),
    "proposer approves": ({"proposer": "Berta Brand"}, ["P31"]),
    "approver audits": ({"auditor": "ines  insurer"}, ["P31"]),
    "one approves for both": ({"members.1.approver": "BERTA BRAND"}, ["P31"]),
    "many at once": (
        {"purpose": "sell_data", "cohort.minimum_rows": 1, "privacy.epsilon": 99, "proposer": "Otto Auditor"},
        ["P04", "P15", "P18", "P19", "P31"],
    ),
}


@pytest.mark.parametrize(("values", "rules"), GAPS.values(), ids=GAPS)
def test_each_gap_is_found_with_its_rule_and_remedy(
    changed: Changed, policy: Policy, now: datetime, values: dict[str, Any], rules: list[str]
) -> None:
    agreement = changed(values)
    gaps = check_agreement(agreement, policy, now)
    assert [gap.rule for gap in gaps] == rules
    for gap in gaps:
        assert gap.articles == policy.rules[gap.rule].articles
        assert gap.unmet
        assert (gap.message, gap.remedy) == (RULES[gap.rule].message, RULES[gap.rule].remedy)
    with pytest.raises(PolicyError) as refusal:
        require_no_gap(agreement, policy, now)
    assert (refusal.value.code, refusal.value.rule) == ("policy.denied", rules[0])
    assert all(gap.remedy.en in refusal.value.detail for gap in gaps)


def test_what_is_allowed_stays_allowed(changed: Changed, policy: Policy, now: datetime) -> None:
    allowed: list[dict[str, Any]] = [
        ENTRUSTED,
        {
            "members.1.jurisdiction": "CN",
            "border.mechanism": "standard_contract",
            "border.reference": "SCC 7",
        },
        {"purpose": "joint_modelling"},
        {"scoring.purpose": "scoring"},
        {"scoring.significant_effect": True, "scoring.human_review": True, "scoring.reason_codes": True},
        {"privacy": None},
        {"training.rounds": 1440, "retention.intermediates_days": 1},
        {"columns.1.disclosure": [], "columns.1.required": False},
        {"scoring.callers": [CALLER, {**CALLER, "name": "shop"}]},
    ]
    for values in allowed:
        assert check_agreement(changed(values), policy, now) == (), values


def test_a_gap_says_where_and_what_was_found_and_whose_restriction_it_is(
    changed: Changed, policy: Policy, now: datetime
) -> None:
    agreement = changed({**SENSITIVE, "privacy.epsilon": 99, "members.1.role": "entrusted"})
    column, budget, contract = check_agreement(agreement, policy, now)
    assert column.where == "columns.age"
    assert "needed: column.necessity is yes; found: column.necessity = False" in column.unmet
    assert budget.where == ""
    limit = policy.thresholds["maximum_epsilon"]
    assert any(
        f"policy.maximum_epsilon = {limit.value:g} [{', '.join(limit.sources)}]" in line
        for line in budget.unmet
    )
    assert contract.where == "members.insurer"
    assert any("contract.reference = missing" in line for line in contract.unmet)


def test_times_are_shown_as_people_write_them(changed: Changed, policy: Policy, now: datetime) -> None:
    (gap,) = check_agreement(changed({"valid_until": "2026-03-01T12:00:00Z"}), policy, now)
    assert any("agreement.valid_until = 2026-03-01T12:00:00Z" in line for line in gap.unmet)


def test_a_rule_that_no_pack_selects_finds_no_gap(changed: Changed, now: datetime) -> None:
    agreement = changed({"consent.acknowledge_hours": 25})
    chosen = merge([builtin_pack("ccpa")])
    found = {gap.rule for gap in check_agreement(agreement, chosen, now)}
    assert ("P11" in found) == ("P11" in chosen.rules)


def test_validity_is_a_half_open_interval(agreement: Agreement, policy: Policy) -> None:
    first = datetime(2026, 2, 1, tzinfo=UTC)
    assert check_agreement(agreement, policy, first) == ()
    end = datetime(2026, 8, 1, tzinfo=UTC)
    assert [gap.rule for gap in check_agreement(agreement, policy, end)] == ["P20"]
