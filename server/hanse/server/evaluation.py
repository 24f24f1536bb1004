"""Federated evaluation: what follows from the members' summed score histograms, with its standard error."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hanse.api.v1 import round_pb2 as pb
from hanse.learning import auc_from_histogram, auc_standard_error, log_loss_from_histogram
from hanse.learning.calibration import NO_MEANING, ScoreMeaning
from hanse.learning.evaluation import COARSE
from hanse.learning.evaluation.calibration import meaning_of
from hanse.learning.metrics import ScoreHistogram


@dataclass(frozen=True, slots=True)
class Metrics:
    """How good a model is on the held-out records of all members that answered.

    Attributes:
        auc: Area under the ROC curve of the binned scores; None when noise or data leave a class empty.
        auc_standard_error: Its standard error, of drawing the records and of the privacy noise.
        log_loss: Mean negative log likelihood in nats; None as above.
        noise_std: Standard deviation of the noise in each summed count; 0 without a privacy budget.
        meaning: What scores mean by these records; no figure, so not among the facts.
    """

    auc: float | None
    auc_standard_error: float | None
    log_loss: float | None
    noise_std: float
    meaning: ScoreMeaning = NO_MEANING

    def as_facts(self) -> dict[str, float | None]:
        """The metrics as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "meaning"}


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
    # Exact counts of two members are kept nowhere: from them, each could subtract its own.
    meaning = meaning_of(counts, COARSE, minimum_rows, noise_std) if noise_std > 0 else NO_MEANING
    return Metrics(
        auc=auc_from_histogram(positives, negatives),
        auc_standard_error=auc_standard_error(positives, negatives, noise_std),
        log_loss=log_loss_from_histogram(positives, negatives),
        noise_std=noise_std,
        meaning=meaning,
    )
