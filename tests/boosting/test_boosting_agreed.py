"""Trees of an agreement: what they split, and that a scorer reads rows and trees as training did."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.aggregation import InProcessAggregator
from hanse.crypto import SigningKey
from hanse.errors import ServingError, TrainingError
from hanse.learning import ModelManifest, Transform, contributions, load_model, make_predictor, write_model
from hanse.learning.boosting import (
    BoostedTrees,
    BoostingContributor,
    BoostingCoordinator,
    TreeColumns,
    TreesPredictor,
    agreed_settings,
    encode_trees,
)
from hanse.learning.transform import Scale
from hanse.policies import Column, Label, Training

TRAINING = Training.model_validate(
    {
        "model": "trees",
        "hidden": [],
        "rounds": 3,
        "local_steps": 2,
        "sample_rate": 1.0,
        "learning_rate": 0.3,
        "clip_norm": 1.0,
        "max_update_norm": 1.0,
        "round_timeout_s": 30,
        "holdout_fraction": 0.2,
        "positive_weight": 2.0,
        "trees": {"depth": 3, "min_rows": 5, "l2": 1.0},
    }
)
AGE = Column(name="age", kind="numeric", classification="basic", edges=(20.0, 30.0, 40.0, 50.0))
JOB = Column(name="job", kind="categorical", classification="basic", categories=("a", "b", "c", "d"))
ROWS: dict[str, Any] = {
    "age": np.array([5.0, 20.0, 29.9, 35.0, 40.0, 55.0, np.nan, np.inf]),
    "job": np.array(["a", "b", "c", "d", "", "?", "a", "c"], dtype=object),
}


@given(st.lists(st.integers(0, 20), min_size=11, max_size=11))
def test_transformed_rows_have_the_codes_of_the_rows(counts: list[int]) -> None:
    try:
        transform = Transform.fit((AGE, JOB), np.array(counts, dtype=float), 10)
        columns = TreeColumns(transform)
    except TrainingError:
        return
    np.testing.assert_array_equal(columns.codes(transform.apply(ROWS)), columns.binning.encode(ROWS))
    for column in columns.binning.columns:
        assert set(column.categories) <= set(JOB.categories)
        assert set(column.edges) <= set(AGE.edges)


def test_a_category_that_is_rare_has_no_code_of_its_own() -> None:
    counts = np.array([50, 50, 3, 50, 50, 0, 100, 4, 4, 95, 0], dtype=float)
    age, job = TreeColumns(Transform.fit((AGE, JOB), counts, 10)).binning.columns
    assert job.categories == ("a", "d")
    assert age.edges == (20.0, 30.0, 50.0)


def test_columns_without_cells_are_refused_by_name() -> None:
    transform = Transform.fit((AGE, JOB), None, 0)
    scale = Scale(low=0, high=9, mean=4, std=2)
    age = transform.columns[0].model_copy(update={"edges": (), "features": (0, 1), "scale": scale})
    with pytest.raises(TrainingError, match="age"):
        TreeColumns(transform.model_copy(update={"columns": (age, transform.columns[1])}))


def grown(transform: Transform) -> BoostedTrees:
    rng = np.random.default_rng(4)
    rows = {"age": rng.uniform(10, 60, 300), "job": rng.choice(np.array(list("abcd?"), dtype=object), 300)}
    labels = (rows["age"] + 20 * (rows["job"] == "b") + rng.normal(0, 5, 300) > 45).astype(float)
    settings, columns = agreed_settings(TRAINING, TRAINING.rounds), TreeColumns(transform)
    member = BoostingContributor(settings, columns.binning, columns.binning.encode(rows), labels)
    return BoostingCoordinator(InProcessAggregator({"a": member}), settings, columns.binning).train()


def test_a_model_folder_scores_as_the_engine_does(tmp_path: Path) -> None:
    transform = Transform.fit((AGE, JOB), None, 0)
    trees, key = grown(transform), SigningKey.generate("hub")
    manifest = ModelManifest(
        name="propensity",
        version=1,
        agreement_digest="a" * 64,
        run="run-7",
        purpose="joint_modelling.propensity",
        label=Label(name="bought", positive="yes"),
        transform=transform,
        training=TRAINING,
        metrics={},
        privacy=None,
        epsilon={},
        members=("north", "south", "west"),
        created_at=datetime(2026, 1, 31, 9, tzinfo=UTC),
    )
    write_model(tmp_path / "model", manifest, encode_trees(trees), key)
    model = load_model(tmp_path / "model", key.verifier)
    scores = model.predictor.scores(model.transform.apply(ROWS))
    assert scores.tolist() == trees.scores(ROWS)[:, 0].tolist()
    assert len(set(scores.tolist())) > 3
    with pytest.raises(ServingError):
        model.predictor.scores(np.zeros((1, 3), dtype=np.float32))
    shares = {one.column: one.share for one in contributions(model, np.random.default_rng(1))}
    assert shares["age"] > shares["job"] > 0.05


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": 1},
        {"trees": TRAINING.trees.model_copy(update={"depth": 2}) if TRAINING.trees else None},
    ],
)
def test_trees_of_another_training_are_refused(changes: dict[str, Any]) -> None:
    transform = Transform.fit((AGE, JOB), None, 0)
    data = encode_trees(grown(transform))
    assert isinstance(make_predictor(TRAINING, transform, data), TreesPredictor)
    with pytest.raises(ServingError, match=r"model\.invalid"):
        make_predictor(TRAINING.model_copy(update=changes), transform, data)
    with pytest.raises(ServingError, match=r"model\.invalid"):
        make_predictor(TRAINING, Transform.fit((JOB,), None, 0), data)
