"""The rounds of one run: ask, check, aggregate, record.

This is the whole protocol of a horizontal run as the coordinator sees it. It does no I/O of its own: the
transport carries bytes, the journal makes entries durable, the store keeps the weights. Members that do
not answer in time, refuse or send what does not check leave the run, and so does a member whose result is
not what it has stated before in the shared log (P32). When fewer than the agreement's minimum are left, the
run ends, because an aggregate of one member would be that member's update (P17).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import Event, EventType
from hanse.crypto import SigningKey, VerifierKey, sha256_hex
from hanse.errors import CATALOGUE, HanseError, ProtocolError, TrainingError
from hanse.learning import (
    Transform,
    Update,
    aggregate,
    check_update,
    initial_weights,
    rare_below,
    weights_from_bytes,
    weights_to_bytes,
)
from hanse.policies import Agreement, SignedAgreement, Training
from hanse.server.checks import check_figures, check_stated
from hanse.server.evaluation import Metrics, evaluate
from hanse.server.statements import Statements, Step
from hanse.server.transport import Transport
from hanse.server.wire import PROTOCOL, open_reply, sign_command

Vector = npt.NDArray[np.float32]
Replies = Mapping[str, pb.Reply]

GATHER_TIMEOUT_S = 60.0


class Journal(Protocol):
    """Where a run's steps become durable before they have an effect."""

    def record(self, event: Event, facts: Mapping[str, Any]) -> int:
        """Appends to the shared log, then tells those who watch the run; returns the entry's index."""
        ...


class WeightStore(Protocol):
    """Where the global weights of each round are kept."""

    def keep(self, round_number: int, weights: Vector) -> None:
        """Stores the weights after a round (0: before the first); atomic."""
        ...


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run is about.

    Attributes:
        run: Run identifier.
        signed: The opened agreement.
        note: Its exact bytes with signatures; members check them themselves.
    """

    run: str
    signed: SignedAgreement
    note: bytes

    @property
    def agreement(self) -> Agreement:
        """The agreement's terms."""
        return self.signed.agreement


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
    """Conducts one run; see the module docstring."""

    def __init__(
        self,
        context: RunContext,
        transport: Transport,
        key: SigningKey,
        journal: Journal,
        store: WeightStore,
        statements: Statements,
    ) -> None:
        self._context = context
        self._agreement = context.agreement
        self._transport = transport
        self._key = key
        self._journal = journal
        self._store = store
        self._statements = statements
        self._active = frozenset(member.name for member in self._agreement.members)
        self._verifiers = {m.name: VerifierKey.decode(m.node_key) for m in self._agreement.members}
        self._sequence = 0
        self._epsilon: dict[str, float] = {}
        self._cell_counts: tuple[float, ...] = ()

    def conduct(self) -> Outcome:
        """Runs all rounds.

        Raises:
            TrainingError: ``run.insufficient-members`` when too few members are left, ``run.unsupported``
                when the agreement asks for what these rounds do not do.
            AuditError: The journal cannot be written; the run stops.
        """
        _require_supported(self._agreement.training)
        self._gather()
        transform = self._prepare()
        weights = initial_weights(
            self._agreement.training, transform.n_features, self._public_rng(), transform.groups
        )
        self._store.keep(0, weights)
        for number in range(1, self._agreement.training.rounds + 1):
            weights = self._round(number, weights, transform)
        metrics, last_entry = self._evaluate(weights, transform)
        return Outcome(
            weights,
            transform,
            metrics,
            dict(self._epsilon),
            tuple(sorted(self._active)),
            self._cell_counts,
            last_entry,
        )

    def finish(self, model: str, manifest_digest: str, error_code: str) -> None:
        """Tells the members how the run ended. Nothing depends on their answers."""
        self._statements.expect(None)
        if self._active:
            step = pb.Finish(model=model, manifest_digest=manifest_digest, error_code=error_code)
            commands = self._commands(lambda: {"finish": step})
            self._transport.exchange(self._signed(commands), self._agreement.training.round_timeout_s)

    def _gather(self) -> None:
        self._record(EventType.RUN_STARTED, {"members": sorted(self._active)})
        present = self._transport.wait_for(self._active, GATHER_TIMEOUT_S)
        for member in sorted(self._active - present):
            self._lose(member, "run.insufficient-members", "not connected")
        self._keep(present)

    def _prepare(self) -> Transform:
        """Lets every member check the agreement, and fits the preprocessing on their summed counts."""
        replies = self._ask(lambda: {"prepare": pb.Prepare(agreement=self._context.note)}, "prepared")
        counts = [np.asarray(reply.prepared.cell_counts, dtype=np.float64) for reply in replies.values()]
        noise_stds = [reply.prepared.noise_std for reply in replies.values()]
        rare = rare_below(self._agreement.cohort.suppress_below, noise_stds)
        total = np.sum(counts, axis=0)
        transform = Transform.fit(self._agreement.columns, total, rare)
        # Sums of exact counts are kept nowhere: of two members, each could subtract its own.
        self._cell_counts = tuple(total.tolist()) if self._agreement.privacy and min(noise_stds) > 0 else ()
        planned = {member: reply.prepared.planned_epsilon for member, reply in replies.items()}
        self._record(
            EventType.RUN_PREPARED,
            {
                "members": sorted(replies),
                "features": transform.n_features,
                "planned_epsilon": planned,
                "rows": self._rows(
                    {m: (r.prepared.training, r.prepared.holdout) for m, r in replies.items()}
                ),
            },
        )
        return transform

    def _public_rng(self) -> np.random.Generator:
        """Draws the start of a network from the run's public name: no secret, the same for all to check."""
        return np.random.default_rng(int(sha256_hex(self._context.run.encode())[:16], 16))

    def _round(self, number: int, weights: Vector, transform: Transform) -> Vector:
        step = pb.Train(round=number, weights=weights_to_bytes(weights), transform=transform.to_json())
        replies = self._ask(lambda: {"train": step}, "trained", number)
        updates = self._updates(replies, weights.size, number)
        updated = aggregate(weights, updates, self._agreement.cohort.minimum_members)
        self._epsilon.update({m: r.trained.epsilon for m, r in replies.items() if self._agreement.privacy})
        metrics = evaluate([reply.trained.histogram for reply in replies.values()])
        self._store.keep(number, updated)
        self._record(
            EventType.ROUND_AGGREGATED,
            {
                "members": sorted(update.member for update in updates),
                "evaluated_round": number - 1,
                **metrics.as_facts(),
                "epsilon": dict(self._epsilon),
                "rows": self._rows({m: (r.trained.training, r.trained.holdout) for m, r in replies.items()}),
            },
            number,
        )
        return updated

    def _rows(self, parts: Mapping[str, tuple[pb.AdmittedRows, pb.AdmittedRows]]) -> dict[str, Any]:
        """What members tell of their training and held-out rows; counts that are too small are not told."""
        names = [column.name for column in self._agreement.columns]
        return {
            member: {
                "training": training.rows,
                "holdout": holdout.rows,
                "considered": training.considered,
                "excluded_by_rule": dict(training.excluded_by_rule),
                "hidden_by_rule": dict(training.hidden_by_rule),
                "hidden_by_column": {names[at]: n for at, n in sorted(training.hidden_by_column.items())},
            }
            for member, (training, holdout) in parts.items()
        }

    def _updates(self, replies: Replies, size: int, number: int) -> list[Update]:
        """The updates that check; a member whose update does not check leaves the run."""
        updates = []
        for member, reply in replies.items():
            try:
                update = Update(member, weights_from_bytes(reply.trained.delta), reply.trained.training.rows)
                check_update(update, size, self._agreement.training.max_update_norm)
            except HanseError as error:
                self._lose(member, error.code, "update", number)
            else:
                updates.append(update)
        self._keep(frozenset(update.member for update in updates))
        return updates

    def _evaluate(self, weights: Vector, transform: Transform) -> tuple[Metrics, int]:
        step = pb.Evaluate(weights=weights_to_bytes(weights), transform=transform.to_json())
        replies = self._ask(lambda: {"evaluate": step}, "evaluated")
        metrics = evaluate([reply.evaluated.histogram for reply in replies.values()])
        self._epsilon.update({m: r.evaluated.epsilon for m, r in replies.items() if self._agreement.privacy})
        facts = {"evaluated_round": self._agreement.training.rounds, **metrics.as_facts()}
        return metrics, self._record(EventType.RUN_EVALUATED, {**facts, "epsilon": dict(self._epsilon)})

    def _ask(
        self, step: Callable[[], dict[str, Any]], expected: str, number: int | None = None
    ) -> dict[str, pb.Reply]:
        """Sends one step to every active member and returns the replies that check."""
        commands = self._commands(step)
        self._statements.expect(
            Step(self._context.run, self._context.signed, expected, number, frozenset(commands))
        )
        replies = self._transport.exchange(self._signed(commands), self._agreement.training.round_timeout_s)
        opened: dict[str, pb.Reply] = {}
        for member, command in commands.items():
            try:
                if member not in replies.bodies:
                    raise TrainingError("run.insufficient-members", replies.failures.get(member, "silent"))
                opened[member] = self._open(replies.bodies[member], command, expected)
            except HanseError as error:
                refused = error.code == "run.member-refused"
                code = error.detail if refused else error.code
                self._lose(member, code, expected, number, None if refused else error.rule)
        self._keep(frozenset(opened))
        return opened

    def _open(self, body: bytes, command: pb.Command, expected: str) -> pb.Reply:
        reply = open_reply(body, command, self._verifiers[command.member])
        outcome = reply.WhichOneof("outcome")
        if outcome == "refused":
            raise TrainingError(
                "run.member-refused", _known(reply.refused.code), rule=reply.refused.rule or None
            )
        if outcome != expected:
            raise ProtocolError("protocol.unexpected-step", f"{outcome} instead of {expected}")
        check_figures(reply, self._agreement)
        check_stated(reply, self._statements.taken(command.member))
        return reply

    def _commands(self, step: Callable[[], dict[str, Any]]) -> dict[str, pb.Command]:
        self._sequence += 1
        return {
            member: pb.Command(
                protocol=PROTOCOL,
                agreement_digest=self._context.signed.digest,
                run=self._context.run,
                member=member,
                sequence=self._sequence,
                **step(),
            )
            for member in sorted(self._active)
        }

    def _signed(self, commands: Mapping[str, pb.Command]) -> dict[str, bytes]:
        return {member: sign_command(command, self._key) for member, command in commands.items()}

    def _keep(self, members: frozenset[str]) -> None:
        """Goes on with these members, if they are enough."""
        self._active = members
        minimum = self._agreement.cohort.minimum_members
        if len(members) < minimum:
            raise TrainingError(
                "run.insufficient-members",
                f"{len(members)} of at least {minimum} members are left",
                rule="P17",
            )

    def _lose(
        self, member: str, code: str, what: str, number: int | None = None, rule: str | None = None
    ) -> None:
        reasons = (code, rule) if rule else (code,)
        event = self._event(EventType.MEMBER_LEFT, number, reasons).model_copy(update={"peer": member})
        self._journal.record(event, {"member": member, "code": code, "step": what})

    def _record(
        self,
        kind: EventType,
        facts: Mapping[str, Any],
        number: int | None = None,
        reasons: tuple[str, ...] = (),
    ) -> int:
        return self._journal.record(self._event(kind, number, reasons), facts)

    def _event(self, kind: EventType, number: int | None, reasons: tuple[str, ...]) -> Event:
        return Event(
            type=kind,
            agreement=self._context.signed.digest,
            run=self._context.run,
            round=number,
            purpose=self._agreement.purpose,
            reasons=reasons,
        )


def _require_supported(training: Training) -> None:
    """What people agreed on is done or refused, never left out without a word."""
    if training.targets or training.patience or training.adaptive_step:
        raise TrainingError("run.unsupported", "further targets, patience, or an adaptive step")


def _known(code: str) -> str:
    """A code that a member stated, if it is one: what others state does not go into our log as it is."""
    return code if code in CATALOGUE else "run.member-refused"
