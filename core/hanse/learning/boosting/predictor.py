"""Scores of boosted trees from transformed rows, in numpy: what a scorer runs is what trained."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.errors import HanseError, ServingError
from hanse.learning.boosting.agreed import TreeColumns, agreed_settings
from hanse.learning.boosting.model import BoostedTrees, decode_trees
from hanse.learning.predictor import FloatArray, sigmoid
from hanse.learning.transform import Transform
from hanse.policies import Training

_ROWS_AND_FEATURES: Final = 2


class TreesPredictor:
    """See :class:`hanse.learning.predictor.Predicts`.

    Args:
        columns: The columns, and codes of transformed rows.
        trees: The trees, over these columns.
        n_features: Width of the transformed rows.
    """

    def __init__(self, columns: TreeColumns, trees: BoostedTrees, n_features: int) -> None:
        self.columns = columns
        self.trees = trees
        self._n_features = n_features

    @property
    def n_features(self) -> int:
        """Width of the rows that :meth:`scores` takes."""
        return self._n_features

    def scores(self, x: NDArray[np.float32]) -> FloatArray:
        """Probabilities of the positive label."""
        return sigmoid(self.logits(x))

    def logits(self, x: NDArray[np.float32]) -> FloatArray:
        """Log-odds of the positive label."""
        return self.outputs(x)[:, 0]

    def outputs(self, x: NDArray[np.float32]) -> FloatArray:
        """Log-odds of all labels: those of training, corrected for the weight of positive records."""
        if x.ndim != _ROWS_AND_FEATURES or x.shape[1] != self._n_features:
            raise ServingError("scoring.bad-input", "the rows do not have the model's width")
        return self.trees.raw(self.columns.codes(x)) - math.log(self.trees.settings.positive_weight)

    def targets(self, x: NDArray[np.float32]) -> Mapping[str, FloatArray]:
        """Nothing beside the label."""
        del x
        return {}


def open_trees(training: Training, transform: Transform, data: bytes) -> TreesPredictor:
    """Reads the trees of a model folder.

    Args:
        training: From its manifest.
        transform: From its manifest.
        data: Bytes from anywhere.

    Returns:
        What scores rows.

    Raises:
        ServingError: ``model.invalid`` if the bytes are not trees of this training and preprocessing.
    """
    try:
        columns = TreeColumns(transform)
        settings = agreed_settings(training, training.rounds)
    except HanseError as error:
        raise ServingError("model.invalid", f"no trees of this manifest: {error.detail}") from error
    return TreesPredictor(columns, decode_trees(data, settings, columns.binning), transform.n_features)
