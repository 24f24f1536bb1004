"""A vertical run as the coordinator sees it: align, train, evaluate; each one phase and one Flower message.

It learns who takes part, how many people are common, how much was said between whom and with which digest,
and the figures and leakage reports that the label holder tells. If an attack on what members were sent
reaches more than is agreed, the run ends there. The parts of the model stay at the members; it registers
their digests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import EventType
from hanse.crypto import SigningKey, canonical_json, sha256_hex
from hanse.errors import TrainingError
from hanse.learning.vertical.runs.leakage import Reports, check_reports, read_reports
from hanse.policies import Vertical
from hanse.server.evaluation import Metrics
from hanse.server.party import Journal, Party, RunContext
from hanse.server.rounds import Means, Resumed
from hanse.server.vertical.dealing import make_dealer
from hanse.server.vertical.phase import Conductor, Deal, common_root, conversations

if TYPE_CHECKING:
    from hanse.server.exchange import Exchange

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


class VerticalRun:
    """Conducts one run; see the module docstring.

    Args:
        context: What it is about.
        means: How it reaches its members.
        key: Signs commands.
        journal: Records its steps.
    """

    def __init__(self, context: RunContext, means: Means, key: SigningKey, journal: Journal) -> None:
        self._party = Party(context, means.transport, key, journal, means.statements)
        self._party.fewest = len(context.agreement.members)
        self._sessions = means.sessions
        self._phases = 0
        self._said: dict[str, Any] = {}

    def conduct(self, resumed: Resumed | None = None) -> VerticalOutcome:
        """Runs all phases.

        Args:
            resumed: None: a vertical run is not taken up by another process.

        Raises:
            TrainingError: ``run.insufficient-members`` when a member is lost, ``run.accounts-differ``,
                ``run.cancelled``.
            PolicyError: ``policy.leakage`` when the training leaked more than is agreed, or nobody tells.
            AuditError: The journal cannot be written; the run stops.
        """
        if resumed is not None:
            raise TrainingError("run.interrupted", "what members of a vertical run know is gone")
        party = self._party
        party.gather()
        aligned = self._phase("prepared", {"prepare": pb.Prepare(agreement=party.context.note)}, None, None)
        root, people = common_root(aligned)
        members = sorted(party.active)
        party.record(EventType.RUN_PREPARED, {"members": members, "aligned": people, "epsilon": {}})
        trained = self._phase(
            "trained", {"train": pb.Train(round=1)}, root, make_dealer(party.agreement, people, root)
        )
        self._require_same(trained, root)
        parts = {member: part.digest for member, part in trained.items()}
        dealt = {member: part.dealt_bytes for member, part in trained.items()}
        state = sha256_hex(canonical_json(parts))
        leakage = read_reports(trained[self._vertical.label_holder].leakage, self._vertical.label_holder)
        facts = {"members": members, "evaluated_round": 0, "epsilon": {}, "parts": parts}
        leaked = {"leakage": {report.party: report.leaked for report in leakage}}
        party.record(EventType.ROUND_AGGREGATED, {**facts, **leaked, **_no_metrics()}, 1, state)
        check_reports(leakage, self._vertical)
        evaluated = self._phase("evaluated", {"evaluate": pb.Evaluate(state=state.encode())}, root, None)
        figures = self._figures(evaluated)
        facts = {"evaluated_round": 1, "epsilon": {}, **_no_metrics(), **figures}
        last = party.record(EventType.RUN_EVALUATED, facts)
        return VerticalOutcome(parts, root, people, dict(self._said), dealt, figures, leakage, last)

    def finish(self, model: str, manifest_digest: str, error_code: str) -> None:
        """Tells the members how the run ended. Nothing depends on their answers."""
        step = pb.Finish(model=model, manifest_digest=manifest_digest, error_code=error_code)
        self._party.tell({"finish": step})

    def _phase(
        self, stated: str, work: Mapping[str, Any], root: bytes | None, deal: Deal | None
    ) -> dict[str, pb.Part]:
        """Conducts one phase; what each member has after it."""
        party = self._party
        self._phases += 1
        phase = pb.Phase(session=f"phase-{party.attempt}-{self._phases}", **work)
        number = 1 if stated == "trained" else None
        opened = self._sessions.open(party.context.run, phase.session, party.active)
        with cast("Exchange", opened) as exchange:  # of the hub; sums need less of it
            asked = party.begin({"phase": phase}, "phased", stated, number)
            conductor = Conductor(party, exchange, asked, stated, root)
            conductor.gather()
            conductor.begin()
            parts = conductor.finish(deal)
        self._said[stated] = conversations(parts)
        return parts

    @staticmethod
    def _require_same(parts: Mapping[str, pb.Part], root: bytes) -> None:
        if common_root(parts)[0] != root:
            raise TrainingError("run.accounts-differ", "the members trained on others than they aligned on")

    @property
    def _vertical(self) -> Vertical:
        if self._party.agreement.vertical is None:
            raise TrainingError("run.unsupported", "the agreement is not vertical")
        return self._party.agreement.vertical

    def _figures(self, parts: Mapping[str, pb.Part]) -> dict[str, float]:
        return dict(parts[self._vertical.label_holder].figures)


def _no_metrics() -> dict[str, float | None]:
    return Metrics(None, None, None, 0.0).as_facts()
