"""Binned logistic regression of one party's own columns: what it knows without anybody.

It is a party's share of late fusion, and what a label holder falls back on beside a model that is no trees.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hanse.crypto import canonical_json
from hanse.errors import ConfigurationError
from hanse.learning.boosting.columns import Binning, Codes
from hanse.learning.boosting.single import SingleCells
from hanse.learning.vertical.cell_file import MAX_CELLS, CellFile
from hanse.policies.fields import Many

Columns = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]

LARGEST_LOGIT: Final = 20.0
L2: Final = 10.0
"""Pull on log-odds towards zero; as many rows that say nothing."""

_STEPS: Final = 25
_PAIRWISE: Final = 8
"""So many numbers numpy adds up in another order than one after the other."""


class _File(CellFile):
    """An :class:`OwnModel` as it is kept."""

    log_odds: Annotated[Many[Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=MAX_CELLS)]
    base: Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class OwnModel:
    """Log-odds of a party's cells.

    Attributes:
        binning: Its columns.
        log_odds: Of each cell, 0 for those with too few rows, shape (cells,).
        base: Added to everybody's.
    """

    binning: Binning
    log_odds: Floats
    base: float

    @classmethod
    def fit(
        cls, binning: Binning, columns: Columns, targets: Floats, min_rows: int, l2: float = L2
    ) -> "OwnModel":
        """Binned logistic regression by Newton's method.

        Args:
            binning: Of the columns.
            columns: By name, shape (rows,).
            targets: Shape (rows,); probabilities, or numbers whose mean over coins is one, which may be
                outside [0, 1].
            min_rows: Fewest rows of a cell with log-odds of its own.
            l2: See :data:`L2`.

        Returns:
            The model.

        Raises:
            ConfigurationError: ``config.bad-data`` if there are not as many targets as rows.
        """
        codes = binning.encode(columns)
        if targets.shape != (len(codes),):
            raise ConfigurationError("config.bad-data", "a target for each person")
        cells = np.column_stack([_cells(binning, codes), np.ones(len(codes))])
        enough = cells.sum(axis=0) >= min_rows
        enough[-1] = True
        cells *= enough
        ridge = np.append(np.full(cells.shape[1] - 1, l2), 1e-6)
        weights = np.zeros(cells.shape[1])
        for _ in range(_STEPS):
            fitted = logistic(cells @ weights)
            slope = cells.T @ (fitted - targets) + ridge * weights
            # Half of the largest curvature at least: noisy targets could otherwise send a step far off.
            bend = (cells * np.maximum(fitted * (1 - fitted), 0.125)[:, None]).T @ cells + np.diag(ridge)
            weights -= np.linalg.solve(bend, slope)
        return cls(binning, weights[:-1], float(weights[-1]))

    def logits(self, columns: Columns) -> Floats:
        """Log-odds of people, shape (rows,), within :data:`LARGEST_LOGIT` of zero."""
        total = self.by_column(columns).sum(axis=1) + self.base
        logits: Floats = np.clip(total, -LARGEST_LOGIT, LARGEST_LOGIT)
        return logits

    def logit_of_one(self, columns: Columns) -> float:
        """As :meth:`logits`, of a single row, to the last digit."""
        cells, log_odds = self._single
        found = [log_odds[at] for at in cells.at(columns)]
        total = reduce(add, found, 0.0) if len(found) < _PAIRWISE else float(np.sum(found))
        return min(max(total + self.base, -LARGEST_LOGIT), LARGEST_LOGIT)

    @cached_property
    def _single(self) -> tuple[SingleCells, list[float]]:
        return SingleCells(self.binning), self.log_odds.tolist()

    def by_column(self, columns: Columns) -> Floats:
        """Log-odds of people's cells, shape (rows, columns of the binning)."""
        at = self.binning.encode(columns).astype(np.int64) + self.binning.layout.offsets
        found: Floats = self.log_odds[at]
        return found

    def encode(self) -> bytes:
        """The model's file; equal models give equal bytes."""
        kept = _File(columns=self.binning.columns, log_odds=tuple(self.log_odds.tolist()), base=self.base)
        return canonical_json(kept.model_dump(mode="json"))

    @classmethod
    def decode(cls, data: bytes) -> "OwnModel":
        """Reads a model's file.

        Raises:
            ServingError: ``model.invalid`` if the bytes are none.
        """
        kept, binning = _File.read(data, "a model of own columns", lambda file: file.log_odds)
        return cls(binning, np.array(kept.log_odds), kept.base)


def logistic(logits: Floats) -> Floats:
    """Probabilities."""
    if logits.shape == (1,):  # of one number numpy takes longer to begin than to compute
        logit = min(max(logits.item(), -40.0), 40.0)
        return np.array([1.0 / (1.0 + np.exp(-logit))])
    values: Floats = 1.0 / (1.0 + np.exp(-np.clip(logits, -40.0, 40.0)))
    return values


def _cells(binning: Binning, codes: Codes) -> Floats:
    cells = np.zeros((len(codes), binning.layout.total))
    np.put_along_axis(cells, codes.astype(np.int64) + binning.layout.offsets, 1.0, axis=1)
    return cells
