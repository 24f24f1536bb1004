"""Training of vertical models that needs no tuning, for whoever drafts an agreement."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from hanse.policies import PointScale, Training, Trees

VerticalModel: TypeAlias = Literal["trees", "scorecard", "late_fusion", "split_network"]
"""Kinds of models that members train on each other's columns."""

STEPS: Final[Mapping[VerticalModel, int]] = MappingProxyType(
    {"trees": 40, "scorecard": 30, "late_fusion": 1, "split_network": 12}
)
"""Trees, or steps of a scorecard; thirty of these are enough on every set that was measured. Late fusion
has one, a split network twelve passes."""

SCALE: Final = PointScale(points=600, odds=1.0, doubling=50)

_TIMEOUT_S: Final = 600
_HOLDOUT: Final = 0.3
_HIDDEN: Final = 64
_EMBEDDING: Final = 32
_RATES: Final[Mapping[str, float]] = MappingProxyType({"trees": 0.15, "split_network": 0.003})


def recommend_vertical(model: VerticalModel, steps: int | None = None) -> Training:
    """The training part of a vertical agreement.

    Args:
        model: Kind of the model.
        steps: Trees, or steps; None for :data:`STEPS`.

    Returns:
        With 30 % of the common people held out.
    """
    split = model == "split_network"
    return Training(
        model=model,
        hidden=(_HIDDEN,) if split else (),
        embedding=_EMBEDDING if split else 0,
        rounds=1,
        local_steps=STEPS[model] if steps is None else steps,
        sample_rate=1.0,
        learning_rate=_RATES.get(model, 1.0),
        clip_norm=1.0,
        max_update_norm=1.0,
        round_timeout_s=_TIMEOUT_S,
        holdout_fraction=_HOLDOUT,
        trees=Trees(depth=3, min_rows=20, l2=5.0) if model == "trees" else None,
        scale=SCALE if model == "scorecard" else None,
    )
