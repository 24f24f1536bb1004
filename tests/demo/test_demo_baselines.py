from collections.abc import Callable, Mapping

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from hanse.demo.baselines import (
    Baselines,
    compare,
    exact_auc,
    exact_loss,
    train_baselines,
    train_federated,
    train_one,
)
from hanse.demo.data import Rows, load
from hanse.demo.partition import MemberData, partition
from hanse.errors import TrainingError
from hanse.learning import SecureRandom, recommend
from hanse.policies import Agreement
from hanse.privacy import make_plan

KEY = bytes(32)  # the same noise every time: these tests judge code, not luck


@pytest.fixture(name="members", scope="module")
def _members() -> list[MemberData]:
    return partition(load(), 2)


@pytest.fixture(name="rows", scope="module")
def _rows(members: list[MemberData]) -> Mapping[str, Rows]:
    return {member.name: member.rows for member in members}


@pytest.fixture(name="agreement", scope="module")
def _agreement(members: list[MemberData], agreement_of: Callable[[list[MemberData]], Agreement]) -> Agreement:
    # A sixth of the recommended steps, for speed.
    training = recommend("logistic", 1800, 2, 3.0).model_copy(update={"rounds": 5, "local_steps": 10})
    return agreement_of(members).model_copy(update={"training": training})


@pytest.fixture(name="baselines", scope="module")
def _baselines(agreement: Agreement, rows: Mapping[str, Rows]) -> Baselines:
    return train_baselines(agreement, rows, SecureRandom(KEY))


def test_comparison_has_every_member_and_only_exact_figures(
    members: list[MemberData], baselines: Baselines
) -> None:
    quality = compare(members, baselines.pooled, baselines)
    test = Rows.concatenate(*(member.test for member in members))
    assert quality.test_rows == 904
    assert quality.test_positives == 104
    assert quality.pooled == pytest.approx(roc_auc_score(test.labels, baselines.pooled.scores(test)))
    assert [member.name for member in quality.members] == ["brand", "insurer"]
    for member, found in zip(members, quality.members, strict=True):
        alone = baselines.alone[member.name]
        assert found.alone_own == pytest.approx(roc_auc_score(member.test.labels, alone.scores(member.test)))
        assert found.alone_all == pytest.approx(roc_auc_score(test.labels, alone.scores(test)))
        assert found.federated_own == found.pooled_own
    assert quality.alone_mean == pytest.approx(np.mean([member.alone_all for member in quality.members]))
    assert 0.01 < quality.standard_error < 0.05


def test_without_privacy_federated_is_as_good_as_pooled(
    members: list[MemberData], baselines: Baselines
) -> None:
    quality = compare(members, baselines.pooled, baselines)
    assert quality.pooled > 0.68
    # 904 test rows resolve no finer; on the full sets the difference is below .005.
    assert quality.federated_without_privacy == pytest.approx(quality.pooled, abs=0.02)


def test_alone_is_private_and_pooled_is_not(baselines: Baselines) -> None:
    assert baselines.pooled.transform is not None
    for model in baselines.alone.values():
        assert model.transform is not None
        assert model.transform.n_features < baselines.pooled.transform.n_features, "noise hides rare cells"


def test_noise_costs_quality(
    members: list[MemberData], agreement: Agreement, rows: Mapping[str, Rows]
) -> None:
    assert agreement.privacy is not None
    tight = agreement.model_copy(update={"privacy": agreement.privacy.model_copy(update={"epsilon": 0.3})})
    plan = make_plan(tight.training, tight.privacy or agreement.privacy, len(tight.columns))
    parts = list(rows.values())
    noisy, exact = (
        train_federated(tight, parts, tight.training, noise, SecureRandom(KEY)) for noise in (plan, None)
    )
    test = Rows.concatenate(*(member.test for member in members))
    assert (exact_auc(exact, test) or 0) > (exact_auc(noisy, test) or 0) + 0.03


def test_a_member_whose_cells_are_all_too_rare_knows_nothing(
    agreement: Agreement, rows: Mapping[str, Rows]
) -> None:
    strict = agreement.model_copy(
        update={"cohort": agreement.cohort.model_copy(update={"suppress_below": 10_000})}
    )
    model = train_one(strict, rows["brand"], agreement.training, None, SecureRandom(KEY))
    assert set(model.scores(rows["brand"]).tolist()) == {0.5}
    assert exact_auc(model, rows["brand"]) == 0.5


def test_another_training_error_is_not_swallowed(agreement: Agreement, rows: Mapping[str, Rows]) -> None:
    with pytest.raises(TrainingError, match="insufficient-members"):
        train_federated(agreement, [rows["brand"]], agreement.training, None, SecureRandom(KEY))


def test_exact_loss_is_log_loss(members: list[MemberData], baselines: Baselines) -> None:
    test = members[0].test
    assert exact_loss(baselines.pooled, test) == pytest.approx(
        log_loss(test.labels, baselines.pooled.scores(test))
    )


def test_auc_of_one_class_is_none(members: list[MemberData], baselines: Baselines) -> None:
    test = members[0].test
    assert exact_auc(baselines.pooled, test.take(test.labels)) is None


def test_baselines_without_a_budget(agreement: Agreement, rows: Mapping[str, Rows]) -> None:
    free = agreement.model_copy(update={"privacy": None})
    found = train_baselines(
        free, {name: part.take(np.arange(600)) for name, part in rows.items()}, SecureRandom(KEY)
    )
    assert all(model.transform is not None for model in found.alone.values())
