"""The scorer's process: loads what the settings name, serves until it is told to stop."""

import asyncio
import importlib.metadata
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.v1 import scoring_pb2
from hanse.audit import Event, EventType
from hanse.crypto import read_secret
from hanse.errors import ConfigurationError
from hanse.server.completions import CallServer
from hanse.server.scoring.callers import Callers
from hanse.server.scoring.checks import HEALTH_NAME, Checks
from hanse.server.scoring.limits import Limits
from hanse.server.scoring.listening import announce, listen
from hanse.server.scoring.loading import Local, load_callers, load_site
from hanse.server.scoring.models.repository import RepositoryService
from hanse.server.scoring.own.service import OWN_SERVICE_NAME, ScoringService
from hanse.server.scoring.scorer import Scorer, Site
from hanse.server.scoring.service import INFER, SERVICE_NAME, InferenceService
from hanse.server.scoring.settings import ScoringSettings
from hanse.server.scoring.stopping import Stop, drain
from hanse.server.scoring.versions import read_file
from hanse.server.scoring.watching import watching

FOLLOW_S: Final = 0.1


def run_scorer(settings: ScoringSettings, local: Local | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then lets running calls finish; a second signal ends those as well.

    Prints ``ready <address>`` once calls are taken.

    Args:
        settings: What to serve, where, to whom.
        local: What the member's own part of the software adds.

    Raises:
        HanseError: If what the settings name is missing, unsigned or does not fit together.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_signal(settings, local))


async def serve(
    settings: ScoringSettings,
    stop: Stop,
    ready: Callable[[str], None],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    local: Local | None = None,
) -> None:
    """Serves until it is told to stop.

    Args:
        settings: What to serve, where, to whom.
        stop: Tells it.
        ready: Called with the address, ``host:port``, once calls are taken.
        clock: Tells the time, aware.
        local: As for :func:`run_scorer`.

    Raises:
        HanseError: As :func:`run_scorer`.
    """
    callers = load_callers(settings)
    async with load_site(settings, clock, local) as site:
        scorer = Scorer(site)
        service = InferenceService(scorer, callers, importlib.metadata.version("hanse"))
        checks = Checks((SERVICE_NAME, OWN_SERVICE_NAME, HEALTH_NAME))
        with watching(settings.operation, site, checks) as limits:
            repository = RepositoryService(site, service, callers, settings.operators)
            own = ScoringService(scorer, callers)
            handlers = (service.handler(), repository.handler(), own.handler())
            limits.hasten(INFER, service.infer_alike)
            server = _build(settings, handlers, checks, limits)
            address = listen(server, settings.address, _credentials(settings, callers))
            await site.log.append(_entry(EventType.SCORER_STARTED, site))
            server.start()
            await checks.start()
            ready(address)
            await _follow(site, service, checks, stop)
            service.ready = False
            await checks.stop()
            how = await drain(server, limits, stop, settings.grace_s)
            await site.log.append(_entry(EventType.SCORER_STOPPED, site, how))


async def _follow(site: Site, service: InferenceService, checks: Checks, stop: Stop) -> None:
    """Until the stop: tells whoever asks that nothing is answered while withdrawals cannot be followed."""
    while not stop.told.is_set():
        fresh = site.freshness.fresh
        if fresh is not service.ready:
            service.ready = fresh
            await (checks.start() if fresh else checks.pause())
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.told.wait(), FOLLOW_S)


async def _serve_until_signal(settings: ScoringSettings, local: Local | None) -> None:
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.tell)
    await serve(settings, stop, announce, local=local)


def _entry(kind: EventType, site: Site, how: str | None = None) -> Event:
    served = site.table.primary
    return Event(type=kind, agreement=served.agreement.digest, model_in=served.digest, detail=how)


def _build(
    settings: ScoringSettings,
    services: Sequence[grpc.GenericRpcHandler],
    checks: Checks,
    limits: Limits,
) -> CallServer:
    """A server with our services, health checks and reflection."""
    server = CallServer(
        limits.serve,
        [
            ("grpc.max_receive_message_length", settings.maximum_message_bytes),
            # Two scorers on one port would share the calls between them unseen.
            ("grpc.so_reuseport", 0),
            *settings.operation.connection_options,
        ],
    )
    server.add_generic_rpc_handlers(tuple(services))
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    _reflect(server)
    return server


def _reflect(server: CallServer) -> None:
    """Server reflection over the private pool, which must hold every service that it names."""
    pool = oip.DESCRIPTOR.pool
    for module in (health_pb2, reflection_pb2, scoring_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    names = (SERVICE_NAME, OWN_SERVICE_NAME, HEALTH_NAME, reflection.SERVICE_NAME)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
        reflection.aio.ReflectionServicer(names, pool=pool), server
    )


def _credentials(settings: ScoringSettings, callers: Callers) -> grpc.ServerCredentials | None:
    """Mutual TLS; without key and certificate an error, and plaintext only where that is asked for."""
    if settings.dangerously_insecure:
        return None
    if settings.tls_key is None or settings.tls_certificate is None:
        raise ConfigurationError("config.invalid", "tls_key and tls_certificate are needed")
    return callers.credentials(read_secret(settings.tls_key), read_file(settings.tls_certificate))
