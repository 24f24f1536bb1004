"""Single precision: its bound holds, and what is said is what double precision says."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from hanse.learning.predictor import sigmoid
from hanse.learning.single import SinglePrecision
from hanse.scoring.saying import minimised
from hanse.server.scoring.alike import MANY_ROWS, told

ROWS = 1300
"""More than are computed at a time."""
Layers = list[tuple[Any, Any]]


def make_layers(rng: np.random.Generator, scale: float, features: int) -> Layers:
    widths = (features, 32, 16, 1)
    return [
        (rng.normal(0, scale, (out, into)).astype(np.float32), rng.normal(0, scale, out))
        for into, out in pairwise(widths)
    ]


def make_features(rng: np.random.Generator, columns: int, cells: int) -> Any:
    """A feature per cell, but for some that have none."""
    features = np.arange(columns * cells).reshape(columns, cells)
    features[rng.random(features.shape) < 0.1] = features.size
    return features


def one_hot(features: Any, cells: Any) -> Any:
    columns, rows = cells.shape
    x = np.zeros((rows, features.size + 1))
    x[np.arange(rows)[:, None], features[np.arange(columns), cells.T]] = 1.0
    return x[:, :-1]


def in_double(layers: Layers, x: Any) -> Any:
    hidden = x.astype(np.float64)
    for weight, bias in layers[:-1]:
        hidden = np.tanh(hidden @ weight.T.astype(np.float64) + bias)
    weight, bias = layers[-1]
    return (hidden @ weight.T.astype(np.float64) + bias)[:, 0]


@pytest.mark.parametrize(("scale", "most"), [(0.05, 1e-4), (0.2, 1e-2), (1.0, 1.0)])
@pytest.mark.parametrize(("columns", "cells"), [(8, 8), (7, 8), (1, 3), (11, 3), (5, 20), (2, 300)])
def test_the_bound_holds_and_says_something(scale: float, most: float, columns: int, cells: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(3):
        features = make_features(rng, columns, cells)
        layers = make_layers(rng, scale, features.size)
        single = SinglePrecision(layers, features)
        for rows in (1, ROWS):
            places = rng.integers(0, cells, (columns, rows), dtype=np.uint16)
            found = single.logits(places)
            assert found.shape == (rows,)
            off = np.abs(found - in_double(layers, one_hot(features, places))).max()
            assert 0 < off <= single.bound < most


def test_threads_at_once_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(4)
    features = make_features(rng, 8, 8)
    single = SinglePrecision(make_layers(rng, 0.2, features.size), features)
    asked = [rng.integers(0, 8, (8, ROWS)) for _ in range(16)]
    expected = [single.logits(each) for each in asked]
    with ThreadPoolExecutor(4) as threads:
        for found, alone in zip(threads.map(single.logits, asked * 8), expected * 8, strict=True):
            np.testing.assert_array_equal(found, alone)


@pytest.mark.parametrize("hidden", [(), (4,)])
def test_a_model_of_fewer_layers_is_computed_alike(hidden: tuple[int, ...]) -> None:
    rng = np.random.default_rng(6)
    layers = make_layers(rng, 0.2, 24)
    layers = [*layers[: len(hidden)], (rng.normal(size=(1, 32 if hidden else 24)), np.array([0.5]))]
    features, cells = np.arange(24).reshape(8, 3), rng.integers(0, 3, (8, 40))
    single = SinglePrecision(layers, features)
    off = np.abs(single.logits(cells) - in_double(layers, one_hot(features, cells))).max()
    assert off <= single.bound < 1e-3


@pytest.mark.parametrize(
    "terms",
    [
        {"output": "band", "edges": ()},
        {"output": "band", "edges": (0.2, 0.5, 0.50001)},
        {"output": "flag", "threshold": 0.5},
        {"output": "score", "decimals": 1},
        {"output": "decile"},
    ],
)
@pytest.mark.parametrize("bound", [1e-6, 0.05])
def test_what_is_said_is_what_double_precision_says(terms: dict[str, Any], bound: float) -> None:
    rng = np.random.default_rng(5)
    # Many scores lie at an edge, or as near to one as they can.
    logits = np.concatenate([rng.normal(size=2 * MANY_ROWS), np.zeros(9), rng.normal(0, bound, 300)])
    deciles = tuple(sigmoid(np.quantile(logits, np.arange(1, 10) / 10)).tolist())
    scoring = SimpleNamespace(segments=None, **terms)
    asked: list[int] = []

    def scores(columns: Any) -> Any:
        asked.append(len(columns["z"]))
        return sigmoid(columns["z"])

    def score_ranges(columns: Any) -> Any:
        computed = columns["z"] + rng.uniform(-bound, bound, len(columns["z"]))
        return sigmoid(computed - bound), sigmoid(computed + bound)

    served: Any = SimpleNamespace(
        agreement=SimpleNamespace(agreement=SimpleNamespace(scoring=scoring)),
        deciles=deciles, scores=scores, score_ranges=score_ranges,
    )  # fmt: skip
    expected = minimised(sigmoid(logits), cast("Any", scoring), deciles)
    np.testing.assert_array_equal(told(served, {"z": logits}), expected)
    assert sum(asked) < len(logits)  # else nothing was said in single precision
