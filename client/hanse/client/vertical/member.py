"""A member's part in the phases of a vertical run: align, train, evaluate.

The order within a phase is fixed: who may be used is decided and in the site's log, with the step; then it is
stated in the shared log; then the member says that it is ready; and only when all have, and
the coordinator says so, anything about a person leaves the site, sealed for the other member. Identifiers are
read for the alignment alone, of admitted people alone, and dropped with it. What two members said to each
other is in both their logs as one digest.

The label holder attacks what it has sent in the training with the labels that only it has, and tells the
coordinator what came of that; a model whose training leaked more than is agreed it scores with nobody.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from google.protobuf.message import DecodeError

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import Event, EventType
from hanse.audit.event import Counts
from hanse.client.exchange import CoordinatorChannel, open_peers
from hanse.client.exchange.sealed import Relay
from hanse.client.gate import Admitted
from hanse.client.session import Session
from hanse.client.vertical.conversations import conversation_digest
from hanse.client.vertical.kinds import Conversations, Files, Keeping, Kind, Trees, kind_of
from hanse.client.vertical.parts import ALONE, Parts
from hanse.client.vertical.protocols import (
    aligned_people,
    enter_alignment,
    is_label_holder,
    prepare_identifiers,
    site_of,
    vertical_of,
)
from hanse.client.vertical.records import common_rows
from hanse.client.vertical.state import VerticalState
from hanse.client.vertical.unfinished import ALIGNED_FILE, Aligned
from hanse.crypto import SigningKey, VerifierKey, sha256_hex
from hanse.crypto.sealed import SealedTerms
from hanse.errors import HanseError, ProtocolError, TrainingError
from hanse.exchange.transcript import Transcript
from hanse.learning.vertical.runs.leakage import (
    LEAKAGE_FILE,
    check_reports,
    encode_report,
    encode_reports,
)
from hanse.learning.vertical.runs.manifest import PartManifest
from hanse.learning.vertical.runs.resuming import MAY_GO_ON, RESUMABLE
from hanse.learning.vertical.serving.people import AGREEMENT_FILE, PEOPLE_FILE, encode_people

_PURPOSES: Final = {"prepared": "alignment", "trained": "training", "evaluated": "evaluation"}
"""What members talk about in each step."""


@dataclass(frozen=True, slots=True)
class Telling:
    """How the node tells what it does.

    Attributes:
        append: Makes an entry of the site's own log durable.
        event: An entry about a run.
        state: States a step in the shared log.
        ready: What the member takes part with.
    """

    append: Callable[[Event], object]
    event: Callable[..., Event]
    state: Callable[[str, Session, Event], None]
    ready: Callable[[Session, Admitted], pb.Ready]


class VerticalMember:
    """See the module docstring.

    Args:
        key: The member's node key.
        dial: Opens this member's session of a phase, by run and name of the session.
        parts: Where parts of models are kept.
        telling: How the node tells what it does.
        clock: The current time, UTC.
    """

    def __init__(
        self,
        key: SigningKey,
        dial: Callable[[str, str], Any],
        parts: Parts,
        telling: Telling,
        clock: Callable[[], datetime],
    ) -> None:
        self._clock = clock
        self._key = key
        self._dial = dial
        self._parts = parts
        self._telling = telling

    def phase(self, session: Session, phase: pb.Phase) -> pb.Phased:
        """Takes part in a phase, and says what this member has of the run after it.

        Raises:
            HanseError: What this member refuses, or why the phase has ended.
        """
        steps = {"prepare": self._align, "train": self._train, "evaluate": self._evaluate}
        try:
            part = steps[str(phase.WhichOneof("work"))](session, phase.session)
        except HanseError as error:
            if not self._may_go_on(session, error):
                self._parts.settle(session.run, "", "")
            raise
        except BaseException:
            # Without this member there is no model, and nobody will tell it so: it has left the run.
            self._parts.settle(session.run, "", "")
            raise
        session.finished()
        return pb.Phased(part=part)

    def _may_go_on(self, session: Session, error: HanseError) -> bool:
        """Whether an error leaves the run to be gone on with: somebody was gone, and the people are known."""
        return session.vertical is not None and _resumable(session) and error.code in MAY_GO_ON

    def leave(self, run: str) -> None:
        """Deletes what is kept of a run that the site has left."""
        self._parts.settle(run, "", "")

    def abandon_others(self, run: str) -> None:
        """Deletes what other runs would go on from: there is one run at a time, so they are over."""
        self._parts.abandon(but=run)

    def finish(self, session: Session, model: str, manifest_digest: str) -> None:
        """Keeps the member's part under the name of the model that it belongs to; or as what is left.

        Args:
            session: The run.
            model: Name and version; empty if the run failed.
            manifest_digest: SHA-256 of the model's manifest.
        """
        self._parts.settle(session.run, model, manifest_digest)

    def _align(self, session: Session, name: str) -> pb.Part:
        self._parts.clear(session.run)
        kind = self._kind(session)
        kind.require()  # now, when no alignment has been spent
        admitted = session.admit(0)
        kinds = [rule.kind for rule in vertical_of(session).alignment.identifiers]
        prepared = prepare_identifiers(session, session.tools.gate.identifiers(kinds, admitted))
        enter_alignment(session, prepared, self._clock())
        rows = len(admitted.subject_ids)
        self._append(
            session,
            EventType.ALIGNMENT_ENTERED,
            input_set=prepared.commitment.hex(),
            counts=Counts(rows_in=rows, rows_out=rows),
        )
        with self._talk(session, name, "prepared", admitted, admitted.event, EventType.RUN_PREPARED) as talk:
            found = aligned_people(session, prepared, talk)
        places: list[int] = found.rows.tolist()
        subject_ids = [admitted.subject_ids[place] for place in places]
        session.vertical = VerticalState(subject_ids, found.root, kind)
        if _resumable(session):
            kept = Aligned(
                run=session.run,
                agreement=session.signed.digest,
                root=found.root.hex(),
                subject_ids=tuple(subject_ids),
                order=session.vertical.order,
            )
            self._parts.unfinished(session.run).keep({ALIGNED_FILE: kept.to_bytes()})
        self._append(
            session,
            EventType.ALIGNMENT_FINISHED,
            aligned_set_root=found.root.hex(),
            counts=Counts(rows_in=rows, rows_out=len(subject_ids)),
        )
        return self._part(session, talk)

    def _train(self, session: Session, name: str) -> pb.Part:
        state = self._state(session)
        state.digest = self._parts.discard(session.run)
        admitted = session.admit(1, state.subject_ids)
        rows = state.kind.divide(common_rows(admitted, state.subject_ids))
        if _resumable(session):
            self._parts.unfinished(session.run).require_same_rows("trained", rows)
        if is_label_holder(session):
            rows.require_both_labels(session.signed.agreement.label)
        about: dict[str, Any] = {"round": 1, "rows_used": rows.rows, "aligned_set_root": state.root.hex()}
        stated = admitted.event.model_copy(update={"aligned_set_root": state.root.hex()})
        with self._talk(session, name, "trained", admitted, stated, EventType.ROUND_TRAINED, **about) as talk:
            if is_label_holder(session):
                if not state.alone:  # in another attempt it is there
                    state.alone = state.kind.train_alone(rows)
                self._parts.keep_alone(session.run, state.alone)
            made = state.kind.train(rows, state.root, talk)
        state.leakage = state.kind.attack(rows)
        state.digest = self._keep(session, made)
        self._append(session, EventType.PART_KEPT, model_out=state.digest, detail=_how(session))
        return self._part(session, talk)

    def _keep(self, session: Session, part: Files) -> str:
        state = self._state(session)
        people = encode_people(session.tools.gate.refs(state.subject_ids))
        files = {**part, PEOPLE_FILE: people, AGREEMENT_FILE: session.signed.note}
        if state.leakage:
            files[LEAKAGE_FILE] = encode_reports(state.leakage)
        signed = {**files, **{f"{ALONE}/{name}": data for name, data in state.alone.items()}}
        manifest = PartManifest(
            agreement_digest=session.signed.digest,
            run=session.run,
            member=session.member,
            model=session.signed.agreement.training.model,
            role="label_holder" if is_label_holder(session) else "feature_holder",
            columns=tuple(vertical_of(session).columns_of(session.member)),
            aligned_set_root=state.root.hex(),
            files={name: sha256_hex(data) for name, data in signed.items()},
        )
        return self._parts.keep(manifest, files)

    def _evaluate(self, session: Session, name: str) -> pb.Part:
        state = self._state(session)
        if not state.digest:
            raise ProtocolError("protocol.unexpected-step", "an evaluation before the training")
        if is_label_holder(session):  # whatever the coordinator makes of them
            check_reports(state.leakage, vertical_of(session))
        admitted = session.admit(0, state.subject_ids)
        rows = state.kind.divide(common_rows(admitted, state.subject_ids))
        if _resumable(session):
            self._parts.unfinished(session.run).require_same_rows("evaluated", rows)
        root = state.root.hex()
        stated = admitted.event.model_copy(update={"aligned_set_root": root})
        with self._talk(
            session, name, "evaluated", admitted, stated, EventType.RUN_EVALUATED, aligned_set_root=root
        ) as talk:
            figures = state.kind.evaluate(rows, talk)
        self._parts.evaluated(session.run)
        made = self._part(session, talk)
        for figure, value in figures.items():
            made.figures[figure] = value
        return made

    @contextmanager
    def _talk(
        self,
        session: Session,
        name: str,
        step: str,
        admitted: Admitted,
        stated: Event,
        done: EventType,
        **fields: object,
    ) -> Iterator[Conversations]:
        """Logs and states the step, waits until all have, and opens the sealed conversations."""
        # First in the own log, so that what is stated covers it; nothing has left the site yet.
        self._append(session, done, **fields)
        self._telling.state(step, session, stated)
        patience_s = float(session.signed.agreement.training.round_timeout_s)
        with self._dial(session.run, name) as relay:
            relay.send(pb.FromMember(ready=self._telling.ready(session, admitted)).SerializeToString())
            _await_begin(relay, patience_s)
            terms = SealedTerms(session.signed.digest, session.run, name, _PURPOSES[step])
            others = _others(session, step)
            with open_peers(relay, self._key, terms, others, wait_s=patience_s) as sealed:
                talk = Conversations(
                    {peer: Transcript(channel) for peer, channel in sealed.items()},
                    Transcript(CoordinatorChannel(relay, patience_s)),
                )
                yield talk
        for peer, transcript in sorted(talk.peers.items()):
            digest = conversation_digest(session.member, transcript)
            self._append(session, EventType.PEER_HEARD, peer=peer, conversation=digest)

    def _part(self, session: Session, talk: Conversations) -> pb.Part:
        state = self._state(session)
        return pb.Part(
            aligned_set_root=state.root,
            aligned=len(state.subject_ids),
            digest=state.digest,
            dealt_bytes=talk.dealer.received.bytes,
            resumed_from=state.resumed_from,
            leakage=[encode_report(one) for one in state.leakage],
            conversations=[
                pb.Conversation(
                    peer=peer,
                    digest=conversation_digest(session.member, transcript),
                    sent_bytes=transcript.sent.bytes,
                    received_bytes=transcript.received.bytes,
                )
                for peer, transcript in sorted(talk.peers.items())
            ],
        )

    def _kind(self, session: Session) -> Kind:
        """What this member does in the run; that it goes on from a point is in the log before it does."""

        def goes_on(digest: str) -> None:
            self._state(session).resumed_from = digest
            self._append(session, EventType.RUN_RESUMED, round=1, model_in=digest)

        return kind_of(site_of(session), Keeping(self._parts.unfinished(session.run), goes_on))

    def _state(self, session: Session) -> VerticalState:
        """What is known of the run, by this process or by one before it.

        Raises:
            ProtocolError: ``protocol.unexpected-step`` if nobody was aligned.
            TrainingError: ``run.interrupted`` if an earlier process aligned, and that was not kept;
                ``run.order-changed`` if the people are not as they were found.
        """
        if session.vertical is None and session.restored:
            session.vertical = self._restored(session)
        if session.vertical is None:
            raise ProtocolError("protocol.unexpected-step", "nobody is aligned in this run")
        session.vertical.require_order()
        return session.vertical

    def _restored(self, session: Session) -> VerticalState:
        data = self._parts.unfinished(session.run).read(ALIGNED_FILE)
        if data is None:
            raise TrainingError("run.interrupted", "the node was restarted: nobody is aligned here any more")
        kept = Aligned.parse(data)
        if (kept.run, kept.agreement) != (session.run, session.signed.digest):
            raise TrainingError("run.interrupted", "what was kept of the alignment is of another run")
        kind = self._kind(session)
        kind.require()
        state = VerticalState(list(kept.subject_ids), bytes.fromhex(kept.root), kind)
        part = self._parts.reopen(session.run)
        if part is not None and isinstance(kind, Trees):
            kind.restore(part)
            state.digest, state.leakage = part.digest, self._parts.reports(session.run)
        return state

    def _append(self, session: Session, kind: EventType, **fields: object) -> None:
        self._telling.append(self._telling.event(session, kind, **fields))


def _how(session: Session) -> str | None:
    """What a part is of, for the log, where it is not trees with a dealer."""
    trust, model = vertical_of(session).trust, session.signed.agreement.training.model
    if model == "trees":
        return None if trust.key_bits is None else trust.mode
    return model


def _await_begin(relay: Relay, timeout_s: float) -> None:
    message = pb.FromCoordinator()
    try:
        message.ParseFromString(relay.receive(timeout_s))
    except DecodeError as error:
        raise ProtocolError("protocol.malformed", "coordinator: bytes that say nothing in a phase") from error
    if message.WhichOneof("content") != "begin":
        raise ProtocolError("protocol.unexpected-step", "coordinator: the phase has not begun")


def _others(session: Session, step: str) -> Mapping[str, VerifierKey]:
    """With whom a member talks: all align with each other; then feature holders with the label holder."""
    members = session.signed.agreement.members
    others = {m.name: VerifierKey.decode(m.node_key) for m in members if m.name != session.member}
    if step == "prepared" or is_label_holder(session):
        return others
    holder = vertical_of(session).label_holder
    return {holder: others[holder]}


def _resumable(session: Session) -> bool:
    return session.signed.agreement.training.model in RESUMABLE
