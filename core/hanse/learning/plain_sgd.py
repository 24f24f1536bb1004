"""Gradient steps without clipping and noise, for agreements without a privacy budget."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hanse.learning.losses import record_losses


class PlainSgd:
    """Gradient steps without clipping and noise.

    Args:
        model: A module of :func:`hanse.learning.models.build`.
        positive_weight: What a record of the label's positive class counts.
    """

    def __init__(self, model: nn.Module, positive_weight: float = 1.0) -> None:
        self._model = model
        self._positive_weight = positive_weight
        self._optimizer = torch.optim.SGD(model.parameters(), lr=0.0)

    def step(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        *,
        expected_rows: float,
        learning_rate: float,
        row_weights: NDArray[np.float32] | None = None,
    ) -> None:
        """Takes one step.

        Args:
            x: The sampled rows, shape (batch, features).
            y: Their labels, 0 or 1, shape (batch,); or what all outputs are trained towards, shape (batch,
                outputs), as :func:`hanse.learning.targets.encode_targets` gives it.
            expected_rows: Sample rate times number of rows that were sampled from.
            learning_rate: Step size.
            row_weights: What each row counts, shape (batch,); None for 1.
        """
        self._optimizer.param_groups[0]["lr"] = learning_rate / expected_rows
        self._optimizer.zero_grad()
        targets = torch.from_numpy(y[:, None] if y.ndim == 1 else y)
        weights = None if row_weights is None else torch.from_numpy(row_weights)
        losses = record_losses(self._model(torch.from_numpy(x)), targets, self._positive_weight, weights)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
