"""Every gap of an agreement is listed, with rule, articles and what to do."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hanse.errors import PolicyError
from hanse.policies import POLICY_DIGEST, RULES, Agreement, check_agreement, require_no_gap
from hanse.policies.check import MAXIMUM_EPSILON, MINIMUM_COHORT_ROWS, MINIMUM_SUPPRESSION

Changed = Callable[..., Agreement]


def test_the_example_has_no_gap(agreement: Agreement, now: datetime) -> None:
    assert check_agreement(agreement, now) == ()
    require_no_gap(agreement, now)


SENSITIVE = {"columns.0.classification": "sensitive"}
GAPS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "purpose beside the tree": ({"purpose": "sell_data"}, ["P04"]),
    "purpose of another branch": ({"purpose": "personalisation"}, ["P04"]),
    "purpose widened": ({"purpose": "joint_modelling.everything"}, ["P04"]),
    "scores for something else": ({"scoring.purpose": "joint_modelling.propensity"}, ["P23"]),
    "scores for pricing": ({"scoring.purpose": "scoring.pricing"}, ["P23"]),
    "sensitive without a note": (SENSITIVE, ["P07"]),
    "sensitive without privacy": (
        {**SENSITIVE, "columns.0.necessity": "Age decides who may drive", "privacy": None},
        ["P18"],
    ),
    "cohort of a few": ({"cohort.minimum_rows": MINIMUM_COHORT_ROWS - 1}, ["P15"]),
    "counts of a few": ({"cohort.suppress_below": MINIMUM_SUPPRESSION - 1}, ["P15"]),
    "more members than there are": ({"cohort.minimum_members": 3}, ["P17"]),
    "wide budget": ({"privacy.epsilon": MAXIMUM_EPSILON + 0.1}, ["P18"]),
    "delta of one record": ({"privacy.delta": 0.01}, ["P18"]),
    "deleted before the end": ({"retention_days": 1, "training.rounds": 1441}, ["P12"]),
    "assessment to come": ({"assessment.approved_at": "2026-03-02T00:00:00Z"}, ["P19"]),
    "assessment expired": ({"assessment.expires_at": "2026-03-01T12:00:00Z"}, ["P19"]),
    "assessment too old": ({"assessment.approved_at": "2025-02-28T00:00:00Z"}, ["P19"]),
    "not yet in force": ({"valid_from": "2026-03-01T12:00:00.001Z"}, ["P20"]),
    "no longer in force": ({"valid_until": "2026-03-01T12:00:00Z"}, ["P20"]),
    "nobody responsible": ({"members.0.role": "entrusted", "members.1.role": "entrusted"}, ["P20"]),
    "border without mechanism": ({"members.1.jurisdiction": "CN"}, ["P21"]),
    "coordinator across a border": ({"coordinator.jurisdiction": "US"}, ["P21"]),
    "mechanism without reference": ({"border.mechanism": "certification"}, ["P21"]),
    "proposer approves": ({"proposer": "Berta Brand"}, ["P31"]),
    "approver audits": ({"auditor": "ines  insurer"}, ["P31"]),
    "one approves for both": ({"members.1.approver": "BERTA BRAND"}, ["P31"]),
    "many at once": (
        {"purpose": "sell_data", "cohort.minimum_rows": 1, "privacy.epsilon": 99, "proposer": "Otto Auditor"},
        ["P04", "P15", "P18", "P31"],
    ),
}


@pytest.mark.parametrize(("values", "rules"), GAPS.values(), ids=GAPS)
def test_each_gap_is_found_with_its_rule_and_remedy(
    changed: Changed, now: datetime, values: dict[str, Any], rules: list[str]
) -> None:
    agreement = changed(values)
    gaps = check_agreement(agreement, now)
    assert [gap.rule for gap in gaps] == rules
    for gap in gaps:
        assert gap.articles == RULES[gap.rule].articles
        assert gap.message
        assert gap.remedy == RULES[gap.rule].remedy
    with pytest.raises(PolicyError) as refusal:
        require_no_gap(agreement, now)
    assert (refusal.value.code, refusal.value.rule) == ("policy.denied", rules[0])
    assert all(f"{rule}: " in refusal.value.detail for rule in rules)


def test_what_is_allowed_stays_allowed(changed: Changed, now: datetime) -> None:
    allowed: list[dict[str, Any]] = [
        {"members.0.role": "entrusted"},
        {"members.1.jurisdiction": "CN", "border": {"mechanism": "standard_contract", "reference": "SCC 7"}},
        {"purpose": "joint_modelling"},
        {"scoring.purpose": "scoring"},
        {"privacy": None},
        {"training.rounds": 1440, "retention_days": 1},
    ]
    for values in allowed:
        assert check_agreement(changed(values), now) == (), values


def test_validity_is_a_half_open_interval(agreement: Agreement) -> None:
    first = datetime(2026, 2, 1, tzinfo=UTC)
    assert check_agreement(agreement, first) == ()
    end = datetime(2026, 8, 1, tzinfo=UTC)
    assert [gap.rule for gap in check_agreement(agreement, end)] == ["P20"]


def test_every_rule_says_where_it_comes_from_and_what_to_do() -> None:
    enforced = (1, 2, 4, 10, 13, 15, 17, 18, 19, 20, 21, 23, 26, 28, 32)
    assert {f"P{number:02}" for number in enforced} <= set(RULES)
    for rule_id, rule in RULES.items():
        assert rule.id == rule_id
        assert any(article.startswith("PIPL ") for article in rule.articles)
        assert any(article.startswith("GDPR ") for article in rule.articles)
        assert rule.message.endswith(".")
        assert rule.remedy.endswith(".")
    assert len(POLICY_DIGEST) == 64
