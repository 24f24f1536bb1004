"""Reads a vertical model from disk, and holds everything against its signatures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hanse.crypto import VerifierKey, read_secret, sha256_hex
from hanse.errors import ConfigurationError, ServingError
from hanse.learning.artifact import MANIFEST_FILE
from hanse.learning.vertical.runs.manifest import VerticalManifest, is_vertical, open_vertical
from hanse.learning.vertical.serving import KeptPart, LabelHalf, open_kept
from hanse.learning.vertical.serving.link import PartLink, open_link
from hanse.policies import Agreement, Policy, Pseudonymiser, SignedAgreement
from hanse.policies.witnessing import PROOF_FILE, REGISTRATION_FILE, check_registration
from hanse.server.scoring.vertical.hub import PartnerHub
from hanse.server.scoring.vertical.model import OWN_COLUMNS, VerticalModel
from hanse.server.scoring.vertical.partner import PartnerModel
from hanse.server.scoring.vertical.settings import PartnerSettings


def is_vertical_model(folder: Path) -> bool:
    """Whether a model folder has the manifest of a vertical model."""
    path = folder / MANIFEST_FILE
    return path.is_file() and is_vertical(path.read_bytes())


@dataclass(frozen=True, slots=True)
class Beside:
    """What a scorer has loaded before it opens a model.

    Attributes:
        agreement: The agreement.
        policy: The rule packs that apply, merged.
        member: Name of the member that this site is.
        own: Keys that this site has or had.
        registry: The coordinator's key.
        pseudonymiser: Makes the pseudonyms of the member's consent ledger.
        hub: Connects to feature holders.
    """

    agreement: SignedAgreement
    policy: Policy
    member: str
    own: Sequence[VerifierKey]
    registry: VerifierKey
    pseudonymiser: Pseudonymiser
    hub: PartnerHub


def open_vertical_model(folder: Path, settings: PartnerSettings, beside: Beside) -> VerticalModel:
    """Reads a vertical model.

    Args:
        folder: Of the model version: manifest, registration and proof.
        settings: What the operator says.
        beside: What is there already.

    Raises:
        ServingError: ``model.invalid`` if anything is unsigned, altered, or of another agreement or model, or
            if the agreement lets nobody answer.
        ConfigurationError: ``config.missing-file``; ``config.invalid`` when a feature holder has no link.
        IdentityError: If a link is not signed by the feature holder.
    """
    agreement = beside.agreement
    manifest, digest = _manifest(folder, agreement, beside.registry)
    place = settings.parts / manifest.reference
    kept = open_kept(lambda name: _read(place / name), beside.own)
    part = kept.label
    if part is None or manifest.parts.get(beside.member) != kept.digest:
        raise ServingError("model.invalid", f"{place} is not this site's part of {manifest.reference}")
    vertical = agreement.agreement.vertical
    answers = None if vertical is None else vertical.answers
    asks = part.asks
    if asks and answers is None:
        raise ServingError(
            "model.invalid", "the agreement has no vertical.answers: feature holders answer nothing"
        )
    if any(answers is None or form.name != answers.form for form in asks.values()):
        raise ServingError("model.invalid", "the agreement lets feature holders answer in another form")
    keep_s = 0 if answers is None else answers.keep_s
    pair = read_secret(settings.tls_key), _read(settings.tls_certificate)
    partners = []
    for name, form in asks.items():
        asked = PartnerModel(agreement.digest, digest, manifest.parts[name], form, kept.people, keep_s)
        partners.append(beside.hub.partner(_link(settings, name, agreement.agreement), asked, *pair))
    return VerticalModel(
        name=manifest.name,
        version=str(manifest.version),
        digest=digest,
        agreement=agreement,
        policy=beside.policy,
        columns=tuple(agreement.agreement.as_held_by(beside.member).columns),
        member=beside.member,
        part=part,
        pseudonymiser=beside.pseudonymiser,
        places={ref: place for place, ref in enumerate(kept.people)},
        partners=tuple(partners),
        fallback=_fallback(kept, agreed=answers is not None and answers.fallback == OWN_COLUMNS),
        patience_s=settings.patience_s,
    )


def _manifest(
    folder: Path, agreement: SignedAgreement, registry: VerifierKey
) -> tuple[VerticalManifest, str]:
    note = _read(folder / MANIFEST_FILE)
    manifest, digest = open_vertical(note, registry), sha256_hex(note)
    if manifest.agreement_digest != agreement.digest:
        raise ServingError("model.invalid", "the model was registered under another agreement")
    registration, proof = _read(folder / REGISTRATION_FILE), _read(folder / PROOF_FILE)
    check_registration(registration, proof, agreement.agreement, digest)
    return manifest, digest


def _link(settings: PartnerSettings, name: str, agreement: Agreement) -> PartLink:
    if name not in settings.links:
        raise ConfigurationError(
            "config.invalid",
            f"no link of {name}: take the file that `hanse serve-part` writes there, and name it under "
            "[serve.partners]",
        )
    agreed = agreement.member(name)
    texts = [*((agreed.node_key,) if agreed else ()), *filter(None, [settings.known_by.get(name)])]
    return open_link(_read(settings.links[name]), name, [VerifierKey.decode(text) for text in texts])


def _fallback(kept: KeptPart, *, agreed: bool) -> LabelHalf | None:
    if agreed and kept.alone is None:
        raise ServingError(
            "model.invalid", "the part has no model of this site's own columns to fall back on"
        )
    return kept.alone if agreed else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error
