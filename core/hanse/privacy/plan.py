"""What one run will cost at one member, fixed before it starts.

A member's records are of two kinds, by a coin that depends on nothing but the record: training records and
held-out records. No record is of both, so the run costs each the epsilon of its own part, and the run's
epsilon is the larger of the two (parallel composition). That holds over several runs only if the coin of a
record falls the same way in all of them.

* Training records pay for one noisy count of cells (:data:`COUNT_SHARE` of the budget on its own) and for
  every step of DP-SGD. Composed, the count costs the training next to nothing.
* Held-out records pay for one noisy histogram of scores per round, and one more at the end.

The numbers of rows that a member reports are exact and outside this guarantee: they are public by agreement.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hanse.errors import PrivacyError
from hanse.policies import Privacy, Training
from hanse.privacy.accountant import calibrate, epsilon
from hanse.privacy.events import GaussianRelease, PrivacyEvent, SampledGaussian

COUNT_SHARE: Final = 0.2
"""Share of what is left of the budget that the cell counts would cost if they were released alone.

Composed with the training they cost far less: at epsilon 3 and 300 steps the training needs 3 % more noise
than without them. With half the share, noise hides cells that carry signal.
"""

MINIMUM_LEFT: Final = 0.1
"""Share of the budget that must be left for a run; with less, noise would leave nothing of the model."""


@dataclass(frozen=True, slots=True)
class PrivacyPlan:
    """Noise and cost of one run at one member, for the unit record, add or remove one.

    Attributes:
        delta: Delta of every epsilon here.
        counts: The release of the cell counts.
        count_noise_std: Standard deviation of the noise in each cell count, in rows.
        training: All steps of DP-SGD of the run; its noise multiplier is relative to the clipping norm.
        histograms: The releases of score histograms.
        histogram_noise_std: Standard deviation of the noise in each histogram count, in rows.
        training_epsilon: What the run costs a training record.
        holdout_epsilon: What the run costs a held-out record.
    """

    delta: float
    counts: GaussianRelease
    count_noise_std: float
    training: SampledGaussian
    histograms: GaussianRelease
    histogram_noise_std: float
    training_epsilon: float
    holdout_epsilon: float

    @property
    def epsilon(self) -> float:
        """What the run costs any one record; at most the budget it was planned for."""
        return max(self.training_epsilon, self.holdout_epsilon)

    @property
    def training_events(self) -> tuple[PrivacyEvent, ...]:
        """All releases about the training records."""
        return (self.counts, self.training)

    @property
    def holdout_events(self) -> tuple[PrivacyEvent, ...]:
        """All releases about the held-out records."""
        return (self.histograms,)

    def training_steps(self, steps: int) -> SampledGaussian:
        """The release of that many steps of DP-SGD, as one round makes it."""
        return SampledGaussian(self.training.noise_multiplier, self.training.sample_rate, steps)

    def events_of(self, length: "Length") -> tuple[tuple[PrivacyEvent, ...], tuple[PrivacyEvent, ...]]:
        """Releases of a run of another length with the same noise, about training and held-out records."""
        training = replace(self.training, steps=length.steps)
        return (self.counts, training), (replace(self.histograms, count=length.histograms),)

    def histogram(self) -> GaussianRelease:
        """The release of one score histogram."""
        return GaussianRelease(self.histograms.noise_multiplier)


@dataclass(frozen=True, slots=True)
class Spent:
    """What earlier runs released about the two parts of the records."""

    training: tuple[PrivacyEvent, ...] = ()
    holdout: tuple[PrivacyEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Length:
    """What a run releases of each kind.

    Attributes:
        steps: Of training.
        histograms: Of scores.
    """

    steps: int
    histograms: int

    @classmethod
    def of(cls, training: Training) -> "Length":
        """Of a run of this training: a histogram for every round, and one of the final model."""
        return cls(training.rounds * training.local_steps, training.rounds + 1)


def what_is_left(budget: float, delta: float, spent: Spent) -> float:
    """Epsilon that earlier runs have left, by the part of the records that has less of it.

    Args:
        budget: Epsilon over all runs.
        delta: Its delta.
        spent: What earlier runs released.

    Raises:
        PrivacyError: ``privacy.exhausted`` if it is less than :data:`MINIMUM_LEFT` of the budget.
    """
    left = budget - max(epsilon(spent.training, delta), epsilon(spent.holdout, delta))
    if left < MINIMUM_LEFT * budget:
        raise PrivacyError("privacy.exhausted", f"{max(left, 0):.3g} of epsilon {budget:g} is left")
    return left


def total_of(lengths: Sequence[Length]) -> tuple[int, int, int]:
    """Runs, and the steps and histograms of all of them."""
    return len(lengths), sum(each.steps for each in lengths), sum(each.histograms for each in lengths)


def make_plan(
    training: Training,
    privacy: Privacy,
    columns: int,
    spent: Spent | None = None,
    sweep: Sequence[Length] = (),
) -> PrivacyPlan:
    """Fixes the noise of a run so that both parts of the records stay within the budget.

    Args:
        training: Model and schedule of the agreement.
        privacy: Budget of the agreement, over all runs.
        columns: Number of columns, each of which puts one row into one cell: the cell counts of one record
            have the L2 norm √columns.
        spent: What earlier runs released; this run has what that leaves of the budget.
        sweep: All trials of the sweep that the run is a trial of: together they have what is left. Empty for
            a run by itself.

    Returns:
        The plan. Takes about two seconds, and always the same for the same arguments.

    Raises:
        PrivacyError: ``privacy.exhausted`` if less than :data:`MINIMUM_LEFT` of the budget is left, or no
            noise keeps the run within it.
    """
    budget, delta = privacy.epsilon, privacy.delta
    before = Spent() if spent is None else spent
    left = what_is_left(budget, delta, before)
    own, rate = Length.of(training), training.sample_rate
    runs, steps, releases = total_of(sweep or (own,))
    all_counts = GaussianRelease(
        calibrate(lambda z: [GaussianRelease(z, runs)], COUNT_SHARE * left, delta), runs
    )
    counts = replace(all_counts, count=1)
    histograms = GaussianRelease(
        calibrate(lambda z: [*before.holdout, GaussianRelease(z, releases)], budget, delta), own.histograms
    )
    noise = calibrate(
        lambda z: [*before.training, all_counts, SampledGaussian(z, rate, steps)], budget, delta
    )
    steps_of_run = SampledGaussian(noise, rate, own.steps)
    return PrivacyPlan(
        delta=delta,
        counts=counts,
        count_noise_std=counts.noise_multiplier * math.sqrt(columns),
        training=steps_of_run,
        histograms=histograms,
        histogram_noise_std=histograms.noise_multiplier,
        training_epsilon=epsilon([counts, steps_of_run], delta),
        holdout_epsilon=epsilon([histograms], delta),
    )
