"""One run at one member: what was agreed, what was planned, and the trainer whose noise is accounted for.

What has to outlive the process is kept (:mod:`hanse.client.kept`): a node that was restarted takes part
again, with the plan that its privacy ledger holds. A step that was interrupted is taken again as follows.
What the member sent by itself it sends again, byte for byte, at no further cost. What it never got so far as
to keep has never left: it is computed anew, with other noise, and what the ledger says was paid counts.
In secure sums, a question is answered again only if this process knows that it gave no share for its sum.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hanse.aggregation import AgreedTerms, Contributor, SumHistory
from hanse.alignment.history import AlignmentHistory
from hanse.client.gate import Admitted, Gate, Step
from hanse.client.kept import Answer, Kept, RunFile, Taken
from hanse.client.leaving import LeftRuns
from hanse.client.planned_runs import PlannedRuns
from hanse.client.shared_budget import Preparation, Remembered, SharedBudget
from hanse.client.vertical.state import VerticalState
from hanse.crypto import VerifierKey
from hanse.enforcement import AdmittedExamples, AdmittedRecords
from hanse.errors import PrivacyError, ProtocolError, TrainingError
from hanse.learning import (
    Predictor,
    Predicts,
    ScoreHistogram,
    Transform,
    add_gaussian_noise,
    count_cells,
    required_members,
    score_histogram,
)
from hanse.learning.evaluation import EvaluationContributor, Held, groups_of
from hanse.learning.federated.update import MemberRows, UpdateContributor
from hanse.learning.preprocessing import PreprocessingContributor
from hanse.learning.private import NoisyContributor
from hanse.learning.random_source import SecureRandom
from hanse.learning.training import LocalTrainer
from hanse.learning.vertical.runs.resuming import RESUMABLE
from hanse.policies import Policy, SignedAgreement
from hanse.privacy import (
    Budget,
    LedgerKey,
    PrivacyEvent,
    PrivacyLedger,
    PrivacyPlan,
    Spent,
    make_plan,
    subtract_events,
)

Vector = npt.NDArray[np.float32]

MOST_AGAIN: Final = 16
"""How often a member takes steps of one vertical run again: each time a little may be asked of it twice."""


@dataclass(frozen=True, slots=True)
class SessionTools:
    """What a session works with.

    Attributes:
        gate: The door to the data.
        ledger: The site's privacy ledger.
        population: Name of the data set; training and held-out records are two populations of it.
        kept: What outlives the process.
        left: Runs that the site has left.
        audits: Where the site keeps how well its rows can be recognised in a model; None for nowhere.
        parts: Where the site keeps its parts of vertical models; None for nowhere.
        alignments: Which sets the site has aligned before; without it, none is.
    """

    gate: Gate
    ledger: PrivacyLedger
    population: str
    kept: RunFile
    left: LeftRuns
    audits: Path | None = None
    parts: Path | None = None
    alignments: AlignmentHistory | None = None


@dataclass(slots=True)
class Session:
    """See the module docstring.

    Attributes:
        run: Run identifier.
        signed: The opened agreement; in a trial of a sweep, with the training that is tried.
        policy: The rule packs that applied when the run began, merged.
        member: Name of this member.
        plan: Noise and price of the whole run; None unless this member's figures leave with noise of its own.
        shared: Its part of a run whose members share the noise of sums; None for all others.
        kept: What outlives the process: command, step and answer that were the last.
        planned: What is planned with it; None for itself alone.
        restored: Whether an earlier process began the run: what its secure sums were is not known.
        sums: Which secure sums this member was part of.
        under_way: What answers the questions of a round that are answered in order, by digest of its work: if
            it is interrupted, the rest of them is answered by the same.
        vertical: What it knows of a vertical run; None in others, and before its members are aligned.
    """

    run: str
    signed: SignedAgreement
    policy: Policy
    member: str
    tools: SessionTools
    kept: Kept
    plan: PrivacyPlan | None = None
    shared: SharedBudget | None = None
    planned: PlannedRuns | None = None
    restored: bool = False
    random: SecureRandom = field(default_factory=SecureRandom)
    sums: SumHistory = field(default_factory=SumHistory)
    trainer: LocalTrainer | None = None
    under_way: tuple[str, Contributor] | None = None
    vertical: VerticalState | None = None

    def check_sequence(self, sequence: int) -> None:
        """Refuses a command that is not newer than all before.

        Raises:
            ProtocolError: ``protocol.replayed``.
        """
        if sequence <= self.kept.sequence:
            raise ProtocolError("protocol.replayed", f"command {sequence} after {self.kept.sequence}")
        self.kept = self.kept.model_copy(update={"sequence": sequence})

    def take(self, work: str, round_number: int | None, digest: str) -> bool:
        """Begins a step, and keeps that it was begun.

        Args:
            work: Name of its message.
            round_number: The round.
            digest: Of the work.

        Returns:
            Whether it is the last one over again.

        Raises:
            ProtocolError: ``protocol.unexpected-step`` if it is neither that nor the next one.
            TrainingError: ``run.interrupted`` if its secure sums may have been opened before a restart.
        """
        training = self.signed.agreement.training
        number = {"prepare": 0, "evaluate": training.rounds + 1}.get(work, round_number or 0)
        if work == "train" and not 1 <= number <= training.rounds:
            raise ProtocolError("protocol.unexpected-step", f"the agreement has no round {number}")
        step, last = Taken(number=number, digest=digest), self.kept.taken
        again = step == last
        if not again and not self._follows(work, number):
            before = "nothing" if last is None else f"step {last.number}"
            raise ProtocolError("protocol.unexpected-step", f"{work}, step {number}, after {before}")
        agreement = self.signed.agreement
        if again and agreement.vertical is not None:
            self._check_vertical(work)
        elif again and self.restored and agreement.secure_sums:
            raise TrainingError("run.interrupted", "the node was restarted during this step")
        answer = self.kept.answer if again else None
        self._keep(taken=step, answer=answer, again=self.kept.again + again)
        if again:
            self.sums.again()
        elif self.shared is not None:
            self.shared.memory.clear()
        return again

    def _check_vertical(self, work: str) -> None:
        """Refuses to take a step of a vertical run again that would tell more than it did, or too often.

        To P16 the alignment of a run is one, however often it is begun: in another attempt, others could
        enter other people.

        Raises:
            TrainingError: ``run.interrupted``.
        """
        if work == "prepare":
            raise TrainingError("run.interrupted", "a run aligns once: start another run")
        if self.signed.agreement.training.model not in RESUMABLE:
            raise TrainingError("run.interrupted", "a run of this model does not go on: start another run")
        if self.kept.again >= MOST_AGAIN:
            raise TrainingError("run.interrupted", "steps of this run were taken again too often")

    def _follows(self, work: str, number: int) -> bool:
        """Whether a step is the next one; a run may be evaluated after fewer rounds than were agreed.

        Where figures leave by themselves, a member that came late begins with a later round.
        """
        last, done = self.kept.taken, self.kept.done
        if last is None or done is None:
            return last is None and number == 0
        any_later = work == "evaluate" or (last.number == 0 and not self.signed.agreement.secure_sums)
        return number > last.number if any_later else number == last.number + 1

    def comes_late(self, round_number: int | None) -> bool:
        """Whether a round is the first one of this member, and not the run's."""
        taken = self.kept.taken
        return taken is not None and taken.number == 0 and (round_number or 0) > 1

    def finished(self, answer: Answer | None = None) -> None:
        """Keeps that the step was finished, before its answer leaves.

        Args:
            answer: The answer, if the member gives it by itself.
        """
        kept, rounds = self.kept, self.signed.agreement.training.rounds
        new = kept.taken is not None and kept.taken != kept.done
        trained = new and kept.taken is not None and 0 < kept.taken.number <= rounds
        self._keep(done=kept.taken, trained=kept.trained + trained, answer=answer)

    def _keep(self, **changed: object) -> None:
        self.kept = self.kept.model_copy(update=changed)
        self.tools.kept.save(self.kept)

    def reserve(self) -> float:
        """Plans the run's noise and reserves its whole price; returns the epsilon it will have cost at most.

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
        if agreement.secure_sums:
            # Reserved when all have said how much noise they need.
            if self.shared is None:
                keys = self._key("training"), self._key("holdout")
                self.shared = SharedBudget(agreement, ledger, *keys, self.runs)
            return self.shared.planned
        runs = self.runs
        # Of others: after a restart, what this run has spent is of the plan that is made again here.
        before = [ledger.spent_events(self._key(part), but=runs.lengths) for part in ("training", "holdout")]
        plan = make_plan(
            agreement.training, agreement.privacy, len(agreement.columns), Spent(*before), runs.all
        )
        budget = Budget(agreement.privacy.epsilon, agreement.privacy.delta)
        cost = 0.0
        for name, length in runs.ahead.items():
            training, holdout = plan.events_of(length)
            cost = max(
                ledger.plan(self._key("training"), name, training, budget),
                ledger.plan(self._key("holdout"), name, holdout, budget),
            )
        self.plan = plan
        return cost

    @property
    def runs(self) -> PlannedRuns:
        """The runs that are planned together."""
        return self.planned or PlannedRuns.of(self.run, self.signed, None)

    def admit(self, round_number: int, among: Collection[str] | None = None) -> Admitted:
        """Lets the gate decide, log and read for one step.

        Args:
            round_number: The round; 0 outside of rounds.
            among: The site's own identifiers of whom alone it is about; None for everybody.
        """
        step = Step(
            self.signed.agreement, self.policy, self.member, self.signed.digest, self.run, round_number, among
        )
        return self.tools.gate.open(step)

    def count(self, records: AdmittedRecords) -> tuple[npt.NDArray[np.float64], float]:
        """Noisy rows per preprocessing cell, and the standard deviation of the noise. Pays first."""
        counts = count_cells(self.signed.agreement.columns, records.columns)
        plan = self._required_plan()
        if plan is None:
            return counts, 0.0
        self._pay_up_to("training", [plan.counts])
        std = plan.count_noise_std
        return add_gaussian_noise(counts, std, self.random), std

    def train(
        self, round_number: int, weights: Vector, transform: Transform, records: AdmittedRecords
    ) -> Vector:
        """Trains one round from the given weights; returns the update. Pays first."""
        training = self.signed.agreement.training
        plan = self._required_plan()
        if plan is not None:
            steps = plan.training_steps(training.local_steps)
            self._pay_up_to("training", [plan.counts, *[steps] * (self.kept.trained + 1)])
        examples = records.examples(transform.apply)
        return self._engine(transform).run_round(weights, examples, round_number, training.local_steps).delta

    def histogram(
        self, predictor: Predicts, transform: Transform, records: AdmittedRecords
    ) -> ScoreHistogram:
        """How a model scores the held-out records, with noise added. Pays first."""
        examples = records.examples(transform.apply)
        exact = score_histogram(predictor.scores(examples.features), examples.labels)
        plan = self._required_plan()
        if plan is None:
            return exact
        self._pay_up_to("holdout", [plan.histogram()] * (self.kept.trained + 1))
        std = plan.histogram_noise_std
        return ScoreHistogram(*(add_gaussian_noise(counts, std, self.random) for counts in exact))

    @property
    def histogram_noise_std(self) -> float:
        """Standard deviation of the noise in each count of :meth:`histogram`."""
        return 0.0 if self.plan is None else self.plan.histogram_noise_std

    def epsilon(self) -> float:
        """Epsilon that this site has spent for the agreement's purpose so far, over all runs."""
        privacy = self.signed.agreement.privacy
        if privacy is None:
            return 0.0
        ledger = self.tools.ledger
        return max(ledger.spent(self._key(part), privacy.delta) for part in ("training", "holdout"))

    @property
    def shared_budget(self) -> SharedBudget:
        """This member's part of a run with shared noise.

        Raises:
            PrivacyError: ``privacy.run-state`` where there is none.
        """
        if self.shared is None:
            raise PrivacyError("privacy.run-state", "no noise is shared in this run")
        return self.shared

    def agreed_terms(self) -> AgreedTerms:
        """What every secure sum of this run must be about."""
        agreement = self.signed.agreement
        return AgreedTerms(
            self.signed.digest,
            self.run,
            agreement.purpose,
            {member.name: VerifierKey.decode(member.node_key) for member in agreement.members},
            required_members(agreement),
        )

    def exact_examples(self, transform: Transform, records: AdmittedRecords) -> AdmittedExamples:
        """What one round learns from, exactly: for answers that the sum alone hides."""
        self._require_exact()
        return records.examples(transform.apply)

    def update_contributor(self, transform: Transform, records: AdmittedRecords) -> Contributor:
        """Answers with one round's update; the sum alone hides it."""
        training = self.signed.agreement.training
        rows = MemberRows(self.exact_examples(transform, records))
        return UpdateContributor(
            training, self._engine(transform), rows, lambda weights: self._predictor(weights, transform)
        )

    def evaluation_contributor(
        self, predictor: Predicts, transform: Transform, records: AdmittedRecords
    ) -> Contributor:
        """Answers with counts of scored records; the sum alone hides them, and noise if there is a budget."""
        agreement = self.signed.agreement
        examples = records.examples(transform.apply)
        groups = groups_of(agreement, records.columns)
        held = Held.score(agreement.label, agreement.training, predictor, examples, groups)
        scores = EvaluationContributor(held)
        if self.shared is not None:
            noises = self.shared.run.score_noises(self.shared.levels)
            noisy = NoisyContributor(scores, noises, self.shared.charge, self.random)
            return Remembered(noisy, self.shared.memory, records.subject_set_root)
        self._require_exact()
        return scores

    def preparing_contributor(self, records: AdmittedRecords) -> Contributor:
        """Answers with what is learned before the first round; as :meth:`evaluation_contributor`."""
        if self.shared is not None:
            examples = records.examples(self.shared.run.transform.apply)
            preparation = Preparation(self.shared, examples, self.random)
            return Remembered(preparation, self.shared.memory, records.subject_set_root)
        self._require_exact()
        return PreprocessingContributor(self.signed.agreement.columns, records.columns)

    def close(self) -> None:
        """Ends the run: what was reserved and never spent is free again."""
        self.tools.kept.forget()
        if self.shared is not None:
            self.shared.close()
        if self.plan is not None:
            for part in ("training", "holdout"):
                self.tools.ledger.close_run(self._key(part), self.runs.own)

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

    def _pay_up_to(self, part: str, total: Sequence[PrivacyEvent]) -> None:
        """Pays what is missing of all that the run has released so far, with what is about to be released.

        What was paid and then never kept as an answer has not left the site.
        """
        key, name = self._key(part), self.runs.own
        due = subtract_events(total, self.tools.ledger.spent_events(key, name))
        if due:
            self.tools.ledger.spend(key, name, due)

    def _key(self, part: str) -> LedgerKey:
        return LedgerKey(f"{self.tools.population}:{part}", self.signed.agreement.purpose)
