"""The process that answers for a part: loads what the settings name, serves until it is told to stop."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import uvloop

from hanse.audit import Actor, AuditLog, Counts, Event, EventType, LogReader
from hanse.crypto import SigningKey, VerifierKey, read_secret
from hanse.errors import ServingError
from hanse.learning.vertical.serving import open_kept
from hanse.learning.vertical.serving.messages import EPOCH_BYTES
from hanse.policies import Agreement, ConsentLedger, Pseudonymiser, open_agreement
from hanse.server.completions import CallServer
from hanse.server.parts.answering import Answering, PartSite, require_answers
from hanse.server.parts.service import PartService
from hanse.server.parts.settings import PartSettings
from hanse.server.parts.table import PartData, PartPeople, common_subjects
from hanse.server.scoring.callers import Callers
from hanse.server.scoring.commits import GroupCommit
from hanse.server.scoring.lease_store import LeaseStore
from hanse.server.scoring.leased import LeasedQuota
from hanse.server.scoring.limits import Bounds, Limits
from hanse.server.scoring.listening import announce, listen
from hanse.server.scoring.versions import auditor_key, own_member, read_file, require_ledger, site_policy
from hanse.server.scoring.vertical.changes import watch_consents

ROLE: Final = "part"
REGISTERED_FILE: Final = "registered.json"
MAX_MESSAGE_BYTES: Final = 1 << 20
OPTIONS: Final = (("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0))
BOUNDS: Final = Bounds(calls=256, receiving=64, receive_s=10, call_s=30)

RequireRunning: TypeAlias = Callable[[Agreement], None]


def run_part(settings: PartSettings, data: PartData, require_running: RequireRunning) -> None:
    """Serves until SIGTERM or SIGINT, then lets running calls finish.

    Prints ``ready <address>`` once calls are taken.

    Args:
        settings: What to serve, where, to whom.
        data: The member's data.
        require_running: Refuses an agreement that a member has ended; asked at every question.

    Raises:
        HanseError: If what the settings name is missing, unsigned or does not fit together.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_signal(settings, data, require_running))


async def serve_part(
    settings: PartSettings,
    data: PartData,
    require_running: RequireRunning,
    stop: asyncio.Event,
    ready: Callable[[str], None],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Serves until ``stop`` is set.

    Args:
        settings: What to serve, where, to whom.
        data: The member's data.
        require_running: As for :func:`run_part`.
        stop: Ends the serving.
        ready: Called with the address, ``host:port``, once calls are taken.
        clock: Tells the time, aware.

    Raises:
        HanseError: As :func:`run_part`.
    """
    async with _open_site(settings, clock, require_running) as site:
        pseudonymiser = Pseudonymiser(read_secret(settings.pseudonym_key))
        subjects = await asyncio.to_thread(common_subjects, site.kept.people, data, pseudonymiser)
        people = PartPeople(data, site.part, site.columns, subjects)
        quota = LeasedQuota(LeaseStore(settings.quotas), ROLE)
        answering = Answering(site, people, quota)
        callers = Callers({site.label_holder: read_file(settings.label_holder)})
        service = PartService(answering, callers)
        limits = Limits(BOUNDS)
        server = CallServer(limits.serve, OPTIONS)
        server.add_generic_rpc_handlers((service.handler(),))
        pair = read_secret(settings.tls_key), read_file(settings.tls_certificate)
        address = listen(server, settings.address, callers.credentials(*pair))
        known = frozenset(site.kept.people)

        def changed(refs: Collection[str] | None) -> None:
            if refs is None or not known.isdisjoint(refs):
                service.tell(os.urandom(EPOCH_BYTES))

        watching = asyncio.create_task(watch_consents(site.ledger, changed, settings.watch_s))
        await site.log.append(_started(site, subjects))
        server.start()
        ready(address)
        await stop.wait()
        await server.stop(settings.grace_s)
        await server.close()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        with suppress(ServingError):  # what cannot be given back stays charged: fewer answers, never more
            await quota.close()


async def _serve_until_signal(
    settings: PartSettings, data: PartData, require_running: RequireRunning
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve_part(settings, data, require_running, stop, announce)


@asynccontextmanager
async def _open_site(
    settings: PartSettings, clock: Callable[[], datetime], require_running: RequireRunning
) -> AsyncIterator[PartSite]:
    """Opens everything that the service works with, and closes it in the end."""
    key = SigningKey.load(settings.signing_key)
    agreement = open_agreement(read_file(settings.agreement))
    with LogReader.open(settings.log) as reader:
        own = reader.keys()
    coordinator = VerifierKey.decode(agreement.agreement.coordinator.key)
    member = own_member(agreement.agreement, own, coordinator)
    kept = open_kept(lambda name: read_file(settings.part / name), own)
    part = kept.feature
    if part is None or (kept.manifest.member, kept.manifest.agreement_digest) != (
        member.name,
        agreement.digest,
    ):
        raise ServingError(
            "model.invalid", f"{settings.part} is no feature holder's part under this agreement"
        )
    answers = require_answers(agreement, part)
    place = settings.consents
    require_ledger(place)
    actor = Actor(organisation=member.organisation, key_id=key.verifier.key_id, role=ROLE)
    policy = site_policy(settings.packs, auditor_key(settings.auditor), agreement.agreement, member)
    log = GroupCommit(AuditLog.open(settings.log, key, actor, clock))
    with ConsentLedger(place) as ledger:
        try:
            yield PartSite(
                agreement=agreement,
                answers=answers,
                member=member.name,
                policy=policy,
                kept=kept,
                part=part,
                model=_registered(settings.part),
                ledger=ledger,
                log=log,
                clock=clock,
                keep_s=min(settings.keep_s, answers.keep_s),
                require_running=require_running,
            )
        finally:
            await log.close()


def _registered(folder: Path) -> str:
    """SHA-256 of the manifest of the model that a part belongs to."""
    try:
        return str(json.loads(read_file(folder / REGISTERED_FILE))["manifest_digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise ServingError("model.invalid", f"{folder / REGISTERED_FILE} does not name a model") from error


def _started(site: PartSite, subjects: Sequence[str | None]) -> Event:
    return Event(
        type=EventType.SCORER_STARTED,
        agreement=site.agreement.digest,
        model_in=site.kept.digest,
        counts=Counts(rows_in=len(subjects), rows_out=len(subjects) - subjects.count(None)),
    )
