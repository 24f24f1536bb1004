"""A logistic regression in numpy: so little work that a round is all overhead."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

FEATURES = 8
ROWS = 256
STEPS = 5
LEARNING_RATE = 0.5


def make_rows(member: int) -> tuple[Array, Array]:
    """Made-up rows of one member: features ``(rows, 8)`` and labels ``(rows,)``."""
    rng = np.random.default_rng(member)
    x = rng.standard_normal((ROWS, FEATURES), dtype=np.float32)
    return x, (x[:, :3].sum(axis=1) > 0).astype(np.float32)


def train(weights: Array, bias: Array, member: int) -> tuple[Array, Array]:
    """A few gradient steps on the member's rows."""
    x, y = make_rows(member)
    for _ in range(STEPS):
        gap = _scores(weights, bias, x) - y
        weights = np.subtract(weights, LEARNING_RATE * (gap @ x) / ROWS, dtype=np.float32)
        bias = np.subtract(bias, LEARNING_RATE * gap.mean(keepdims=True), dtype=np.float32)
    return weights, bias


def evaluate(weights: Array, bias: Array, member: int) -> float:
    """Log loss on rows of the member that it does not train on."""
    x, y = make_rows(member + 1000)
    scores = np.clip(_scores(weights, bias, x), 1e-6, 1 - 1e-6)
    return float(-np.mean(y * np.log(scores) + (1 - y) * np.log1p(-scores)))


def _scores(weights: Array, bias: Array, x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-(x @ weights + bias))), dtype=np.float32)
