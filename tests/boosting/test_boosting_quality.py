"""As good as scikit-learn's histogram boosting, on the bundled data set."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from hanse.aggregation import InProcessAggregator
from hanse.demo.data import Rows, load
from hanse.learning import roc_auc
from hanse.learning.boosting import (
    BinnedColumn,
    Binning,
    BoostedTrees,
    BoostingContributor,
    BoostingCoordinator,
    BoostingSettings,
)
from hanse.learning.quantiles import QuantileContributor, federated_quantiles

SETTINGS = BoostingSettings(
    trees=60, depth=4, learning_rate=0.1, l2=10.0, min_rows=20, min_child_weight=1e-3, category_l2=0.0
)
# What its types call otherwise than it is.
ORACLE: dict[str, Any] = {"max_depth": 4, "max_leaf_nodes": None, "early_stopping": False}


@pytest.fixture(scope="module")
def rows() -> tuple[Rows, Rows]:
    data = load()
    return data.rows.take(~data.test), data.rows.take(data.test)


def binning_of(train: Rows, max_bins: int) -> Binning:
    columns = {column.name: column for column in load().dictionary.columns}
    numeric = [name for name, column in columns.items() if column.kind == "numeric"]
    members = {"a": QuantileContributor({name: train.columns[name] for name in numeric})}
    quantiles = federated_quantiles(InProcessAggregator(members), numeric, bins=max_bins)
    return Binning.make(columns, quantiles, max_bins)


def boost(
    settings: BoostingSettings, binning: Binning, train: Rows, labels: NDArray[Any], **extra: Any
) -> BoostedTrees:
    member = BoostingContributor(settings, binning, binning.encode(train.columns), labels, **extra)
    return BoostingCoordinator(InProcessAggregator({"a": member}), settings, binning).train()


def auc(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    return roc_auc(scores, labels.astype(np.float32)) or 0.0


@pytest.mark.slow
def test_area_under_the_curve(rows: tuple[Rows, Rows]) -> None:
    train, test = rows
    binning = binning_of(train, 64)
    model = boost(SETTINGS, binning, train, train.labels)
    ours = auc(model.scores(dict(test.columns))[:, 0], test.labels)
    options: dict[str, Any] = ORACLE | {
        "max_iter": 60,
        "l2_regularization": 10.0,
        "categorical_features": [column.kind == "categorical" for column in binning.columns],
    }
    oracle = HistGradientBoostingClassifier(**options).fit(binning.encode(train.columns), train.labels)
    theirs = auc(oracle.predict_proba(binning.encode(test.columns))[:, 1], test.labels)
    assert ours > 0.7
    assert abs(ours - theirs) <= 0.004


def test_squared_error() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 4))
    y = 10 * np.sin(x[:, 0]) + 5 * x[:, 1] * (x[:, 2] > 0) + rng.normal(size=3000)
    values = {str(i): x[:, i] for i in range(4)}
    found = federated_quantiles(
        InProcessAggregator({"a": QuantileContributor(values)}), list(values), bins=64
    )
    binning = Binning.make({name: BinnedColumn(name=name, kind="numeric") for name in values}, found, 64)
    chosen = SETTINGS.model_copy(
        update={
            "objective": "squared",
            "value_range": (-40.0, 40.0),
            "trees": 30,
            "learning_rate": 0.2,
            "l2": 1.0,
        }
    )
    learn = {name: column[:2000] for name, column in values.items()}
    member = BoostingContributor(chosen, binning, binning.encode(learn), y[:2000])
    model = BoostingCoordinator(InProcessAggregator({"a": member}), chosen, binning).train()
    codes = binning.encode(values)
    options: dict[str, Any] = ORACLE | {"max_iter": 30, "learning_rate": 0.2, "l2_regularization": 1.0}
    oracle = HistGradientBoostingRegressor(**options).fit(codes[:2000], y[:2000])
    ours = float(np.mean((model.scores(values)[2000:, 0] - y[2000:]) ** 2))
    theirs = float(np.mean((oracle.predict(codes[2000:]) - y[2000:]) ** 2))
    assert ours <= 1.1 * theirs < 0.2 * float(y.var())


@pytest.mark.slow
def test_positive_weight_leaves_scores_calibrated(rows: tuple[Rows, Rows]) -> None:
    train, test = rows
    binning = binning_of(train, 32)
    plain = boost(SETTINGS, binning, train, train.labels)
    weighted = boost(SETTINGS.model_copy(update={"positive_weight": 8.0}), binning, train, train.labels)
    for model in (plain, weighted):
        scores = model.scores(dict(test.columns))[:, 0]
        assert scores.mean() == pytest.approx(test.labels.mean(), abs=0.02)
        assert auc(scores, test.labels) > 0.7


def test_weights_count_as_copies(rows: tuple[Rows, Rows]) -> None:
    train, _ = rows
    binning = binning_of(train, 16)
    chosen = SETTINGS.model_copy(update={"trees": 5, "min_rows": 1, "max_weight": 2.0})
    twice = np.arange(len(train)) % 3 == 0
    copied = Rows.concatenate(train, train.take(twice))
    weighted = boost(chosen, binning, train, train.labels, weights=1.0 + twice)
    doubled = boost(chosen, binning, copied, copied.labels)
    codes = binning.encode(train.columns)
    np.testing.assert_allclose(weighted.raw(codes), doubled.raw(codes), atol=1e-3)
