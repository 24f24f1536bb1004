"""The rounds of one run: prepare, train, evaluate, record.

This is the whole protocol of a horizontal run as the coordinator sees it. It does no I/O of its own. How a
step is made is for :mod:`hanse.server.phases`, where the coordinator learns sums over the members alone, and
:mod:`hanse.server.individual`, where each of them sends its own figures; the agreement decides. Who is asked,
and who is lost, is for :mod:`hanse.server.party`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import EventType
from hanse.crypto import SigningKey, sha256_hex
from hanse.errors import TrainingError
from hanse.learning import Transform, initial_weights
from hanse.policies import Agreement
from hanse.server.evaluation import Metrics
from hanse.server.individual import IndividualSteps
from hanse.server.party import Journal, Party, RunContext
from hanse.server.phases import SecureSteps, Sessions
from hanse.server.statements import Statements
from hanse.server.steps import Steps, Vector
from hanse.server.transport import Transport


class WeightStore(Protocol):
    """Where the global weights of each round are kept."""

    def keep(self, round_number: int, weights: Vector) -> None:
        """Stores the weights after a round (0: before the first); atomic."""
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
        weights: Final weights.
        transform: The fitted preprocessing.
        metrics: Federated evaluation of the final weights.
        epsilon: Epsilon spent per member; empty when the agreement has no privacy budget.
        members: Members whose updates are in the final weights.
        cell_counts: Rows per cell over all members, with each one's noise; empty without privacy.
        last_entry: Index of the last entry of the shared log about it.
    """

    weights: Vector
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
        store: Keeps its weights.
    """

    def __init__(
        self, context: RunContext, means: Means, key: SigningKey, journal: Journal, store: WeightStore
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
        weights = initial_weights(training, transform.n_features, self._public_rng(), transform.groups)
        self._store.keep(0, weights)
        for number in range(1, training.rounds + 1):
            weights = self._round(number, weights, transform)
        metrics, last_entry = self._evaluate(weights, transform)
        return Outcome(
            weights,
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

    def _public_rng(self) -> np.random.Generator:
        """Draws the start of a network from the run's public name: no secret, the same for all to check."""
        return np.random.default_rng(int(sha256_hex(self._party.context.run.encode())[:16], 16))

    def _round(self, number: int, weights: Vector, transform: Transform) -> Vector:
        done = self._steps.train(number, weights, transform)
        self._store.keep(number, done.weights)
        facts = {
            "members": list(done.members),
            "evaluated_round": number - 1,
            **done.metrics.as_facts(),
            "epsilon": dict(self._party.epsilon),
            "rows": self._party.rows(done.rows),
        }
        self._party.record(EventType.ROUND_AGGREGATED, facts, number)
        return done.weights

    def _evaluate(self, weights: Vector, transform: Transform) -> tuple[Metrics, int]:
        metrics = self._steps.evaluate(weights, transform)
        facts = {
            "evaluated_round": self._party.agreement.training.rounds,
            **metrics.as_facts(),
            "epsilon": dict(self._party.epsilon),
        }
        return metrics, self._party.record(EventType.RUN_EVALUATED, facts)


def _require_supported(agreement: Agreement) -> None:
    """What people agreed on is done or refused, never left out without a word."""
    training = agreement.training
    if training.targets or training.patience or training.adaptive_step:
        raise TrainingError("run.unsupported", "further targets, patience, or an adaptive step")
