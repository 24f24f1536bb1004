"""The members of one run as the coordinator reaches them: who is left, what they are asked, who is lost.

It does no I/O of its own: the transport carries bytes, the journal makes entries durable. Members that do
not answer in time, refuse or send what does not check leave the run, and so does a member whose result is not
what it has stated before in the shared log (P32). When fewer than the agreement's minimum are left, the run
ends, because an aggregate of one member would be that member's update (P17).
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import Event, EventType
from hanse.crypto import SigningKey, VerifierKey
from hanse.errors import CATALOGUE, HanseError, ProtocolError, TrainingError
from hanse.learning.robustness import Finding
from hanse.learning.vertical.runs.resuming import MAY_GO_ON
from hanse.policies import Agreement, SignedAgreement, Training, Trial, trainings_of, tried
from hanse.server.checks import check_figures, check_stated
from hanse.server.statements import Statements, Step
from hanse.server.transport import Pending, Transport
from hanse.server.wire import PROTOCOL, open_reply, sign_command

GATHER_TIMEOUT_S = 60.0

MOST_RETURNS: Final = 3
"""How often a member is asked again for one step."""

ATTEMPT_BITS: Final = 16
"""Numbers of one attempt at a run: of its commands, and of its epochs."""

Parts: TypeAlias = Mapping[str, tuple[pb.AdmittedRows, pb.AdmittedRows]]
"""Training and held-out rows, by member."""


class Journal(Protocol):
    """Where a run's steps become durable before they have an effect."""

    def record(self, event: Event, facts: Mapping[str, Any]) -> int:
        """Appends to the shared log, then tells those who watch the run; returns the entry's index."""
        ...

    def cancelled(self) -> bool:
        """Whether the run was asked to end."""
        ...


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run is about.

    Attributes:
        run: Run identifier.
        signed: The opened agreement.
        note: Its exact bytes with signatures; members check them themselves.
        trial: Which trial of a sweep the run is; None for a run by itself.
    """

    run: str
    signed: SignedAgreement
    note: bytes
    trial: Trial | None = None

    @property
    def agreement(self) -> Agreement:
        """The agreement's terms; in a trial, with the training that is tried."""
        return tried(self.signed, self.trial).agreement

    @property
    def trainings(self) -> tuple[Training, ...]:
        """Of the run, or of all trials of its sweep."""
        if self.trial is None:
            return (self.signed.agreement.training,)
        return trainings_of(self.signed, self.trial.of)

    @property
    def prepare(self) -> pb.Prepare:
        """What members are told of it first."""
        if self.trial is None:
            return pb.Prepare(agreement=self.note)
        trial = pb.Trial(sweep=self.trial.sweep, number=self.trial.number, of=self.trial.of)
        return pb.Prepare(agreement=self.note, trial=trial)

    @property
    def facts(self) -> dict[str, Any]:
        """What those who watch are told of it."""
        if self.trial is None:
            return {}
        return {"trial": {"sweep": self.trial.sweep, "number": self.trial.number, "of": self.trial.of}}


@dataclass(frozen=True, slots=True)
class Asked:
    """A step that the members were asked for.

    Attributes:
        step: What for: field of the command and its message.
        commands: By member.
        expected: What a reply must hold.
        round: The round; None outside of rounds.
        pending: The replies to come.
    """

    step: Mapping[str, Any]
    commands: Mapping[str, pb.Command]
    expected: str
    round: int | None
    pending: Pending


@dataclass(frozen=True, slots=True)
class LeftOff:
    """Who is in a run that goes on in another process.

    Attributes:
        active: Who is still in it.
        late: Who was not there when it began, and has not come since.
        found_out: How many members left because of their updates.
    """

    active: frozenset[str]
    late: frozenset[str] = frozenset()
    found_out: int = 0


@dataclass(frozen=True, slots=True)
class Gone:
    """Why a process resumes its own run.

    Attributes:
        member: Who was gone.
        asked: What all were asked for then.
        stated: Name of that step in the members' statements.
    """

    member: str
    asked: "Asked"
    stated: str


class Party:
    """See the module docstring.

    Args:
        context: What the run is about.
        transport: Carries commands and replies.
        key: Signs commands.
        journal: Records what happens.
        statements: What members state of their steps.

    Attributes:
        context: As given.
        agreement: Its agreement.
        active: Who is still in the run.
        verifiers: Everybody's node key, from the agreement.
        fewest: How many members must be left; a way of making steps may need more than the agreement does.
        epsilon: What each member has told that it has spent; empty without a privacy budget.
        attempt: How often the run was resumed.
        late: Who was not there when the run began, and has not come since.
        found_out: How many members left because of their updates.
    """

    def __init__(
        self,
        context: RunContext,
        transport: Transport,
        key: SigningKey,
        journal: Journal,
        statements: Statements,
    ) -> None:
        self.context = context
        self.agreement = context.agreement
        self.active = frozenset(member.name for member in self.agreement.members)
        self.verifiers = {m.name: VerifierKey.decode(m.node_key) for m in self.agreement.members}
        self.fewest = self.agreement.cohort.minimum_members
        self.epsilon: dict[str, float] = {}
        self.attempt = 0
        self.late = frozenset[str]()
        self.found_out = 0
        self._transport = transport
        self._key = key
        self._journal = journal
        self._statements = statements
        self._sequence = 0

    def gather(self) -> None:
        """Waits for the members to be connected, and goes on without those that are not."""
        self.record(EventType.RUN_STARTED, {"members": sorted(self.active), **self.context.facts})
        self.late = self._await_all("run.absent")

    def rejoin(
        self,
        attempt: int,
        left_off: "LeftOff",
        epsilon: Mapping[str, float],
        wait_s: float = GATHER_TIMEOUT_S,
        gone: "Gone | None" = None,
    ) -> None:
        """Goes on with a run of an earlier process: waits for those who were in it.

        What is numbered goes on above everything that was sent before, of which nobody knows here.

        Args:
            attempt: How often the run was resumed, this time included.
            left_off: Who is still in the run.
            epsilon: What members have told that they have spent.
            wait_s: How long to wait for members.
            gone: Who was gone, where that is why this process resumes its own run: all answers to what was
                under way are waited for, so that none of them is taken for one of the next attempt.

        Raises:
            TrainingError: ``run.insufficient-members`` if somebody is not there in time, or has ended its
                part meanwhile for another reason than that somebody was gone; ``run.cancelled``.
        """
        self.attempt = attempt
        self.active, self.late = left_off.active, left_off.late
        self.found_out = left_off.found_out
        self.epsilon = dict(epsilon)
        self._sequence = attempt << ATTEMPT_BITS
        why = {} if gone is None else {"gone": gone.member, "wait_s": wait_s}
        self.record(EventType.RUN_RESUMED, {"attempt": attempt, "members": sorted(self.active), **why})
        if gone is not None:
            self._require_none_refused(gone, wait_s)
            self.require_wanted()
        self._await_all("run.insufficient-members", wait_s)

    def _require_none_refused(self, gone: Gone, wait_s: float) -> None:
        """Who found something wrong meanwhile has kept nothing to go on from, and is why the run ends."""
        for member, body in sorted(gone.asked.pending.collect(wait_s).bodies.items()):
            try:
                self.open(body, gone.asked.commands[member], gone.asked.expected)
            except HanseError as error:
                if error.code != "run.member-refused" or error.detail not in MAY_GO_ON:
                    self.lose_for(member, error, gone.stated, gone.asked.round)
        self.require_enough()

    def _await_all(self, code: str, wait_s: float = GATHER_TIMEOUT_S) -> frozenset[str]:
        """Who is not there, and has left the run therefore."""
        absent = self.active - self._transport.wait_for(self.active, wait_s)
        for member in sorted(absent):
            self.lose(member, code, "not connected")
        self.require_enough()
        return absent

    def latecomers(self) -> frozenset[str]:
        """Who is there by now of those who were not when the run began; each of them is told of once."""
        come = self._transport.wait_for(self.late, 0.0) if self.late else frozenset[str]()
        self.late -= come
        return come

    def take_in(self, members: frozenset[str], step: Mapping[str, Any], expected: str) -> None:
        """Lets members that came late do the preparation; who does it takes part from then on.

        Args:
            members: Who.
            step: The preparation.
            expected: Field of the reply.
        """
        self.active |= members
        replies = self.collect(self.begin(step, expected, expected, members=members))
        for member in sorted(replies):
            event = self._event(EventType.MEMBER_JOINED, None, ()).model_copy(update={"peer": member})
            self._journal.record(event, {"member": member})

    def begin(
        self,
        step: Mapping[str, Any],
        expected: str,
        stated: str,
        number: int | None = None,
        members: frozenset[str] | None = None,
    ) -> Asked:
        """Sends one step to every member and returns.

        Args:
            step: Field of the command and its message.
            expected: Field of the reply.
            stated: Name of the step in the members' statements.
            number: The round.
            members: Only to these.
        """
        commands = self._commands(step, self.active if members is None else members)
        members = frozenset(commands)
        self._statements.expect(Step(self.context.run, self.context.signed, stated, number, members))
        return Asked(step, commands, expected, number, self._transport.begin(self._signed(commands)))

    def ask(self, step: Mapping[str, Any], expected: str, number: int | None = None) -> dict[str, pb.Reply]:
        """Sends one step to every member and returns the replies that check; arguments as :meth:`begin`."""
        return self.collect(self.begin(step, expected, expected, number))

    def collect(self, asked: Asked) -> dict[str, pb.Reply]:
        """The replies of the members that are still in the run; whose does not check leaves it.

        A member whose node was restarted meanwhile is asked again, as long as the time of the step lasts.
        """
        deadline_s = time.monotonic() + self.agreement.training.round_timeout_s
        commands, bodies, failures = dict(asked.commands), dict[str, bytes](), dict[str, str]()
        pending = asked.pending
        for _ in range(MOST_RETURNS + 1):
            replies = pending.collect(max(0.0, deadline_s - time.monotonic()))
            bodies |= replies.bodies
            failures |= replies.failures
            back = self._back(asked, frozenset(replies.failures), deadline_s)
            if not back:
                break
            again = self._commands(asked.step, back)
            self._statements.again(back)
            commands |= again
            pending = self._transport.begin(self._signed(again))
        opened: dict[str, pb.Reply] = {}
        for member in sorted(self.active & set(commands)):
            try:
                if member not in bodies:
                    raise TrainingError("run.insufficient-members", failures.get(member, "silent"))
                opened[member] = self.open(bodies[member], commands[member], asked.expected)
            except HanseError as error:
                self.lose_for(member, error, asked.expected, asked.round)
        self.require_enough()
        return opened

    def _back(self, asked: Asked, gone: frozenset[str], deadline_s: float) -> frozenset[str]:
        """Who of those that are gone is there again, and may be asked again; the log says so."""
        # In a phase, a member that was gone would be asked for its part of sums that others may have opened.
        wanted = not self._journal.cancelled() and asked.expected != "phased"
        absent = gone & self.active if wanted else frozenset[str]()
        if not absent:
            return absent
        back = self._transport.wait_for(absent, max(0.0, deadline_s - time.monotonic()))
        for member in sorted(back):
            event = self._event(EventType.MEMBER_RETURNED, asked.round, ())
            named = event.model_copy(update={"peer": member})
            self._journal.record(named, {"member": member, "step": asked.expected})
        return back

    def open(self, body: bytes, command: pb.Command, expected: str) -> pb.Reply:
        """Opens a reply and checks all of it.

        Raises:
            HanseError: It does not check; ``run.member-refused`` with the member's code as detail.
        """
        reply = open_reply(body, command, self.verifiers[command.member])
        outcome = reply.WhichOneof("outcome")
        if outcome == "refused":
            code = known(reply.refused.code)
            raise TrainingError("run.member-refused", code, rule=reply.refused.rule or None)
        if outcome != expected:
            raise ProtocolError("protocol.unexpected-step", f"{outcome} instead of {expected}")
        check_figures(reply, self.agreement)
        if expected != "phased":  # of a phase, that was checked before anything was taken
            check_stated(reply, self.stated(command.member))
        return reply

    def stated(self, member: str) -> Event | None:
        """What a member has stated of the step that goes on."""
        return self._statements.taken(member)

    def tell(self, step: Mapping[str, Any]) -> None:
        """Sends a step that nothing depends on; waits for the answers all the same, but not for long."""
        self._statements.expect(None)
        if self.active:
            pending = self._transport.begin(self._signed(self._commands(step, self.active)))
            pending.collect(self.agreement.training.round_timeout_s)

    def lose_for(self, member: str, error: HanseError, what: str, number: int | None) -> None:
        """A member leaves the run because of an error: its own refusal, or what we found."""
        refused = error.code == "run.member-refused"
        code = error.detail if refused else known(error.code)
        self.lose(member, code, what, number, None if refused else error.rule)

    def lose(
        self, member: str, code: str, what: str, number: int | None = None, rule: str | None = None
    ) -> None:
        """A member leaves the run; the log says so first."""
        reasons = (code, rule) if rule else (code,)
        event = self._event(EventType.MEMBER_LEFT, number, reasons).model_copy(update={"peer": member})
        self._journal.record(event, {"member": member, "code": code, "step": what})
        self.active -= {member}

    def found(self, finding: Finding) -> None:
        """An update is not taken as it is; the log names its member and what was found, not the update."""
        event = self._event(EventType.UPDATE_SCREENED, finding.round, ())
        named = event.model_copy(update={"peer": finding.members[0], "detail": finding.kind})
        self._journal.record(named, finding.model_dump(mode="json"))

    def require_enough(self) -> None:
        """Ends a run that too few members are left for.

        Raises:
            TrainingError: ``run.insufficient-members`` (P17).
        """
        if len(self.active) < self.fewest:
            raise TrainingError(
                "run.insufficient-members",
                f"{len(self.active)} of at least {self.fewest} members are left",
                rule="P17",
            )

    def require_wanted(self) -> None:
        """Ends a run that somebody has cancelled.

        Raises:
            TrainingError: ``run.cancelled``.
        """
        if self._journal.cancelled():
            raise TrainingError("run.cancelled", "asked to end")

    def record(
        self,
        kind: EventType,
        facts: Mapping[str, Any],
        number: int | None = None,
        state: str | None = None,
        since: str | None = None,
    ) -> int:
        """Makes a step durable; returns the index of its entry.

        Args:
            kind: What happened.
            facts: For those who watch.
            number: The round.
            state: Digest of what was learned so far.
            since: Digest of what an interrupted step went on from.
        """
        event = self._event(kind, number, ()).model_copy(update={"model_in": since, "model_out": state})
        return self._journal.record(event, facts)

    def spent(self, told: Mapping[str, float]) -> dict[str, float]:
        """Notes the epsilon that members have told, if there is a budget; returns everybody's so far."""
        if self.agreement.privacy:
            self.epsilon.update(told)
        return dict(self.epsilon)

    def rows(self, parts: Parts) -> dict[str, Any]:
        """What members tell of their training and held-out rows; counts that are too small are not told."""
        names = [column.name for column in self.agreement.columns]
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

    def _commands(self, step: Mapping[str, Any], members: Collection[str]) -> dict[str, pb.Command]:
        self._sequence += 1
        return {
            member: pb.Command(
                protocol=PROTOCOL,
                agreement_digest=self.context.signed.digest,
                run=self.context.run,
                member=member,
                sequence=self._sequence,
                **step,
            )
            for member in sorted(members)
        }

    def _signed(self, commands: Mapping[str, pb.Command]) -> dict[str, bytes]:
        return {member: sign_command(command, self._key) for member, command in commands.items()}

    def _event(self, kind: EventType, number: int | None, reasons: tuple[str, ...]) -> Event:
        return Event(
            type=kind,
            agreement=self.context.signed.digest,
            run=self.context.run,
            round=number,
            purpose=self.agreement.purpose,
            reasons=reasons,
        )


def known(code: str) -> str:
    """A code that a member stated, if it is one: what others state does not go into our log as it is."""
    return code if code in CATALOGUE else "run.member-refused"
