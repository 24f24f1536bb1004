"""Boosted trees in phases, over nodes and sessions in one process: what they come to, and what is refused."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.server.test_server_phases import PLAIN, left, listen, own_entries

from hanse.aggregation import InProcessAggregator
from hanse.client.algorithms import boosting
from hanse.learning import Transform
from hanse.learning.boosting import (
    BoostingContributor,
    BoostingCoordinator,
    TreeColumns,
    agreed_settings,
    encode_trees,
)
from hanse.policies import Training

TRAINING = Training.model_validate(
    {
        "model": "trees",
        "hidden": [],
        "rounds": 2,
        "local_steps": 2,
        "sample_rate": 1.0,
        "learning_rate": 0.3,
        "clip_norm": 1.0,
        "max_update_norm": 1.0,
        "round_timeout_s": 30,
        "holdout_fraction": 0.2,
        "trees": {"depth": 3, "min_rows": 20, "l2": 10.0},
    }
)


@pytest.fixture
def trees(federation: Callable[..., Any]) -> Callable[..., Any]:
    """Four members under an agreement to grow trees."""
    return lambda: federation(4, None, training=TRAINING, columns=PLAIN)


class Rows:
    """Remembers what members learn from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.learned: list[tuple[Any, Any]] = []
        rows = self.learned

        class Recording(BoostingContributor):
            def __init__(self, settings: Any, binning: Any, codes: Any, labels: Any, **more: Any) -> None:
                rows.append((codes, labels))
                super().__init__(settings, binning, codes, labels, **more)

        monkeypatch.setattr(boosting, "BoostingContributor", Recording)


def pooled(transform: Transform, rows: list[tuple[Any, Any]]) -> bytes:
    settings, binning = agreed_settings(TRAINING, TRAINING.rounds), TreeColumns(transform).binning
    codes, labels = (np.concatenate(part) for part in zip(*rows, strict=True))
    member = BoostingContributor(settings, binning, codes, labels)
    return encode_trees(BoostingCoordinator(InProcessAggregator({"all": member}), settings, binning).train())


def test_trees_of_a_run_are_those_of_all_rows_in_one_place(
    trees: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = trees()
    rows = Rows(monkeypatch)
    heard = listen(monkeypatch)
    rounds, record = local.rounds(local.transport())
    outcome = rounds.conduct()
    rounds.finish("propensity@1", "0" * 64, "")

    assert left(record) == {}
    assert outcome.model_file == pooled(outcome.transform, rows.learned[:4])
    assert outcome.metrics.auc is not None
    assert outcome.metrics.auc > 0.6
    kinds = Counter(one.query.kind.partition("/")[2] for one in heard)
    levels = TRAINING.rounds * TRAINING.local_steps * 3
    assert kinds == {
        "preprocessing.cells": 4,
        "tree.start": 8,
        "tree.level": 4 * levels,
        "evaluation.scores": 12,
    }
    steps = [entry.type.value for entry in own_entries(local, "media")]
    assert steps[-10:] == [
        *("budget.planned", "round.admitted", "run.prepared"),
        *("round.admitted", "round.trained") * 2,
        *("round.admitted", "run.evaluated", "run.finished"),
    ]
