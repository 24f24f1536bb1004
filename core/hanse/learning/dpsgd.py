"""One step of DP-SGD (Abadi et al., "Deep Learning with Differential Privacy", CCS 2016) with Opacus.

Per-record norms come from Opacus' ghost clipping, which never forms per-record gradients (Li et al., "Large
Language Models Can Be Strong Differentially Private Learners", ICLR 2022). What Opacus leaves to its user and
what breaks the guarantee if forgotten is fixed here:

* the loss of a record is its own: no class weights, no mean over the realised batch;
* the sum is divided by the expected batch size, which is public, never by the realised one, which is not;
* a record with which the arithmetic is not finite has no gradient instead of making all of them NaN;
* noise comes from :class:`hanse.learning.random_source.SecureRandom`: Opacus' secure mode needs a package
  that no current torch can load.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn
from typing_extensions import override

from hanse.learning.random_source import SecureRandom


class _FiniteClipping(GradSampleModuleFastGradientClipping):  # type: ignore[misc] # Opacus has no types
    @override
    def get_clipping_coef(self) -> torch.Tensor:
        # Weights and features are bounded, so a factor of 0 does remove the record's gradient.
        coefficients: torch.Tensor = super().get_clipping_coef()
        return torch.nan_to_num(coefficients, nan=0.0)


class _SecureOptimizer(DPOptimizerFastGradientClipping):  # type: ignore[misc] # as above
    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        noise_multiplier: float,
        clip_norm: float,
        random: SecureRandom,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=clip_norm,
            expected_batch_size=None,  # the caller divides: with "sum" Opacus does not
            loss_reduction="sum",
        )
        self._random = random

    @override
    def add_noise(self) -> None:
        std = self.noise_multiplier * self.max_grad_norm
        for parameter in self.params:
            clipped: torch.Tensor = parameter.summed_grad  # pyright: ignore[reportAttributeAccessIssue]
            noise = std * torch.from_numpy(self._random.normal(parameter.numel()))
            parameter.grad = (clipped.double() + noise.view_as(parameter)).to(parameter.dtype)


class PrivateSgd:
    """Clipped, noised gradient steps on one model.

    Args:
        model: A module of :func:`hanse.learning.models.build`; Opacus attaches its hooks to it.
        noise_multiplier: Standard deviation of the noise divided by the clipping norm.
        clip_norm: L2 bound of one record's gradient.
        random: Source of the noise.
    """

    def __init__(
        self, model: nn.Module, *, noise_multiplier: float, clip_norm: float, random: SecureRandom
    ) -> None:
        self._model = _FiniteClipping(
            model,
            loss_reduction="sum",
            max_grad_norm=clip_norm,  # pyright: ignore[reportArgumentType] # Opacus' default is an int
            use_ghost_clipping=True,
        )
        sgd = torch.optim.SGD(model.parameters(), lr=0.0)
        self._optimizer = _SecureOptimizer(sgd, noise_multiplier, clip_norm, random)
        criterion = nn.BCEWithLogitsLoss(reduction="sum")
        self._loss = DPLossFastGradientClipping(self._model, self._optimizer, criterion, "sum")

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
        self._optimizer.param_groups[0]["lr"] = learning_rate / expected_rows
        self._optimizer.zero_grad()
        # With inputs that need no gradient, torch warns about Opacus' hooks at every first step.
        logits = self._model(torch.from_numpy(x).requires_grad_())
        self._loss(logits[:, 0], torch.from_numpy(y)).backward()
        self._optimizer.step()


class PlainSgd:
    """Gradient steps without clipping and noise, for agreements without a privacy budget.

    Args:
        model: A module of :func:`hanse.learning.models.build`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._optimizer = torch.optim.SGD(model.parameters(), lr=0.0)

    def step(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        *,
        expected_rows: float,
        learning_rate: float,
    ) -> None:
        """Takes one step; arguments as in :meth:`PrivateSgd.step`."""
        self._optimizer.param_groups[0]["lr"] = learning_rate / expected_rows
        self._optimizer.zero_grad()
        logits = self._model(torch.from_numpy(x))
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits[:, 0], torch.from_numpy(y), reduction="sum"
        )
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
