"""Loads what the settings name, and refuses what is missing, unsigned or does not fit together."""

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final, NamedTuple

from hanse.audit import Actor, AuditLog, LogReader
from hanse.crypto import SigningKey, VerifierKey, read_secret, sha256_hex
from hanse.errors import IdentityError, ServingError
from hanse.learning.manifests import read_any_manifest
from hanse.learning.subject_values import SubjectValues
from hanse.policies import Agreement, ConsentLedger
from hanse.policies.serving import Ref, ServingBook
from hanse.policies.serving.evidence import LogEvidence
from hanse.server.scoring.callers import Callers
from hanse.server.scoring.commits import GroupCommit
from hanse.server.scoring.freshness import LedgerFollower
from hanse.server.scoring.lease_store import LeaseStore
from hanse.server.scoring.leased import LeasedQuota
from hanse.server.scoring.minimising import SegmentNames
from hanse.server.scoring.models.following import Decisions, Follower
from hanse.server.scoring.models.shelf import Finds, Shelf
from hanse.server.scoring.own.explaining import ReasonsOutput
from hanse.server.scoring.scorer import Site
from hanse.server.scoring.settings import RegistrySettings, ScoringSettings
from hanse.server.scoring.versions import VersionFiles, auditor_key, manifest_note, read_file, require_ledger
from hanse.server.scoring.vertical.hub import PartnerHub

ROLE: Final = "scorer"


class Local(NamedTuple):
    """What only the member's own part of the software can hand to the scorer, which does not import it.

    Attributes:
        features: See :attr:`hanse.server.scoring.scorer.Site.features`.
        require_running: See :attr:`hanse.server.scoring.scorer.Site.require_running`.
    """

    features: SubjectValues | None
    require_running: Callable[[Agreement], None]


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
async def load_site(
    settings: ScoringSettings, clock: Callable[[], datetime], local: Local | None = None
) -> AsyncIterator[Site]:
    """Opens everything that a scorer works with, and closes it in the end.

    Args:
        settings: The settings.
        clock: Tells the time, aware.
        local: What the member's own part of the software adds; nothing if None.

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
    with LogReader.open(settings.log) as reader:
        own = reader.keys()
    if key.verifier != own[-1]:
        raise IdentityError("identity.unknown-signer", "this site's log is signed by another key")
    place = settings.consents
    require_ledger(place)
    evidence, secret = LogEvidence(settings.log), read_secret(settings.pseudonym_key)
    with ConsentLedger(place) as ledger:
        decisions, find = _decided(settings)
        hub = PartnerHub()
        shelf = Shelf(settings, own, find, evidence, ledger, hub)
        follower = Follower(decisions, shelf, evidence, secret, clock)
        member = await follower.load()
        actor = Actor(organisation=member.organisation, key_id=key.verifier.key_id, role=role_of(settings))
        log = GroupCommit(AuditLog.open(settings.log, key, actor, clock))
        quota = LeasedQuota(LeaseStore(settings.quotas), settings.replica)
        watch = LedgerFollower(place, settings.withdrawal_bound_s, ledger)
        watch.start()
        try:
            async with hub.running(ledger, log), follower.running(log) as table:
                yield Site(
                    member=member.name,
                    table=table,
                    ledger=ledger,
                    pseudonym_key=secret,
                    log=log,
                    clock=clock,
                    maximum_rows=settings.maximum_rows,
                    quota=quota,
                    follower=follower,
                    freshness=watch,
                    calls_per_caller=settings.calls_per_caller,
                    remembered_subjects=settings.remembered_subjects,
                    extras=(SegmentNames(), ReasonsOutput(member.name)),
                    **({} if local is None else local._asdict()),
                )
        finally:
            watch.stop()
            await log.close()
            with suppress(ServingError):  # what cannot be given back stays charged: fewer answers, never more
                await quota.close()


def role_of(settings: ScoringSettings) -> str:
    """The role in the log's entries: each replica is an actor with numbers of its own, without gaps."""
    return f"{ROLE}.{settings.replica}" if settings.replica else ROLE


def _decided(settings: ScoringSettings) -> tuple[Decisions, Finds]:
    """Where it says what is served, and where the files of a version are."""
    registry = settings.registry
    if registry is None:
        files = VersionFiles(settings.model, settings.agreement, settings.registry_key)
        note = manifest_note(settings.model)
        manifest = read_any_manifest(note)
        pinned = Ref(manifest.version, sha256_hex(note))
        return Decisions(manifest.name, pinned=pinned), lambda _: [files]
    keys = (VerifierKey.decode(registry.approver), auditor_key(settings.auditor))
    book = ServingBook(registry.decisions, keys)
    return Decisions(registry.model, book=book), functools.partial(_candidates, registry)


def _candidates(registry: RegistrySettings, version: int) -> list[VersionFiles]:
    folder = registry.models / f"{registry.model}@{version}"
    manifest = read_any_manifest(manifest_note(folder))
    agreement = registry.agreements / f"{manifest.agreement_digest}.agreement"
    return [VersionFiles(folder, agreement, key) for key in reversed(registry.coordinators)]
