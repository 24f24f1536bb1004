"""One step of DP-SGD (Abadi et al., "Deep Learning with Differential Privacy", CCS 2016) at one member.

What breaks the guarantee when it is forgotten is fixed here:

* the loss of a record is its own: no mean over the realised batch, no weights that depend on others;
* the sum is divided by the expected batch size, which is public, never by the realised one, which is not;
* a record with which the arithmetic is not finite has no gradient instead of making all of them NaN;
* the noise is that of :mod:`hanse.learning.grid_noise`, from a cryptographic generator: Opacus' secure mode
  needs a package that no current torch can load.
"""

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hanse.learning.clipping import ClosedFormClipper, has_closed_form
from hanse.learning.ghost import GhostClipper
from hanse.learning.grid_noise import GridNoise
from hanse.learning.random_source import SecureRandom

Clipper: TypeAlias = ClosedFormClipper | GhostClipper


def make_clipper(model: nn.Module, clip_norm: float) -> Clipper:
    """The way to clip a model's gradients: in closed form where that is right, else by ghost clipping.

    Args:
        model: Any module without layers in which records meet.
        clip_norm: L2 bound of one record's gradient.

    Returns:
        A clipper of that model.
    """
    return (ClosedFormClipper if has_closed_form(model) else GhostClipper)(model, clip_norm)


def clipped_gradient(clipper: Clipper, x: Tensor, y: Tensor) -> NDArray[np.float64]:
    """Sum of clipped gradients of the loss that :func:`hanse.learning.losses.record_losses` states.

    Args:
        clipper: Of the model.
        x: The sampled rows, shape (batch, features).
        y: Their labels, shape (batch,), or targets, shape (batch, outputs); NaN where a record has none.

    Returns:
        One element per parameter.
    """
    targets = y[:, None] if y.dim() == 1 else y
    total = clipper.clipped_sum(x, lambda logits: (torch.sigmoid(logits) - targets).nan_to_num_(nan=0.0))
    gradient: NDArray[np.float64] = total.double().numpy()
    return gradient


class PrivateSgd:
    """Clipped, noised gradient steps on one model; every step is private on its own.

    Args:
        model: A module of :func:`hanse.learning.models.build`.
        noise_multiplier: Standard deviation of the noise divided by the clipping norm.
        clip_norm: L2 bound of one record's gradient.
        random: Source of the noise.
    """

    def __init__(
        self, model: nn.Module, *, noise_multiplier: float, clip_norm: float, random: SecureRandom
    ) -> None:
        self._parameters = list(model.parameters())
        self._clipper = make_clipper(model, clip_norm)
        size = sum(parameter.numel() for parameter in self._parameters)
        self._noise = GridNoise(noise_multiplier, clip_norm, size, honest_shares=1).source(random)

    def step(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        *,
        expected_rows: float,
        learning_rate: float,
    ) -> None:
        """Takes one step. An empty batch is a step too: pure noise.

        Args:
            x: The sampled rows, shape (batch, features).
            y: Their labels, 0 or 1, shape (batch,).
            expected_rows: Sample rate times number of rows that were sampled from.
            learning_rate: Step size.
        """
        gradient = self._noise.add_to(
            clipped_gradient(self._clipper, torch.from_numpy(x), torch.from_numpy(y))
        )
        change = (gradient * (-learning_rate / expected_rows)).astype(np.float32)
        start = 0
        for parameter in self._parameters:
            values = parameter.detach().numpy()  # the same memory; numpy is there sooner than torch
            end = start + values.size
            values += change[start:end].reshape(values.shape)
            start = end
