"""What can be agreed on about members that have different columns of the same people."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from hanse.policies import BUILTIN, Agreement, check_agreement, merge, resolve
from hanse.policies.agreement.diff import diff_agreements
from hanse.policies.agreement.effects import Effect

TRAINING = {
    "model": "trees",
    "hidden": [],
    "rounds": 1,
    "local_steps": 20,
    "sample_rate": 1.0,
    "learning_rate": 0.1,
    "clip_norm": 1.0,
    "max_update_norm": 1.0,
    "trees": {"depth": 3, "min_rows": 20, "l2": 10.0},
}


@pytest.fixture
def document(agreement: Agreement) -> dict[str, Any]:
    """The example, vertical: the first column is the brand's, the others are the insurer's."""
    given = agreement.model_dump(mode="json")
    given["columns"] = [
        {**column, "transform": "one_hot", "classification": "basic", "special": None}
        for column in given["columns"]
        if column["classification"] != "sensitive"
    ]
    first, *others = [column["name"] for column in given["columns"]]
    given["vertical"] = {
        "label_holder": "brand",
        "holdings": [{"member": "brand", "columns": [first]}, {"member": "insurer", "columns": others}],
        "alignment": {
            "identifiers": [{"kind": "email", "normalisation": "email"}],
            "duplicates": "leave_out",
            "malformed": "leave_out",
            "minimum": given["cohort"]["minimum_rows"],
            "smallest_set": 1000,
            "runs": 10,
        },
        "minimum_bin_rows": 20,
        "trust": {
            "mode": "dealer",
            "dealer": "coordinator",
            "coordinator_colludes_with_no_member": True,
        },
    }
    given["privacy"] = None
    given["training"] = given["training"] | TRAINING
    return given


def test_a_member_is_judged_by_its_own_columns(document: dict[str, Any]) -> None:
    agreement = Agreement.model_validate(document)
    names = [column.name for column in agreement.columns]
    assert [column.name for column in agreement.as_held_by("brand").columns] == names[:1]
    assert [column.name for column in agreement.as_held_by("insurer").columns] == names[1:]
    assert agreement.vertical is not None
    assert agreement.vertical.feature_holders == ("insurer",)
    assert not agreement.secure_sums


def test_agreements_without_it_keep_their_digest(agreement: Agreement) -> None:
    assert "vertical" not in agreement.model_dump(mode="json")


def test_the_agreed_leakage_is_in_the_text_where_it_is_another_one(document: dict[str, Any]) -> None:
    usual = Agreement.model_validate(document)
    assert usual.vertical is not None
    assert usual.vertical.maximum_leakage == 0.6
    assert "maximum_leakage" not in usual.model_dump(mode="json")["vertical"]
    document["vertical"]["maximum_leakage"] = 0.7
    more = Agreement.model_validate(document)
    assert more.model_dump(mode="json")["vertical"]["maximum_leakage"] == 0.7
    (change,) = diff_agreements(usual, more)
    assert (change.where, change.effect) == ("vertical.maximum_leakage", Effect.WIDENS)
    assert "rises from 0.6 to 0.7" in change.text.en
    assert "升至0.7" in change.text.zh


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        ("vertical.label_holder", "media", "label holder"),
        ("vertical.holdings", "first twice", "differ"),
        ("vertical.holdings", "first left out", "every column"),
        ("vertical.alignment.identifiers", [{"kind": "bought", "normalisation": "exact"}], None),
        ("vertical.alignment.minimum", 10, "cohort.minimum_rows"),
        ("vertical.minimum_bin_rows", 1, "suppress_below"),
        ("vertical.maximum_leakage", 0.4, "maximum_leakage"),
        ("vertical.trust.coordinator_colludes_with_no_member", False, "True"),
        ("vertical.trust.mode", "homomorphic", "dealer"),
        ("training.rounds", 2, "local_steps"),
        ("training.sample_rate", 0.5, "sample_rate"),
        (
            "privacy",
            {"unit": "record", "adjacency": "add-or-remove-one", "epsilon": 1.0, "delta": 1e-6},
            "budget",
        ),
        ("aggregation", {"mode": "individual"}, "aggregation"),
        ("cohort.minimum_members", 3, "minimum_members"),
    ],
)
def test_what_does_not_fit_or_is_not_built_is_refused(
    document: dict[str, Any], where: str, value: Any, says: str | None
) -> None:
    *path, last = where.split(".")
    place = document
    for name in path:
        place = place[name]
    if value == "first twice":
        value = [{**one, "columns": document["vertical"]["holdings"][0]["columns"]} for one in place[last]]
    elif value == "first left out":
        value = [
            place[last][1] | {"member": "brand", "columns": place[last][1]["columns"][:1]},
            place[last][1] | {"columns": place[last][1]["columns"][1:]},
        ]
    place[last] = value
    if says is None:
        document["label"] = {"name": "bought", "positive": "1"}
        says = "identifiers"
    with pytest.raises(ValidationError, match=says):
        Agreement.model_validate(document)


def test_small_intersections_are_a_gap_by_rule(
    document: dict[str, Any],
) -> None:
    now = datetime(2026, 2, 1, tzinfo=UTC)
    document["cohort"]["minimum_rows"] = document["vertical"]["alignment"]["minimum"] = 99
    agreement = Agreement.model_validate(document)
    policy = merge(resolve(agreement.packs, list(BUILTIN.values())))
    gaps = {gap.rule: gap for gap in check_agreement(agreement, policy, now)}
    assert "vertical.minimum_intersection = 99" in str(gaps["P15"])


def test_without_a_dealer_the_length_of_the_key_is_agreed(document: dict[str, Any]) -> None:
    dealt = Agreement.model_validate(document)
    document["vertical"]["trust"] = {"mode": "homomorphic", "key_bits": 2048}
    agreed = Agreement.model_validate(document)
    assert agreed.vertical is not None
    assert agreed.model_dump(mode="json")["vertical"]["trust"] == document["vertical"]["trust"]
    assert "label holder" in agreed.vertical.trust.assumption.en
    changed = {change.where for change in diff_agreements(dealt, agreed)}
    assert changed >= {"vertical.trust.mode", "vertical.trust.dealer", "vertical.trust.key_bits"}


@pytest.mark.parametrize(
    "trust",
    [
        {"mode": "homomorphic", "key_bits": 2047},
        {"mode": "homomorphic"},
        {"mode": "homomorphic", "key_bits": 2048, "dealer": "coordinator"},
        {"mode": "dealer", "dealer": "coordinator"},
    ],
)
def test_what_members_rely_on_is_whole_and_the_key_long_enough(
    document: dict[str, Any], trust: dict[str, Any]
) -> None:
    document["vertical"]["trust"] = trust
    with pytest.raises(ValidationError, match="trust"):
        Agreement.model_validate(document)
