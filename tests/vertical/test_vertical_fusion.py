"""Late fusion: models of each party's own columns, fitted to flipped labels where there are no others."""

import threading

import numpy as np
import pytest
from pydantic import ValidationError

from hanse.errors import ProtocolError
from hanse.exchange import memory_pair
from hanse.learning.metrics import roc_auc
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.fusion import (
    FusionSettings,
    OwnModel,
    fuse_feature_holder,
    fuse_label_holder,
    receive_logits,
)
from hanse.learning.vertical.split.messages import send

ROWS = 6000


def test_log_odds_are_added_and_only_flipped_labels_are_sent() -> None:
    rng = np.random.default_rng(1)
    age, income = rng.normal(size=(2, ROWS))
    labels = rng.random(ROWS) < 1 / (1 + np.exp(-(age + 2 * income)))
    settings = FusionSettings(epsilon=2.0, bins=8)
    here, there = memory_pair("brand", "partner", 10.0)
    others: list[OwnModel] = []
    thread = threading.Thread(
        target=lambda: others.append(fuse_feature_holder({"income": income}, there, settings))
    )
    thread.start()
    key = bytes(range(32))
    fusion = fuse_label_holder({"age": age}, labels, {"partner": here}, settings, SecureRandom(key))
    thread.join()
    truth = labels.astype(np.float32)
    both = roc_auc(fusion.logits({"age": age}, [others[0].logits({"income": income})]), truth) or 0.0
    best = roc_auc(age + 2 * income, truth) or 0.0
    alone = roc_auc(fusion.own.logits({"age": age}), truth) or 0.0
    assert alone + 0.1 < both
    assert best - 0.02 < both
    # The partner's log-odds are those of the true labels, not of the flipped ones, which are less sure.
    assert 1.1 < np.polyfit(income, others[0].logits({"income": income}), 1)[0] < 2.5
    assert here.sent_bytes < ROWS + 200


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
