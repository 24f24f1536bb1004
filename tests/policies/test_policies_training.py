"""What can be agreed on about models, their targets and columns whose cells are learned."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError

from hanse.crypto import SigningKey
from hanse.errors import PolicyError
from hanse.policies import (
    Agreement,
    Column,
    SignedAgreement,
    Target,
    Training,
    Trial,
    Trials,
    trainings_of,
    tried,
)

BASE: dict[str, Any] = {
    "model": "logistic",
    "hidden": [],
    "rounds": 10,
    "local_steps": 20,
    "sample_rate": 0.05,
    "learning_rate": 0.5,
    "clip_norm": 1.0,
    "max_update_norm": 50.0,
    "round_timeout_s": 60,
    "holdout_fraction": 0.2,
}
SCALE = {"points": 600, "odds": 50.0, "doubling": 20}
TREES = {"model": "trees", "trees": {"depth": 4, "min_rows": 20, "l2": 10.0}, "max_update_norm": 1.0}
CHURN = {"name": "churned", "kind": "label", "positive": "1"}
VALUE = {"name": "spent", "kind": "amount", "bound": 5000.0}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "mlp", "hidden": [16]},
        {"model": "wide_and_deep", "hidden": [32, 16], "embedding": 8},
        {"model": "scorecard", "scale": SCALE},
        {"targets": [CHURN, VALUE], "patience": 3, "positive_weight": 5.0},
        TREES,
        {"trials": {"learning_rate": [0.1, 0.3]}},
        TREES | {"trials": {"depth": [3, 4], "l2": [1.0, 10.0], "rounds": [5]}},
    ],
)
def test_options_that_fit_their_model_are_accepted(options: dict[str, Any]) -> None:
    Training.model_validate(BASE | options)


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": [4]},
        {"trials": {}},
        {"trials": {"rounds": [5]}},
        {"trials": {"rounds": [5, 5]}},
        {"trials": {"depth": [3, 4]}},
        {"trials": {"rounds": list(range(1, 66))}},
        TREES | {"trials": {"learning_rate": [0.1, 1.5]}},
        TREES | {"trials": {"rounds": [10, 1000]}},
        {"model": "mlp"},
        {"model": "mlp", "hidden": [4], "embedding": 2},
        {"model": "wide_and_deep", "hidden": [4]},
        {"model": "wide_and_deep", "embedding": 4},
        {"model": "scorecard"},
        {"scale": SCALE},
        {"model": "scorecard", "scale": SCALE, "targets": [CHURN]},
        {"targets": [CHURN, {**VALUE, "name": "Churned"}]},
        {"targets": [{**CHURN, "bound": 1.0}]},
        {"targets": [{**VALUE, "positive": "1"}]},
        {"targets": [{"name": "spent", "kind": "amount"}]},
        {"positive_weight": 0.0},
        {"patience": -1},
        {"model": "forest"},
        {"model": "trees"},
        {"trees": TREES["trees"]},
        TREES | {"learning_rate": 1.5},
        TREES | {"max_update_norm": 50.0},
        TREES | {"clip_norm": 2.0},
        TREES | {"rounds": 1000},
        TREES | {"hidden": [4]},
        TREES | {"targets": [CHURN]},
        TREES | {"adaptive_step": 0.1},
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Training.model_validate(BASE | options)


def test_a_text_without_the_newer_fields_is_still_its_own_canonical_form() -> None:
    plain = Training.model_validate(BASE)
    assert set(plain.model_dump(mode="json")) == set(BASE)
    assert Column.model_validate(
        {"name": "age", "kind": "numeric", "classification": "basic", "edges": [1.0]}
    ).model_dump(mode="json").keys() == {
        *("name", "kind", "classification", "edges", "categories", "necessity", "special", "required"),
        *("transform", "disclosure"),
    }
    assert "targets" in Training.model_validate(BASE | {"targets": [CHURN]}).model_dump(mode="json")


def test_outputs_are_counted_over_all_targets() -> None:
    assert Training.model_validate(BASE).outputs == 1
    assert Training.model_validate(BASE | {"targets": [CHURN, VALUE]}).outputs == 4


@pytest.mark.parametrize(
    ("kind", "transform", "cells", "valid"),
    [
        ("numeric", "quantiles", {"edges": [0.0, 9.0], "bins": 8}, True),
        ("numeric", "standardised", {"edges": [0.0, 9.0]}, True),
        ("categorical", "hashed", {"bins": 64}, True),
        ("numeric", "quantiles", {"edges": [0.0, 9.0]}, False),
        ("numeric", "quantiles", {"edges": [0.0, 5.0, 9.0], "bins": 8}, False),
        ("numeric", "standardised", {"edges": [0.0, 9.0], "bins": 8}, False),
        ("numeric", "standardised", {"edges": [0.0]}, False),
        ("numeric", "hashed", {"edges": [0.0, 9.0], "bins": 8}, False),
        ("categorical", "hashed", {"bins": 64, "categories": ["a"]}, False),
        ("categorical", "hashed", {}, False),
        ("categorical", "standardised", {"categories": ["a"]}, False),
        ("categorical", "one_hot", {"categories": ["a"], "bins": 3}, False),
    ],
)
def test_learned_cells_have_public_bounds(
    kind: str, transform: str, cells: dict[str, Any], *, valid: bool
) -> None:
    document = {"name": "x", "kind": kind, "classification": "basic", "transform": transform, **cells}
    if valid:
        Column.model_validate(document)
        return
    with pytest.raises(ValidationError):
        Column.model_validate(document)


def test_how_figures_come_together_is_in_the_text_only_where_it_is_no_default(agreement: Agreement) -> None:
    document = agreement.model_dump(mode="json")
    assert "aggregation" not in document  # what was signed before there was a choice keeps its digest
    assert Agreement.model_validate(document | {"aggregation": {"mode": "secure"}}) == agreement
    own = Agreement.model_validate(document | {"aggregation": {"mode": "individual"}})
    assert own.model_dump(mode="json")["aggregation"] == {"mode": "individual"}
    assert not agreement.secure_sums  # of two members, neither would be hidden
    with pytest.raises(ValidationError):
        Agreement.model_validate(document | {"aggregation": {"mode": "clear"}})


def test_a_scorecard_has_cells_to_give_points_for(agreement: Agreement) -> None:
    document = agreement.model_dump()
    document["training"] |= {"model": "scorecard", "scale": SCALE}
    Agreement.model_validate(document)
    first, *others = document["columns"]
    document["columns"] = [first | {"transform": "standardised", "edges": [0.0, 9.0]}, *others]
    with pytest.raises(ValidationError):
        Agreement.model_validate(document)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"members": 2}, "at least three members"),
        ({"privacy": {"unit": "record", "epsilon": 1.0, "delta": 1e-5}}, "without a privacy budget"),
        ({"cohort": {"suppress_below": 21}}, "suppress_below"),
        ({"column": {"transform": "standardised", "edges": [0.0, 9.0]}}, "into cells"),
        ({"column": {"transform": "quantiles", "edges": [0.0, 9.0], "bins": 1001}}, "1000 bins"),
    ],
)
def test_trees_need_three_members_cells_and_no_budget(
    agreement: Agreement, witness_key: Callable[[str], str], change: dict[str, Any], said: str | None
) -> None:
    document = agreement.model_dump()
    third = document["members"][0] | {"name": "media", "organisation": "Medien SE"}
    third |= {key: SigningKey.generate(key).verifier.encode() for key in ("node_key", "approver_key")}
    third["witness_key"] = witness_key("media-witness")
    document["members"] = (*document["members"], third)
    document["training"] |= TREES
    document["privacy"] = None
    first, *others = document["columns"]
    document["columns"] = [first | change.get("column", {}), *others]
    document["cohort"] |= change.get("cohort", {})
    if "privacy" in change:
        document["privacy"] = agreement.model_dump()["privacy"]
    document["members"] = document["members"][: change.get("members", 3)]
    if said is None:
        Agreement.model_validate(document)
        return
    with pytest.raises(ValidationError) as error:
        Agreement.model_validate(document)
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["y", "AGE"])
def test_a_target_is_no_column_and_not_the_label(agreement: Agreement, name: str) -> None:
    document = agreement.model_dump()
    document["training"]["targets"] = [Target(name=name, kind="label", positive="1").model_dump()]
    with pytest.raises(ValidationError):
        Agreement.model_validate(document)


def test_a_trial_is_one_of_the_agreed_combinations_in_an_order_of_the_digest(
    agreement: Agreement,
) -> None:
    signed = SignedAgreement(agreement, "0" * 64, (), b"")
    trials = Trials(learning_rate=(0.1, 0.3), rounds=(1, 2, 3))
    training = signed.agreement.training.model_copy(update={"trials": trials})
    agreed = replace(signed, agreement=signed.agreement.model_copy(update={"training": training}))
    all_of_them = trainings_of(agreed, 6)
    assert {(each.learning_rate, each.rounds) for each in all_of_them} == set(
        product(trials.learning_rate, trials.rounds)
    )
    assert all(each.trials is None for each in all_of_them)
    assert trainings_of(agreed, 2) == all_of_them[:2]
    orders = {trainings_of(replace(agreed, digest=f"{number:064}"), 6) for number in range(5)}
    assert len(orders) > 1
    second = tried(agreed, Trial("run", 2, 6))
    assert (second.agreement.training, second.digest) == (all_of_them[1], signed.digest)
    assert tried(agreed, None) is agreed
    for refused in (Trial("run", 1, 7), Trial("run", 0, 6), Trial("run", 7, 6)):
        with pytest.raises(PolicyError, match=r"policy\.denied"):
            tried(agreed, refused)
    with pytest.raises(PolicyError, match="no sweep"):
        trainings_of(signed, 1)
