"""The coordinator's work: accept agreements, conduct runs, register models. No transport in here."""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hanse.audit import AuditLog, Event, EventType
from hanse.crypto import SigningKey, fingerprint, write_atomic
from hanse.errors import IdentityError, PolicyError, ServingError
from hanse.learning import ModelManifest, write_model
from hanse.learning.artifact import MANIFEST_FILE, WEIGHTS_FILE, load_model
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
)
from hanse.server.rounds import Outcome, Rounds, RunContext
from hanse.server.runs import RunBook, RunRecord, error_facts
from hanse.server.transport import Transport

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
        clock: Callable[[], datetime],
    ) -> None:
        self._folders = folders
        self._key = key
        self._identity = identity
        self._log = shared_log
        self._book = book
        self._engine = engine
        self._clock = clock
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
            raise PolicyError("policy.denied", "the agreement names another coordinator key", rule="P20")
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

    def start(self, agreement_digest: str, caller: str) -> RunRecord:
        """Starts a run of an accepted agreement and returns at once.

        Args:
            agreement_digest: Which agreement.
            caller: Enrolled name of who asks; must be one of its members.

        Raises:
            PolicyError: There is no such agreement, or it is no longer valid.
            TrainingError: ``run.busy``.
        """
        path = self._folders.agreements / f"{agreement_digest}.agreement"
        if not agreement_digest.isalnum() or not path.is_file():
            raise PolicyError("policy.invalid", "no accepted agreement has this digest; submit it first")
        note = path.read_bytes()
        signed = self.accept(note, caller)
        members = frozenset(member.name for member in signed.agreement.members)
        record = self._book.new(secrets.token_hex(3), members)
        context = RunContext(record.run, signed, note)
        threading.Thread(target=self._conduct, args=(context, record), name=record.run, daemon=True).start()
        return record

    def model(self, reference: str, caller: str) -> tuple[bytes, bytes]:
        """Manifest note and weights of a registered model version.

        Args:
            reference: ``name@version``.
            caller: Enrolled name of who asks; must be a member of the agreement that it was made under.

        Raises:
            ServingError: ``model.not-found``, also for a model that is none of the caller's affair.
        """
        folder = self._folders.models / reference
        if folder.parent != self._folders.models or not (folder / MANIFEST_FILE).is_file():
            raise ServingError("model.not-found", "no registered model of that name and version")
        manifest = load_model(folder, self._key.verifier).manifest
        agreement = read_unverified(
            (self._folders.agreements / f"{manifest.agreement_digest}.agreement").read_bytes()
        )
        if caller not in {member.name for member in agreement.members}:
            raise ServingError("model.not-found", f"{caller} is no member of the model's agreement")
        return (folder / MANIFEST_FILE).read_bytes(), (folder / WEIGHTS_FILE).read_bytes()

    def _conduct(self, context: RunContext, record: RunRecord) -> None:
        """One run from start to its last entry; every error ends in a named one."""
        try:
            self._engine.run(lambda transport: self._rounds(context, record, transport), record.cancelled)
        except Exception as error:  # noqa: BLE001 - the run's last entry names it
            facts = {"code": "run.cancelled"} if record.cancelled() else error_facts(error)
            log.warning("run %s failed: %s", context.run, error)
            event = Event(
                type=EventType.RUN_FAILED,
                agreement=context.signed.digest,
                run=context.run,
                reasons=(facts["code"],),
            )
            record.record(event, facts)

    def _rounds(self, context: RunContext, record: RunRecord, transport: Transport) -> None:
        rounds = Rounds(context, transport, self._key, record, record)
        try:
            outcome = rounds.conduct()
            name, digest = self._register(context, outcome)
        except Exception as error:
            rounds.finish("", "", error_facts(error)["code"])
            raise
        event = Event(
            type=EventType.MODEL_REGISTERED,
            agreement=context.signed.digest,
            run=context.run,
            purpose=context.agreement.purpose,
            model_out=digest,
        )
        record.record(event, {"model": name, "manifest_digest": digest})
        rounds.finish(name, digest, "")
        record.record(
            event.model_copy(update={"type": EventType.RUN_FINISHED}),
            {"model": name, "epsilon": dict(outcome.epsilon), **outcome.metrics.as_facts()},
        )

    def _register(self, context: RunContext, outcome: Outcome) -> tuple[str, str]:
        """Writes the signed model version; returns ``name@version`` and the manifest's digest."""
        agreement = context.agreement
        manifest = ModelManifest(
            name=agreement.id,
            version=self._next_version(agreement.id),
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
            created_at=self._clock(),
        )
        digest = write_model(self._folders.models / manifest.reference, manifest, outcome.weights, self._key)
        return manifest.reference, digest

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
