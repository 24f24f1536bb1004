"""What can be agreed on about members that have different columns of the same people."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from hanse.policies import BUILTIN, Agreement, check_agreement, merge, resolve
from hanse.policies.agreement.diff import diff_agreements
from hanse.policies.agreement.effects import Effect
from hanse.policies.agreement.vertical_statements import learned_by, relied_on

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
    assert "label holder" in relied_on(agreed.vertical, agreed.training.model).en
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


def as_scorecard(document: dict[str, Any]) -> dict[str, Any]:
    """The same members, who make a scorecard."""
    training = {
        "model": "scorecard",
        "scale": {"points": 600, "odds": 1.0, "doubling": 20},
        "local_steps": 30,
        "learning_rate": 1.0,
    }
    given = document | {"training": {**document["training"], **training}}
    given["training"].pop("trees")
    return given


def test_a_scorecard_is_one_of_two_members_who_know_how_far_its_dealer_is_checked(
    document: dict[str, Any],
) -> None:
    agreed = Agreement.model_validate(as_scorecard(document))
    assert agreed.vertical is not None
    assert "colludes with no member. " in relied_on(agreed.vertical, "scorecard").en
    assert "test the numbers that are dealt" in relied_on(agreed.vertical, "scorecard").en
    assert "test the numbers that are dealt" not in relied_on(agreed.vertical, "trees").en
    told = {
        party: "; ".join(one.en for one in learned_by(agreed.vertical, "scorecard", party))
        for party in ("brand", "insurer", "hub")
    }
    assert "points on the other's half" in told["brand"]
    assert "which common people are held out" in told["brand"]
    assert "which common people are held out" in told["insurer"]
    assert "rank people itself" in told["insurer"]
    assert "cut" not in told["brand"] + told["insurer"] + told["hub"]
    change = {c.where: c for c in diff_agreements(Agreement.model_validate(document), agreed)}
    assert "scorecard" in change["training.model"].text.en


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        ("training.model", "logistic", "choose trees, scorecard"),
        ("training.learning_rate", 0.1, "learning_rate"),
        ("training.max_update_norm", 2.0, "max_update_norm"),
        ("training.adaptive_step", 0.1, "adaptive_step"),
        ("training.local_steps", 501, "at most 500"),
        ("vertical.trust", {"mode": "homomorphic", "key_bits": 2048}, "mode 'dealer'"),
        ("vertical.answers", {"form": "sides", "daily_people": 10}, "write points as"),
        ("vertical.answers", {"form": "points", "daily_people": 10}, "has what the others say"),
        ("columns.1.transform", "hashed", "cells"),
    ],
)
def test_a_scorecard_that_cannot_be_made_is_refused(
    document: dict[str, Any], where: str, value: Any, says: str
) -> None:
    given = as_scorecard(document)
    if value == "logistic":
        given["training"].pop("scale")
    *path, last = where.split(".")
    place: Any = given
    for name in path:
        place = place[int(name)] if name.isdigit() else place[name]
    place[last] = value
    with pytest.raises(ValidationError, match=says):
        Agreement.model_validate(given)


def as_fusion(document: dict[str, Any], epsilon: float = 0.3, **vertical: Any) -> dict[str, Any]:
    """The same members, who add up models of their own."""
    training = {**document["training"], "model": "late_fusion", "local_steps": 1, "learning_rate": 1.0}
    training.pop("trees")
    direct = {"trust": {"mode": "direct"}, "label_defence": {"kind": "label_noise", "epsilon": epsilon}}
    return document | {"training": training, "vertical": {**document["vertical"], **direct, **vertical}}


def test_late_fusion_says_what_a_flipped_label_tells(document: dict[str, Any]) -> None:
    agreed = Agreement.model_validate(as_fusion(document))
    assert agreed.vertical is not None
    assert agreed.vertical.label_defence is not None
    assert agreed.vertical.label_defence.area == pytest.approx(0.5744, abs=1e-4)
    relied = relied_on(agreed.vertical, "late_fusion")
    assert "epsilon 0.3 per person and run, 3 over all alignments" in relied.en
    assert "probability 0.574" in relied.en
    assert "0.574" in relied.zh
    told = "; ".join(one.en for one in learned_by(agreed.vertical, "late_fusion", "insurer"))
    assert "the label, flipped once at random" in told
    assert agreed.model_dump(mode="json")["vertical"]["trust"] == {"mode": "direct"}
    more = Agreement.model_validate(as_fusion(document, 0.4))
    (change,) = diff_agreements(agreed, more)
    assert (change.where, change.effect) == ("vertical.label_defence.epsilon", Effect.WIDENS)
    assert "less protection" in change.text.en


@pytest.mark.parametrize(
    ("vertical", "training", "says"),
    [
        ({"label_defence": None}, {}, "give label_defence with the trust mode 'direct'"),
        ({"label_defence": {"kind": "label_noise"}}, {}, "epsilon"),
        ({"label_defence": {"kind": "label_noise", "epsilon": 9.0}}, {}, "epsilon"),
        ({"label_defence": {"kind": "none", "epsilon": 0.3}}, {}, "label_noise"),
        ({"label_defence": {"kind": "label_noise", "epsilon": 1.0}}, {}, "smaller epsilon"),
        ({"trust": {"mode": "direct", "dealer": "coordinator"}}, {}, "nothing about a dealer"),
        ({"trust": {"mode": "homomorphic", "key_bits": 2048}}, {}, "and with no other"),
        ({}, {"local_steps": 2}, "local_steps of late_fusion"),
    ],
)
def test_late_fusion_that_leaks_labels_or_means_nothing_is_refused(
    document: dict[str, Any], vertical: dict[str, Any], training: dict[str, Any], says: str
) -> None:
    given = as_fusion(document, **vertical)
    given["training"] |= training
    with pytest.raises(ValidationError, match=says):
        Agreement.model_validate(given)


def test_late_fusion_is_served_by_log_odds_and_never_as_scores(document: dict[str, Any]) -> None:
    answers = {"form": "log_odds", "daily_people": 1000}
    given = as_fusion(document, answers=answers)
    given["scoring"] |= {"output": "band", "edges": [0.1, 0.5]}
    vertical = Agreement.model_validate(given).vertical
    assert vertical is not None
    told = [learned_by(vertical, "late_fusion", party) for party in ("brand", "insurer", "hub")]
    brand, insurer, hub = ("; ".join(one.en for one in each) for each in told)
    assert "own model gives that person now" in brand
    assert "who" not in brand.split("when it scores")[1]
    assert "which common person is scored, when" in insurer
    assert "scor" not in hub
    with pytest.raises(ValidationError, match="write log_odds as"):
        Agreement.model_validate(as_fusion(document, answers={**answers, "form": "sides"}))
    raw = as_fusion(document, answers=answers)
    raw["scoring"] |= {"output": "score", "edges": []}
    with pytest.raises(ValidationError, match="has what the others say"):
        Agreement.model_validate(raw)
    document["vertical"]["answers"] = answers
    with pytest.raises(ValidationError, match="write sides as"):
        Agreement.model_validate(document)


def test_trees_need_more_than_what_members_send_each_other(document: dict[str, Any]) -> None:
    document["vertical"] |= {
        "trust": {"mode": "direct"},
        "label_defence": {"kind": "label_noise", "epsilon": 0.3},
    }
    with pytest.raises(ValidationError, match="for trees"):
        Agreement.model_validate(document)


def test_late_fusion_is_of_members_with_different_columns(document: dict[str, Any]) -> None:
    given = as_fusion(document)
    del given["vertical"]
    with pytest.raises(ValidationError, match="different columns of the same people"):
        Agreement.model_validate(given)


def as_split(document: dict[str, Any], **vertical: Any) -> dict[str, Any]:
    """The same members, who hold halves of a network."""
    training = {
        **document["training"],
        "model": "split_network",
        "hidden": [16],
        "embedding": 8,
        "local_steps": 12,
        "learning_rate": 0.003,
    }
    training.pop("trees")
    direct = {"trust": {"mode": "direct"}, "label_defence": {"kind": "frozen_bottoms"}}
    return document | {"training": training, "vertical": {**document["vertical"], **direct, **vertical}}


def test_a_split_network_says_what_its_members_send(document: dict[str, Any]) -> None:
    frozen = Agreement.model_validate(as_split(document))
    noise = {"kind": "label_noise", "epsilon": 0.2}
    noised = Agreement.model_validate(as_split(document, label_defence=noise, maximum_leakage=0.7))
    assert frozen.vertical is not None
    assert noised.vertical is not None
    assert frozen.model_dump(mode="json")["vertical"]["label_defence"] == {"kind": "frozen_bottoms"}
    assert "Nothing that is made of labels" in relied_on(frozen.vertical, "split_network").en
    relied = relied_on(noised.vertical, "split_network").en
    assert "epsilon 0.2 per person and run, 2 over all" in relied
    assert "recovered two thirds to nine tenths" in relied
    told = [
        learned_by(one.vertical, "split_network", "insurer")[-1].en
        for one in (frozen, noised)
        if one.vertical
    ]
    assert told[0].startswith("no label")
    assert told[1].startswith("gradients")
    changed = {change.where: change for change in diff_agreements(frozen, noised)}
    assert changed["vertical.label_defence.kind"].effect is Effect.WIDENS


def test_whoever_signs_reads_what_embeddings_of_who_is_scored_tell(document: dict[str, Any]) -> None:
    answers = {"form": "embeddings", "daily_people": 1000}
    vertical = Agreement.model_validate(as_split(document, answers=answers)).vertical
    assert vertical is not None
    brand, insurer = (learned_by(vertical, "split_network", party)[-1].en for party in ("brand", "insurer"))
    assert "estimate the other's columns" in brand
    assert "which common person is scored" in insurer


@pytest.mark.parametrize(
    ("vertical", "training", "says"),
    [
        ({"label_defence": None}, {}, "give label_defence with the trust mode 'direct'"),
        ({"label_defence": {"kind": "max_norm"}}, {}, "label_noise"),
        ({"label_defence": {"kind": "frozen_bottoms", "epsilon": 1.0}}, {}, "none to frozen_bottoms"),
        ({"label_defence": {"kind": "label_noise", "epsilon": 0.2}}, {}, "maximum_leakage above 0.6"),
        (
            {"label_defence": {"kind": "label_noise", "epsilon": 2.0}, "maximum_leakage": 0.7},
            {},
            "smaller epsilon",
        ),
        ({}, {"hidden": [16, 16]}, "one hidden layer"),
        ({"answers": {"form": "log_odds", "daily_people": 9}}, {}, "write embeddings as"),
        ({}, {"embedding": 0}, "give embedding"),
        ({}, {"local_steps": 1001}, "at most 1000"),
        ({}, {"learning_rate": 2.0}, "at most 1"),
    ],
)
def test_a_split_network_that_is_not_defended_is_refused(
    document: dict[str, Any], vertical: dict[str, Any], training: dict[str, Any], says: str
) -> None:
    given = as_split(document, **vertical)
    given["training"] |= training
    with pytest.raises(ValidationError, match=says):
        Agreement.model_validate(given)
