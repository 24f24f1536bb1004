"""What a member holds for an evaluation: its held-out records, scored. None of it leaves it by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hanse.enforcement import AdmittedExamples
from hanse.learning.evaluation.grid import ScoreGrid
from hanse.learning.metrics import ScoreHistogram
from hanse.learning.predictor import Predicts, sigmoid
from hanse.policies import Label, Training

FloatArray = NDArray[np.float64]


class Judged(NamedTuple):
    """Predictions beside what was true.

    Attributes:
        predicted: In [0, 1]: a probability, or the expected share of an amount's bound; shape (rows,).
        true: In [0, 1], or NaN where it is not known; shape (rows,).
    """

    predicted: FloatArray
    true: FloatArray

    def known(self) -> "Judged":
        """Those of which the truth is known."""
        there = np.isfinite(self.true)
        return Judged(self.predicted[there], self.true[there])

    def histogram(self, grid: ScoreGrid) -> ScoreHistogram:
        """Truths added up per bin of the predictions: what is there of one, and what is missing to it."""
        predicted, true = self.known()
        cells = grid.cells(predicted)
        return ScoreHistogram(
            np.bincount(cells, weights=true, minlength=grid.bins).astype(np.float64),
            np.bincount(cells, weights=1 - true, minlength=grid.bins).astype(np.float64),
        )

    def errors(self) -> FloatArray:
        """Sums of squared errors, absolute errors and squared truths; shape (3,)."""
        predicted, true = self.known()
        return np.array([((predicted - true) ** 2).sum(), np.abs(predicted - true).sum(), (true**2).sum()])


@dataclass(frozen=True, slots=True)
class Held:
    """Scored records.

    Attributes:
        labels: By label, the agreement's first.
        amounts: By target, as shares of the bound.
        groups: By public column, the cell of every record and the number of cells.
    """

    labels: Mapping[str, Judged]
    amounts: Mapping[str, Judged] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[str, tuple[NDArray[np.intp], int]] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def score(
        cls,
        label: Label,
        training: Training,
        predictor: Predicts,
        examples: AdmittedExamples,
        groups: Mapping[str, tuple[NDArray[np.intp], int]] = MappingProxyType({}),
    ) -> Self:
        """Scores held-out records.

        Args:
            label: The agreement's label.
            training: Names the targets.
            predictor: The model.
            examples: The records, with labels as :func:`hanse.learning.targets.encode_targets` gives them, or
                those of the one label alone.
            groups: Public columns to compare groups by: the cells
                (:func:`hanse.learning.transform.cells_of`) and their number.

        Returns:
            Predictions beside truths.
        """
        predicted = sigmoid(predictor.outputs(examples.features))
        true = examples.labels.reshape(predicted.shape).astype(np.float64)
        labels = {label.name: Judged(predicted[:, 0], true[:, 0])}
        amounts = {}
        first = 1
        for target in training.targets:
            if target.kind == "label":
                labels[target.name] = Judged(predicted[:, first], true[:, first])
            else:
                # Of who bought nothing the share is 0, though the second output has no part in it.
                share = np.where(true[:, first] == 0, 0.0, true[:, first + 1])
                amounts[target.name] = Judged(predicted[:, first] * predicted[:, first + 1], share)
            first += target.outputs
        return cls(labels, amounts, groups)
