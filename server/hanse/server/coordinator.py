"""The coordinator's work: accept agreements, conduct runs, register models. No transport in here."""

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from hanse.audit import AuditLog, Event, EventType, inclusion_proof, parse_checkpoint
from hanse.audit.proof_file import ProofFile, format_proof
from hanse.crypto import SigningKey, canonical_json, fingerprint, sha256_hex, unverified_text, write_atomic
from hanse.errors import HanseError, IdentityError, PolicyError, ServingError, TrainingError
from hanse.learning import ModelManifest, write_model
from hanse.learning.artifact import MANIFEST_FILE, WEIGHTS_FILE, KeptRound, load_model
from hanse.learning.vertical.runs.manifest import VerticalManifest, is_vertical, open_vertical
from hanse.policies import (
    BUILTIN,
    Agreement,
    Identity,
    Policy,
    SignedAgreement,
    merge,
    open_agreement,
    read_pack,
    read_unverified,
    require_known,
    require_no_gap,
    resolve,
    trainings_of,
)
from hanse.policies.witnessing import PROOF_FILE, REGISTRATION_FILE, WITHHELD_FILE, trust_policy
from hanse.server.findings import robustness_report, run_contributions
from hanse.server.party import RunContext
from hanse.server.phases import Sessions
from hanse.server.resuming import RunStory
from hanse.server.rounds import Means, Outcome, Resumed, Rounds
from hanse.server.runs import RunBook, RunRecord, error_facts
from hanse.server.statements import Statements
from hanse.server.sweeping import SweepConductor
from hanse.server.sweeps import SweepBook, SweepRecord
from hanse.server.transport import Transport
from hanse.server.vertical.registering import vertical_manifest, write_vertical
from hanse.server.vertical.run import VerticalOutcome, VerticalRun, require_resumable
from hanse.server.witnesses import Witnesses

QUORUM_TIMEOUT_S: Final = 60.0
"""How long a finished run waits for the witnesses, who answer within a second when they run."""

log = logging.getLogger("hanse.server")


class Engine(Protocol):
    """What the coordinator needs of the federated engine."""

    def register(self, member: str, flower_key: str) -> None:
        """Admits a member's node."""
        ...

    def run(self, work: Callable[[Transport], None], cancelled: Callable[[], bool]) -> None:
        """Runs ``work`` with a transport to the admitted nodes."""
        ...


@dataclass(frozen=True, slots=True)
class CoordinatorFolders:
    """Where the coordinator keeps agreements, models, peers and copies of the members' own rule packs."""

    agreements: Path
    models: Path
    peers: Path
    packs: Path


@dataclass(frozen=True, slots=True)
class Evidence:
    """What ties the runs to the shared log.

    Attributes:
        statements: What members state of their steps.
        witnesses: Who co-signs the log.
        timeout_s: How long a finished run waits for its quorum.
    """

    statements: Statements
    witnesses: Witnesses
    timeout_s: float = QUORUM_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model version as a member takes it home.

    Attributes:
        manifest: The signed manifest, a note.
        weights: Safetensors.
        registration: The entry ``model.registered`` of the shared log, exact bytes.
        proof: That it is in a checkpoint that the quorum co-signed (C2SP tlog-proof).
    """

    manifest: bytes
    weights: bytes
    registration: bytes
    proof: bytes


class Coordinator:
    """See the module docstring; thread-safe."""

    def __init__(
        self,
        folders: CoordinatorFolders,
        key: SigningKey,
        identity: Identity,
        shared_log: AuditLog,
        book: RunBook,
        engine: Engine,
        evidence: Evidence,
        sessions: Sessions,
        clock: Callable[[], datetime],
    ) -> None:
        self._folders = folders
        self._key = key
        self._identity = identity
        self._log = shared_log
        self._book = book
        self._engine = engine
        self._evidence = evidence
        self._sessions = sessions
        self._clock = clock
        self._sweeps = SweepBook(book)
        self._conductor = SweepConductor(self, engine)
        self._peers: dict[str, Identity] = {}
        self._lock = threading.Lock()
        for folder in (folders.agreements, folders.models, folders.peers, folders.packs):
            folder.mkdir(parents=True, exist_ok=True)

    def enrol_peers(self) -> None:
        """Reads the identities in the peers folder; a member's node may connect from then on."""
        with self._lock:
            for path in sorted(self._folders.peers.glob("*.json")):
                identity = Identity.load(path)
                if self._peers.get(identity.name) == identity:
                    continue
                if identity.flower_key is not None:
                    self._engine.register(identity.name, identity.flower_key)
                self._peers[identity.name] = identity

    def peers(self) -> Mapping[str, Identity]:
        """Enrolled identities by name."""
        with self._lock:
            return dict(self._peers)

    def accept(self, note: bytes, caller: str) -> SignedAgreement:
        """Checks an agreement and keeps it.

        Args:
            note: The signed agreement.
            caller: Enrolled name of who hands it in; must be one of its members.

        Raises:
            PolicyError: It is unsigned, altered, has gaps, or the caller is no member of it.
            IdentityError: It names keys that are not the enrolled ones.
        """
        signed = open_agreement(note)
        if caller not in {member.name for member in signed.agreement.members}:
            raise PolicyError("policy.denied", f"{caller} is no member of the agreement", rule="P20")
        if signed.agreement.coordinator.key != self._key.verifier.encode():
            detail = "the agreement names another key than this coordinator has now: amend it"
            raise PolicyError("policy.denied", detail, rule="P20")
        require_known(signed.agreement, {**self.peers(), self._identity.name: self._identity})
        require_no_gap(signed.agreement, self._policy(signed.agreement), self._clock())
        path = self._folders.agreements / f"{signed.digest}.agreement"
        if not path.exists():
            self._log.append(
                Event(
                    type=EventType.AGREEMENT_ACCEPTED,
                    agreement=signed.digest,
                    purpose=signed.agreement.purpose,
                )
            )
            write_atomic(path, note)
        return signed

    def _policy(self, agreement: Agreement) -> Policy:
        """What the agreement's rule packs come to. All members signed their digests, so any copy will do."""
        named = {reference.digest for reference in agreement.packs}
        copies = (read_pack(path.read_bytes()) for path in sorted(self._folders.packs.glob("*.pack")))
        return merge(
            resolve(agreement.packs, [*BUILTIN.values(), *(pack for pack in copies if pack.digest in named)])
        )

    def start(self, agreement_digest: str, caller: str, trials: int = 0) -> RunRecord | SweepRecord:
        """Starts a run of an accepted agreement, or a sweep, and returns at once.

        Args:
            agreement_digest: Which agreement.
            caller: Enrolled name of who asks; must be one of its members.
            trials: How many trials a sweep has; 0 for one run of the training as it was agreed.

        Raises:
            PolicyError: There is no such agreement, or it is no longer valid, or allows no such sweep.
            TrainingError: ``run.busy``.
        """
        path = self._folders.agreements / f"{agreement_digest}.agreement"
        if not agreement_digest.isalnum() or not path.is_file():
            raise PolicyError("policy.invalid", "no accepted agreement has this digest; submit it first")
        note = path.read_bytes()
        signed = self.accept(note, caller)
        members = frozenset(member.name for member in signed.agreement.members)
        if trials:
            trainings_of(signed, trials)
            sweep = self._sweeps.begin(signed.digest, trials, members)
            self._conductor.start(sweep, signed, sweep.records[0], None)
            return sweep
        record = self._book.new(secrets.token_hex(3), members)
        self._start(RunContext(record.run, signed, note), record, None)
        return record

    def _start(self, context: RunContext, record: RunRecord, resumed: Resumed | None) -> None:
        arguments = (context, record, resumed)
        threading.Thread(target=self._conduct, args=arguments, name=record.run, daemon=True).start()

    def take_up(self) -> list[str]:
        """Goes on with the run that a stopped coordinator left behind, and closes it if that cannot be.

        Returns:
            Names of runs that were closed.

        Raises:
            AuditError: ``audit.unavailable`` if the log cannot be written.
        """
        closed = []
        going = {}
        for record in self._book.active():
            story = RunStory.of(self._log, record.run)
            try:
                context, resumed = self._resumable(record, story)
            except HanseError as error:
                log.warning("run %s does not go on: %s", record.run, error)
                if not record.finished:
                    event = Event(
                        type=EventType.RUN_FAILED,
                        agreement=story.agreement,
                        run=record.run,
                        reasons=("run.interrupted",),
                    )
                    record.record(event, {"code": "run.interrupted"})
                    closed.append(record.run)
            else:
                log.info("run %s goes on, for the %s. time", record.run, resumed.attempt)
                if context.trial is None:
                    self._start(context, record, resumed)
                else:
                    going[context.trial.sweep] = record, resumed
        for sweep in self._sweeps.active():
            self._take_up_sweep(sweep, *going.get(sweep.run, (None, None)))
        return closed

    def _take_up_sweep(self, sweep: SweepRecord, record: RunRecord | None, resumed: Resumed | None) -> None:
        """Goes on with the trials that are left."""
        path = self._folders.agreements / f"{sweep.agreement}.agreement"
        try:
            signed = open_agreement(path.read_bytes())
            require_no_gap(signed.agreement, self._policy(signed.agreement), self._clock())
        except (OSError, HanseError) as error:
            log.warning("sweep %s does not go on: %s", sweep.run, error)
            sweep.end({"code": "run.interrupted"})
            return
        log.info("sweep %s goes on, with %s trials to begin", sweep.run, sweep.left)
        self._conductor.start(sweep, signed, record, resumed)

    def _resumable(self, record: RunRecord, story: RunStory) -> tuple[RunContext, Resumed]:
        """How an unfinished run goes on.

        Raises:
            HanseError: Why it does not.
        """
        path = self._folders.agreements / f"{story.agreement}.agreement"
        if not path.is_file():
            raise TrainingError("run.interrupted", "its agreement is not there")
        note = path.read_bytes()
        signed = open_agreement(note)
        kept = record.load()
        members = [member.name for member in signed.agreement.members]
        record.repair(story.events(kept[0] if kept else None, members))
        resumed = story.resumed(signed, kept)
        if signed.agreement.vertical is not None:
            require_resumable(signed.agreement, resumed)
        require_no_gap(signed.agreement, self._policy(signed.agreement), self._clock())
        record.opened.load()
        sweep = self._sweeps.of(record.run)
        return RunContext(record.run, signed, note, None if sweep is None else sweep.trial(record)), resumed

    def model(self, reference: str, caller: str) -> RegisteredModel:
        """A registered model version, with the proof that its registration is in the co-signed log.

        Args:
            reference: ``name@version``.
            caller: Enrolled name of who asks; must be a member of the agreement that it was made under.

        Raises:
            ServingError: ``model.not-found``, also for a model that is none of the caller's affair, or whose
                registration no quorum co-signed.
        """
        folder = self._folders.models / reference
        proven = (folder / PROOF_FILE).is_file() and not (folder / WITHHELD_FILE).exists()
        if folder.parent != self._folders.models or not proven:
            raise ServingError("model.not-found", "no registered model of that name and version")
        made_under = self._agreement_of(folder)
        agreement = read_unverified((self._folders.agreements / f"{made_under}.agreement").read_bytes())
        if caller not in {member.name for member in agreement.members}:
            raise ServingError("model.not-found", f"{caller} is no member of the model's agreement")
        # A vertical model has no weights here: its members have their parts.
        weights = (folder / WEIGHTS_FILE).read_bytes() if (folder / WEIGHTS_FILE).is_file() else b""
        manifest, *proof = (
            (folder / name).read_bytes() for name in (MANIFEST_FILE, REGISTRATION_FILE, PROOF_FILE)
        )
        return RegisteredModel(manifest, weights, *proof)

    def _agreement_of(self, folder: Path) -> str:
        """Digest of a model version's agreement; a former key of this coordinator may have signed it."""
        with self._evidence.witnesses.reader() as reader:
            *former, _ = reader.keys()
        note = (folder / MANIFEST_FILE).read_bytes()
        for key in (*former, self._key.verifier):
            with suppress(ServingError):
                return (
                    open_vertical(note, key).agreement_digest
                    if is_vertical(note)
                    else load_model(folder, key).manifest.agreement_digest
                )
        raise ServingError("model.invalid", "the manifest is signed by no key of this coordinator")

    def _conduct(self, context: RunContext, record: RunRecord, resumed: Resumed | None) -> None:
        """One run from start to its last entry; every error ends in a named one."""
        try:
            self._engine.run(
                lambda transport: self._rounds(context, record, transport, resumed), record.cancelled
            )
        except Exception as error:  # noqa: BLE001 - the run's last entry names it
            if record.interrupted:
                return  # the next process goes on with it
            self.failed(context.signed.digest, record, error)

    def failed(self, agreement: str, record: RunRecord, error: Exception) -> None:
        """The last entry of a run that an error ended."""
        facts = {"code": "run.cancelled"} if record.cancelled() else error_facts(error)
        log.warning("run %s failed: %s", record.run, error)
        event = Event(
            type=EventType.RUN_FAILED, agreement=agreement, run=record.run, reasons=(facts["code"],)
        )
        record.record(event, facts)

    def _rounds(
        self, context: RunContext, record: RunRecord, transport: Transport, resumed: Resumed | None
    ) -> None:
        vertical = context.agreement.vertical is not None
        rounds = (self._vertical if vertical else self.rounds)(context, record, transport)
        try:
            outcome = rounds.conduct(resumed)
            name, digest = self._published(record.run) if resumed else ("", "")
            if not name:
                manifest = (
                    vertical_manifest(context, outcome, self._clock())
                    if isinstance(outcome, VerticalOutcome)
                    else self.manifest(context, outcome, record)
                )
                name, digest = self.publish(
                    context, record, manifest, outcome.model_file, outcome.last_entry
                )[:2]
        except Exception as error:
            if not record.interrupted:
                rounds.finish("", "", error_facts(error)["code"])
            raise
        rounds.finish(name, digest, "")
        record.record(
            _about(context, EventType.RUN_FINISHED, digest),
            {"model": name, "epsilon": dict(outcome.epsilon), **outcome.metrics.as_facts()},
        )

    def _published(self, run: str) -> tuple[str, str]:
        """Name and digest of the model that an earlier process has registered of a run, with its proof.

        Members may have been told of it, and it is in the logs: there is no other of the same run. Empty if
        there is none.
        """
        digest = RunStory.of(self._log, run).registered
        for manifest in sorted(self._folders.models.glob(f"*/{MANIFEST_FILE}")):
            name = manifest.parent.name
            if sha256_hex(manifest.read_bytes()) == digest and self.proven(name):
                return name, digest or ""
        return "", ""

    def rounds(self, context: RunContext, record: RunRecord, transport: Transport) -> Rounds:
        """The rounds of a run over a transport."""
        means = Means(transport, self._sessions, self._evidence.statements)
        return Rounds(context, means, self._key, record, record)

    def _vertical(self, context: RunContext, record: RunRecord, transport: Transport) -> VerticalRun:
        """A vertical run over a transport."""
        means = Means(transport, self._sessions, self._evidence.statements)
        return VerticalRun(context, means, self._key, record)

    @property
    def logged(self) -> int:
        """Index of the last entry of the shared log."""
        with self._evidence.witnesses.reader() as reader:
            return reader.size - 1

    def proven(self, name: str) -> bool:
        """Whether a model version has the proof of its registration."""
        return (self._folders.models / name / PROOF_FILE).is_file()

    def publish(
        self,
        context: RunContext,
        record: RunRecord,
        manifest: ModelManifest | VerticalManifest,
        model_file: bytes,
        entry: int,
    ) -> tuple[str, str, Event]:
        """Registers a model version when the witnesses have seen the log up to an entry, and proves that.

        Returns:
            ``name@version``, the manifest's digest and the entry.
        """
        self._await_quorum(context, record, entry)
        name, digest = self._register(manifest, model_file)
        event = _about(context, EventType.MODEL_REGISTERED, digest)
        with self._released(record, event, name):
            index = record.record(event, {"model": name, "manifest_digest": digest})
            self._prove(context, record, name, index)
        return name, digest, event

    def _await_quorum(self, context: RunContext, record: RunRecord, entry: int) -> bytes:
        """The checkpoint over an entry and all before it that the agreement's witnesses have co-signed.

        Raises:
            AuditError: ``audit.quorum`` naming who is missing; no model comes of the run then.
        """
        policy = trust_policy(context.agreement)
        evidence = self._evidence
        return evidence.witnesses.wait(entry + 1, policy, evidence.timeout_s, record.cancelled)

    @contextmanager
    def _released(self, record: RunRecord, registered: Event, name: str) -> Iterator[None]:
        """A model whose registration cannot be proven is withheld, and the log says so and why."""
        try:
            yield
        except Exception as error:
            code = "run.cancelled" if record.cancelled() else error_facts(error)["code"]
            record.record(_withheld(registered, code), {"model": name, "code": code})
            self._mark_withheld(name, code)
            raise

    def withhold_unproven(self) -> list[str]:
        """Withholds every model that a stopped coordinator left without the proof of its registration.

        Returns:
            Their names and versions.

        Raises:
            AuditError: ``audit.unavailable`` if the log cannot be written.
        """
        left = []
        for manifest in sorted(self._folders.models.glob(f"*/{MANIFEST_FILE}")):
            folder = manifest.parent
            if not any((folder / name).exists() for name in (PROOF_FILE, WITHHELD_FILE)):
                # Of no run: whichever it was, its last entry is in the log already.
                digest = sha256_hex(manifest.read_bytes())
                self._log.append(
                    _withheld(Event(type=EventType.MODEL_REGISTERED, model_out=digest), "run.interrupted")
                )
                self._mark_withheld(folder.name, "run.interrupted")
                left.append(folder.name)
        return left

    def _mark_withheld(self, name: str, code: str) -> None:
        write_atomic(self._folders.models / name / WITHHELD_FILE, canonical_json({"code": code}) + b"\n")

    def _prove(self, context: RunContext, record: RunRecord, name: str, index: int) -> None:
        """Keeps entry and proof of a registration beside the model; only then is the model handed out."""
        note = self._await_quorum(context, record, index)
        size = parse_checkpoint(unverified_text(note)).size
        with self._evidence.witnesses.reader() as reader:
            (leaf,) = reader.leaves(index, index + 1)
            proof = format_proof(ProofFile(index, inclusion_proof(index, size, reader.hashes), note))
        folder = self._folders.models / name
        write_atomic(folder / REGISTRATION_FILE, leaf)
        write_atomic(folder / PROOF_FILE, proof)

    def _register(self, manifest: ModelManifest | VerticalManifest, model_file: bytes) -> tuple[str, str]:
        """Writes the signed model version; returns ``name@version`` and the manifest's digest."""
        numbered = manifest.model_copy(
            update={"version": self._next_version(manifest.name), "created_at": self._clock()}
        )
        folder = self._folders.models / numbered.reference
        digest = (
            write_vertical(folder, numbered, self._key)
            if isinstance(numbered, VerticalManifest)
            else write_model(folder, numbered, model_file, self._key)
        )
        return numbered.reference, digest

    def manifest(self, context: RunContext, outcome: Outcome, record: RunRecord) -> ModelManifest:
        """What came of a run; version and time of registration are still to come."""
        agreement = context.agreement
        return ModelManifest(
            name=agreement.id,
            version=1,
            agreement_digest=context.signed.digest,
            run=context.run,
            purpose=agreement.purpose,
            label=agreement.label,
            training=agreement.training,
            transform=outcome.transform,
            metrics=outcome.metrics.as_facts(),
            privacy=agreement.privacy,
            epsilon=dict(outcome.epsilon),
            members=outcome.members,
            cell_counts=outcome.cell_counts,
            average=outcome.average,
            calibration=outcome.metrics.meaning.calibration,
            deciles=outcome.metrics.meaning.deciles,
            rows=outcome.account.rows,
            certificate=outcome.account.certificate,
            created_at=self._clock(),
            robustness=robustness_report(record, agreement),
            contributions=run_contributions(record, agreement),
            rounds=None if outcome.kept is None else KeptRound(kept=outcome.kept.round, done=outcome.rounds),
        )

    def _next_version(self, name: str) -> int:
        """Versions count up within a name; one run at a time, so no two take the same."""
        taken = [path.name.rpartition("@")[2] for path in self._folders.models.glob(f"{name}@*")]
        return max((int(version) for version in taken if version.isdecimal()), default=0) + 1

    def authenticate(self, certificate_fingerprint: str) -> Identity:
        """The enrolled identity that owns a client certificate.

        Raises:
            IdentityError: ``identity.unauthenticated``.
        """
        for identity in self.peers().values():
            if (
                identity.tls_certificate
                and fingerprint(identity.tls_certificate.encode()) == certificate_fingerprint
            ):
                return identity
        raise IdentityError("identity.unauthenticated", "the client certificate is not an enrolled one")


def _about(context: RunContext, kind: EventType, digest: str) -> Event:
    """An entry about the model of a run."""
    return Event(
        type=kind,
        agreement=context.signed.digest,
        run=context.run,
        purpose=context.agreement.purpose,
        model_out=digest,
    )


def _withheld(registered: Event, code: str) -> Event:
    """The entry that a model which was to be registered is not handed out, and why."""
    return registered.model_copy(update={"type": EventType.MODEL_WITHHELD, "reasons": (code,)})
