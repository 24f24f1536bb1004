"""The loss of every model: cross-entropy per output, added over the outputs that a record has a value for."""

import torch
from torch import nn


def record_losses(
    logits: torch.Tensor,
    targets: torch.Tensor,
    positive_weight: float = 1.0,
    row_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Loss of every record; each depends on its own record alone.

    Args:
        logits: Shape (rows, outputs).
        targets: In [0, 1], or NaN where the record has no part in an output; shape (rows, outputs).
        positive_weight: What a record counts whose first target is 1, against 1 where it is 0.
        row_weights: What each record counts beside that, shape (rows,); None for 1.

    Returns:
        Shape (rows,), in nats.
    """
    known = ~torch.isnan(targets)
    values = torch.where(known, targets, torch.zeros_like(targets))
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, values, reduction="none")
    losses = torch.where(known, entropy, torch.zeros_like(entropy))
    if positive_weight != 1.0:
        first = losses[:, :1] * (1.0 + (positive_weight - 1.0) * values[:, :1])
        losses = torch.cat([first, losses[:, 1:]], dim=1)
    total: torch.Tensor = losses.sum(dim=1)
    return total if row_weights is None else total * row_weights
