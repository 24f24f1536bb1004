"""What a boosting run does, under the names that users of XGBoost and LightGBM know."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanse.crypto import canonical_json, sha256_hex
from hanse.policies.fields import Document, Many

MAX_LABELS: Final = 16
MAX_CODES: Final = 1024
"""Codes of one column, that of missing or other values included."""

_NotNegative = Annotated[float, Field(ge=0, le=1e9)]
_Fraction = Annotated[float, Field(gt=0, le=1)]
_RANGE_ENDS: Final = 2


class BoostingSettings(Document):
    """Part of what the members agree on. The defaults are those of the benchmark, for every data set alike.

    Attributes:
        objective: ``logistic`` for yes or no, ``squared`` for a number.
        labels: How many labels are predicted at once; each iteration grows one tree for each.
        trees: Most iterations.
        depth: Splits between the root and the deepest leaf.
        learning_rate: Part of each leaf's optimal value that is taken.
        max_bins: Most bins of a numeric column whose edges are quantiles.
        l2: Added to the sum of hessians of a leaf.
        min_gain: Smallest improvement of the objective that is worth a split (gamma).
        min_child_weight: Smallest sum of hessians of a child.
        min_rows: Fewest rows of a child, over all members.
        subsample: Probability that a row takes part in an iteration; each member tosses its own coins.
        column_sample: Part of the columns that an iteration may split on, from ``seed``.
        category_smoothing: Added to a category's hessians when categories are ordered for a split.
        category_l2: Added to ``l2`` when a split between categories is judged.
        positive_weight: Weight of a positive row against a negative one; scores are corrected for it.
        max_weight: Largest weight of a row; members refuse to send larger ones.
        value_range: Lowest and highest value of a ``squared`` label; what is outside counts as the end.
        residual_clip: A residual counts as at most so large a part of the range, for robustness.
        patience: Iterations without a better validation loss after which growing stops; 0 for never.
        gradient_bits: Binary digits of a row's gradient: sums of them are exact.
        seed: Public.
    """

    objective: Literal["logistic", "squared"] = "logistic"
    labels: Annotated[int, Field(ge=1, le=MAX_LABELS)] = 1
    trees: Annotated[int, Field(ge=1, le=10_000)] = 150
    depth: Annotated[int, Field(ge=1, le=10)] = 4
    learning_rate: _Fraction = 0.1
    max_bins: Annotated[int, Field(ge=2, le=MAX_CODES - 1)] = 64
    l2: _NotNegative = 10.0
    min_gain: _NotNegative = 0.0
    min_child_weight: _NotNegative = 1.0
    min_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    subsample: _Fraction = 1.0
    column_sample: _Fraction = 1.0
    category_smoothing: _NotNegative = 10.0
    category_l2: _NotNegative = 10.0
    positive_weight: Annotated[float, Field(ge=1e-3, le=1e3)] = 1.0
    max_weight: Annotated[float, Field(ge=1e-3, le=1e3)] = 1.0
    value_range: Many[float] | None = None
    residual_clip: _Fraction = 1.0
    patience: Annotated[int, Field(ge=0, le=10_000)] = 0
    gradient_bits: Annotated[int, Field(ge=8, le=20)] = 16
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0

    @model_validator(mode="after")
    def _fits_objective(self) -> Self:
        ends = self.value_range
        if (ends is not None) != (self.objective == "squared"):
            raise PydanticCustomError("range", "give value_range to squared, and not to logistic")
        if ends is not None and (len(ends) != _RANGE_ENDS or not ends[0] < ends[1]):
            raise PydanticCustomError("range", "write value_range as the lowest and the highest value")
        if self.objective == "squared" and self.positive_weight != 1.0:
            raise PydanticCustomError("weight", "give positive_weight to logistic only")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the settings as canonical JSON, 64 hex digits."""
        return sha256_hex(canonical_json(self.model_dump(mode="json")))
