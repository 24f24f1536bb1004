"""The rounds of one run: prepare, train, evaluate, record; or the rest of them, if another process began.

This is the whole protocol of a horizontal run as the coordinator sees it. It does no I/O of its own. How a
step is made is for :mod:`hanse.server.phases`, where the coordinator learns sums over the members alone, for
:mod:`hanse.server.private`, where they share noise, and for :mod:`hanse.server.individual`, where each of
them sends its own figures; the agreement decides. Who is asked, and who is lost, is for
:mod:`hanse.server.party`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from hanse.api.v1 import round_pb2 as pb
from hanse.crypto import SigningKey, sha256_hex
from hanse.errors import TrainingError
from hanse.learning import Transform
from hanse.policies import Agreement
from hanse.server.algorithms import Algorithm, algorithm_of
from hanse.server.best import Best, better
from hanse.server.checkpoints import STEPS, Checkpoint, OpenedSums
from hanse.server.evaluation import Metrics
from hanse.server.individual import IndividualSteps
from hanse.server.party import Journal, LeftOff, Party, RunContext
from hanse.server.phases import SecureSteps, Sessions
from hanse.server.private import PrivateSteps
from hanse.server.statements import Statements
from hanse.server.steps import Account, Steps
from hanse.server.transport import Transport


class RunStore(Protocol):
    """Where a run keeps what another process needs to go on with it."""

    @property
    def opened(self) -> OpenedSums:
        """The sums of the step under way."""
        ...

    def keep(self, round_number: int, state: bytes) -> None:
        """Stores what was learned after a round (0: before the first); atomic and durable."""
        ...

    def state(self, round_number: int, digest: str) -> bytes:
        """What was kept of a round; raises ``run.interrupted`` if that is not there any more."""
        ...

    def save(self, checkpoint: Checkpoint) -> None:
        """Stores a checkpoint instead of the one before; atomic and durable."""
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
        average: Share of each feature among the records of all members; maybe empty.
        account: What it has cost the people in the data.
        last_entry: Index of the last entry of the shared log about it.
        rounds: Rounds that were done.
        kept: What the model is of, where the agreement has patience; None for the state of the last round.
    """

    model_file: bytes
    transform: Transform
    metrics: Metrics
    epsilon: Mapping[str, float]
    members: tuple[str, ...]
    cell_counts: tuple[float, ...]
    average: tuple[float, ...]
    account: Account
    last_entry: int
    rounds: int
    kept: Best | None


@dataclass(frozen=True, slots=True)
class Done:
    """How far a run has come.

    Attributes:
        checkpoint: What was done last.
        state: What was learned so far.
        entry: Index of the step's entry in the shared log; None if that is still to be written.
    """

    checkpoint: Checkpoint
    state: bytes
    entry: int | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """A run of an earlier process.

    Attributes:
        attempt: How often it was resumed, this time included.
        left_off: Who is still in it, and who is not.
        done: How far it has come; None if it was not prepared.
    """

    attempt: int
    left_off: LeftOff
    done: Done | None


class Rounds:
    """Conducts one run; see the module docstring.

    Args:
        context: What it is about.
        means: How it reaches its members.
        key: Signs commands.
        journal: Records its steps.
        store: Keeps what it has done.
    """

    def __init__(
        self, context: RunContext, means: Means, key: SigningKey, journal: Journal, store: RunStore
    ) -> None:
        self._party = Party(context, means.transport, key, journal, means.statements)
        self._store = store
        self._since_s = time.monotonic()
        self._steps = _steps_of(self._party, means.sessions, store.opened)

    def conduct(self, resumed: Resumed | None = None) -> Outcome:
        """Runs all rounds.

        Args:
            resumed: How far the run had come in an earlier process; None begins it.

        Raises:
            TrainingError: ``run.insufficient-members`` when too few members are left, ``run.unsupported``
                when the agreement asks for what these rounds do not do, ``run.cancelled``.
            AuditError: The journal cannot be written; the run stops.
        """
        party = self._party
        _require_supported(party.agreement)
        done = self._begin(resumed)
        checkpoint = done.checkpoint
        transform = Transform.from_json(checkpoint.transform.encode())
        algorithm = algorithm_of(party.agreement, transform, party.context.run)
        while checkpoint.step != "evaluated":
            if self._over(checkpoint.round, done.state, checkpoint.best, algorithm):
                done = self._evaluate(done, transform)
            else:
                done = self._round(done, checkpoint.round + 1, algorithm, transform)
            checkpoint = done.checkpoint
        kept = checkpoint.best
        state = done.state if kept is None else self._store.state(kept.round, kept.state)
        return Outcome(
            algorithm.model_file(state),
            transform,
            Metrics.from_facts(checkpoint.metrics, checkpoint.meaning),
            dict(party.epsilon),
            tuple(sorted(party.active)),
            checkpoint.cell_counts,
            checkpoint.average,
            self._steps.account(done.state),
            done.entry or 0,
            checkpoint.round,
            kept,
        )

    def _begin(self, resumed: Resumed | None) -> Done:
        """The preparation, or what an earlier process has left."""
        party = self._party
        if resumed is None:
            party.gather()
            self._since_s = time.monotonic()
            return self._prepare()
        done = resumed.done
        self._since_s = time.monotonic()
        party.rejoin(resumed.attempt, resumed.left_off, done.checkpoint.epsilon if done else {})
        if done is None:
            return self._prepare()
        return done if done.entry is not None else replace(done, entry=self._record(done.checkpoint))

    def _prepare(self) -> Done:
        party = self._party
        prepared = self._steps.prepare()
        transform = prepared.transform
        facts = {
            "members": sorted(prepared.rows),
            "features": transform.n_features,
            "planned_epsilon": dict(prepared.planned),
            "rows": party.rows(prepared.rows),
        }
        state = algorithm_of(party.agreement, transform, party.context.run, prepared.opening).start()
        checkpoint = Checkpoint(
            run=party.context.run,
            agreement=party.context.signed.digest,
            step="prepared",
            round=0,
            state=sha256_hex(state),
            transform=transform.to_json().decode(),
            cell_counts=prepared.cell_counts,
            average=prepared.average,
            epsilon=dict(party.epsilon),
            facts=facts,
        )
        return self._complete(checkpoint, state)

    def finish(self, model: str, manifest_digest: str, error_code: str) -> None:
        """Tells the members how the run ended. Nothing depends on their answers."""
        step = pb.Finish(model=model, manifest_digest=manifest_digest, error_code=error_code)
        self._party.tell({"finish": step})

    def _over(self, number: int, state: bytes, best: Best | None, algorithm: Algorithm) -> bool:
        """Whether there is no round after this one: it is the last, or no other would gain anything."""
        training = self._party.agreement.training
        if number == training.rounds or algorithm.finished(state):
            return True
        # The state of the last round is evaluated in the next one.
        return best is not None and best.over(training.patience, number - 1)

    def _round(self, done: Done, number: int, algorithm: Algorithm, transform: Transform) -> Done:
        learned = self._steps.train(number, algorithm, done.state, transform)
        metrics, meaning = learned.metrics.as_facts(), learned.metrics.meaning
        before = Best(round=number - 1, state=done.checkpoint.state, metrics=metrics, meaning=meaning)
        best = better(done.checkpoint.best, before, self._party.agreement.training.patience)
        facts = {
            "members": list(learned.members),
            "evaluated_round": number - 1,
            **metrics,
            "epsilon": dict(self._party.epsilon),
            "rows": self._party.rows(learned.rows),
            **({"shares": dict(learned.shares)} if learned.shares else {}),
            **({"best_round": best.round} if best else {}),
            "next": "evaluation" if self._over(number, learned.state, best, algorithm) else "round",
        }
        changed = {
            "step": "aggregated",
            "round": number,
            "state": sha256_hex(learned.state),
            "epsilon": dict(self._party.epsilon),
            "metrics": metrics,
            "meaning": meaning,
            "facts": facts,
            "best": best,
        }
        return self._complete(done.checkpoint.model_copy(update=changed), learned.state)

    def _evaluate(self, done: Done, transform: Transform) -> Done:
        """Evaluates the state of the last round, and keeps the best.

        No state is evaluated twice: from two sums, one of them without a member, its own would follow.
        """
        checkpoint = done.checkpoint
        evaluated = self._steps.evaluate(done.state, transform)
        metrics, meaning = evaluated.as_facts(), evaluated.meaning
        last = Best(round=checkpoint.round, state=checkpoint.state, metrics=metrics, meaning=meaning)
        kept = better(checkpoint.best, last, self._party.agreement.training.patience)
        facts = {
            "evaluated_round": checkpoint.round,
            **metrics,
            "epsilon": dict(self._party.epsilon),
            **({"kept_round": kept.round} if kept else {}),
        }
        changed = {
            "step": "evaluated",
            "epsilon": dict(self._party.epsilon),
            "metrics": kept.metrics if kept else metrics,
            "meaning": kept.meaning if kept else meaning,
            "facts": facts,
            "best": kept,
        }
        return self._complete(done.checkpoint.model_copy(update=changed), done.state)

    def _complete(self, checkpoint: Checkpoint, state: bytes) -> Done:
        """Makes a step durable here, and then in the shared log."""
        now_s = time.monotonic()
        took = {"seconds": round(now_s - self._since_s, 3)}
        checkpoint, self._since_s = checkpoint.model_copy(update={"facts": checkpoint.facts | took}), now_s
        self._store.keep(checkpoint.round, state)
        self._store.save(checkpoint)
        return Done(checkpoint, state, self._record(checkpoint))

    def _record(self, checkpoint: Checkpoint) -> int:
        entry = self._party.record(STEPS[checkpoint.step], checkpoint.facts, *checkpoint.recorded)
        self._store.opened.clear()
        return entry


def _steps_of(party: Party, sessions: Sessions, opened: OpenedSums) -> Steps:
    """How the members' figures come together, by the agreement."""
    if not party.agreement.secure_sums:
        return IndividualSteps(party)
    return (SecureSteps if party.agreement.privacy is None else PrivateSteps)(party, sessions, opened)


def _require_supported(agreement: Agreement) -> None:
    """What people agreed on is done or refused, never left out without a word."""
    training = agreement.training
    if training.targets or training.adaptive_step:
        raise TrainingError("run.unsupported", "further targets, or an adaptive step")
