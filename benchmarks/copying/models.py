"""The models that callers try to copy, each trained on all rows in one place."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from hanse.learning import Transform
from horizontal_parts.trees import TreesArm
from real_data import Fold

Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[np.generic]]
Model = Callable[[Columns], Floats]
"""Log-odds of rows."""


def logistic(fold: Fold) -> Model:
    """A logistic model over the public cells."""
    transform = Transform.fit(fold.data.columns, None, 0)
    model = LogisticRegression(C=1.0, max_iter=300)
    model.fit(transform.apply(fold.data.rows.take(fold.train).columns), fold.labels(fold.train))

    def logits(columns: Columns) -> Floats:
        found: Floats = model.decision_function(transform.apply(columns))
        return found

    return logits


def trees(fold: Fold) -> Model:
    """Boosted trees as the product grows them."""
    grown = TreesArm(fold).pooled_trees
    return lambda columns: grown.raw(grown.description.binning.encode(dict(columns)))[:, 0]


def network(fold: Fold) -> Model:
    """Two hidden layers over the public cells."""
    transform = Transform.fit(fold.data.columns, None, 0)
    model = MLPClassifier((32, 16), activation="tanh", alpha=1e-3, early_stopping=True, random_state=7)
    model.fit(transform.apply(fold.data.rows.take(fold.train).columns), fold.labels(fold.train))

    def logits(columns: Columns) -> Floats:
        chances = np.asarray(model.predict_proba(transform.apply(columns)), dtype=np.float64)
        return log_odds(chances[:, 1])

    return logits


def log_odds(scores: Floats, least: float = 1e-6) -> Floats:
    """Log-odds of probabilities, none closer to 0 or 1 than ``least``."""
    inside = np.clip(scores, least, 1 - least)
    found: Floats = np.log(inside) - np.log1p(-inside)
    return found


MODELS: Final[Mapping[str, Callable[[Fold], Model]]] = {
    "logistic": logistic,
    "trees": trees,
    "network": network,
}
