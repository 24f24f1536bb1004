"""Single precision: its bound holds, and what is said is what double precision says."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from hanse.learning.predictor import sigmoid
from hanse.learning.single import SinglePrecision
from hanse.scoring.saying import minimised
from hanse.server.scoring.alike import MANY_ROWS, told

COLUMNS, CELLS = 8, 8
Layers = list[tuple[Any, Any]]


def make_layers(rng: np.random.Generator, scale: float) -> Layers:
    widths = (COLUMNS * CELLS, 32, 16, 1)
    return [
        (rng.normal(0, scale, (out, into)).astype(np.float32), rng.normal(0, scale, out))
        for into, out in pairwise(widths)
    ]


def make_rows(rng: np.random.Generator, rows: int) -> Any:
    x = np.zeros((rows, COLUMNS * CELLS), dtype=np.float32)
    cells = rng.integers(0, CELLS, (rows, COLUMNS)) + np.arange(COLUMNS) * CELLS
    x[np.arange(rows)[:, None], cells] = 1.0
    return x


def in_double(layers: Layers, x: Any) -> Any:
    hidden = x.astype(np.float64)
    for weight, bias in layers[:-1]:
        hidden = np.tanh(hidden @ weight.T.astype(np.float64) + bias)
    weight, bias = layers[-1]
    return (hidden @ weight.T.astype(np.float64) + bias)[:, 0]


@pytest.mark.parametrize(("scale", "most"), [(0.05, 1e-4), (0.2, 1e-2), (1.0, 1.0)])
def test_the_bound_holds_and_says_something(scale: float, most: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        layers = make_layers(rng, scale)
        single = SinglePrecision(layers, COLUMNS)
        x = make_rows(rng, 300)
        off = np.abs(single.logits(x) - in_double(layers, x)).max()
        assert 0 < off <= single.bound < most


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
