"""A member's site with real components: keys, a signed agreement, consents, a signed model, certificates."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import yaml

from hanse.audit import Actor, AuditLog, Checkpoint, Event, EventType, leaf_hash, sign_checkpoint
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
from hanse.learning.shapes import parameter_count, split_flat
from hanse.learning.transform import Transform
from hanse.policies import (
    DEFAULT_PACKS,
    Agreement,
    ConsentEvent,
    ConsentLedger,
    Pseudonymiser,
    adopt_pack,
    builtin_pack,
    open_agreement,
    sign_agreement,
    sign_pack,
)
from hanse.policies.witnessing import PROOF_FILE, REGISTRATION_FILE
from hanse.server.scoring import ScoringSettings

PURPOSE: Final = "scoring.marketing"
CALLER: Final = "campaign"
COLUMNS: Final = tuple(f"c{number}" for number in range(8))
EDGES: Final = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
HIDDEN: Final = (128, 64)
PSEUDONYM_KEY: Final = bytes(range(32))


def subject(number: int) -> str:
    """Identifier of a subject; all are of the same length, as customer numbers are."""
    return f"customer-{number:07d}"


@dataclass(frozen=True)
class _Keys:
    coordinator: SigningKey
    nodes: tuple[SigningKey, SigningKey]
    approvers: tuple[SigningKey, SigningKey]
    auditor: SigningKey
    witnesses: tuple[CosignerKey, CosignerKey]


def make_site(root: Path, subjects: int, maximum_rows: int = 4096) -> ScoringSettings:
    """Writes a site and says what serves it.

    Args:
        root: An empty folder.
        subjects: So many have granted scoring.
        maximum_rows: Most subjects in one call.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    keys = _keys()
    agreement = _agreement(keys, now)
    first, second = keys.approvers
    (root / "agreement.note").write_bytes(sign_agreement(sign_agreement(agreement, first), second))
    _write_model(root / "model", agreement, keys, now)
    keys.nodes[0].save(root / "node.key")
    (root / "pseudonym.key").touch(mode=0o600)
    (root / "pseudonym.key").write_bytes(PSEUDONYM_KEY)
    AuditLog.create(root / "audit.db", "brand-log", keys.nodes[0])
    (root / "auditor.pub").write_text(f"{keys.auditor.verifier.encode()}\n")
    for name in DEFAULT_PACKS:
        signed = sign_pack(sign_pack(builtin_pack(name), keys.approvers[0]), keys.auditor)
        adopt_pack(root / "packs", signed, (keys.approvers[0].verifier, keys.auditor.verifier))
    _write_consents(root / "consent.db", subjects, now)
    _write_certificates(root, now)
    return ScoringSettings(
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
        callers={CALLER: root / f"{CALLER}.crt"},
        tls_key=root / "server.key",
        tls_certificate=root / "server.crt",
        maximum_rows=maximum_rows,
    )


def _keys() -> _Keys:
    made = [
        SigningKey.generate(name) for name in ("hub", "brand", "partner", "brand-dpo", "partner-dpo", "a")
    ]
    hub, brand, partner, brand_dpo, partner_dpo, auditor = made
    witnesses = (CosignerKey.generate("brand-w", "ed25519"), CosignerKey.generate("partner-w", "ed25519"))
    return _Keys(hub, (brand, partner), (brand_dpo, partner_dpo), auditor, witnesses)


def _agreement(keys: _Keys, now: datetime) -> Agreement:
    def at(**delta: float) -> str:
        return (now + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")

    members = [
        {
            "name": name, "organisation": organisation, "jurisdiction": "DE", "storage_country": "DE",
            "role": "joint", "contract": None, "approver": person,
            "notices": [{"version": "1", "sha256": "0" * 64, "published_at": at(days=-2)}],
            "node_key": keys.nodes[place].verifier.encode(),
            "approver_key": keys.approvers[place].verifier.encode(),
            "witness_key": keys.witnesses[place].verifier.encode(),
        }
        for place, (name, organisation, person) in enumerate(
            (("brand", "Brand AG", "Bea Brand"), ("partner", "Partner GmbH", "Pat Partner"))
        )
    ]  # fmt: skip
    values: dict[str, Any] = {
        "schema_version": 1, "id": "propensity", "version": 1, "title": "Propensity to buy",
        "purpose": "joint_modelling.propensity", "legal_basis": "consent", "overrides": [],
        "packs": [builtin_pack(name).reference.model_dump(mode="json") for name in ("pipl", "gdpr")],
        "supersedes": None, "may_contain_minors": False, "proposer": "Pia Proposer",
        "auditor": "Aud Auditor", "members": members,
        "coordinator": {"name": "hub", "jurisdiction": "DE", "key": keys.coordinator.verifier.encode()},
        "evidence": {"quorum": 2, "auditors": []},
        "columns": [
            {
                "name": name, "kind": "numeric", "classification": "basic", "edges": list(EDGES),
                "disclosure": [{"to": "members", "form": "model"}],
            }
            for name in COLUMNS
        ],
        "label": {"name": "bought", "positive": "yes"},
        "training": {
            "model": "mlp", "hidden": list(HIDDEN), "rounds": 2, "local_steps": 1, "sample_rate": 0.1,
            "learning_rate": 0.1, "clip_norm": 1.0, "max_update_norm": 10.0, "round_timeout_s": 60,
            "holdout_fraction": 0.2,
        },
        "privacy": {"unit": "record", "adjacency": "add-or-remove-one", "epsilon": 3.0, "delta": 1e-5},
        "cohort": {"minimum_rows": 1000, "minimum_members": 2, "suppress_below": 10},
        "scoring": {
            "purpose": PURPOSE, "output": "band", "decimals": 1, "prohibited_uses": ["tracing"],
            "callers": [
                {
                    "name": CALLER, "daily_quota": 1_000_000_000,
                    "opt_out_available": True, "non_personalised_path": True,
                },
            ],
            "significant_effect": False, "human_review": False, "reason_codes": False,
        },
        "assessment": {
            "reference": "DPIA 7", "approver": "Dora Assessor", "approved_at": at(days=-5),
            "expires_at": at(days=90), "purposes": ["joint_modelling", "scoring"],
            "members": ["brand", "partner"], "classifications": ["basic"], "digest": None,
            "rehearsal": None,
        },
        "border": {"mechanism": "none", "reference": None, "other_places": []},
        "retention": {"rows_days": 365, "intermediates_days": 30, "model_days": 365},
        "consent": {
            "propagation_hours": 24, "running_round": "finish", "acknowledge_hours": 24, "retrain_days": 30,
        },
        "valid_from": at(days=-5), "valid_until": at(days=60),
        "software": {"version": "0.1.0", "digest": "0" * 64},
    }  # fmt: skip
    return Agreement.from_yaml(yaml.safe_dump(values))


def _weights(agreement: Agreement) -> tuple[Transform, npt.NDArray[np.float32]]:
    """The transform and the weights of the model that everybody serves."""
    transform = Transform.fit(agreement.columns, None, 0.0)
    count = parameter_count(agreement.training, transform.n_features)
    return transform, np.random.default_rng(7).normal(0, 0.2, count).astype(np.float32)


def model_layers(settings: ScoringSettings) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Weights and biases of the model, layer by layer, for who serves them without a site."""
    agreement = open_agreement(settings.agreement.read_bytes()).agreement
    transform, flat = _weights(agreement)
    parameters = split_flat(agreement.training, transform.n_features, flat.astype(np.float64))
    return [(weight.astype(np.float32), bias.astype(np.float32)) for weight, bias in parameters.layers]


def _write_model(folder: Path, agreement: Agreement, keys: _Keys, now: datetime) -> None:
    transform, flat = _weights(agreement)
    manifest = ModelManifest(
        name="propensity", version=1, agreement_digest=agreement.digest, run="run-1",
        purpose=agreement.purpose, label=agreement.label, transform=transform, training=agreement.training,
        metrics={}, privacy=None, epsilon={}, members=("brand", "partner"), created_at=now,
    )  # fmt: skip
    digest = write_model(folder, manifest, encode_weights(flat), keys.coordinator)
    actor = Actor(organisation="Hub", key_id=keys.coordinator.verifier.key_id, role="coordinator")
    event = Event(type=EventType.MODEL_REGISTERED, agreement=agreement.digest, model_out=digest)
    leaf = write_entry(event, Frame(actor.canonical(), 0, format_time(now)))
    note = sign_checkpoint(Checkpoint("hub", 1, leaf_hash(leaf)), keys.coordinator)
    for witness in keys.witnesses:
        note += witness.cosign(unverified_text(note), now).encode()
    (folder / REGISTRATION_FILE).write_bytes(leaf)
    (folder / PROOF_FILE).write_bytes(format_proof(ProofFile(0, (), note)))


def _write_consents(path: Path, subjects: int, now: datetime) -> None:
    pseudonymiser = Pseudonymiser(PSEUDONYM_KEY)
    given = now - timedelta(days=1)
    fields: dict[str, Any] = {
        "recorded_at": given, "state": "given", "purposes": ("scoring",), "given_at": given,
        "expires_at": now + timedelta(days=30), "controller": "Brand AG", "recipients": ("Partner GmbH",),
        "categories": ("basic",), "notice_version": "1", "notice_sha256": "0" * 64,
        "notice_published_at": now - timedelta(days=2), "method": "active_click", "preticked": False,
        "bundled": False, "conditional": False, "legal_basis": "consent", "jurisdiction": "DE",
        "storage_country": "DE",
    }  # fmt: skip
    with ConsentLedger(path) as ledger:
        ledger.record(
            ConsentEvent(event_id=f"g{number}", subject_ref=pseudonymiser.ref(subject(number)), **fields)
            for number in range(subjects)
        )
        ledger.heartbeat(now)


def _write_certificates(root: Path, now: datetime) -> None:
    authority = make_authority("brand authority", now, 30)
    pairs = {
        "authority": authority,
        "server": make_server_certificate(*authority, ["localhost", "127.0.0.1"], now, 30),
        CALLER: make_client_certificate(CALLER, now, 30),
    }
    for name, (key, certificate) in pairs.items():
        (root / f"{name}.key").touch(mode=0o600)
        (root / f"{name}.key").write_bytes(key)
        (root / f"{name}.crt").write_bytes(certificate)
