"""One member's budget in a run whose members share the noise of each sum: planned, reserved, charged.

How much noise a run needs follows from the agreement's budget and from what earlier runs have left of it,
which differs from member to member. So every member says what it needs, the coordinator tells all of them the
largest of each, and a member reserves the whole run with that or refuses. Nothing that depends on a record
leaves before.
"""

import numpy as np

from hanse.aggregation import Contributor, Query, Vector
from hanse.client.planned_runs import PlannedRuns
from hanse.enforcement import AdmittedExamples
from hanse.errors import PolicyError, PrivacyError
from hanse.learning.evaluation.questions import SCORES
from hanse.learning.private import GRADIENT_KIND, ROWS_KIND
from hanse.learning.private_gradients import PrivateGradientContributor
from hanse.learning.random_source import SecureRandom
from hanse.learning.shared_run import PLAN_KIND, NoiseLevels, SharedRun
from hanse.policies import Agreement
from hanse.privacy import (
    Budget,
    ChargedReleases,
    GaussianRelease,
    LedgerKey,
    PrivacyLedger,
    SampledGaussian,
    Spent,
    epsilon,
    make_shared_plan,
)


class SharedBudget:
    """See the module docstring.

    Args:
        agreement: Of the run.
        ledger: The member's ledger.
        training: Training records and the agreement's purpose, as the ledger has them.
        holdout: Held-out records.
        runs: The run, and what is planned with it.

    Attributes:
        run: What follows from the agreement alone.
        planned: Epsilon, at the agreement's delta, that this run and all before it will have cost at most.
        needed: The least noise with which that is within the budget.
        memory: For :class:`Remembered`, of the step under way.

    Raises:
        PrivacyError: ``privacy.exhausted`` if earlier runs have left too little, ``privacy.unsupported`` for
            a model that cannot be trained so, ``privacy.run-state`` if the agreement has no budget.
        TrainingError: As :class:`hanse.learning.shared_run.SharedRun`.
    """

    def __init__(
        self,
        agreement: Agreement,
        ledger: PrivacyLedger,
        training: LedgerKey,
        holdout: LedgerKey,
        runs: PlannedRuns,
    ) -> None:
        if agreement.privacy is None:
            raise PrivacyError("privacy.run-state", "an agreement without a budget")
        self.run = SharedRun(agreement)
        self._ledger, self._runs, self._keys = ledger, runs, (training, holdout)
        self._round_steps = agreement.training.local_steps
        self._levels: NoiseLevels | None = None
        self._charges: dict[str, ChargedReleases] = {}
        self.memory: dict[str, tuple[bytes, bytes, Vector]] = {}
        # Of others: after a restart, what this run has spent is of the plan that is made again here.
        spent = Spent(*(ledger.spent_events(key, but=runs.lengths) for key in (training, holdout)))
        delta = agreement.privacy.delta
        self._own = make_shared_plan(
            Budget(agreement.privacy.epsilon, delta),
            steps=self.run.schedule.steps,
            sample_rate=self.run.schedule.sample_rate,
            shared=True,
            histograms=agreement.training.rounds + 1,
            spent=spent,
            sweep=runs.all,
        )
        released = [self._own.events_of(length) for length in runs.all]
        self.planned = max(
            epsilon([*spent.training, *(event for training, _ in released for event in training)], delta),
            epsilon([*spent.holdout, *(event for _, holdout in released for event in holdout)], delta),
        )
        self.needed = self._reserved() or NoiseLevels(*self._own.levels)

    def _reserved(self) -> NoiseLevels | None:
        """The noise that the run was reserved with before its first trial; None if it was not."""
        found = [self._ledger.reserved_events(key, self._runs.own) for key in self._keys]
        if None in found:
            return None
        training, holdout = (events or () for events in found)
        steps = [event.noise_multiplier for event in training if isinstance(event, SampledGaussian)]
        rows = [event.noise_multiplier for event in training if isinstance(event, GaussianRelease)]
        scores = [event.noise_multiplier for event in holdout if isinstance(event, GaussianRelease)]
        return NoiseLevels(max(steps), max(rows), max(scores))

    @property
    def levels(self) -> NoiseLevels:
        """The noise of the run.

        Raises:
            PrivacyError: ``privacy.run-state`` before :meth:`reserve`.
        """
        if self._levels is None:
            raise PrivacyError("privacy.run-state", "nothing was reserved for this run")
        return self._levels

    def reserve(self, levels: NoiseLevels) -> None:
        """Reserves the whole run, or finds it reserved; durable when it returns.

        After a restart the ledger knows what was reserved, and takes nothing else for the same run.

        Args:
            levels: The noise that all members use.

        Raises:
            PrivacyError: ``privacy.exhausted`` if that is less than this member needs; what
                :meth:`hanse.privacy.PrivacyLedger.plan` raises.
            PolicyError: ``policy.denied`` (P18) for other noise than was reserved before.
        """
        if self._levels is not None:
            if levels != self._levels:
                raise PolicyError("policy.denied", "other noise than this site has reserved", rule="P18")
            return
        plan = self._own.louder(levels.gradients, levels.rows, levels.histograms)
        for name, length in self._runs.ahead.items():
            for key, events in zip(self._keys, plan.events_of(length), strict=True):
                self._ledger.plan(key, name, events, plan.budget)
        self._levels = levels
        # Steps are charged for a round at a time: of one that breaks off, nothing is answered again.
        training = ChargedReleases(
            self._ledger,
            self._keys[0],
            self._runs.own,
            {GRADIENT_KIND: plan.gradients, ROWS_KIND: plan.rows},
            self._round_steps,
        )
        scored = {} if plan.histograms is None else {SCORES: plan.histograms}
        holdout = ChargedReleases(self._ledger, self._keys[1], self._runs.own, scored, 1)
        self._charges = {GRADIENT_KIND: training, ROWS_KIND: training, SCORES: holdout}

    def charge(self, kind: str) -> None:
        """Charges for one answer, by the kind of its question; durable when it returns.

        Raises:
            PrivacyError: ``privacy.unsupported`` for what was not planned, ``privacy.exhausted`` when all
                that was planned has left.
        """
        charges = self._charges.get(kind)
        if charges is None:
            raise PrivacyError("privacy.unsupported", "a release of a kind that was not planned")
        charges(kind)

    def close(self) -> None:
        """Ends the run: what was reserved and never spent is free again."""
        if self._levels is not None:
            for key in self._keys:
                self._ledger.close_run(key, self._runs.own)


class Remembered:
    """Gives the same answer to the same question, once it has left: a second one would cost as much again.

    Within one step, and as long as the same rows are admitted for it.

    Args:
        contributor: What answers.
        memory: Of the step: the last question of each kind, and its answer.
        rows: Names the admitted rows.
    """

    def __init__(
        self, contributor: Contributor, memory: dict[str, tuple[bytes, bytes, Vector]], rows: bytes
    ) -> None:
        self._contributor = contributor
        self._memory = memory
        self._rows = rows

    def contribute(self, query: Query) -> Vector:
        """Answers.

        Raises:
            HanseError: As the contributor.
        """
        known = self._memory.get(query.kind)
        if known is not None and known[:2] == (query.body, self._rows):
            return known[2].copy()
        answer = self._contributor.contribute(query)
        self._memory[query.kind] = (query.body, self._rows, answer.copy())
        return answer


class Preparation:
    """Answers what is asked before the first round: that this member reserves the run, then its rows.

    Args:
        budget: This member's.
        examples: Its training records.
        random: Its source of noise.
    """

    def __init__(self, budget: SharedBudget, examples: AdmittedExamples, random: SecureRandom) -> None:
        self._budget = budget
        self._examples = examples
        self._random = random

    def contribute(self, query: Query) -> Vector:
        """Answers.

        Raises:
            HanseError: As :meth:`SharedBudget.reserve`, and as the contributor.
        """
        if query.kind == PLAN_KIND:
            self._budget.reserve(NoiseLevels.read(query))
            return np.ones(1)
        return gradients(self._budget, self._examples, self._random, range(0)).contribute(query)


def gradients(
    budget: SharedBudget, examples: AdmittedExamples, random: SecureRandom, steps: range
) -> Contributor:
    """A member's half of some steps, and of the number of records."""
    run = budget.run.private(budget.levels)
    return PrivateGradientContributor(run, examples, budget.charge, random, steps)
