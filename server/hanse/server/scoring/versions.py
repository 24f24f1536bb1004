"""Loads one model version, and refuses what is missing, unsigned or does not fit together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hanse.crypto import VerifierKey, read_secret, sha256_hex
from hanse.errors import ConfigurationError, IdentityError, ServingError
from hanse.learning.artifact import MANIFEST_FILE, LoadedModel, load_model
from hanse.policies import (
    Agreement,
    Member,
    Policy,
    Pseudonymiser,
    SignedAgreement,
    adopted_packs,
    applicable,
    merge,
    open_agreement,
)
from hanse.policies.witnessing import PROOF_FILE, REGISTRATION_FILE, check_registration
from hanse.scoring.saying import require_form
from hanse.server.scoring.call import SUBJECT_INPUT
from hanse.server.scoring.served import LocalModel, Served
from hanse.server.scoring.settings import ScoringSettings
from hanse.server.scoring.vertical.hub import PartnerHub
from hanse.server.scoring.vertical.opening import Beside, is_vertical_model, open_vertical_model


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """What a model version is loaded from.

    Attributes:
        folder: The model version: weights, signed manifest, registration.
        agreement: The signed agreement that it was made under.
        registry_key: Verifier key (text form) of the coordinator that registered it.
    """

    folder: Path
    agreement: Path
    registry_key: str


def load_version(
    settings: ScoringSettings,
    files: VersionFiles,
    own: Sequence[VerifierKey],
    hub: PartnerHub,
    deciles: tuple[float, ...] = (),
) -> tuple[Member, Served]:
    """Checks a model version and makes it ready to score.

    Args:
        settings: The settings.
        files: The version.
        own: Keys that this site has or had.
        hub: Connects to the members whose parts a vertical model needs.
        deciles: Where tenths of people begin, as was decided with the version.

    Returns:
        The member that this site is in its agreement, and the version.

    Raises:
        ConfigurationError: ``config.missing-file``.
        IdentityError: ``identity.unknown-signer`` if the agreement names another coordinator than the pinned
            one, or no member with a key of this site.
        PolicyError: ``policy.invalid``, ``policy.unsigned`` if not all members signed the agreement as it is;
            ``policy.pack`` if a rule pack that it names is not adopted here.
        ServingError: ``model.invalid`` if the model version is not signed, altered, or of another agreement,
            or if too few of the agreement's witnesses have seen its registration; or if its scores cannot be
            said in the agreed form; ``model.no-reasons`` if it cannot give the reasons that are owed.
    """
    registry = VerifierKey.decode(files.registry_key)
    agreement = open_agreement(read_file(files.agreement))
    member = own_member(agreement.agreement, own, registry)
    policy = site_policy(settings.packs, auditor_key(settings.auditor), agreement.agreement, member)
    if settings.partners is not None and is_vertical_model(files.folder):
        pseudonymiser = Pseudonymiser(read_secret(settings.pseudonym_key))
        beside = Beside(agreement, policy, member.name, own, registry, pseudonymiser, hub)
        vertical = open_vertical_model(files.folder, settings.partners, beside)
        _require_no_subject_column([column.name for column in vertical.columns])
        return member, complete(vertical, manifest_note(files.folder), deciles)
    model = load_model(files.folder, registry)
    _require_same(agreement, model)
    registration = read_file(files.folder / REGISTRATION_FILE)
    proof = read_file(files.folder / PROOF_FILE)
    check_registration(registration, proof, agreement.agreement, model.digest)
    return member, complete(LocalModel.of(model, agreement, policy), model.note, deciles)


def manifest_note(folder: Path) -> bytes:
    """The signed manifest of a model version; nothing is checked.

    Raises:
        ServingError: ``model.not-found`` if there is none.
    """
    try:
        return read_file(folder / MANIFEST_FILE)
    except ConfigurationError as error:
        raise ServingError("model.not-found", error.detail) from error


def read_file(path: Path) -> bytes:
    """Reads a file that the settings name.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        ConfigurationError: ``config.missing-file`` if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error


def require_ledger(place: Path | str) -> None:
    """Refuses a consent ledger that is not there.

    Opening it would make an empty one, and every subject would be denied without a word why.

    Raises:
        ConfigurationError: ``config.missing-file`` for a file that does not exist.
    """
    if isinstance(place, Path) and not place.is_file():
        raise ConfigurationError("config.missing-file", f"no consent ledger {place}")


def auditor_key(path: Path) -> VerifierKey:
    """The auditor's key, who signs beside the approver.

    Args:
        path: Its file.

    Raises:
        ConfigurationError: ``config.missing-file``.
        IdentityError: ``identity.bad-key``.
    """
    return VerifierKey.decode(read_file(path).decode(errors="replace").removesuffix("\n"))


def site_policy(packs: Path, auditor: VerifierKey, agreement: Agreement, member: Member) -> Policy:
    """What applies here: the packs that the agreement names, and whatever else the member has adopted.

    Args:
        packs: Folder of the rule packs that the member has adopted.
        auditor: Key of the auditor.
        agreement: The agreement.
        member: The member that this site is.

    Raises:
        PolicyError: ``policy.pack`` if a rule pack that the agreement names is not adopted here.
    """
    keys = (VerifierKey.decode(member.approver_key), auditor)
    return merge(applicable(agreement.packs, adopted_packs(packs, keys)))


def own_member(agreement: Agreement, own: Sequence[VerifierKey], registry: VerifierKey) -> Member:
    """The member that this site is.

    The agreement's approver keys were pinned when the site accepted it. That the document in the settings is
    that one follows from three ties: it names a key that this site has or had, it names the pinned
    coordinator, and the model that this coordinator signed names its digest.
    """
    if agreement.coordinator.key != registry.encode():
        raise IdentityError("identity.unknown-signer", "the agreement's coordinator is not the pinned one")
    for member in agreement.members:
        if VerifierKey.decode(member.node_key) in own:
            return member
    raise IdentityError("identity.unknown-signer", "the agreement names no member with this site's key")


def complete(served: Served, note: bytes, deciles: tuple[float, ...]) -> Served:
    """A version that can do what is agreed.

    Args:
        served: The version as it was loaded.
        note: Its signed manifest.
        deciles: Where tenths of people begin, as was decided with it; maybe none.

    Raises:
        ServingError: ``model.invalid`` if the manifest is another one, or scores cannot be said in the agreed
            form; ``model.no-reasons`` if it cannot give the reasons that are owed.
    """
    whole = replace(served, note=note, decided_deciles=deciles)
    if sha256_hex(note) != served.digest:
        raise ServingError("model.invalid", "the manifest was replaced while the version was loaded")
    scoring = served.agreement.agreement.scoring
    require_form(scoring, whole.deciles)
    if scoring.significant_effect and scoring.reason_codes and not served.explains:
        detail = "decisions on these scores need reasons by the agreement, and this kind of model gives none"
        raise ServingError("model.no-reasons", detail)
    return whole


def _require_same(agreement: SignedAgreement, model: LoadedModel) -> None:
    """The model was trained under this agreement, on its columns."""
    names = tuple(column.name for column in agreement.agreement.columns)
    read = tuple(column.name for column in model.transform.columns)
    if (model.manifest.agreement_digest, read) != (agreement.digest, names):
        raise ServingError("model.invalid", "the model was registered under another agreement")
    _require_no_subject_column(names)


def _require_no_subject_column(names: Sequence[str]) -> None:
    if SUBJECT_INPUT in names:
        raise ServingError(
            "model.invalid", f"a column is named {SUBJECT_INPUT}, as the subjects of a call are"
        )
