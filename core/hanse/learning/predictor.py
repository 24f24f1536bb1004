"""Scores without torch: what a scorer runs, equal to the trained model to 1e-6."""

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ServingError
from hanse.learning.shapes import parameter_count, split_flat
from hanse.policies import Training


class Predictor:
    """A trained model that scores transformed rows.

    Args:
        training: Model and hidden layers.
        n_features: Width of the transformed rows.
        flat: The weights, as one vector.

    Raises:
        ServingError: ``model.invalid`` if the vector has another length or is not finite.
    """

    def __init__(self, training: Training, n_features: int, flat: NDArray[np.float32]) -> None:
        if flat.shape != (parameter_count(training, n_features),) or not np.isfinite(flat).all():
            raise ServingError("model.invalid", "the weights do not fit the model, or are not finite")
        self._n_features = n_features
        self._layers = [
            (weight.T.astype(np.float64), bias.astype(np.float64))
            for weight, bias in split_flat(training, n_features, flat)
        ]

    @property
    def n_features(self) -> int:
        """Width of the rows that :meth:`scores` takes."""
        return self._n_features

    def scores(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of the positive label.

        Args:
            x: Transformed rows, shape (rows, features).

        Returns:
            Shape (rows,), in [0, 1].

        Raises:
            ServingError: ``scoring.bad-input`` if the rows have another width.
        """
        return _sigmoid(self.logits(x))

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds of the positive label; arguments and errors as :meth:`scores`.

        Returns:
            Shape (rows,).
        """
        if x.ndim != 2 or x.shape[1] != self._n_features:  # noqa: PLR2004 - rows and features
            raise ServingError("scoring.bad-input", "the rows do not have the model's width")
        hidden = x.astype(np.float64)
        for weight, bias in self._layers[:-1]:
            hidden = np.tanh(hidden @ weight + bias)
        weight, bias = self._layers[-1]
        logits: NDArray[np.float64] = (hidden @ weight + bias)[:, 0]
        return logits


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + e^-x), without overflow on either side."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))
