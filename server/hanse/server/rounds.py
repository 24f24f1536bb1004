"""The rounds of one run: prepare, train, evaluate, record.

This is the whole protocol of a horizontal run as the coordinator sees it. It does no I/O of its own. How a
step is made is for :mod:`hanse.server.phases`, where the coordinator learns sums over the members alone, and
:mod:`hanse.server.individual`, where each of them sends its own figures; the agreement decides. Who is asked,
and who is lost, is for :mod:`hanse.server.party`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import EventType
from hanse.crypto import SigningKey
from hanse.errors import TrainingError
from hanse.learning import Transform
from hanse.policies import Agreement
from hanse.server.algorithms import Algorithm, algorithm_of
from hanse.server.evaluation import Metrics
from hanse.server.individual import IndividualSteps
from hanse.server.party import Journal, Party, RunContext
from hanse.server.phases import SecureSteps, Sessions
from hanse.server.statements import Statements
from hanse.server.transport import Transport

if TYPE_CHECKING:
    from hanse.server.steps import Steps


class StateStore(Protocol):
    """Where what was learned is kept after each round."""

    def keep(self, round_number: int, state: bytes) -> None:
        """Stores the state after a round (0: before the first); atomic."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """How a run reaches its members.

    Attributes:
        transport: Carries commands and replies.
        sessions: Opens the sessions of a phase.
        statements: What members state of their steps.
    """

    transport: Transport
    sessions: Sessions
    statements: Statements


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run produced.

    Attributes:
        model_file: The final model, as its folder has it.
        transform: The fitted preprocessing.
        metrics: Federated evaluation of it.
        epsilon: Epsilon spent per member; empty when the agreement has no privacy budget.
        members: Members whose rows are in it.
        cell_counts: Rows per cell over all members, with each one's noise; empty without privacy.
        last_entry: Index of the last entry of the shared log about it.
    """

    model_file: bytes
    transform: Transform
    metrics: Metrics
    epsilon: Mapping[str, float]
    members: tuple[str, ...]
    cell_counts: tuple[float, ...]
    last_entry: int


class Rounds:
    """Conducts one run; see the module docstring.

    Args:
        context: What it is about.
        means: How it reaches its members.
        key: Signs commands.
        journal: Records its steps.
        store: Keeps what it has learned.
    """

    def __init__(
        self, context: RunContext, means: Means, key: SigningKey, journal: Journal, store: StateStore
    ) -> None:
        self._party = Party(context, means.transport, key, journal, means.statements)
        self._store = store
        self._steps: Steps = (
            SecureSteps(self._party, means.sessions)
            if context.agreement.secure_sums
            else IndividualSteps(self._party)
        )

    def conduct(self) -> Outcome:
        """Runs all rounds.

        Raises:
            TrainingError: ``run.insufficient-members`` when too few members are left, ``run.unsupported``
                when the agreement asks for what these rounds do not do, ``run.cancelled``.
            AuditError: The journal cannot be written; the run stops.
        """
        party = self._party
        training = party.agreement.training
        _require_supported(party.agreement)
        party.gather()
        prepared = self._steps.prepare()
        transform = prepared.transform
        party.record(
            EventType.RUN_PREPARED,
            {
                "members": sorted(prepared.rows),
                "features": transform.n_features,
                "planned_epsilon": dict(prepared.planned),
                "rows": party.rows(prepared.rows),
            },
        )
        algorithm = algorithm_of(party.agreement, transform, party.context.run)
        state = algorithm.start()
        self._store.keep(0, state)
        number = 0
        while number < training.rounds and not algorithm.finished(state):
            number += 1
            state = self._round(number, algorithm, state, transform)
        state = algorithm.final(state)
        metrics, last_entry = self._evaluate(number, state, transform)
        return Outcome(
            algorithm.model_file(state),
            transform,
            metrics,
            dict(party.epsilon),
            tuple(sorted(party.active)),
            prepared.cell_counts,
            last_entry,
        )

    def finish(self, model: str, manifest_digest: str, error_code: str) -> None:
        """Tells the members how the run ended. Nothing depends on their answers."""
        step = pb.Finish(model=model, manifest_digest=manifest_digest, error_code=error_code)
        self._party.tell({"finish": step})

    def _round(self, number: int, algorithm: Algorithm, state: bytes, transform: Transform) -> bytes:
        done = self._steps.train(number, algorithm, state, transform)
        self._store.keep(number, done.state)
        facts = {
            "members": list(done.members),
            "evaluated_round": number - 1,
            **done.metrics.as_facts(),
            "epsilon": dict(self._party.epsilon),
            "rows": self._party.rows(done.rows),
        }
        self._party.record(EventType.ROUND_AGGREGATED, facts, number)
        return done.state

    def _evaluate(self, rounds: int, state: bytes, transform: Transform) -> tuple[Metrics, int]:
        metrics = self._steps.evaluate(state, transform)
        facts = {
            "evaluated_round": rounds,
            **metrics.as_facts(),
            "epsilon": dict(self._party.epsilon),
        }
        return metrics, self._party.record(EventType.RUN_EVALUATED, facts)


def _require_supported(agreement: Agreement) -> None:
    """What people agreed on is done or refused, never left out without a word."""
    training = agreement.training
    if training.targets or training.patience or training.adaptive_step:
        raise TrainingError("run.unsupported", "further targets, patience, or an adaptive step")
