"""One run at one member: what was agreed, what was planned, and the trainer whose noise is accounted for.

A session lives in the node's memory. When the node dies, the session is gone and so is its engine's state;
the privacy ledger on disk keeps what was reserved and spent, and the run goes on without this member.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hanse.aggregation import AgreedTerms, Contributor, SumHistory
from hanse.client.gate import Admitted, Gate, Step
from hanse.crypto import VerifierKey
from hanse.enforcement import AdmittedRecords
from hanse.errors import PrivacyError, ProtocolError
from hanse.learning import (
    Predictor,
    ScoreHistogram,
    Transform,
    add_gaussian_noise,
    count_cells,
    score_histogram,
)
from hanse.learning.evaluation import EvaluationContributor, Held
from hanse.learning.federated.update import MemberRows, UpdateContributor
from hanse.learning.preprocessing import PreprocessingContributor
from hanse.learning.random_source import SecureRandom
from hanse.learning.training import LocalTrainer
from hanse.policies import Policy, SignedAgreement
from hanse.privacy import Budget, LedgerKey, PrivacyEvent, PrivacyLedger, PrivacyPlan, Spent, make_plan

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SessionTools:
    """What a session works with.

    Attributes:
        gate: The door to the data.
        ledger: The site's privacy ledger.
        population: Name of the data set; training and held-out records are two populations of it.
    """

    gate: Gate
    ledger: PrivacyLedger
    population: str


@dataclass(slots=True)
class Session:
    """See the module docstring.

    Attributes:
        run: Run identifier.
        signed: The opened agreement.
        policy: The rule packs that applied when the run began, merged.
        member: Name of this member.
        plan: Noise and price of the whole run; None when the agreement has no privacy budget.
        last_sequence: Sequence of the last command that was answered.
        sums: Which secure sums this member was part of.
    """

    run: str
    signed: SignedAgreement
    policy: Policy
    member: str
    tools: SessionTools
    plan: PrivacyPlan | None = None
    last_sequence: int = 0
    trained_rounds: int = 0
    random: SecureRandom = field(default_factory=SecureRandom)
    sums: SumHistory = field(default_factory=SumHistory)
    trainer: LocalTrainer | None = None

    def check_sequence(self, sequence: int) -> None:
        """Refuses a command that is not newer than all before.

        Raises:
            ProtocolError: ``protocol.replayed``.
        """
        if sequence <= self.last_sequence:
            raise ProtocolError("protocol.replayed", f"command {sequence} after {self.last_sequence}")
        self.last_sequence = sequence

    def check_round(self, round_number: int) -> None:
        """Refuses to train any round but the next one.

        Raises:
            ProtocolError: ``protocol.unexpected-step``.
        """
        if round_number != self.trained_rounds + 1:
            raise ProtocolError(
                "protocol.unexpected-step", f"round {round_number} after {self.trained_rounds}"
            )

    def reserve(self) -> float:
        """Plans the run's noise and reserves its whole price; returns the epsilon it will have cost.

        Raises:
            PrivacyError: ``privacy.exhausted`` when earlier runs left too little of the budget,
                ``privacy.unsupported`` when they divided the records otherwise.
        """
        agreement = self.signed.agreement
        if agreement.privacy is None:
            return 0.0
        ledger = self.tools.ledger
        split = self.tools.gate.split_id(agreement.training.holdout_fraction)
        ledger.fix_split(LedgerKey(self.tools.population, agreement.purpose), split)
        spent = Spent(ledger.spent_events(self._key("training")), ledger.spent_events(self._key("holdout")))
        self.plan = make_plan(agreement.training, agreement.privacy, len(agreement.columns), spent)
        budget = Budget(agreement.privacy.epsilon, agreement.privacy.delta)
        training = ledger.plan(self._key("training"), self.run, self.plan.training_events, budget)
        holdout = ledger.plan(self._key("holdout"), self.run, self.plan.holdout_events, budget)
        return max(training, holdout)

    def admit(self, round_number: int) -> Admitted:
        """Lets the gate decide, log and read for one step."""
        step = Step(
            self.signed.agreement, self.policy, self.member, self.signed.digest, self.run, round_number
        )
        return self.tools.gate.open(step)

    def count(self, records: AdmittedRecords) -> tuple[npt.NDArray[np.float64], float]:
        """Noisy rows per preprocessing cell, and the standard deviation of the noise. Pays first."""
        counts = count_cells(self.signed.agreement.columns, records.columns)
        plan = self._required_plan()
        if plan is None:
            return counts, 0.0
        self._pay("training", [plan.counts])
        std = plan.count_noise_std
        return add_gaussian_noise(counts, std, self.random), std

    def train(
        self, round_number: int, weights: Vector, transform: Transform, records: AdmittedRecords
    ) -> Vector:
        """Trains one round from the given weights; returns the update. Pays first."""
        training = self.signed.agreement.training
        plan = self._required_plan()
        if plan is not None:
            self._pay("training", [plan.training_steps(training.local_steps)])
        self.trained_rounds = round_number
        examples = records.examples(transform.apply)
        return self._engine(transform).run_round(weights, examples, round_number, training.local_steps).delta

    def histogram(
        self, predictor: Predictor, transform: Transform, records: AdmittedRecords
    ) -> ScoreHistogram:
        """How a model scores the held-out records, with noise added. Pays first."""
        examples = records.examples(transform.apply)
        exact = score_histogram(predictor.scores(examples.features), examples.labels)
        plan = self._required_plan()
        if plan is None:
            return exact
        self._pay("holdout", [plan.histogram()])
        std = plan.histogram_noise_std
        return ScoreHistogram(*(add_gaussian_noise(counts, std, self.random) for counts in exact))

    @property
    def histogram_noise_std(self) -> float:
        """Standard deviation of the noise in each count of :meth:`histogram`."""
        return 0.0 if self.plan is None else self.plan.histogram_noise_std

    def epsilon(self) -> float:
        """Epsilon that this site has spent for the agreement's purpose so far, over all runs."""
        if self.plan is None:
            return 0.0
        spent = [
            self.tools.ledger.spent(self._key(part), self.plan.delta) for part in ("training", "holdout")
        ]
        return max(spent)

    def agreed_terms(self) -> AgreedTerms:
        """What every secure sum of this run must be about."""
        agreement = self.signed.agreement
        return AgreedTerms(
            self.signed.digest,
            self.run,
            agreement.purpose,
            {member.name: VerifierKey.decode(member.node_key) for member in agreement.members},
            agreement.cohort.minimum_members,
        )

    def update_contributor(
        self, round_number: int, transform: Transform, records: AdmittedRecords
    ) -> Contributor:
        """Answers with one round's update; the sum alone hides it."""
        self._require_exact()
        training = self.signed.agreement.training
        self.trained_rounds = round_number
        rows = MemberRows(records.examples(transform.apply))
        return UpdateContributor(
            training, self._engine(transform), rows, lambda weights: self._predictor(weights, transform)
        )

    def evaluation_contributor(
        self, predictor: Predictor, transform: Transform, records: AdmittedRecords
    ) -> Contributor:
        """Answers with counts of scored records; the sum alone hides them."""
        self._require_exact()
        agreement = self.signed.agreement
        examples = records.examples(transform.apply)
        return EvaluationContributor(Held.score(agreement.label, agreement.training, predictor, examples))

    def cells_contributor(self, records: AdmittedRecords) -> Contributor:
        """Answers with what preprocessing learns; the sum alone hides it."""
        self._require_exact()
        return PreprocessingContributor(self.signed.agreement.columns, records.columns)

    def close(self) -> None:
        """Ends the run: what was reserved and never spent is free again."""
        if self.plan is not None:
            for part in ("training", "holdout"):
                self.tools.ledger.close_run(self._key(part), self.run)

    def _required_plan(self) -> PrivacyPlan | None:
        """The plan; None only where the agreement has no budget, never because planning failed."""
        if self.plan is None and self.signed.agreement.privacy is not None:
            raise PrivacyError("privacy.run-state", "nothing was planned for this run")
        return self.plan

    def _require_exact(self) -> None:
        """Exact figures leave for a sum only under an agreement without a budget that they would cost."""
        if self.signed.agreement.privacy is not None or not self.signed.agreement.secure_sums:
            raise PrivacyError("privacy.run-state", "exact figures are not for this agreement")

    def _predictor(self, weights: Vector, transform: Transform) -> Predictor:
        return Predictor(self.signed.agreement.training, transform.n_features, weights, transform.groups)

    def _engine(self, transform: Transform) -> LocalTrainer:
        """The one trainer of this run: an engine made anew each round would under-report epsilon."""
        if self.trainer is None:
            noise = None if self.plan is None else self.plan.training.noise_multiplier
            training = self.signed.agreement.training
            self.trainer = LocalTrainer(training, transform.n_features, noise, self.random, transform.groups)
        return self.trainer

    def _pay(self, part: str, events: Sequence[PrivacyEvent]) -> None:
        self.tools.ledger.spend(self._key(part), self.run, events)

    def _key(self, part: str) -> LedgerKey:
        return LedgerKey(f"{self.tools.population}:{part}", self.signed.agreement.purpose)
