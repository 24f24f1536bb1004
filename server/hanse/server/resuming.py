"""Whether a run that an earlier process of the coordinator left behind can go on, from the shared log.

The log decides: who is still in the run, how often it was resumed, and what was done last. A checkpoint has
to be of that step, or of the next one, whose entry a crash has then kept from the log. Anything else is no
state to go on from, and the run is closed as ``run.interrupted``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hanse.audit import AuditLog, Entry, EventType
from hanse.errors import TrainingError
from hanse.policies import Agreement, SignedAgreement
from hanse.server.checkpoints import STEPS, Checkpoint
from hanse.server.party import LeftOff
from hanse.server.rounds import Done, Resumed
from hanse.server.runs import FINAL, RunEvent

MOST_ATTEMPTS: Final = 16
"""How often a run is resumed: one that kills its coordinator again and again has to end."""

_CHUNK_ENTRIES: Final = 2_048
_DONE: Final = frozenset(STEPS.values())


@dataclass(frozen=True, slots=True)
class RunStory:
    """What the shared log says of a run.

    Attributes:
        entries: Its entries with their indices, but for what members stated; in order.
    """

    entries: tuple[tuple[int, Entry], ...]

    @classmethod
    def of(cls, log: AuditLog, run: str) -> "RunStory":
        """Reads the log backwards to where the run began.

        Args:
            log: The shared log.
            run: A run that began in it, if at all.
        """
        found: list[tuple[int, Entry]] = []
        mark = f'"run":"{run}"'.encode()
        with log.reader() as reader:
            for end in range(reader.size, 0, -_CHUNK_ENTRIES):
                start = max(0, end - _CHUNK_ENTRIES)
                leaves = list(enumerate(reader.leaves(start, end), start))
                own = [(index, Entry.parse(leaf)) for index, leaf in reversed(leaves) if mark in leaf]
                found += [(i, entry) for i, entry in own if entry.type is not EventType.ROUND_SUBMITTED]
                if found and found[-1][1].type is EventType.RUN_STARTED:
                    break
        return cls(tuple(reversed(found)))

    @property
    def agreement(self) -> str | None:
        """Digest of the agreement that it began under."""
        return self.entries[0][1].agreement if self.entries else None

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return any(entry.type.value in FINAL for _, entry in self.entries)

    @property
    def registered(self) -> str | None:
        """Digest of the manifest that was registered last; None if there is none."""
        digests = [entry.model_out for _, entry in self.entries if entry.type is EventType.MODEL_REGISTERED]
        return digests[-1] if digests else None

    def events(self, checkpoint: Checkpoint | None, members: Iterable[str]) -> list[RunEvent]:
        """Its entries as events, with what is known of their facts.

        Args:
            checkpoint: Has the facts of its own step.
            members: Who the agreement is between.
        """
        return [_event(entry, checkpoint, sorted(members)) for _, entry in self.entries]

    def resumed(self, signed: SignedAgreement, kept: tuple[Checkpoint, bytes] | None) -> Resumed:
        """How the run goes on.

        Args:
            signed: The agreement that it began under.
            kept: Checkpoint and state.

        Raises:
            TrainingError: ``run.interrupted`` if it cannot.
        """
        types = [entry.type for _, entry in self.entries]
        attempt = types.count(EventType.RUN_RESUMED) + 1
        if self.ended or not types or types[0] is not EventType.RUN_STARTED or attempt > MOST_ATTEMPTS:
            raise TrainingError(
                "run.interrupted", "the run is over, or was never begun, or resumed too often"
            )
        return Resumed(attempt, self._left_off(signed.agreement), self._done(signed.digest, kept))

    def _left_off(self, agreement: Agreement) -> LeftOff:
        active = {member.name for member in agreement.members}
        late, screened, found_out = set[str](), set[str](), set[str]()
        for _, entry in self.entries:
            member = str(entry.peer)
            if entry.type is EventType.MEMBER_LEFT:
                active.discard(member)
                late = late | {member} if entry.reasons[:1] == ("run.absent",) else late - {member}
                found_out |= screened & {member} if "run.update-rejected" in entry.reasons else set()
            elif entry.type is EventType.MEMBER_JOINED:
                active.add(member)
                late.discard(member)
            elif entry.type is EventType.UPDATE_SCREENED:
                screened.add(member)
        return LeftOff(frozenset(active), frozenset(late), len(found_out))

    def _done(self, agreement: str, kept: tuple[Checkpoint, bytes] | None) -> Done | None:
        steps = [(index, entry) for index, entry in self.entries if entry.type in _DONE]
        if kept is None:
            if steps:
                raise TrainingError("run.interrupted", "the checkpoint is gone")
            return None
        checkpoint, state = kept
        rounds = max((entry.round or 0 for _, entry in steps), default=0)
        if checkpoint.agreement != agreement or (
            checkpoint.step == "evaluated" and checkpoint.round != rounds
        ):
            raise TrainingError("run.interrupted", "the checkpoint is of another agreement or round")
        if steps:
            index, last = steps[-1]
            if checkpoint.fits(last.type, last.round, last.model_out):
                return Done(checkpoint, state, index)
        if not _follows(checkpoint, [entry for _, entry in steps]):
            raise TrainingError("run.interrupted", "the checkpoint is not of the run's last step")
        return Done(checkpoint, state, None)


def _follows(checkpoint: Checkpoint, steps: Sequence[Entry]) -> bool:
    """Whether a checkpoint is of the step after those."""
    if checkpoint.step == "prepared":
        return not steps
    if not steps or steps[-1].type is EventType.RUN_EVALUATED:
        return False
    rounds = steps[-1].round or 0
    if checkpoint.step == "evaluated":
        return (checkpoint.round, checkpoint.state) == (rounds, steps[-1].model_out)
    return checkpoint.round == rounds + 1


def _event(entry: Entry, checkpoint: Checkpoint | None, members: list[str]) -> RunEvent:
    facts: dict[str, object] = {}
    if checkpoint is not None and checkpoint.fits(entry.type, entry.round, entry.model_out):
        facts = dict(checkpoint.facts)
    elif entry.type is EventType.RUN_STARTED:
        facts = {"members": members}
    elif entry.peer is not None:
        facts["member"] = entry.peer
    if entry.reasons:
        facts["code"] = entry.reasons[0]
    return RunEvent(entry.run or "", entry.time, entry.type.value, entry.round or 0, facts)
