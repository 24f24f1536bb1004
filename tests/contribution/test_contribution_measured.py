"""What a model says about its columns agrees with what the raw rows say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from tests.contribution.conftest import permutation_importance

from hanse.demo.data import load
from hanse.learning import contributions
from hanse.policies import Column

STRENGTHS = {"strong": 2.0, "middle": 1.0, "weak": 0.5}


def synthetic(rng: np.random.Generator, rows: int) -> tuple[list[Column], dict[str, Any], np.ndarray]:
    """Three columns that matter by known amounts, and two of pure noise."""
    edges = (-1.0, 0.0, 1.0)
    columns = [
        Column(name=name, kind="numeric", classification="basic", edges=edges)
        for name in (*STRENGTHS, "dust")
    ]
    letters = ("a", "b", "c")
    columns.append(Column(name="coin", kind="categorical", classification="basic", categories=letters))
    values: dict[str, Any] = {name: rng.normal(size=rows) for name in (*STRENGTHS, "dust")}
    values["coin"] = rng.choice(np.array(letters, dtype=object), rows)
    logits = sum(strength * values[name] for name, strength in STRENGTHS.items()) - 1.0
    return columns, values, rng.random(rows) < 1 / (1 + np.exp(-np.asarray(logits)))


@pytest.mark.parametrize("kind", ["logistic", "mlp"])
@pytest.mark.parametrize("epsilon", [None, 3.0], ids=["exact", "private"])
def test_order_is_that_of_the_planted_strengths_and_noise_is_flagged(
    train_model: Callable[..., Any], kind: str, epsilon: float | None
) -> None:
    rng = np.random.default_rng(11)
    columns, values, labels = synthetic(rng, 8_000)
    model, plan = train_model(columns, values, labels, kind, epsilon)
    measured = contributions(model, rng, plan.training.noise_multiplier if plan else 0.0)
    by_name = {item.column: item for item in measured}
    ordered = [item.column for item in sorted(measured, key=lambda item: -item.variance)]
    assert ordered[:3] == list(STRENGTHS)
    assert [name for name, item in by_name.items() if item.negligible] == ["dust", "coin"]
    assert sum(item.share for item in measured) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("kind", "epsilon", "floor"),
    [("logistic", None, 0.8), ("mlp", None, 0.75), ("logistic", 3.0, 0.5), ("mlp", 3.0, 0.5)],
    ids=["logistic-exact", "mlp-exact", "logistic-private", "mlp-private"],
)
def test_order_on_real_data_agrees_with_shuffling_the_rows(
    train_model: Callable[..., Any], kind: str, epsilon: float | None, floor: float
) -> None:
    rng = np.random.default_rng(5)
    data = load()
    coin = Column(name="coin", kind="categorical", classification="basic", categories=tuple("abcde"))
    letters = np.array(list("abcde"), dtype=object)
    values = {**data.rows.columns, "coin": rng.choice(letters, len(data.rows))}
    model, plan = train_model([*data.dictionary.columns, coin], values, data.rows.labels, kind, epsilon)
    measured = contributions(model, rng, plan.training.noise_multiplier if plan else 0.0)
    oracle = permutation_importance(model, values, data.rows.labels, rng)
    ranks = spearmanr([c.variance for c in measured], [oracle[c.column] for c in measured])
    assert np.asarray(ranks)[0] >= floor
    assert next(item for item in measured if item.column == "coin").negligible
