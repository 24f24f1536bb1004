"""What a model is trained towards: one column per output, every value in [0, 1] or missing.

Every output is a logit and every loss a cross-entropy, so that a record's gradient is bounded by one per
output whatever its labels, the same clipping serves all of them, and an output whose value is missing (NaN)
leaves the record's other outputs as they are.

An amount (a customer's value over some time) has two outputs: whether it is above zero, and, where it is, its
share of the agreed bound. The expectation is the product. Most customers' amounts are zero, and those of
the others are of another kind than the decision to buy, hence two parts (Cragg, "Some Statistical Models for
Limited Dependent Variables", Econometrica 1971). The second part is a fractional logit (Papke and Wooldridge,
"Econometric Methods for Fractional Response Variables", Journal of Applied Econometrics 1996): its cross-
entropy is least at the conditional mean, whatever the distribution. A regression on log(1 + amount) is not:
turned back into amounts it underestimates the mean of skewed ones, and its gradients have no bound. The
price is that amounts above the bound count as the bound.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError
from hanse.learning.transform import as_numbers, as_word
from hanse.policies import Target, Training


def encode_targets(
    training: Training, labels: NDArray[np.float32], columns: Mapping[str, NDArray[Any]]
) -> NDArray[np.float32]:
    """The values that the outputs of a model are trained towards. No value is an error.

    Args:
        training: Names the targets.
        labels: The agreement's label: 0, 1, or NaN where it is missing; shape (rows,).
        columns: Values of the targets by name, shape (rows,) each.

    Returns:
        Shape (rows, outputs); NaN where a value is missing.

    Raises:
        ConfigurationError: ``config.bad-data`` if a target is missing or of another length.
    """
    outputs = [labels.astype(np.float32)]
    for target in training.targets:
        values = columns.get(target.name)
        if values is None or values.shape != labels.shape:
            raise ConfigurationError(
                "config.bad-data", f"target {target.name} is missing or has another length"
            )
        outputs += _amount(target.bound, values) if target.bound is not None else [_label(target, values)]
    return np.stack(outputs, axis=1)


def _amount(bound: float, values: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Whether there is any, and how much of the bound where there is; a negative amount is none."""
    share = np.clip(as_numbers(values) / bound, 0.0, 1.0)
    bought = np.where(np.isnan(share), np.nan, share > 0)
    return [bought.astype(np.float32), np.where(bought == 1, share, np.nan).astype(np.float32)]


def _label(target: Target, values: NDArray[Any]) -> NDArray[np.float32]:
    words = (as_word(value) for value in values.tolist())
    yes = (np.nan if word in (None, "", "nan") else float(word == target.positive) for word in words)
    return np.fromiter(yes, dtype=np.float32, count=len(values))
