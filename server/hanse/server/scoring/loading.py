"""Loads what the settings name, and refuses what is missing, unsigned or does not fit together."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from hanse.audit import Actor, AuditLog, LogReader
from hanse.crypto import SigningKey, VerifierKey, read_secret
from hanse.errors import ConfigurationError, IdentityError, ServingError
from hanse.learning.artifact import LoadedModel, load_model
from hanse.policies import (
    Agreement,
    ConsentLedger,
    Member,
    Policy,
    SignedAgreement,
    adopted_packs,
    applicable,
    merge,
    open_agreement,
)
from hanse.policies.witnessing import PROOF_FILE, REGISTRATION_FILE, check_registration
from hanse.server.scoring.call import SUBJECT_INPUT
from hanse.server.scoring.callers import Callers
from hanse.server.scoring.commits import GroupCommit
from hanse.server.scoring.scorer import Site
from hanse.server.scoring.settings import ScoringSettings

ROLE: Final = "scorer"


def load_callers(settings: ScoringSettings) -> Callers:
    """Reads the certificates of the callers.

    Args:
        settings: The settings.

    Returns:
        The callers; in plaintext everybody counts as the one that is configured.

    Raises:
        ConfigurationError: ``config.missing-file``, ``config.invalid``.
        IdentityError: ``identity.bad-key`` if a file is not a certificate.
    """
    callers = Callers({name: read_file(path) for name, path in settings.callers.items()})
    return Callers.unauthenticated(*settings.callers) if settings.dangerously_insecure else callers


@asynccontextmanager
async def load_site(settings: ScoringSettings, clock: Callable[[], datetime]) -> AsyncIterator[Site]:
    """Opens everything that a scorer works with, and closes it in the end.

    Args:
        settings: The settings.
        clock: Tells the time, aware.

    Yields:
        The site.

    Raises:
        ConfigurationError: ``config.missing-file``, ``config.insecure-file``, ``config.invalid``.
        IdentityError: ``identity.unknown-signer`` if the agreement names another coordinator than the pinned
            one, or no member with a key that this site has or had, or the site's log has another key.
        PolicyError: ``policy.invalid``, ``policy.unsigned`` if not all members signed the agreement as it is;
            ``policy.pack`` if a rule pack that it names is not adopted here.
        ServingError: ``model.invalid`` if the model version is not signed, altered, or of another agreement,
            or if too few of the agreement's witnesses have seen its registration.
        AuditError: If the log does not verify or cannot be written.
    """
    key = SigningKey.load(settings.signing_key)
    registry = VerifierKey.decode(settings.registry_key)
    agreement = open_agreement(read_file(settings.agreement))
    with LogReader.open(settings.log) as reader:
        own = reader.keys()
    if key.verifier != own[-1]:
        raise IdentityError("identity.unknown-signer", "this site's log is signed by another key")
    member = _own_member(agreement.agreement, own, registry)
    policy = _policy(settings, agreement.agreement, member)
    model = load_model(settings.model, registry)
    _require_same(agreement, model)
    registration = read_file(settings.model / REGISTRATION_FILE)
    proof = read_file(settings.model / PROOF_FILE)
    check_registration(registration, proof, agreement.agreement, model.digest)
    place = settings.consent_url or settings.consent_ledger
    if isinstance(place, Path) and not place.is_file():
        # Opening it would make an empty one, and every subject would be denied without a word why.
        raise ConfigurationError("config.missing-file", f"no consent ledger {place}")
    actor = Actor(organisation=member.organisation, key_id=key.verifier.key_id, role=ROLE)
    log = GroupCommit(AuditLog.open(settings.log, key, actor, clock))
    with ConsentLedger(place) as ledger:
        try:
            yield Site(
                agreement=agreement,
                member=member.name,
                policy=policy,
                model=model,
                ledger=ledger,
                pseudonym_key=read_secret(settings.pseudonym_key),
                log=log,
                clock=clock,
                maximum_rows=settings.maximum_rows,
            )
        finally:
            await log.close()


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


def _policy(settings: ScoringSettings, agreement: Agreement, member: Member) -> Policy:
    """What applies here: the packs that the agreement names, and whatever else the member has adopted."""
    auditor = VerifierKey.decode(read_file(settings.auditor).decode(errors="replace").removesuffix("\n"))
    keys = (VerifierKey.decode(member.approver_key), auditor)
    return merge(applicable(agreement.packs, adopted_packs(settings.packs, keys)))


def _own_member(agreement: Agreement, own: Sequence[VerifierKey], registry: VerifierKey) -> Member:
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


def _require_same(agreement: SignedAgreement, model: LoadedModel) -> None:
    """The model was trained under this agreement, on its columns."""
    names = tuple(column.name for column in agreement.agreement.columns)
    read = tuple(column.name for column in model.transform.columns)
    if (model.manifest.agreement_digest, read) != (agreement.digest, names):
        raise ServingError("model.invalid", "the model was registered under another agreement")
    if SUBJECT_INPUT in names:
        raise ServingError(
            "model.invalid", f"a column is named {SUBJECT_INPUT}, as the subjects of a call are"
        )
