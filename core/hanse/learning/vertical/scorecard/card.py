"""A party's half of the card: whole points for each of its cells, as on a card of one party.

Log-odds of a cell are against the average person of its column, so that halves need no correction for each
other: a person's points are the base and the cells' of both halves. Points mean what they mean on
:mod:`hanse.learning.scorecard`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hanse.crypto import canonical_json
from hanse.learning.boosting.columns import BinnedColumn, Binning, Codes
from hanse.learning.boosting.single import SingleCells
from hanse.learning.scorecard import Row, Scorecard, factor_and_offset
from hanse.learning.transform import ColumnFeatures, cell_names
from hanse.learning.vertical.cell_file import MAX_CELLS, CellFile
from hanse.learning.vertical.own_model import logistic
from hanse.policies import PointScale
from hanse.policies.fields import Many

MAX_POINTS: Final = 1 << 40
"""Of a cell or a base in size; what is above is no log-odds of people."""

_Points = Annotated[int, Field(ge=-MAX_POINTS, le=MAX_POINTS)]


class _File(CellFile):
    """A :class:`HalfCard` as it is kept."""

    scale: PointScale
    points: Annotated[Many[_Points], Field(max_length=MAX_CELLS)]
    base: _Points


@dataclass(frozen=True)
class HalfCard:
    """Points of one party's cells.

    Attributes:
        scale: What points mean.
        binning: Its columns.
        points: Of each cell, shape (cells,).
        base: That everybody starts with; 0 at a feature holder.
    """

    scale: PointScale
    binning: Binning
    points: NDArray[np.int64]
    base: int

    @classmethod
    def of(
        cls, scale: PointScale, binning: Binning, log_odds: NDArray[np.float64], base: float | None
    ) -> "HalfCard":
        """Rounds log-odds to points.

        Args:
            scale: What points mean.
            binning: The party's columns.
            log_odds: Of each cell, shape (cells,).
            base: Log-odds of the average person; None at a feature holder.
        """
        factor, offset = factor_and_offset(scale)
        points = np.rint(log_odds * factor).astype(np.int64)
        return cls(scale, binning, points, 0 if base is None else round(base * factor + offset))

    def score(self, codes: Codes) -> NDArray[np.int64]:
        """Points of people by their cells, with the base, shape (rows,)."""
        points: NDArray[np.int64] = self.by_column(codes).sum(axis=1) + self.base
        return points

    def score_of_one(self, columns: Mapping[str, NDArray[Any]]) -> int:
        """As :meth:`score`, of a single row.

        Args:
            columns: Value by column name, each of shape (1,).

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        """
        cells, points = self._single
        return sum(points[at] for at in cells.at(columns)) + self.base

    @cached_property
    def _single(self) -> tuple[SingleCells, list[int]]:
        return SingleCells(self.binning), self.points.tolist()

    def by_column(self, codes: Codes) -> NDArray[np.int64]:
        """Points of people's cells, shape (rows, columns of the binning)."""
        found: NDArray[np.int64] = self.points[codes.astype(np.int64) + self.binning.layout.offsets]
        return found

    def encode(self) -> bytes:
        """The half's file; equal halves give equal bytes."""
        points = tuple(self.points.tolist())
        kept = _File(scale=self.scale, columns=self.binning.columns, points=points, base=self.base)
        return canonical_json(kept.model_dump(mode="json"))

    @classmethod
    def decode(cls, data: bytes) -> "HalfCard":
        """Reads a half's file.

        Raises:
            ServingError: ``model.invalid`` if the bytes are none.
        """
        kept, binning = _File.read(data, "half of a card", lambda file: file.points)
        return cls(kept.scale, binning, np.array(kept.points, dtype=np.int64), kept.base)

    def rows(self) -> tuple[Row, ...]:
        """The half as lines of a table."""
        names = [(column.name, cell) for column in self.binning.columns for cell in _words(column)]
        return tuple(
            Row(column, cell, points)
            for (column, cell), points in zip(names, self.points.tolist(), strict=True)
        )


def _words(column: BinnedColumn) -> tuple[str, ...]:
    described = ColumnFeatures.model_construct(**column.model_dump(), scale=None, buckets=0, features=())
    return cell_names(described)


def whole_card(label_half: HalfCard, *others: tuple[Row, ...]) -> Scorecard:
    """The card of all parties, where each shows its half to an auditor.

    Args:
        label_half: The label holder's.
        others: Lines of the feature holders'.
    """
    rows = label_half.rows() + tuple(row for half in others for row in half)
    return Scorecard(label_half.scale, label_half.base, rows)


def probabilities(scale: PointScale, points: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of yes, at totals of points."""
    factor, offset = factor_and_offset(scale)
    if points.shape == (1,):  # of one number numpy takes longer to begin than to compute
        return logistic(np.array([(points.item() - offset) / factor]))
    return logistic((points.astype(np.float64) - offset) / factor)
