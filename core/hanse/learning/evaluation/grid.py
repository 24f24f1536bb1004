"""Public bins of scores, the same at every member.

Log-odds bins are equally wide in the logit, from -10 to 10: what a metric loses by taking every score as the
middle of its bin is then bounded, whatever the scores, for all scores inside (the outer bins hold what is
beyond):

* log-loss changes by at most 1 per unit of the logit, so it is off by at most half a width;
* the Brier score changes by at most 8/27 per unit, so by at most 4/27 of a width;
* the area under the ROC curve takes the pairs within a bin as ties and is off by at most half of them
  (:func:`hanse.learning.evaluation.measures.ties`).

With noise, fewer bins are better: every bin adds its own noise. Twenty bins with edges at (j/20)² serve
propensities well: with epsilon .5 and 16,000 rows the area was measured with a standard deviation of .003.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ProtocolError

FloatArray: TypeAlias = NDArray[np.float64]

LIMIT: Final = 10.0
"""Log-odds at which the inner bins end: scores of 1 in 22,000."""

MAX_BINS: Final = 4096
_FEWEST: Final = 4


@dataclass(frozen=True, slots=True)
class ScoreGrid:
    """Bins of [0, 1].

    Attributes:
        kind: ``log-odds``, or ``squares``: edges at (j/bins)².
        bins: How many.
    """

    kind: Literal["log-odds", "squares"]
    bins: int

    def __post_init__(self) -> None:
        if self.kind not in ("log-odds", "squares") or not _FEWEST <= self.bins <= MAX_BINS:
            raise ProtocolError("protocol.malformed", f"bins are of a known kind, {_FEWEST} to {MAX_BINS}")

    @property
    def width(self) -> float:
        """Width of a log-odds bin in the logit."""
        return 2 * LIMIT / self.bins

    @property
    def edges(self) -> FloatArray:
        """Edges as scores, shape (bins + 1,), from 0 to 1; the bin at an edge is the upper one."""
        if self.kind == "squares":
            return np.linspace(0.0, 1.0, self.bins + 1) ** 2
        edges = 0.5 * (1 + np.tanh(0.5 * np.linspace(-LIMIT, LIMIT, self.bins + 1)))
        edges[0], edges[-1] = 0.0, 1.0
        return edges

    @property
    def middles(self) -> FloatArray:
        """The score that every score of a bin counts as, shape (bins,)."""
        if self.kind == "squares":
            edges = self.edges
            return (edges[:-1] + edges[1:]) / 2
        logits = np.linspace(-LIMIT, LIMIT, self.bins + 1)
        middles: FloatArray = 0.5 * (1 + np.tanh(0.25 * (logits[:-1] + logits[1:])))
        return middles

    def cells(self, scores: FloatArray) -> NDArray[np.intp]:
        """Bin of each score, shape (rows,)."""
        inner = self.edges[1:-1]
        return np.searchsorted(inner, scores, side="right")


FINE: Final = ScoreGrid("log-odds", 400)
"""Without noise: bins of a twentieth."""

COARSE: Final = ScoreGrid("squares", 20)
"""With noise."""
