"""What own columns, and each other member's together, add to the log-odds of a vertical model's score.

Exact where a score is a sum of what members say. Of trees nothing is told: which leaf is reached rests on
cuts of several members at once. What part of it one member's cuts have would be a Shapley value of all its
cuts together, for which the sides of other people would have to be kept; those of single cuts do not add up
to it.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ServingError
from hanse.learning.scorecard import factor_and_offset
from hanse.learning.vertical.own_model import OwnModel
from hanse.learning.vertical.serving import LabelHalf, Rows
from hanse.learning.vertical.serving.forms import LogOdds, Points
from hanse.learning.vertical.serving.halves import Columns
from hanse.learning.vertical.serving.late_fusion import FusionLabel
from hanse.learning.vertical.serving.own import OwnColumns
from hanse.learning.vertical.serving.scorecard import CardLabel
from hanse.scoring.reasons.attribution import Attribution


def explains(half: LabelHalf) -> bool:
    """Whether it is known what columns add to the scores of a part."""
    return isinstance(half, CardLabel | FusionLabel | OwnColumns)


def attribute_half(half: LabelHalf, columns: Columns, answers: Mapping[str, Rows]) -> Attribution:
    """Computes what own columns, and each feature holder's together, add to the log-odds of scores.

    Args:
        half: What scores.
        columns: As for :meth:`LabelHalf.scores`.
        answers: Likewise.

    Returns:
        The parts; those of a feature holder have its name for a column's.

    Raises:
        ServingError: ``model.no-reasons`` for another kind; :func:`explains` says so.
    """
    if isinstance(half, CardLabel):
        return _of_card(half, columns, answers)
    if isinstance(half, FusionLabel):
        return _of_fusion(half, columns, answers)
    if isinstance(half, OwnColumns):
        return _of_own(half.model, columns)
    raise ServingError("model.no-reasons", "what columns add to scores of this kind is not known")


def _of_card(half: CardLabel, columns: Columns, answers: Mapping[str, Rows]) -> Attribution:
    """Points are against the average person of each column, so the base is that of the average person."""
    card, received = half.half, Points.read(answers[half.holder])
    factor, offset = factor_and_offset(card.scale)
    points = np.column_stack([card.by_column(card.binning.encode(columns)), received])
    names = (*(column.name for column in card.binning.columns), half.holder)
    return Attribution(names, points / factor, (card.base - offset) / factor, "average", "points")


def _of_fusion(half: FusionLabel, columns: Columns, answers: Mapping[str, Rows]) -> Attribution:
    received = [LogOdds.read(answers[name]) for name in half.holders]
    values, average = half.fusion.parts(columns, received)
    names = (*(column.name for column in half.fusion.own.binning.columns), *half.holders)
    return Attribution(names, values, average, "average", "linear")


def _of_own(model: OwnModel, columns: Columns) -> Attribution:
    """Own columns alone say of nobody what is average; every cell counts alike."""
    neutral = _by_cell(model)
    names = tuple(column.name for column in model.binning.columns)
    values = model.by_column(columns) - neutral
    return Attribution(names, values, float(neutral.sum()) + model.base, "neutral", "linear")


def _by_cell(model: OwnModel) -> NDArray[np.float64]:
    """Mean of the log-odds of each column's cells, shape (columns,)."""
    offsets = model.binning.layout.offsets
    return np.array([cells.mean() for cells in np.split(model.log_odds, offsets[1:])])
