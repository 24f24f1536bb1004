"""Late fusion: models of each party's own columns, fitted to flipped labels where there are no others."""

import json
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from hanse.errors import ProtocolError, ServingError
from hanse.exchange import memory_pair
from hanse.learning.boosting.columns import Binning
from hanse.learning.metrics import roc_auc
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.fusion import (
    Fusion,
    FusionSettings,
    fuse_feature_holder,
    fuse_label_holder,
    receive_logits,
)
from hanse.learning.vertical.messages import send
from hanse.learning.vertical.own_model import OwnModel
from hanse.learning.vertical.scorecard.design import own_binning

ROWS = 6000


def cut(**columns: NDArray[np.float64]) -> Binning:
    return own_binning(columns, 8, 50)


def test_log_odds_are_added_and_only_flipped_labels_are_sent() -> None:
    rng = np.random.default_rng(1)
    age, income = rng.normal(size=(2, ROWS))
    labels = rng.random(ROWS) < 1 / (1 + np.exp(-(age + 2 * income)))
    settings = FusionSettings(epsilon=2.0)
    here, there = memory_pair("brand", "partner", 10.0)
    others: list[Any] = []
    theirs = {"income": income}
    thread = threading.Thread(
        target=lambda: others.append(
            fuse_feature_holder(cut(income=income), theirs, there, settings, b"root")
        )
    )
    thread.start()
    key = bytes(range(32))
    fusion = fuse_label_holder(
        cut(age=age), {"age": age}, labels, {"partner": here}, settings, b"root", SecureRandom(key)
    )
    thread.join()
    truth = labels.astype(np.float32)
    both = roc_auc(fusion.logits({"age": age}, [others[0].logits({"income": income})]), truth) or 0.0
    best = roc_auc(age + 2 * income, truth) or 0.0
    alone = roc_auc(fusion.own.logits({"age": age}), truth) or 0.0
    assert alone + 0.1 < both
    assert best - 0.02 < both
    # The partner's log-odds are those of the true labels, not of the flipped ones, which are less sure.
    assert 1.1 < np.polyfit(income, others[0].logits({"income": income}), 1)[0] < 2.5
    assert here.sent_bytes < ROWS + 400


def test_there_is_no_fusion_with_labels_in_clear() -> None:
    with pytest.raises(ValidationError):
        FusionSettings.model_validate({})
    with pytest.raises(ValidationError):
        FusionSettings(epsilon=100.0)


def test_impossible_log_odds_are_refused() -> None:
    here, there = memory_pair("brand", "partner", 1.0)
    send(there, "logits", 0, np.full(5, 1e9))
    with pytest.raises(ProtocolError, match="partner"):
        receive_logits(here, 5)


def test_other_people_are_refused() -> None:
    here, there = memory_pair("brand", "partner", 1.0)
    columns = {"income": np.arange(100.0)}
    send(here, "labels", 0, np.zeros(100, np.uint8), more={"settings": "", "root": ""})
    with pytest.raises(ProtocolError, match="brand comes with other settings"):
        fuse_feature_holder(cut(**columns), columns, there, FusionSettings(epsilon=1.0), b"root")


def test_a_fusion_is_read_as_it_was_written_and_nothing_else_is() -> None:
    columns = {"age": np.linspace(0, 1, 400)}
    own = OwnModel.fit(cut(**columns), columns, (columns["age"] > 0.5).astype(np.float64), 10)
    fusion = Fusion(own, np.array([1.0, 0.5, -0.1]), np.array([0.25, -2.0]))
    again = Fusion.decode(*fusion.encode())
    assert np.array_equal(again.logits(columns, [columns["age"]]), fusion.logits(columns, [columns["age"]]))
    model, weights = fusion.encode()
    assert again.encode() == (model, weights)
    lacking = weights.replace(b"[-2.0]", b"[]")
    assert lacking != weights
    for wrong in (
        (weights, weights),
        (model, b"{}"),
        (model, lacking),
        (model.replace(b"log_odds", b"odds"), weights),
    ):
        with pytest.raises(ServingError, match=r"model\.invalid"):
            Fusion.decode(*wrong)
    short = json.loads(model) | {"log_odds": [0.0]}
    with pytest.raises(ServingError, match="do not fit"):
        OwnModel.decode(json.dumps(short).encode())
