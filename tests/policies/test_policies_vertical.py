"""What can be agreed on about members that have different columns of the same people."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from hanse.policies import BUILTIN, Agreement, check_agreement, merge, resolve

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


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        ("vertical.label_holder", "media", "label holder"),
        ("vertical.holdings", "first twice", "differ"),
        ("vertical.holdings", "first left out", "every column"),
        ("vertical.alignment.identifiers", [{"kind": "bought", "normalisation": "exact"}], None),
        ("vertical.alignment.minimum", 10, "cohort.minimum_rows"),
        ("vertical.minimum_bin_rows", 1, "suppress_below"),
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
