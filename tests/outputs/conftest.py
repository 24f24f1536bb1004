"""Models of every kind over a few columns, without training."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from hanse.learning import ModelManifest, Transform
from hanse.learning.artifact import LoadedModel, encode_weights, make_predictor
from hanse.learning.boosting import (
    BoostedDescription,
    BoostedTrees,
    Forest,
    TreeColumns,
    agreed_settings,
    encode_trees,
)
from hanse.learning.boosting.forest import LEAF
from hanse.learning.shapes import parameter_count
from hanse.policies import Column, Label, Training

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

COLUMNS = (
    Column(name="age", kind="numeric", classification="basic", edges=(20.0, 30.0, 40.0)),
    Column(name="job", kind="categorical", classification="basic", categories=("a", "b", "c")),
    Column(name="city", kind="categorical", classification="basic", categories=("x", "y")),
    Column(name="spend", kind="numeric", classification="basic", edges=(10.0, 100.0)),
)
CELLS = 5 + 4 + 3 + 4


def training(model: str, **changes: Any) -> Training:
    values = {
        "model": model,
        "hidden": [],
        "rounds": 4,
        "local_steps": 2,
        "sample_rate": 1.0,
        "learning_rate": 0.3,
        "clip_norm": 1.0,
        "max_update_norm": 1.0,
        "round_timeout_s": 30,
        "holdout_fraction": 0.2,
    }
    return Training.model_validate(values | changes)


KINDS: dict[str, Training] = {
    "logistic": training("logistic", positive_weight=3.0),
    "scorecard": training("scorecard", scale={"points": 500, "odds": 1.0, "doubling": 20}),
    "mlp": training("mlp", hidden=[7, 5]),
    "wide_and_deep": training("wide_and_deep", hidden=[6], embedding=3),
    "trees": training("trees", positive_weight=2.0, trees={"depth": 3, "min_rows": 5, "l2": 1.0}),
}


def random_forest(columns: TreeColumns, trees: int, depth: int, rng: np.random.Generator) -> Forest:
    """Trees with random splits; some leaves are above the deepest level."""
    layout = columns.binning.layout
    parts = []
    for _ in range(trees):
        column, left, value, level = [], [], [], 1
        for step in range(depth + 1):
            after = 0
            for place in range(level):
                if step == depth or (step and place % 3 == 2):
                    column.append(LEAF)
                    value.append(float(rng.normal()))
                    continue
                chosen = int(rng.integers(len(layout.codes)))
                codes = np.zeros(layout.width, dtype=np.bool_)
                last = layout.codes[chosen] - 1
                if layout.ordered[chosen]:
                    codes[: rng.integers(1, last + 1)] = True
                    codes[last] = bool(rng.integers(2))
                else:
                    codes[: last + 1] = rng.integers(2, size=last + 1)
                column.append(chosen)
                left.append(codes)
                value.append(0.0)
                after += 2
            level = after
        parts.append(
            Forest(
                np.zeros(1, dtype=np.int32),
                np.array(column, dtype=np.int16),
                np.array(left, dtype=np.bool_).reshape(-1, layout.width),
                np.array(value),
            )
        )
    return Forest.join(parts, layout.width)


def make_weights(kind: str, transform: Transform, rng: np.random.Generator) -> bytes:
    """A model's file with random weights."""
    agreed = KINDS[kind]
    if kind == "trees":
        columns, settings = TreeColumns(transform), agreed_settings(agreed, agreed.rounds)
        description = BoostedDescription(settings=settings, binning=columns.binning, base=(-1.0,))
        return encode_trees(BoostedTrees(description, random_forest(columns, 8, 3, rng)))
    size = parameter_count(agreed, transform.n_features, transform.groups)
    return encode_weights(rng.normal(size=size).astype(np.float32))


def make_model(kind: str, seed: int = 5, cell_counts: tuple[float, ...] = ()) -> LoadedModel:
    """A model of a kind with random weights."""
    rng = np.random.default_rng(seed)
    agreed, transform = KINDS[kind], Transform.fit(COLUMNS, None, 0.0)
    weights_file = make_weights(kind, transform, rng)
    manifest = ModelManifest(
        name="propensity",
        version=1,
        agreement_digest="a" * 64,
        run="run-7",
        purpose="joint_modelling.propensity",
        label=Label(name="bought", positive="yes"),
        transform=transform,
        training=agreed,
        metrics={},
        privacy=None,
        epsilon={},
        members=("north", "south"),
        created_at=datetime(2026, 1, 31, 9, tzinfo=UTC),
    ).model_copy(update={"cell_counts": cell_counts})
    return LoadedModel(
        manifest, make_predictor(agreed, transform, weights_file), f"{kind}-{seed}-{cell_counts}"
    )


def random_rows(rows: int, seed: int = 3) -> dict[str, NDArray[Any]]:
    """Values of the columns, some of them missing."""
    rng = np.random.default_rng(seed)
    return {
        "age": np.where(rng.random(rows) < 0.1, np.nan, rng.uniform(10, 50, rows)),
        "job": rng.choice(np.array(["a", "b", "c", "?"], dtype=object), rows),
        "city": rng.choice(np.array(["x", "y", ""], dtype=object), rows),
        "spend": rng.uniform(0, 200, rows),
    }


@pytest.fixture(scope="session")
def models() -> Callable[..., LoadedModel]:
    return make_model


@pytest.fixture(scope="session")
def rows() -> Callable[..., dict[str, NDArray[Any]]]:
    return random_rows
