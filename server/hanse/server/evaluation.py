"""Federated evaluation: what follows from the members' summed score histograms, with its standard error."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hanse.api.v1 import round_pb2 as pb
from hanse.learning import auc_from_histogram, auc_standard_error, log_loss_from_histogram


@dataclass(frozen=True, slots=True)
class Metrics:
    """How good a model is on the held-out records of all members that answered.

    Attributes:
        auc: Area under the ROC curve of the binned scores; None when noise or data leave a class empty.
        auc_standard_error: Its standard error, of drawing the records and of the privacy noise.
        log_loss: Mean negative log likelihood in nats; None as above.
        noise_std: Standard deviation of the noise in each summed count; 0 without a privacy budget.
    """

    auc: float | None
    auc_standard_error: float | None
    log_loss: float | None
    noise_std: float

    def as_facts(self) -> dict[str, float | None]:
        """The metrics as JSON values."""
        return asdict(self)


def evaluate(histograms: Sequence[pb.ScoreHistogram]) -> Metrics:
    """Sums the members' histograms and derives the metrics; costs no privacy beyond what was paid for them.

    Args:
        histograms: One per member, already checked (:mod:`hanse.server.checks`).
    """
    positives = np.sum([histogram.positives for histogram in histograms], axis=0)
    negatives = np.sum([histogram.negatives for histogram in histograms], axis=0)
    noise_std = math.hypot(*(histogram.noise_std for histogram in histograms))
    return Metrics(
        auc=auc_from_histogram(positives, negatives),
        auc_standard_error=auc_standard_error(positives, negatives, noise_std),
        log_loss=log_loss_from_histogram(positives, negatives),
        noise_std=noise_std,
    )
