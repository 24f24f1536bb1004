"""Federated evaluation: what follows from the members' summed score histograms, with its standard error."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Self

import numpy as np

from hanse.api.v1 import round_pb2 as pb
from hanse.learning import auc_from_histogram, auc_standard_error, log_loss_from_histogram
from hanse.learning.calibration import NO_MEANING, ScoreMeaning
from hanse.learning.evaluation import COARSE, Reliability, measure, reliability_of
from hanse.learning.metrics import ScoreHistogram


@dataclass(frozen=True, slots=True)
class Metrics:
    """How good a model is on the held-out records of all members that answered.

    Attributes:
        auc: Area under the ROC curve of the binned scores; None when noise or data leave a class empty.
        auc_standard_error: Its standard error, of drawing the records and of the privacy noise.
        log_loss: Mean negative log likelihood in nats; None as above.
        noise_std: Standard deviation of the noise in each summed count; 0 without a privacy budget.
        brier: Mean squared difference of score and label; None as above.
        calibration_error: How far scores, as they will be served, are from what they are to mean; None as
            above. See :class:`hanse.learning.evaluation.Reliability`, as for the next two.
        calibration_standard_error: Of that.
        calibration_slope: Of the scores as trained.
        compared: Figures of groups side by side, by name; empty where none are compared.
        meaning: What scores mean by these records; no figure, so not among the facts.
    """

    auc: float | None
    auc_standard_error: float | None
    log_loss: float | None
    noise_std: float
    brier: float | None = None
    calibration_error: float | None = None
    calibration_standard_error: float | None = None
    calibration_slope: float | None = None
    compared: Mapping[str, float | None] = field(default_factory=lambda: MappingProxyType({}))
    meaning: ScoreMeaning = NO_MEANING

    @classmethod
    def from_facts(cls, facts: Mapping[str, float | None], meaning: ScoreMeaning) -> Self:
        """What :meth:`as_facts` wrote, in this version or an earlier one."""
        own = {name: facts[name] for name in _FIGURES if name in facts}
        others = {name: figure for name, figure in facts.items() if name not in _FIGURES}
        return cls(**own, compared=others, meaning=meaning)  # type: ignore[arg-type]

    def as_facts(self) -> dict[str, float | None]:
        """The metrics as JSON values."""
        return {name: getattr(self, name) for name in _FIGURES} | dict(self.compared)


_FIGURES = tuple(one.name for one in fields(Metrics) if one.name not in ("compared", "meaning"))


def calibration_figures(reliability: Reliability | None) -> dict[str, float | None]:
    """Those of :class:`Metrics`."""
    if reliability is None:
        return {}
    return {
        "calibration_error": reliability.error,
        "calibration_standard_error": reliability.standard_error,
        "calibration_slope": reliability.slope,
    }


def evaluate(histograms: Sequence[pb.ScoreHistogram], minimum_rows: int) -> Metrics:
    """Sums the members' histograms and derives the metrics; costs no privacy beyond what was paid for them.

    Args:
        histograms: One per member, already checked (:mod:`hanse.server.checks`).
        minimum_rows: The agreement's ``suppress_below``.
    """
    positives = np.sum([histogram.positives for histogram in histograms], axis=0)
    negatives = np.sum([histogram.negatives for histogram in histograms], axis=0)
    noise_std = math.hypot(*(histogram.noise_std for histogram in histograms))
    counts = ScoreHistogram(positives, negatives)
    measures = measure(counts, COARSE, noise_std, minimum_rows)
    # Exact counts of two members are kept nowhere: from them, each could subtract its own.
    meaning = measures.meaning if noise_std > 0 else NO_MEANING
    known = measures.reliability if noise_std > 0 else reliability_of(counts, COARSE, None, 0.0, minimum_rows)
    return Metrics(
        auc=auc_from_histogram(positives, negatives),
        auc_standard_error=auc_standard_error(positives, negatives, noise_std),
        log_loss=log_loss_from_histogram(positives, negatives),
        noise_std=noise_std,
        brier=measures.brier,
        **calibration_figures(known),  # type: ignore[arg-type]
        meaning=meaning,
    )
