"""The member's side of a run: open a command, check it against the site's own policy, do it, sign the reply.

The node trusts the identities that its operator enrolled, its own approver's signature, its own ledgers
and its own clock. What the coordinator says about the agreement is checked against the signatures in it;
what it says about anything else has no effect. Every refusal is in the site's log before it is answered, and
no result is answered before the site has stated in the shared log what it is over.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from hanse.aggregation import Scoped, work_digest
from hanse.api.v1 import round_pb2 as pb
from hanse.audit import AuditLog, Event, EventType, PrivacySpend
from hanse.audit.shared_runs import TRIAL
from hanse.client.algorithms import algorithm_of
from hanse.client.begun import open_run
from hanse.client.gate import Admitted
from hanse.client.kept import Answer, Kept, KeptTrial
from hanse.client.leaving import end_open_run
from hanse.client.own_audit import keep_own_audit
from hanse.client.parts import Logged, Part, Several
from hanse.client.planned_runs import PlannedRuns
from hanse.client.session import Session, SessionTools
from hanse.client.statements import Statements
from hanse.client.sums import Channel, MemberSums
from hanse.client.versions import AgreementBook
from hanse.client.vertical.member import Telling, VerticalMember
from hanse.client.vertical.parts import Parts
from hanse.client.wire import PROTOCOL, open_command, sign_reply
from hanse.crypto import SigningKey, VerifierKey, sha256_hex
from hanse.errors import HanseError, PolicyError, ProtocolError
from hanse.learning import Predicts, ScoreHistogram, Transform, weights_from_bytes, weights_to_bytes
from hanse.learning.shared_run import PrivateState
from hanse.policies import (
    Agreement,
    Identity,
    Policy,
    RulePack,
    SignedAgreement,
    Trial,
    applicable,
    merge,
    open_agreement,
    require_known,
    require_no_gap,
    suppress,
    tried,
)

_STATED: Final = {"prepare": "prepared", "train": "trained", "evaluate": "evaluated"}
"""Steps by the names of their messages, as statements name them."""

PATIENCE = 3
"""For so many times the agreement's round timeout the coordinator may be silent: others compute meanwhile."""

log = logging.getLogger("hanse.node")


@dataclass(frozen=True, slots=True)
class Site:
    """The member that the node works for.

    Attributes:
        name: Member name, as in agreements.
        key: Signs replies and the log.
        identity: The site's own public identity.
        trusted: Identities that the site enrolled, its own included, by name.
        coordinator: Key of the coordinator that the site enrolled.
        software_digest: Digest of the installed software.
        adopted: Reads the rule packs that the site has adopted.
        book: Which versions of agreements the site has accepted, and which have ended.
    """

    name: str
    key: SigningKey
    identity: Identity
    trusted: Mapping[str, Identity]
    coordinator: VerifierKey
    software_digest: str
    adopted: Callable[[], Sequence[RulePack]]
    book: AgreementBook


class Node:
    """Answers commands; one at a time, as the receive loop hands them in.

    Args:
        site: The member.
        tools: What a run works with.
        audit_log: The site's own log.
        statements: What is stated in the shared log.
        dial: Opens this member's session of a phase, by run and name of the session.
        clock: The current time, UTC.
    """

    def __init__(
        self,
        site: Site,
        tools: SessionTools,
        audit_log: AuditLog,
        statements: Statements,
        dial: Callable[[str, str], Channel],
        clock: Callable[[], datetime],
    ) -> None:
        self._site = site
        self._tools = tools
        self._log = audit_log
        self._statements = statements
        self._dial = dial
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._begun: set[str] = set()
        telling = Telling(audit_log.append, self._event, self._state, self._ready)
        self._vertical = VerticalMember(site.key, dial, Parts(tools.parts, site.key), telling, clock)

    def handle(self, data: bytes) -> bytes:
        """Answers one command: serialised ``SignedMessage`` in and out.

        Raises:
            HanseError: When the bytes are no valid command of the coordinator; there is nothing to sign then.
        """
        try:
            command = open_command(data, self._site.name, self._site.coordinator)
        except HanseError as error:
            self._log.append(Event(type=EventType.MESSAGE_REFUSED, decision="deny", reasons=(error.code,)))
            raise
        reply = pb.Reply(
            protocol=PROTOCOL,
            agreement_digest=command.agreement_digest,
            run=command.run,
            member=self._site.name,
            sequence=command.sequence,
        )
        try:
            self._attempt(command, reply)
        except HanseError as error:
            log.warning("refused: %s", error)
            if error.code == "run.left":
                self._leave(command.run)
            self._log.append(_refusal(command, error))
            reply.refused.CopyFrom(
                pb.Refused(code=error.code, public_message=error.public_message, rule=error.rule or "")
            )
        return sign_reply(reply, self._site.key)

    def bundle_refused(self, error: ProtocolError) -> None:
        """Logs that a run's bundle carried more than configuration."""
        self._log.append(Event(type=EventType.BUNDLE_REFUSED, decision="deny", reasons=(error.code,)))

    def _attempt(self, command: pb.Command, reply: pb.Reply) -> None:
        """Answers; a fault of ours is a refusal like any other, so that it is in the log as well."""
        try:
            self._answer(command, reply)
        except HanseError:
            raise
        except Exception as error:
            log.exception("a command failed")
            raise HanseError("internal.error", type(error).__name__) from error

    def _answer(self, command: pb.Command, reply: pb.Reply) -> None:
        step = command.WhichOneof("step")
        self._tools.left.require_in(command.run)
        begins = command.prepare if step == "prepare" else command.phase.prepare
        session = (
            self._begin(command, begins)
            if "prepare" in (step, command.phase.WhichOneof("work"))
            else self._session(command)
        )
        session.check_sequence(command.sequence)
        if step != "finish":  # a run that is over may end here, too
            self._statements.require_trusted()
            _check_way(session.signed.agreement, phased=step == "phase")
        if step == "finish":
            self._finish(session, command.finish)
            reply.finished.CopyFrom(pb.Finished())
        elif step == "phase":
            reply.phased.CopyFrom(self._phase(session, command.phase))
        else:
            reply.MergeFrom(pb.Reply.FromString(self._individual(session, command, str(step))))

    def _begin(self, command: pb.Command, prepare: pb.Prepare) -> Session:
        """Opens the agreement and holds it against everything this site knows."""
        known = self._known(command)
        if known is not None:
            return known
        if command.run in self._begun:
            raise ProtocolError("protocol.replayed", "the run is over")
        signed = open_agreement(prepare.agreement)
        if signed.digest != command.agreement_digest:
            raise PolicyError("policy.invalid", "the agreement is not the one that the command names")
        # Read once: what is adopted while a run goes on applies to the next one (P31).
        policy = merge(applicable(signed.agreement.packs, self._site.adopted()))
        self._check_agreement(signed, policy)
        note = prepare.agreement.decode()
        kept = Kept(run=command.run, note=note, policy=policy.digest, trial=_trial(command.run, prepare))
        session = self._make_session(signed, policy, kept)
        self._abandon_others(command.run, session.runs)
        self._begun.add(command.run)
        self._log.append(self._event(session, EventType.AGREEMENT_ACCEPTED, decision="permit"))
        self._site.book.accept(signed.agreement)
        self._sessions[command.run] = session
        return session

    def _make_session(
        self, signed: SignedAgreement, policy: Policy, kept: Kept, *, restored: bool = False
    ) -> Session:
        trial = None if kept.trial is None else Trial(**kept.trial.model_dump())
        return Session(
            kept.run,
            tried(signed, trial),
            policy,
            self._site.name,
            self._tools,
            kept,
            planned=PlannedRuns.of(kept.run, signed, trial),
            restored=restored,
        )

    def _known(self, command: pb.Command) -> Session | None:
        """The session of a run that goes on; None if there is none."""
        session = self._sessions.get(command.run) or self._restored(command.run)
        if session is not None and session.signed.digest != command.agreement_digest:
            raise ProtocolError("protocol.unexpected-step", "the run is under another agreement")
        return session

    def _restored(self, run: str) -> Session | None:
        """The session of a run that an earlier process of this node began."""
        kept = self._tools.kept.load()
        left = open_run(self._log) if kept is not None and kept.run == run else None
        if kept is None or left is None or left.run != run:
            return None
        signed = open_agreement(kept.note.encode())
        policy = merge(applicable(signed.agreement.packs, self._site.adopted()))
        if policy.digest != kept.policy:
            raise PolicyError("policy.denied", "other rules apply here than when the run began", rule="P31")
        self._check_agreement(signed, policy)
        session = self._make_session(signed, policy, kept, restored=True)
        if kept.done is not None:
            session.reserve()
        self._log.append(self._event(session, EventType.RUN_RESUMED))
        self._begun.add(run)
        self._sessions[run] = session
        return session

    def _abandon_others(self, run: str, planned: PlannedRuns) -> None:
        """Ends what is still open of earlier runs: there is one run at a time, so they are over."""
        self._sessions.clear()
        self._vertical.abandon_others(run)
        self._tools.ledger.close_abandoned(keep=planned.ahead)
        end_open_run(self._log, "run.interrupted", but=run)

    def _leave(self, run: str) -> None:
        """Ends a run that the site has left: what was reserved and never spent is free again."""
        session = self._sessions.pop(run, None)
        if session is not None:
            session.close()
        else:  # there is one run at a time, and it was begun by an earlier process if at all
            self._tools.ledger.close_abandoned(keep=tuple(self._sessions))
        self._vertical.leave(run)
        end_open_run(self._log, "run.left", only=run)

    def _check_agreement(self, signed: SignedAgreement, policy: Policy) -> None:
        agreement = signed.agreement
        require_known(agreement, self._site.trusted)
        if self._site.name not in {member.name for member in agreement.members}:
            raise PolicyError("policy.denied", "this site is no member of the agreement", rule="P20")
        if agreement.coordinator.key != self._site.coordinator.encode():
            raise PolicyError("policy.denied", "the agreement names another coordinator key", rule="P20")
        self._site.book.check(agreement)
        require_no_gap(agreement, policy, self._clock())
        if agreement.software.digest != self._site.software_digest:
            raise PolicyError(
                "policy.software",
                f"the agreement names version {agreement.software.version}, not with the installed digest",
                rule="P20",
            )

    def _session(self, command: pb.Command) -> Session:
        session = self._known(command)
        if session is None:
            raise ProtocolError("protocol.unexpected-step", "no such run here")
        # A long run must not outlive its agreement. Another version that was accepted meanwhile is for the
        # next run: this one goes on under the one that it began with (P31).
        self._site.book.require_running(session.signed.agreement)
        require_no_gap(session.signed.agreement, session.policy, self._clock())
        return session

    def _plan(self, session: Session) -> float:
        planned = session.reserve()
        self._log.append(
            self._event(session, EventType.BUDGET_PLANNED, privacy=self._spend(session, planned))
        )
        return planned

    def _individual(self, session: Session, command: pb.Command, step: str) -> bytes:
        """Answers a step with figures of this member alone; with the same ones if it is asked again."""
        work = getattr(command, step)
        number = command.train.round if step == "train" else None
        if step != "prepare":
            _model(session, work.state, work.transform)  # what is none is no step
        late = session.comes_late(number)
        again = self._take(session, step, work, number)
        if late:
            self._log.append(self._event(session, EventType.MEMBER_JOINED, round=number))
        answer = session.kept.answer if again else None
        if answer is None:
            admitted, outcome = self._compute(session, command, step)
            answer = Answer.of(admitted.event, outcome.SerializeToString())
            # Before it leaves: what is not kept has not left.
            session.finished(answer)
        self._tools.left.require_in(session.run)
        self._state(_STATED[step], session, answer.admitted)
        return answer.outcome

    def _take(self, session: Session, step: str, work: Any, number: int | None) -> bool:  # noqa: ANN401 - any message
        """Begins a step; the log says so if it is one that was interrupted."""
        again = session.take(step, number, work_digest(step, work.SerializeToString(deterministic=True)))
        if again:
            self._log.append(self._event(session, EventType.RUN_RESUMED, round=number))
        return again

    def _compute(self, session: Session, command: pb.Command, step: str) -> tuple[Admitted, pb.Reply]:
        if step == "prepare":
            admitted, prepared = self._prepare(session)
            return admitted, pb.Reply(prepared=prepared)
        if step == "train":
            admitted, trained = self._train(session, command.train)
            return admitted, pb.Reply(trained=trained)
        admitted, evaluated = self._evaluate(session, command.evaluate)
        return admitted, pb.Reply(evaluated=evaluated)

    def _prepare(self, session: Session) -> tuple[Admitted, pb.Prepared]:
        planned = self._plan(session)
        admitted = session.admit(0)
        counts, noise_std = session.count(admitted.training)
        self._log.append(self._event(session, EventType.RUN_PREPARED, privacy=self._spend(session)))
        return admitted, pb.Prepared(
            training=self._rows(session, admitted, training=True),
            holdout=self._rows(session, admitted, training=False),
            cell_counts=counts.tolist(),
            noise_std=noise_std,
            planned_epsilon=planned,
        )

    def _train(self, session: Session, step: pb.Train) -> tuple[Admitted, pb.Trained]:
        predictor, transform = _model(session, step.state, step.transform)
        admitted = session.admit(step.round)
        histogram = session.histogram(predictor, transform, admitted.holdout)
        weights = weights_from_bytes(step.state)
        delta = session.train(step.round, weights, transform, admitted.training)
        body = weights_to_bytes(delta)
        self._log.append(
            self._event(
                session,
                EventType.ROUND_TRAINED,
                round=step.round,
                rows_used=admitted.training.rows + admitted.holdout.rows,
                model_in=sha256_hex(step.state),
                model_out=sha256_hex(body),
                privacy=self._spend(session),
            )
        )
        return admitted, pb.Trained(
            round=step.round,
            training=self._rows(session, admitted, training=True),
            holdout=self._rows(session, admitted, training=False),
            delta=body,
            histogram=_histogram(session, histogram),
            epsilon=session.epsilon(),
        )

    def _evaluate(self, session: Session, step: pb.Evaluate) -> tuple[Admitted, pb.Evaluated]:
        predictor, transform = _model(session, step.state, step.transform)
        admitted = session.admit(0)
        self._audit(session, predictor, transform, admitted)
        histogram = session.histogram(predictor, transform, admitted.holdout)
        self._log.append(self._event(session, EventType.RUN_EVALUATED, privacy=self._spend(session)))
        return admitted, pb.Evaluated(
            holdout=self._rows(session, admitted, training=False),
            histogram=_histogram(session, histogram),
            epsilon=session.epsilon(),
        )

    def _phase(self, session: Session, phase: pb.Phase) -> pb.Phased:
        """Takes part in a phase: nothing leaves but masked, and not before it is stated over which rows."""
        work = phase.WhichOneof("work")
        if work is None:
            raise ProtocolError("protocol.malformed", "a phase without work")
        number = phase.train.round if work == "train" else None
        vertical = session.signed.agreement.vertical is not None
        if work != "prepare" and not vertical:
            _model(session, getattr(phase, work).state, getattr(phase, work).transform)
        self._take(session, work, getattr(phase, work), number)
        if vertical:
            return self._vertical.phase(session, phase)
        part, planned = self._part(session, phase)
        self._state(part.name, session, part.admitted.event)
        ready = self._ready(session, part.admitted)
        ready.MergeFrom(pb.Ready(planned_epsilon=planned, noise=_noise(session)))
        digest = work_digest(work, getattr(phase, work).SerializeToString(deterministic=True))
        logged = Logged(part.contributor, lambda: self._log.append(part.done()))
        sums = MemberSums(session, self._site.key, Scoped(logged, digest))
        patience_s = PATIENCE * session.signed.agreement.training.round_timeout_s
        with self._dial(session.run, phase.session) as channel:
            answered = sums.take_part(channel, ready, patience_s)
        session.finished()
        return pb.Phased(sums=answered, epsilon=session.epsilon())

    def _ready(self, session: Session, admitted: Admitted) -> pb.Ready:
        """The rows that a member takes part with."""
        return pb.Ready(
            training=self._rows(session, admitted, training=True),
            holdout=self._rows(session, admitted, training=False),
        )

    def _part(self, session: Session, phase: pb.Phase) -> tuple[Part, float]:
        """What this member does in a phase, and the epsilon that the run will have spent."""
        if phase.HasField("prepare"):
            planned = self._plan(session)
            admitted = session.admit(0)
            contributor = session.preparing_contributor(admitted.training)
            return Part(
                "prepared", admitted, contributor, self._done(session, EventType.RUN_PREPARED)
            ), planned
        if phase.HasField("train"):
            return self._training_part(session, phase.train), 0.0
        predictor, transform = _model(session, phase.evaluate.state, phase.evaluate.transform)
        admitted = session.admit(0)
        self._audit(session, predictor, transform, admitted)
        scores = session.evaluation_contributor(predictor, transform, admitted.holdout)
        return Part("evaluated", admitted, scores, self._done(session, EventType.RUN_EVALUATED)), 0.0

    def _audit(self, session: Session, predictor: Predicts, transform: Transform, admitted: Admitted) -> None:
        """Keeps, for this site alone, how well its rows can be recognised in the final model."""
        if self._tools.audits is not None:
            keep_own_audit(self._tools.audits, session.run, predictor, transform, admitted)

    def _training_part(self, session: Session, step: pb.Train) -> Part:
        predictor, transform = _model(session, step.state, step.transform)
        admitted = session.admit(step.round)
        done = self._done(
            session,
            EventType.ROUND_TRAINED,
            round=step.round,
            rows_used=admitted.training.rows + admitted.holdout.rows,
            model_in=sha256_hex(step.state),
        )
        algorithm = algorithm_of(session.signed.agreement)
        learner = algorithm.learner(session, step, transform, admitted.training)
        scores = session.evaluation_contributor(predictor, transform, admitted.holdout)
        return Part("trained", admitted, Several(algorithm.prefix, learner, scores), done)

    def _done(self, session: Session, kind: EventType, **fields: object) -> Callable[[], Event]:
        """The entry of a step, with what is spent by the time that it is written."""
        return lambda: self._event(session, kind, privacy=self._spend(session), **fields)

    def _finish(self, session: Session, step: pb.Finish) -> None:
        if step.error_code:
            event = self._event(session, EventType.RUN_FAILED, reasons=(step.error_code,))
        elif session.kept.trial is not None:
            event = self._event(session, EventType.RUN_FINISHED, detail=TRIAL)
        else:
            event = self._event(session, EventType.RUN_FINISHED, model_out=step.manifest_digest)
        if session.signed.agreement.vertical is not None:  # also of a run that an earlier process began
            self._vertical.finish(session, step.model, step.manifest_digest)
        session.close()
        del self._sessions[session.run]
        self._log.append(event)

    def _state(self, name: str, session: Session, admitted: Event) -> None:
        """States the step in the shared log. Nothing of its result leaves the site unless that worked."""
        self._statements.state(name, admitted, session.signed.agreement.cohort.suppress_below)

    def _rows(self, session: Session, admitted: Admitted, *, training: bool) -> pb.AdmittedRows:
        """What the coordinator learns of the rows: totals, and no count that is too small."""
        records = admitted.training if training else admitted.holdout
        below = session.signed.agreement.cohort.suppress_below
        shown = suppress(admitted.excluded_by_rule, below)
        rules = {rule: count for rule, count in shown.items() if isinstance(count, int)}
        complete = len(rules) == len(shown)
        by_rule, by_column = _hidden(session, admitted)
        return pb.AdmittedRows(
            rows=records.rows,
            subject_set_root=records.subject_set_root,
            # Beside the sum of the others, the total would give a suppressed count away.
            considered=admitted.considered if complete else 0,
            excluded_by_rule=rules,
            hidden_by_rule=by_rule,
            hidden_by_column=by_column,
        )

    def _spend(self, session: Session, planned: float | None = None) -> PrivacySpend | None:
        privacy = session.signed.agreement.privacy
        if privacy is None:
            return None
        return PrivacySpend(epsilon=session.epsilon() if planned is None else planned, delta=privacy.delta)

    def _event(self, session: Session, kind: EventType, **fields: object) -> Event:
        try:
            return Event.model_validate(
                {
                    "type": kind,
                    "agreement": session.signed.digest,
                    "run": session.run,
                    "purpose": session.signed.agreement.purpose,
                    "app_digest": self._site.software_digest,
                    **fields,
                }
            )
        except ValidationError as error:
            detail = "the command has a field that no entry can hold"
            raise ProtocolError("protocol.malformed", detail) from error


def _trial(run: str, prepare: pb.Prepare) -> KeptTrial | None:
    """Which trial a run is. The run of the first names the sweep, so that no sweep can be begun twice."""
    if not prepare.HasField("trial"):
        return None
    asked = prepare.trial
    try:
        trial = KeptTrial(sweep=asked.sweep, number=asked.number, of=asked.of)
    except ValidationError as error:
        raise ProtocolError("protocol.malformed", "not a trial of a sweep") from error
    if (trial.number == 1) != (trial.sweep == run):
        raise ProtocolError("protocol.malformed", "the first trial, and no other, names its sweep")
    return trial


def _check_way(agreement: Agreement, *, phased: bool) -> None:
    """Figures leave as the agreement has it: in sums alone, or each member's own."""
    if phased != (agreement.secure_sums or agreement.vertical is not None):
        way = "by themselves" if phased else "in phases alone"
        raise PolicyError("policy.denied", f"under this agreement figures leave {way}", rule="P17")


def _model(session: Session, state: bytes, transform: bytes) -> tuple[Predicts, Transform]:
    """Parses what the coordinator sent, and holds it against the agreement."""
    fitted = Transform.from_json(transform)
    agreement = session.signed.agreement
    if [(c.name, c.kind, c.edges, c.categories) for c in fitted.columns] != [
        (c.name, c.kind, c.edges, c.categories) for c in agreement.columns
    ]:
        raise PolicyError(
            "policy.column", "the preprocessing is not over the agreement's columns", rule="P13"
        )
    predictor = algorithm_of(agreement).predictor(agreement.training, fitted, state)
    if session.shared is not None:
        session.shared.reserve(PrivateState.from_bytes(state, session.shared.run).levels)
    return predictor, fitted


def _noise(session: Session) -> pb.Noise | None:
    """The noise that this member needs of a run in which it is shared."""
    if session.shared is None:
        return None
    needed = session.shared.needed
    return pb.Noise(gradients=needed.gradients, rows=needed.rows, histograms=needed.histograms)


def _hidden(session: Session, admitted: Admitted) -> tuple[dict[str, int], dict[int, int]]:
    """Hidden values by rule, and by the column's place, without counts that are too small.

    Both have the same sum, so that one of them would give away the only count that is missing in the other:
    by column they are told only if all of both are large enough.
    """
    agreement = session.signed.agreement
    below = agreement.cohort.suppress_below
    places = {column.name: place for place, column in enumerate(agreement.columns)}
    by_rule = {rule: count for rule, count in admitted.hidden_by_rule.items() if count >= below}
    by_column = {places[name]: count for name, count in admitted.hidden_by_column.items()}
    complete = len(by_rule) == len(admitted.hidden_by_rule) and min(by_column.values(), default=0) >= below
    return by_rule, by_column if complete else {}


def _histogram(session: Session, histogram: ScoreHistogram) -> pb.ScoreHistogram:
    return pb.ScoreHistogram(
        positives=histogram.positives.tolist(),
        negatives=histogram.negatives.tolist(),
        noise_std=session.histogram_noise_std,
    )


def _refusal(command: pb.Command, error: HanseError) -> Event:
    return Event(
        type=EventType.RUN_REFUSED,
        run=command.run,
        decision="deny",
        reasons=(error.code, *((error.rule,) if error.rule else ())),
    )
