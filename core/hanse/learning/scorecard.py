"""A logistic model as a table of whole points that a person can add up.

Points are log-odds on another scale: ``offset + factor · logit`` with ``factor = doubling / ln 2`` and
``offset = points - factor · ln(odds)``, so that ``points`` belong to the base odds and every ``doubling``
points double them (Siddiqi, "Credit Risk Scorecards", 2006, chapter 6). Here the odds are those of *yes*:
more points, likelier. Every person starts with the base points; each column adds those of the cell that the
person is in.

The model that scores has the rounded points for weights. A table that only approximated the model would be
no evidence of how somebody was scored; the rounding moves a logit by at most half a point per column and one
half for the base, and what that costs is in the model's metrics, for they are measured on the same points.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ServingError
from hanse.learning.transform import NO_FEATURE, ColumnFeatures, cell_names
from hanse.policies import PointScale

if TYPE_CHECKING:
    from hanse.learning.artifact import LoadedModel


@dataclass(frozen=True, slots=True)
class Row:
    """Points of one cell.

    Attributes:
        column: Name of the column.
        cell: The cell in words: an interval, a category, ``missing`` or ``other``.
        points: Points that a person in it gets.
    """

    column: str
    cell: str
    points: int


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The table.

    Attributes:
        scale: What points mean.
        base: Points that everybody starts with.
        rows: All cells of all columns, in the agreement's order.
    """

    scale: PointScale
    base: int
    rows: tuple[Row, ...]

    def probability(self, total: int) -> float:
        """Probability of yes at a total of points."""
        factor, offset = factor_and_offset(self.scale)
        return 1 / (1 + math.exp(-(total - offset) / factor))

    def as_text(self) -> str:
        """The table as lines of plain text, for a report or an auditor."""
        width = max(len(row.column) for row in self.rows) + 2
        cells = max(len(row.cell) for row in self.rows) + 2
        lines = [
            f"{'column':{width}}{'value':{cells}}{'points':>6}",
            f"{'(base)':{width + cells}}{self.base:6}",
        ]
        lines += [f"{row.column:{width}}{row.cell:{cells}}{row.points:6}" for row in self.rows]
        scale = self.scale
        lines.append(
            f"{scale.points} points are odds of {scale.odds:g} to 1; {scale.doubling} more double the odds."
        )
        return "\n".join(lines) + "\n"


def factor_and_offset(scale: PointScale) -> tuple[float, float]:
    """Points per unit of log-odds, and points at even odds."""
    factor = scale.doubling / math.log(2)
    return factor, scale.points - factor * math.log(scale.odds)


def round_to_points(
    scale: PointScale, weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weights that whole points stand for.

    Args:
        scale: What points mean.
        weight: In log-odds, any shape.
        bias: In log-odds, any shape.

    Returns:
        Both, each rounded to the nearest point.
    """
    factor, offset = factor_and_offset(scale)
    return np.rint(weight * factor) / factor, (np.rint(bias * factor + offset) - offset) / factor


def scorecard(model: "LoadedModel") -> Scorecard:
    """The points of a model.

    Args:
        model: A model of kind ``scorecard``.

    Returns:
        Its table.

    Raises:
        ServingError: ``model.invalid`` for a model of another kind.
    """
    scale = model.manifest.training.scale
    if scale is None:
        raise ServingError("model.invalid", "the model is no scorecard; choose one whose model is scorecard")
    factor, offset = factor_and_offset(scale)
    none = np.zeros((1, model.transform.n_features), dtype=np.float32)
    base = float(model.predictor.logits(none)[0])
    unit = np.eye(model.transform.n_features, dtype=np.float32)
    points = np.rint((model.predictor.logits(unit) - base) * factor).astype(int)
    rows = tuple(row for column in model.transform.columns for row in _rows_of(column, points))
    return Scorecard(scale, round(base * factor + offset), rows)


def _rows_of(column: ColumnFeatures, points: NDArray[np.int_]) -> list[Row]:
    return [
        Row(column.name, cell, 0 if feature == NO_FEATURE else int(points[feature]))
        for cell, feature in zip(cell_names(column), column.features, strict=True)
    ]
