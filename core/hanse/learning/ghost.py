"""Sums of clipped per-record gradients for modules of any kind, by Opacus' ghost clipping.

Norms come from a first backward pass, the sum from a second one over losses that are scaled by the clipping
factors (Li et al., "Large Language Models Can Be Strong Differentially Private Learners", ICLR 2022). Slower
than :mod:`hanse.learning.clipping`, and the path for what that does not know.
"""

import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from torch import Tensor, nn

from hanse.learning.clipping import OutputErrors


class GhostClipper:
    """Sums of clipped gradients of one model; as :class:`hanse.learning.clipping.ClosedFormClipper`.

    Args:
        model: A module of layers that Opacus knows, none of which lets records meet. Opacus attaches hooks.
        clip_norm: L2 bound of one record's gradient.
    """

    def __init__(self, model: nn.Module, clip_norm: float) -> None:
        self._model = model
        self._hooked = GradSampleModuleFastGradientClipping(
            model,
            loss_reduction="sum",
            max_grad_norm=clip_norm,  # pyright: ignore[reportArgumentType] # Opacus' default is an int
            use_ghost_clipping=True,
        )

    def clipped_sum(self, inputs: Tensor, errors_of: OutputErrors) -> Tensor:
        """As :meth:`hanse.learning.clipping.ClosedFormClipper.clipped_sum`.

        Args:
            inputs: One row per record.
            errors_of: Gradient of the records' losses in the model's outputs.

        Returns:
            The sum as one vector.
        """
        # With inputs that need no gradient, torch warns about Opacus' hooks at every first step.
        leaf = inputs.detach().requires_grad_() if inputs.is_floating_point() else inputs
        outputs = self._hooked(leaf)
        # Not the losses, but what has their gradient.
        of_records = (outputs * errors_of(outputs.detach())).flatten(1).sum(1)
        of_records.sum().backward(retain_graph=True)
        # Weights and features are bounded, so a factor of 0 does remove the record's gradient.
        factors = torch.nan_to_num(self._hooked.get_clipping_coef(), nan=0.0)
        self._model.zero_grad()
        self._hooked.disable_hooks()
        (factors * of_records).sum().backward()
        self._hooked.enable_hooks()
        gradients = [
            torch.zeros_like(each) if each.grad is None else each.grad for each in self._model.parameters()
        ]
        self._model.zero_grad()
        return torch.cat([gradient.reshape(-1) for gradient in gradients])
