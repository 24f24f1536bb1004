"""Scores without torch: what a scorer runs, equal to the trained model to 1e-6.

Two things are done to the trained logits. Where the positive class weighed w in training, the odds that a
model learns are w times those among people as they are, so the label's logit is lowered by ln w (King and
Zeng, "Logistic Regression in Rare Events Data", Political Analysis 2001, prior correction; exact where the
weighted model fits the conditional odds, an approximation elsewhere). And a scorecard's weights are those of
its whole points (:mod:`hanse.learning.scorecard`), so that whoever adds up points gets the score itself.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ServingError
from hanse.learning.scorecard import round_to_points
from hanse.learning.shapes import Groups, Parameters, deep_features, parameter_count, split_flat
from hanse.learning.single import SinglePrecision
from hanse.policies import Training

FloatArray = NDArray[np.float64]

_ROWS_AND_FEATURES: Final = 2


class Predicts(Protocol):
    """A trained model that scores transformed rows."""

    @property
    def n_features(self) -> int:
        """Width of the rows that it takes."""
        ...

    def scores(self, x: NDArray[np.float32]) -> FloatArray:
        """Probabilities of the positive label.

        Args:
            x: Transformed rows, shape (rows, features).

        Returns:
            Shape (rows,), in [0, 1].

        Raises:
            ServingError: ``scoring.bad-input`` if the rows have another width.
        """
        ...

    def logits(self, x: NDArray[np.float32]) -> FloatArray:
        """Log-odds of the positive label, shape (rows,); arguments and errors as :meth:`scores`."""
        ...

    def outputs(self, x: NDArray[np.float32]) -> FloatArray:
        """Logits of all outputs, the label's first, shape (rows, outputs); as :meth:`scores`."""
        ...

    def targets(self, x: NDArray[np.float32]) -> Mapping[str, FloatArray]:
        """What is predicted beside the label, by target, shape (rows,); as :meth:`scores`."""
        ...


class Predictor:
    """Layers of weights; see :class:`Predicts`.

    Args:
        training: Model, hidden layers and targets.
        n_features: Width of the transformed rows.
        flat: The weights, as one vector.
        groups: Features of each categorical column; only ``wide_and_deep`` reads them.

    Raises:
        ServingError: ``model.invalid`` if the vector has another length or is not finite.
    """

    def __init__(
        self, training: Training, n_features: int, flat: NDArray[np.float32], groups: Groups = ()
    ) -> None:
        if flat.shape != (parameter_count(training, n_features, groups),) or not np.isfinite(flat).all():
            raise ServingError("model.invalid", "the weights do not fit the model, or are not finite")
        self._training = training
        self._n_features = n_features
        self._groups = [list(group) for group in groups]
        self._plain = list(deep_features(n_features, groups))
        parameters = split_flat(training, n_features, flat.astype(np.float64), groups)
        self._parameters = Parameters(
            _corrected(training, parameters.layers), parameters.embeddings, parameters.wide
        )

    @property
    def n_features(self) -> int:
        """Width of the rows that :meth:`scores` takes."""
        return self._n_features

    def scores(self, x: NDArray[np.float32]) -> FloatArray:
        """Probabilities of the positive label.

        Args:
            x: Transformed rows, shape (rows, features).

        Returns:
            Shape (rows,), in [0, 1].

        Raises:
            ServingError: ``scoring.bad-input`` if the rows have another width.
        """
        return sigmoid(self.logits(x))

    def logits(self, x: NDArray[np.floating[Any]]) -> FloatArray:
        """Log-odds of the positive label; arguments and errors as :meth:`scores`.

        Returns:
            Shape (rows,).
        """
        return self.outputs(x)[:, 0]

    def outputs(self, x: NDArray[np.floating[Any]]) -> FloatArray:
        """Logits of all outputs; arguments and errors as :meth:`scores`.

        Returns:
            Shape (rows, outputs): the label's, then those of the targets in the agreement's order.
        """
        if x.ndim != _ROWS_AND_FEATURES or x.shape[1] != self._n_features:
            raise ServingError("scoring.bad-input", "the rows do not have the model's width")
        rows = x.astype(np.float64)
        *hidden_layers, (weight, bias) = self._parameters.layers
        hidden = self._deep_inputs(rows)
        for hidden_weight, hidden_bias in hidden_layers:
            # In place: for a thousand rows, making further arrays takes longer than the sums.
            hidden = hidden @ hidden_weight.T
            hidden += hidden_bias
            np.tanh(hidden, out=hidden)
        logits: FloatArray = hidden @ weight.T + bias
        if self._parameters.wide is not None:
            logits += rows @ self._parameters.wide.T
        return logits

    def in_single_precision(self, features: NDArray[np.int64]) -> SinglePrecision | None:
        """The same, in less time and with a bound; None for models whose layers are not just stacked.

        Args:
            features: As :class:`hanse.learning.single.SinglePrecision` takes them.
        """
        return SinglePrecision(self._parameters.layers, features) if self._parameters.wide is None else None

    def gradients(self, x: NDArray[np.floating[Any]]) -> FloatArray:
        """Derivative of the label's log-odds by each feature.

        Args:
            x: Transformed rows, or points between such rows, shape (rows, features).

        Returns:
            Shape (rows, features).
        """
        rows = x.astype(np.float64)
        layers = self._parameters.layers
        hidden = [self._deep_inputs(rows)]
        for weight, bias in layers[:-1]:
            hidden.append(np.tanh(hidden[-1] @ weight.T + bias))
        slope: FloatArray = np.repeat(layers[-1][0][:1].astype(np.float64), len(rows), axis=0)
        for (weight, _), after in zip(layers[-2::-1], hidden[:0:-1], strict=True):
            slope = (slope * (1 - after**2)) @ weight
        if self._parameters.wide is None:
            return slope
        result: FloatArray = np.repeat(self._parameters.wide[:1].astype(np.float64), len(rows), axis=0)
        first = len(self._plain)
        result[:, self._plain] += slope[:, :first]
        for group, table in zip(self._groups, self._parameters.embeddings, strict=True):
            result[:, group] += slope[:, first : first + len(table)] @ table
            first += len(table)
        return result

    def targets(self, x: NDArray[np.float32]) -> Mapping[str, FloatArray]:
        """What is predicted beside the label; arguments and errors as :meth:`scores`.

        Returns:
            By target, shape (rows,): the probability of a label, the expected amount of an amount.
        """
        outputs = sigmoid(self.outputs(x))
        predicted: dict[str, FloatArray] = {}
        first = 1
        for target in self._training.targets:
            predicted[target.name] = outputs[:, first]
            if target.bound is not None:
                # Probability of any, times the mean where there is some: see hanse.learning.targets.
                predicted[target.name] = outputs[:, first] * outputs[:, first + 1] * target.bound
            first += target.outputs
        return predicted

    def _deep_inputs(self, rows: FloatArray) -> FloatArray:
        if self._parameters.wide is None:
            return rows
        embedded = [
            rows[:, group] @ table.T
            for group, table in zip(self._groups, self._parameters.embeddings, strict=True)
        ]
        return np.concatenate([rows[:, self._plain], *embedded], axis=1)


def sigmoid(logits: FloatArray) -> FloatArray:
    """1 / (1 + e^-x), without overflow on either side."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def _corrected(
    training: Training, layers: tuple[tuple[NDArray[Any], NDArray[Any]], ...]
) -> tuple[tuple[NDArray[Any], NDArray[Any]], ...]:
    """The layers with the label's logit as it is among people, and as points say it."""
    *before, (weight, bias) = layers
    corrected = bias.copy()
    corrected[0] -= np.log(training.positive_weight)
    if training.scale is not None:
        weight, corrected = round_to_points(training.scale, weight, corrected)
    return (*before, (weight, corrected))
