"""A vertical run as the coordinator sees it: align, train, evaluate; each one phase and one Flower message.

It learns who takes part, how many people are common, how much was said between whom and with which digest,
and the figures and leakage reports that the label holder tells. If an attack on what members were sent
reaches more than is agreed, the run ends there. The parts of the model stay at the members; it registers
their digests.

After each step a checkpoint is on the disk, as in other runs. A training or an evaluation in which a member
is gone is taken again by all of them when it is back: each goes on from the last trees that all have kept,
with new sessions and a new dealer. An alignment is not: whoever enters one twice could enter other people.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from hanse.api.v1 import round_pb2 as pb
from hanse.crypto import SigningKey, sha256_hex
from hanse.errors import TrainingError
from hanse.learning.vertical.runs.leakage import Reports, check_reports, read_reports
from hanse.learning.vertical.runs.resuming import RESUMABLE
from hanse.policies import Agreement, Vertical
from hanse.server.checkpoints import STEPS, Checkpoint
from hanse.server.evaluation import Metrics
from hanse.server.party import (
    GATHER_TIMEOUT_S,
    MOST_RETURNS,
    Gone,
    Journal,
    LeftOff,
    Party,
    RunContext,
)
from hanse.server.rounds import Done, Means, Resumed, RunStore
from hanse.server.vertical.dealing import make_dealer
from hanse.server.vertical.phase import Conductor, MemberGoneError, common_root, conversations
from hanse.server.vertical.progress import Progress

if TYPE_CHECKING:
    from hanse.server.exchange import Exchange

log = logging.getLogger("hanse.server")

_FIGURES: Final = ("auc", "auc_standard_error", "log_loss")


@dataclass(frozen=True, slots=True)
class VerticalOutcome:
    """What a vertical run produced.

    Attributes:
        parts: SHA-256 of each member's part of the model, by member.
        aligned_set_root: Root of the common people.
        aligned: How many they are.
        conversations: What members said to each other, by phase.
        dealt: Bytes that the coordinator dealt to each member.
        figures: What the label holder tells of its held-out rows, by name.
        leakage: What known attacks on what each feature holder was sent learn, as the label holder tells it.
        last_entry: Index of the last entry of the shared log about it.
    """

    parts: Mapping[str, str]
    aligned_set_root: bytes
    aligned: int
    conversations: Mapping[str, Any]
    dealt: Mapping[str, int]
    figures: Mapping[str, float]
    leakage: Reports
    last_entry: int

    @property
    def metrics(self) -> Metrics:
        """How good the model is on the label holder's held-out rows."""
        known = {name: self.figures.get(name) for name in _FIGURES}
        return Metrics(known["auc"], known["auc_standard_error"], known["log_loss"], 0.0)

    @property
    def model_file(self) -> bytes:
        """Nothing: the model's parts are at the members."""
        return b""

    @property
    def epsilon(self) -> Mapping[str, float]:
        """Nothing is spent: there is no budget."""
        return {}


class VerticalJournal(Journal, RunStore, Protocol):
    """Where a run's steps become durable."""


class VerticalRun:
    """Conducts one run; see the module docstring.

    Args:
        context: What it is about.
        means: How it reaches its members.
        key: Signs commands.
        journal: Records its steps, and keeps what it has done.
    """

    def __init__(self, context: RunContext, means: Means, key: SigningKey, journal: VerticalJournal) -> None:
        self._party = Party(context, means.transport, key, journal, means.statements)
        self._store: RunStore = journal
        self._party.fewest = len(context.agreement.members)
        self._sessions = means.sessions
        self._phases = 0
        self._goes_on = context.agreement.training.model in RESUMABLE

    def conduct(self, resumed: Resumed | None = None) -> VerticalOutcome:
        """Runs all phases, or the rest of them.

        Args:
            resumed: How far the run had come in an earlier process; None begins it.

        Raises:
            TrainingError: ``run.insufficient-members`` when a member is lost, ``run.accounts-differ``,
                ``run.cancelled``; ``run.interrupted`` when an earlier process left the run where it cannot be
                gone on with.
            PolicyError: ``policy.leakage`` when the training leaked more than is agreed, or nobody tells.
            AuditError: The journal cannot be written; the run stops.
        """
        done = self._begin(resumed)
        if done.checkpoint.step == "prepared":
            done = self._train(done)
        progress = Progress.parse(done.state)
        check_reports(progress.leakage, self._vertical)
        if done.checkpoint.step != "evaluated":
            done = self._evaluate(done, progress)
        figures = {name: value for name, value in done.checkpoint.metrics.items() if value is not None}
        said = {**progress.said, "evaluated": done.checkpoint.facts["conversations"]}
        return VerticalOutcome(
            progress.parts,
            bytes.fromhex(progress.root),
            progress.aligned,
            said,
            progress.dealt,
            figures,
            progress.leakage,
            done.entry or 0,
        )

    def _begin(self, resumed: Resumed | None) -> Done:
        """The alignment, or what an earlier process has left."""
        party = self._party
        if resumed is None:
            party.gather()
            return self._align()
        done = require_resumable(party.agreement, resumed)
        party.rejoin(resumed.attempt, resumed.left_off, {}, self._patience_s)
        return done if done.entry is not None else replace(done, entry=self._record(done.checkpoint, None))

    def _align(self) -> Done:
        party = self._party
        aligned, said = self._phase("prepared", {"prepare": pb.Prepare(agreement=party.context.note)}, None)
        root, people = common_root(aligned)
        progress = Progress(root=root.hex(), aligned=people, said={"prepared": said})
        facts = {"members": sorted(party.active), "aligned": people, "epsilon": {}}
        state = progress.to_bytes()
        checkpoint = Checkpoint(
            run=party.context.run,
            agreement=party.context.signed.digest,
            step="prepared",
            round=0,
            state=sha256_hex(state),
            transform="",
            epsilon={},
            facts=facts,
        )
        return self._complete(checkpoint, state, None)

    def _train(self, done: Done) -> Done:
        party, progress = self._party, Progress.parse(done.state)
        root = bytes.fromhex(progress.root)
        trained, said = self._phase("trained", {"train": pb.Train(round=1)}, root, progress.aligned)
        self._require_same(trained, root)
        holder = self._vertical.label_holder
        made = progress.model_copy(
            update={
                "said": {**progress.said, "trained": said},
                "parts": {member: part.digest for member, part in trained.items()},
                "dealt": {member: part.dealt_bytes for member, part in trained.items()},
                "leakage": read_reports(trained[holder].leakage, holder),
            }
        )
        facts = {
            "members": sorted(party.active),
            "evaluated_round": 0,
            "epsilon": {},
            "parts": made.parts,
            "leakage": {report.party: report.leaked for report in made.leakage},
            "next": "evaluation",
            **_no_metrics(),
        }
        state = made.to_bytes()
        changed = {"step": "aggregated", "round": 1, "state": sha256_hex(state), "facts": facts}
        return self._complete(done.checkpoint.model_copy(update=changed), state, _resumed_from(trained))

    def _evaluate(self, done: Done, progress: Progress) -> Done:
        evaluate = {"evaluate": pb.Evaluate(state=done.checkpoint.state.encode())}
        evaluated, said = self._phase("evaluated", evaluate, bytes.fromhex(progress.root))
        figures = dict(evaluated[self._vertical.label_holder].figures)
        facts: dict[str, Any] = {
            "evaluated_round": 1,
            "epsilon": {},
            **_no_metrics(),
            **figures,
            "conversations": said,
        }
        changed = {"step": "evaluated", "metrics": figures, "facts": facts}
        return self._complete(done.checkpoint.model_copy(update=changed), done.state, None)

    def _complete(self, checkpoint: Checkpoint, state: bytes, since: str | None) -> Done:
        """Makes a step durable here, and then in the shared log."""
        self._store.keep(checkpoint.round, state)
        self._store.save(checkpoint)
        return Done(checkpoint, state, self._record(checkpoint, since))

    def _record(self, checkpoint: Checkpoint, since: str | None) -> int:
        return self._party.record(STEPS[checkpoint.step], checkpoint.facts, *checkpoint.recorded, since)

    def finish(self, model: str, manifest_digest: str, error_code: str) -> None:
        """Tells the members how the run ended. Nothing depends on their answers."""
        step = pb.Finish(model=model, manifest_digest=manifest_digest, error_code=error_code)
        self._party.tell({"finish": step})

    def _phase(
        self, stated: str, work: Mapping[str, Any], root: bytes | None, people: int = 0
    ) -> tuple[dict[str, pb.Part], list[dict[str, Any]]]:
        """Conducts one phase, and again if a member was gone and is back.

        Args:
            stated: Name of the step.
            work: Of the command.
            root: Of the common people; None before they are aligned.
            people: How many they are, for the training.

        Returns:
            What each member has after it, and what members said to each other in the last attempt.
        """
        again = stated != "prepared" and self._goes_on
        for left in reversed(range(MOST_RETURNS + 1)):
            try:
                return self._attempt(stated, work, root, people, again=again and left > 0)
            except MemberGoneError as gone:
                log.warning("run %s: %s", self._party.context.run, gone)
                party = self._party
                everybody, why = LeftOff(party.active), Gone(gone.member, gone.asked, stated)
                party.rejoin(party.attempt + 1, everybody, {}, self._patience_s, why)
        raise TrainingError("run.insufficient-members", "a member was gone too often")

    def _attempt(
        self, stated: str, work: Mapping[str, Any], root: bytes | None, people: int, *, again: bool
    ) -> tuple[dict[str, pb.Part], list[dict[str, Any]]]:
        party = self._party
        self._phases += 1
        phase = pb.Phase(session=f"phase-{party.attempt}-{self._phases}", **work)
        training = stated == "trained" and root is not None
        number = 1 if training else None
        # Of each attempt its own: what a dealer has dealt once is never used again.
        deal = make_dealer(party.agreement, people, root or b"") if training else None
        opened = self._sessions.open(party.context.run, phase.session, party.active)
        with cast("Exchange", opened) as exchange:  # of the hub; sums need less of it
            asked = party.begin({"phase": phase}, "phased", stated, number)
            conductor = Conductor(party, exchange, asked, stated, root, again=again)
            conductor.gather()
            conductor.begin()
            parts = conductor.finish(deal)
        return parts, conversations(parts)

    @property
    def _patience_s(self) -> float:
        """How long a run waits for a member that was gone."""
        return max(GATHER_TIMEOUT_S, float(self._party.agreement.training.round_timeout_s))

    @staticmethod
    def _require_same(parts: Mapping[str, pb.Part], root: bytes) -> None:
        if common_root(parts)[0] != root:
            raise TrainingError("run.accounts-differ", "the members trained on others than they aligned on")

    @property
    def _vertical(self) -> Vertical:
        if self._party.agreement.vertical is None:
            raise TrainingError("run.unsupported", "the agreement is not vertical")
        return self._party.agreement.vertical


def require_resumable(agreement: Agreement, resumed: Resumed) -> Done:
    """How far a run had come in an earlier process, if it can be gone on with.

    Args:
        agreement: Of the run.
        resumed: What the shared log says of it.

    Raises:
        TrainingError: ``run.interrupted`` in the alignment, and for models of which members keep nothing.
    """
    if resumed.done is None or agreement.training.model not in RESUMABLE:
        raise TrainingError("run.interrupted", "the members of the run have kept nothing to go on from")
    return resumed.done


def _resumed_from(parts: Mapping[str, pb.Part]) -> str | None:
    """From which trees the training went on; None if nothing interrupted it.

    Raises:
        TrainingError: ``run.accounts-differ`` if the members do not tell the same.
    """
    told = {part.resumed_from for part in parts.values()}
    if len(told) != 1:
        raise TrainingError("run.accounts-differ", "the members went on from different trees")
    [digest] = told
    return digest or None


def _no_metrics() -> dict[str, float | None]:
    return Metrics(None, None, None, 0.0).as_facts()
