"""A member's site with real components, and a scorer that serves it over mutual TLS on loopback."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
import pytest
import uvloop
import yaml

from hanse.audit import (
    Actor,
    AuditLog,
    Checkpoint,
    Entry,
    Event,
    EventType,
    leaf_hash,
    sign_checkpoint,
    verify_log,
)
from hanse.audit.entry import Frame, format_time, write_entry
from hanse.audit.proof_file import ProofFile, format_proof
from hanse.crypto import (
    SigningKey,
    make_authority,
    make_client_certificate,
    make_server_certificate,
    unverified_text,
)
from hanse.crypto.cosigning import CosignerKey
from hanse.learning.artifact import ModelManifest, encode_weights, write_model
from hanse.learning.transform import Transform
from hanse.policies import (
    DEFAULT_PACKS,
    Agreement,
    ConsentEvent,
    ConsentLedger,
    Pseudonymiser,
    adopt_pack,
    builtin_pack,
    sign_agreement,
    sign_pack,
)
from hanse.policies.witnessing import PROOF_FILE, REGISTRATION_FILE
from hanse.server.scoring import Local, ScoringSettings, serve
from hanse.server.scoring.stopping import Stop

NOW = datetime.now(UTC).replace(microsecond=0)
PURPOSE = "scoring.marketing"
CALLER = "campaign"
OTHER_CALLER = "billing"
GRANTED = tuple(f"customer-{number}" for number in range(8))
UNKNOWN = "customer-unknown"
PSEUDONYM_KEY = bytes(range(32))
AGES = (18.0, 25.0, 30.0, 41.0, 55.0, 60.5, 70.0, 99.0)
JOBS = ("admin", "student", "retired", "admin", "other", "student", "admin", "retired")


def now_plus(**delta: float) -> str:
    return (NOW + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Keys:
    """Every key of the federation."""

    coordinator: SigningKey = field(default_factory=lambda: SigningKey.generate("hub"))
    node: SigningKey = field(default_factory=lambda: SigningKey.generate("brand"))
    partner: SigningKey = field(default_factory=lambda: SigningKey.generate("partner"))
    auditor: SigningKey = field(default_factory=lambda: SigningKey.generate("brand-auditor"))
    witnesses: Mapping[str, CosignerKey] = field(
        default_factory=lambda: {
            name: CosignerKey.generate(f"{name}-witness", "ed25519") for name in ("brand", "partner")
        }
    )
    approvers: tuple[SigningKey, SigningKey] = field(
        default_factory=lambda: (SigningKey.generate("brand-dpo"), SigningKey.generate("partner-dpo"))
    )


def make_agreement(keys: Keys, **changes: object) -> Agreement:
    """An agreement without gaps that is in force now."""
    brand, partner = keys.approvers
    values: dict[str, Any] = {
        "schema_version": 1,
        "id": "propensity",
        "version": 1,
        "title": "Propensity to buy",
        "purpose": "joint_modelling.propensity",
        "legal_basis": "consent",
        "overrides": [],
        "packs": [builtin_pack(name).reference.model_dump(mode="json") for name in ("pipl", "gdpr")],
        "supersedes": None,
        "may_contain_minors": False,
        "proposer": "Pia Proposer",
        "auditor": "Aud Auditor",
        "members": [
            make_member("brand", "Brand AG", keys.node, brand, "Bea Brand", keys),
            make_member("partner", "Partner GmbH", keys.partner, partner, "Pat Partner", keys),
        ],
        "coordinator": {"name": "hub", "jurisdiction": "DE", "key": keys.coordinator.verifier.encode()},
        "evidence": {"quorum": 2, "auditors": []},
        "columns": [
            {
                "name": "age", "kind": "numeric", "classification": "basic", "edges": [30.0, 60.0],
                "disclosure": [{"to": "members", "form": "model"}],
            },
            {
                "name": "job", "kind": "categorical", "classification": "basic",
                "categories": ["admin", "student"], "disclosure": [{"to": "members", "form": "model"}],
            },
        ],
        "label": {"name": "bought", "positive": "yes"},
        "training": {
            "model": "logistic", "hidden": [], "rounds": 2, "local_steps": 1, "sample_rate": 0.1,
            "learning_rate": 0.1, "clip_norm": 1.0, "max_update_norm": 10.0, "round_timeout_s": 60,
            "holdout_fraction": 0.2,
        },
        "privacy": {"unit": "record", "adjacency": "add-or-remove-one", "epsilon": 3.0, "delta": 1e-5},
        "cohort": {"minimum_rows": 1000, "minimum_members": 2, "suppress_below": 10},
        "scoring": {
            "purpose": PURPOSE, "output": "score", "decimals": 2, "prohibited_uses": ["tracing"],
            "callers": [
                {
                    "name": CALLER, "daily_quota": 100_000,
                    "opt_out_available": True, "non_personalised_path": True,
                },
            ],
            "significant_effect": False, "human_review": False, "reason_codes": False,
        },
        "assessment": {
            "reference": "DPIA 7", "approver": "Dora Assessor",
            "approved_at": now_plus(days=-5), "expires_at": now_plus(days=90),
            "purposes": ["joint_modelling", "scoring"], "members": ["brand", "partner"],
            "classifications": ["basic"], "digest": None, "rehearsal": None,
        },
        "border": {"mechanism": "none", "reference": None, "other_places": []},
        "retention": {"rows_days": 365, "intermediates_days": 30, "model_days": 365},
        "consent": {
            "propagation_hours": 24, "running_round": "finish", "acknowledge_hours": 24, "retrain_days": 30,
        },
        "valid_from": now_plus(days=-5),
        "valid_until": now_plus(days=60),
        "software": {"version": "0.1.0", "digest": "0" * 64},
    }  # fmt: skip
    values |= changes
    return Agreement.from_yaml(yaml.safe_dump(values))


def make_member(
    name: str, organisation: str, node: SigningKey, approver: SigningKey, person: str, keys: Keys
) -> dict[str, Any]:
    return {
        "name": name,
        "organisation": organisation,
        "jurisdiction": "DE",
        "storage_country": "DE",
        "role": "joint",
        "contract": None,
        "notices": [{"version": "1", "sha256": "0" * 64, "published_at": now_plus(days=-2)}],
        "approver": person,
        "node_key": node.verifier.encode(),
        "approver_key": approver.verifier.encode(),
        "witness_key": keys.witnesses[name].verifier.encode(),
    }


def make_grant(ref: str, **changes: object) -> ConsentEvent:
    """A grant for scoring that satisfies every rule now."""
    values: dict[str, Any] = {
        "event_id": f"grant-{ref}",
        "recorded_at": NOW - timedelta(days=1),
        "subject_ref": ref,
        "state": "given",
        "purposes": ("scoring",),
        "given_at": NOW - timedelta(days=1),
        "expires_at": NOW + timedelta(days=30),
        "controller": "Brand AG",
        "recipients": ("Partner GmbH",),
        "categories": ("basic",),
        "notice_version": "1",
        "notice_sha256": "0" * 64,
        "notice_published_at": NOW - timedelta(days=2),
        "method": "active_click",
        "preticked": False,
        "bundled": False,
        "conditional": False,
        "legal_basis": "consent",
        "jurisdiction": "DE",
        "storage_country": "DE",
    }
    return ConsentEvent.model_validate(values | changes)


def write_note(path: Path, agreement: Agreement, keys: Keys) -> None:
    note: Agreement | bytes = agreement
    for approver in keys.approvers:
        note = sign_agreement(note, approver)
    assert isinstance(note, bytes)
    path.write_bytes(note)


def write_registered_model(folder: Path, agreement: Agreement, keys: Keys) -> None:
    """A logistic model with weights that differ for every cell, signed by the coordinator."""
    transform = Transform.fit(agreement.columns, None, 0.0)
    weights = np.linspace(-2.0, 2.0, transform.n_features + 1, dtype=np.float32)
    manifest = ModelManifest(
        name="propensity",
        version=3,
        agreement_digest=agreement.digest,
        run="run-1",
        purpose=agreement.purpose,
        label=agreement.label,
        transform=transform,
        training=agreement.training,
        metrics={},
        privacy=None,
        epsilon={},
        members=tuple(member.name for member in agreement.members),
        created_at=NOW,
    )
    digest = write_model(folder, manifest, encode_weights(weights), keys.coordinator)
    write_registration(folder, agreement, keys, digest)


def write_registration(folder: Path, agreement: Agreement, keys: Keys, digest: str) -> None:
    """The entry of a log of one entry, and the proof that the witnesses have co-signed it."""
    actor = Actor(organisation="Hub", key_id=keys.coordinator.verifier.key_id, role="coordinator")
    event = Event(type=EventType.MODEL_REGISTERED, agreement=agreement.digest, model_out=digest)
    leaf = write_entry(event, Frame(actor.canonical(), 0, format_time(NOW)))
    note = sign_checkpoint(Checkpoint("hub", 1, leaf_hash(leaf)), keys.coordinator)
    for witness in keys.witnesses.values():
        note += witness.cosign(unverified_text(note), NOW).encode()
    (folder / REGISTRATION_FILE).write_bytes(leaf)
    (folder / PROOF_FILE).write_bytes(format_proof(ProofFile(0, (), note)))


@dataclass
class MemberSite:
    """Everything that a member has on disk for its scorer, and what its callers have."""

    root: Path
    keys: Keys
    agreement: Agreement
    settings: ScoringSettings

    @property
    def ledger(self) -> ConsentLedger:
        """The ledger as another process of the member opens it."""
        return ConsentLedger(self.settings.consent_ledger)

    def ref(self, subject: str) -> str:
        return Pseudonymiser(PSEUDONYM_KEY).ref(subject)

    def entries(self) -> list[Entry]:
        """Every entry of the log, after every byte of it was checked."""
        return list(verify_log(self.settings.log, self.keys.node.verifier, origin="brand-log").entries)

    def calls(self) -> list[Entry]:
        """The entries of calls."""
        kinds = (EventType.SCORE_ANSWERED, EventType.SCORE_DENIED)
        return [entry for entry in self.entries() if entry.type in kinds]

    def credentials(self, caller: str | None) -> grpc.ChannelCredentials:
        authority = (self.root / "authority.crt").read_bytes()
        if caller is None:
            return grpc.ssl_channel_credentials(authority)
        key, certificate = (self.root / f"{caller}.{kind}" for kind in ("key", "crt"))
        return grpc.ssl_channel_credentials(authority, key.read_bytes(), certificate.read_bytes())


def make_site(root: Path, **agreement_changes: object) -> MemberSite:
    """Writes a site: keys, signed agreement, consents, signed model, empty log, certificates."""
    keys = Keys()
    agreement = make_agreement(keys, **agreement_changes)
    write_note(root / "agreement.note", agreement, keys)
    write_registered_model(root / "model", agreement, keys)
    keys.node.save(root / "node.key")
    (root / "pseudonym.key").touch(mode=0o600)
    (root / "pseudonym.key").write_bytes(PSEUDONYM_KEY)
    AuditLog.create(root / "audit.db", "brand-log", keys.node)
    (root / "auditor.pub").write_text(f"{keys.auditor.verifier.encode()}\n")
    for name in DEFAULT_PACKS:
        signed = sign_pack(sign_pack(builtin_pack(name), keys.approvers[0]), keys.auditor)
        adopt_pack(root / "packs", signed, (keys.approvers[0].verifier, keys.auditor.verifier))
    with ConsentLedger(root / "consent.db") as ledger:
        ledger.record(make_grant(Pseudonymiser(PSEUDONYM_KEY).ref(subject)) for subject in GRANTED)
        ledger.heartbeat(NOW)
    write_certificates(root)
    settings = ScoringSettings(
        address="127.0.0.1:0",
        model=root / "model",
        registry_key=keys.coordinator.verifier.encode(),
        agreement=root / "agreement.note",
        packs=root / "packs",
        auditor=root / "auditor.pub",
        consent_ledger=root / "consent.db",
        pseudonym_key=root / "pseudonym.key",
        log=root / "audit.db",
        signing_key=root / "node.key",
        callers={CALLER: root / f"{CALLER}.crt", OTHER_CALLER: root / f"{OTHER_CALLER}.crt"},
        tls_key=root / "server.key",
        tls_certificate=root / "server.crt",
        maximum_rows=64,
        # A stalled machine must not refuse what a test is not about; tests of the bound set their own.
        withdrawal_bound_s=60.0,
        grace_s=1.0,
    )
    return MemberSite(root, keys, agreement, settings)


def write_certificates(root: Path) -> None:
    authority = make_authority("brand authority", NOW, 30)
    pairs = {
        "authority": authority,
        "server": make_server_certificate(*authority, ["localhost", "127.0.0.1"], NOW, 30),
        **{name: make_client_certificate(name, NOW, 30) for name in (CALLER, OTHER_CALLER, "stranger")},
    }
    for name, (key, certificate) in pairs.items():
        (root / f"{name}.key").touch(mode=0o600)
        (root / f"{name}.key").write_bytes(key)
        (root / f"{name}.crt").write_bytes(certificate)


class RunningScorer:
    """A scorer in a thread of its own, as its process would run it."""

    def __init__(
        self,
        settings: ScoringSettings,
        clock: Callable[[], datetime] | None = None,
        local: Local | None = None,
    ) -> None:
        self.settings = settings
        self._local = local
        self.address = ""
        self._ready = threading.Event()
        self._clock = clock or (lambda: datetime.now(UTC))
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="scorer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(20)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        # Stopped before, it may have closed its loop by now.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.tell)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 - told to the test that started the scorer
            self._failure = failure
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = Stop()
        await serve(self.settings, self._stop, self._announce, self._clock, self._local)

    def _announce(self, address: str) -> None:
        self.address = address
        self._ready.set()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> MemberSite:
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def scorer(site: MemberSite) -> Iterator[RunningScorer]:
    with RunningScorer(site.settings) as running:
        yield running
