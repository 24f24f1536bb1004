"""The steps of a run of which the coordinator learns sums over the members alone.

Each step is a *phase*. Flower carries the command that begins it and the reply that ends it; in between,
the coordinator's half of an algorithm asks questions over the members' sessions of the exchange, and every
answer is a secure sum (:mod:`hanse.aggregation`). Before it takes part, a member states in the shared log
which rows it takes part with, and says so in its session; who says another thing than it has stated is left
out (P32).

That a masked vector is over those rows cannot be seen from the vector. The statement is what the member signs
for, and what its own log is held against.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from hanse.aggregation import work_digest
from hanse.api.v1 import round_pb2 as pb
from hanse.errors import HanseError, ProtocolError, TrainingError
from hanse.learning import Transform, preprocessing
from hanse.learning.evaluation import Evaluation, Interval, Plan, compared, group_sizes, protected_columns
from hanse.learning.evaluation import evaluate as evaluate_sums
from hanse.scoring.reasons.reference import shares_of
from hanse.server.algorithms import Algorithm, Learned
from hanse.server.checkpoints import OpenedSums
from hanse.server.checks import check_ready
from hanse.server.evaluation import Metrics, calibration_figures
from hanse.server.party import Asked, Party
from hanse.server.steps import Account, Prepared, Round
from hanse.server.sums import Epochs, Exchange, SecureAggregator, Work, open_message

SUMS: Final = 4
"""Sums that an epoch prepares for a preparation, which asks up to three."""

_SHARE_DIGITS: Final = 2
"""Of the average person: shares in hundredths tell of no few records."""

_WIDTH_95: Final = 2 * 1.959963984540054
"""Of a 95 % interval, in standard errors."""

ResultT = TypeVar("ResultT")
Readies = Mapping[str, pb.Ready]


class Sessions(Protocol):
    """Opens the members' sessions of a phase; :class:`hanse.server.exchange.Hub` does."""

    def open(self, run: str, phase: str, members: frozenset[str]) -> Exchange:
        """Announces a phase: from now on these members may open their sessions of it."""
        ...


class SecureSteps:
    """See the module docstring and :class:`hanse.server.steps.Steps`.

    Args:
        party: The members.
        sessions: Opens their sessions.
        opened: Sums of the step under way, for a process that comes after this one.
    """

    def __init__(self, party: Party, sessions: Sessions, opened: OpenedSums) -> None:
        self._party = party
        self._sessions = sessions
        self._opened = opened
        self._epochs = Epochs(party)
        # Known before anybody is asked to touch a row.
        party.fewest = self._epochs.fewest
        self._phases = 0

    def prepare(self) -> Prepared:
        """Lets every member check the agreement, and fits the preprocessing on sums."""
        agreement = self._party.agreement
        work = {"prepare": self._party.context.prepare}

        def fit(members: SecureAggregator, _: Readies) -> preprocessing.Fitted:
            return preprocessing.fit(members, agreement.columns, agreement.cohort)

        fitted, ready = self._phase(work, "prepared", None, fit)
        planned = {member: own.planned_epsilon for member, own in ready.items()}
        average = shares_of(fitted.transform, fitted.cell_counts)
        rounded = tuple(round(share, _SHARE_DIGITS) for share in average.tolist())
        return Prepared(fitted.transform, (), planned, rows_of(ready), average=rounded)

    def train(self, number: int, algorithm: Algorithm, state: bytes, transform: Transform) -> Round:
        """Conducts a round of the algorithm, and evaluates the state before it."""

        def learn(members: SecureAggregator, _: Readies) -> tuple[Learned, Evaluation]:
            return algorithm.round(members, number, state), evaluate_sums(members, plan)

        # With the state held still, whoever may let members in chooses the sets whose sums differ by one.
        for member in sorted(self._party.latecomers()):
            self._party.lose(member, "run.late", "late", number)
        plan = self._plan(state, last=False)
        work = {"train": pb.Train(round=number, state=state, transform=transform.to_json())}
        sums = algorithm.sums + sums_of(plan)
        (learned, evaluation), ready = self._phase(work, "trained", number, learn, sums)
        return Round(learned.state, self._metrics(evaluation, plan), learned.members, rows_of(ready))

    def evaluate(self, state: bytes, transform: Transform) -> Metrics:
        """Evaluates the final state."""
        step = pb.Evaluate(state=state, transform=transform.to_json())
        plan = self._plan(state, last=True)
        evaluation, _ = self._phase(
            {"evaluate": step},
            "evaluated",
            None,
            lambda members, _: evaluate_sums(members, plan),
            sums_of(plan),
        )
        return self._metrics(evaluation, plan)

    def account(self, state: bytes) -> Account:
        """Nothing bounds what a run without a budget tells."""
        del state
        return Account()

    def _plan(self, state: bytes, *, last: bool) -> Plan:
        """What to ask of the scores of a state.

        Groups are compared of states that may become the model, and of no other.
        """
        del state
        agreement = self._party.agreement
        groups = group_sizes(agreement) if last or agreement.training.patience else {}
        return Plan.of(agreement.label, agreement.training, agreement.cohort.suppress_below, groups)

    def _metrics(self, evaluation: Evaluation, plan: Plan) -> Metrics:
        measures = evaluation.labels[self._party.agreement.label.name]
        error = _standard_error(measures.auc, measures.auc_interval)
        return Metrics(
            measures.auc,
            error,
            measures.log_loss,
            plan.noise_std,
            measures.brier,
            **calibration_figures(measures.reliability),
            compared=compared(protected_columns(self._party.agreement), evaluation.groups)
            if plan.groups
            else {},
            meaning=measures.meaning,
        )

    def _phase(
        self,
        work: Mapping[str, Any],
        stated: str,
        number: int | None,
        algorithm: Callable[[SecureAggregator, Readies], ResultT],
        sums: int = SUMS,
    ) -> tuple[ResultT, Readies]:
        """Conducts one phase from its command to its replies.

        Args:
            work: Field of the phase and its message.
            stated: Name of the step in statements.
            number: The round.
            algorithm: Asks the members, who have said with what they are ready.
            sums: How many sums an epoch prepares.

        Returns:
            What the algorithm gave, and with what each member took part.
        """
        party = self._party
        self._phases += 1
        phase = pb.Phase(session=f"phase-{party.attempt}-{self._phases}", **work)
        [(name, message)] = work.items()
        digest = work_digest(name, message.SerializeToString(deterministic=True))
        with self._sessions.open(party.context.run, phase.session, party.active) as exchange:
            asked = party.begin({"phase": phase}, "phased", stated, number)
            terms = Work(digest, stated, number, sums)
            members = SecureAggregator(party, exchange, self._epochs, terms, self._opened)
            ready = self._ready(asked, members, stated)
            result = algorithm(members, ready)
        replies = party.collect(asked)
        party.spent({member: reply.phased.epsilon for member, reply in replies.items()})
        return result, ready

    def _ready(self, asked: Asked, members: SecureAggregator, stated: str) -> Readies:
        """Who takes part, and with what; who refuses answers the command instead."""
        ready: dict[str, pb.Ready] = {}

        def refused() -> bool:
            return self._lose_refused(asked, members, set(asked.commands) - set(ready))

        for member, data in members.receive(sorted(asked.commands), refused):
            try:
                own = open_message(data, "ready").ready
                check_ready(own, stated, self._party.stated(member), self._party.agreement)
            except HanseError as error:
                members.lose(member, error)
            else:
                ready[member] = own
        self._party.require_enough()
        return {member: own for member, own in ready.items() if member in self._party.active}

    def _lose_refused(self, asked: Asked, members: SecureAggregator, waiting: set[str]) -> bool:
        """Loses those who have answered the command before they said that they are ready."""
        replies = asked.pending.collect(0.0)
        gone = sorted(waiting & self._party.active & {*replies.bodies, *replies.failures})
        for member in gone:
            try:
                if member in replies.failures:
                    raise TrainingError("run.insufficient-members", replies.failures[member])
                self._party.open(replies.bodies[member], asked.commands[member], asked.expected)
                raise ProtocolError("protocol.unexpected-step", "an answer before the phase has begun")
            except HanseError as error:
                members.lose(member, error)
        return bool(gone)


def sums_of(plan: Plan) -> int:
    """Sums of an evaluation: one of the scores; of each column the sizes of groups, then their scores."""
    return 1 + 2 * len(plan.groups)


def _standard_error(area: float | None, interval: Interval | None) -> float | None:
    """Of an area whose interval is normal in the log-odds."""
    if area is None or interval is None:
        return None
    if not 0 < area < 1:
        return 0.0
    reach = math.log(interval.high / (1 - interval.high)) - math.log(interval.low / (1 - interval.low))
    return area * (1 - area) * reach / _WIDTH_95


def rows_of(ready: Readies) -> dict[str, tuple[pb.AdmittedRows, pb.AdmittedRows]]:
    """Training and held-out rows, by member."""
    return {member: (own.training, own.holdout) for member, own in ready.items()}
