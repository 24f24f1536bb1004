"""What a run with sums over the members costs any one record, fixed before it starts.

As in :mod:`hanse.privacy.plan`, a record is a training record or a held-out one, and pays for its own part
only. Everything that the members release is in one of the two lists: the number of training records, cell
counts if cells are merged, the gradient sums; and the score histograms of held-out records. Nothing leaves
exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hanse.errors import PrivacyError
from hanse.privacy.accountant import calibrate, epsilon
from hanse.privacy.events import GaussianRelease, PrivacyEvent, SampledGaussian
from hanse.privacy.ledger import Budget
from hanse.privacy.plan import COUNT_SHARE, Length, Spent, total_of, what_is_left

ROWS_SHARE: Final = 0.02
"""Share of the budget that the number of records would cost alone; composed, it costs next to nothing."""


@dataclass(frozen=True, slots=True)
class SharedPlan:
    """Noise and cost of one run over the members, for the unit record, add or remove one.

    Attributes:
        budget: What it was planned for.
        gradients: All steps; the noise multiplier is relative to the clipping norm.
        rows: The number of training records, of sensitivity 1.
        cells: The cell counts, of sensitivity √columns; None if no cells are counted.
        histograms: The score histograms of held-out records, of sensitivity 1 each; None without any.
        training_epsilon: What the run costs a training record.
        holdout_epsilon: What the run costs a held-out record.
    """

    budget: Budget
    gradients: SampledGaussian
    rows: GaussianRelease
    cells: GaussianRelease | None
    histograms: GaussianRelease | None
    training_epsilon: float
    holdout_epsilon: float

    @property
    def epsilon(self) -> float:
        """What the run costs any one record."""
        return max(self.training_epsilon, self.holdout_epsilon)

    @property
    def training_events(self) -> tuple[PrivacyEvent, ...]:
        """All releases about the training records."""
        counted = () if self.cells is None else (self.cells,)
        return (self.rows, *counted, self.gradients)

    @property
    def holdout_events(self) -> tuple[PrivacyEvent, ...]:
        """All releases about the held-out records."""
        return () if self.histograms is None else (self.histograms,)

    @property
    def levels(self) -> tuple[float, float, float]:
        """Noise multipliers of steps, number of records and histograms; without histograms, the steps'."""
        scores = self.gradients if self.histograms is None else self.histograms
        return self.gradients.noise_multiplier, self.rows.noise_multiplier, scores.noise_multiplier

    def louder(self, gradients: float, rows: float, histograms: float) -> "SharedPlan":
        """The same releases with at least as much noise, as another member may need it.

        Args:
            gradients: Noise multiplier of the steps.
            rows: Of the number of records.
            histograms: Of the score histograms.

        Raises:
            PrivacyError: ``privacy.exhausted`` if one is below that of this plan.
        """
        levels = (gradients, rows, histograms)
        if levels == self.levels:
            return self
        if any(level < least for level, least in zip(levels, self.levels, strict=True)):
            raise PrivacyError("privacy.exhausted", "less noise than what is left of the budget asks for")
        steps = replace(self.gradients, noise_multiplier=gradients)
        number = replace(self.rows, noise_multiplier=rows)
        scores = None if self.histograms is None else replace(self.histograms, noise_multiplier=histograms)
        changed = replace(self, gradients=steps, rows=number, histograms=scores)
        delta = self.budget.delta
        return replace(
            changed,
            training_epsilon=epsilon(changed.training_events, delta),
            holdout_epsilon=epsilon(changed.holdout_events, delta),
        )

    def events_of(self, length: Length) -> tuple[tuple[PrivacyEvent, ...], tuple[PrivacyEvent, ...]]:
        """Releases of a run of another length with the same noise, about training and held-out records."""
        steps = replace(self.gradients, steps=length.steps)
        scores = None if self.histograms is None else replace(self.histograms, count=length.histograms)
        changed = replace(self, gradients=steps, histograms=scores)
        return changed.training_events, changed.holdout_events

    @property
    def step(self) -> SampledGaussian:
        """The release of one step."""
        return SampledGaussian(
            self.gradients.noise_multiplier, self.gradients.sample_rate, 1, self.gradients.shared
        )


def make_shared_plan(
    budget: Budget,
    *,
    steps: int,
    sample_rate: float,
    shared: bool,
    count_cells: bool = False,
    histograms: int = 0,
    spent: Spent | None = None,
    sweep: Sequence[Length] = (),
) -> SharedPlan:
    """Fixes the noise of a run so that every record stays within the budget.

    Args:
        budget: Budget of the agreement, over all runs.
        steps: Gradient sums of the run.
        sample_rate: Probability with which a record enters one.
        shared: Whether members share the noise of one sum, or each adds all of it. A record pays the same.
        count_cells: Whether the run counts rows per cell.
        histograms: Score histograms that the run releases.
        spent: What earlier runs released; this run has what that leaves of the budget.
        sweep: All trials of the sweep that the run is a trial of: together they have what is left. Empty for
            a run by itself.

    Returns:
        The plan. Takes about two seconds, and always the same for the same arguments.

    Raises:
        PrivacyError: ``privacy.exhausted`` if too little of the budget is left.
    """
    before, delta = spent or Spent(), budget.delta
    left = what_is_left(budget.epsilon, delta, before)
    runs, all_steps, releases = total_of(sweep or (Length(steps, histograms),))

    def alone(share: float) -> GaussianRelease:
        noise = calibrate(lambda z: [GaussianRelease(z, runs)], share * left, delta)
        return GaussianRelease(noise, shared=shared)

    rows, cells = alone(ROWS_SHARE), alone(COUNT_SHARE) if count_cells else None
    counts = (rows,) if cells is None else (rows, cells)
    counted = [replace(each, count=runs) for each in counts]
    noise = calibrate(
        lambda z: [*before.training, *counted, SampledGaussian(z, sample_rate, all_steps)],
        budget.epsilon,
        delta,
    )
    gradients = SampledGaussian(noise, sample_rate, steps, shared)
    scores = None
    if histograms:
        noise = calibrate(lambda z: [*before.holdout, GaussianRelease(z, releases)], budget.epsilon, delta)
        scores = GaussianRelease(noise, histograms, shared)
    return SharedPlan(
        budget=budget,
        gradients=gradients,
        rows=rows,
        cells=cells,
        histograms=scores,
        training_epsilon=epsilon([*counts, gradients], delta),
        holdout_epsilon=0.0 if scores is None else epsilon([scores], delta),
    )
