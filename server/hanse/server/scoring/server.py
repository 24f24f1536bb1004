"""The scorer's process: loads what the settings name, serves until it is told to stop."""

import asyncio
import importlib.metadata
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import grpc
import grpc.aio
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health  # pyright: ignore[reportAttributeAccessIssue]
from grpc_reflection.v1alpha import reflection, reflection_pb2

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.audit import Event, EventType
from hanse.crypto import read_secret
from hanse.errors import ConfigurationError
from hanse.server.scoring.borders import ErrorTranslator
from hanse.server.scoring.callers import Callers
from hanse.server.scoring.loading import load_callers, load_site, read_file
from hanse.server.scoring.scorer import Scorer, Site
from hanse.server.scoring.service import SERVICE_NAME, InferenceService
from hanse.server.scoring.settings import ScoringSettings

HEALTH_NAME: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
MAXIMUM_CONCURRENT_CALLS: Final = 256


def run_scorer(settings: ScoringSettings) -> None:
    """Serves until SIGTERM or SIGINT, then lets running calls finish.

    Prints ``ready <address>`` once calls are taken.

    Args:
        settings: What to serve, where, to whom.

    Raises:
        HanseError: If what the settings name is missing, unsigned or does not fit together.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_signal(settings))


async def serve(
    settings: ScoringSettings,
    stop: asyncio.Event,
    ready: Callable[[str], None],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Serves until ``stop`` is set.

    Args:
        settings: What to serve, where, to whom.
        stop: Ends the serving.
        ready: Called with the address, ``host:port``, once calls are taken.
        clock: Tells the time, aware.

    Raises:
        HanseError: As :func:`run_scorer`.
    """
    callers = load_callers(settings)
    async with load_site(settings, clock) as site:
        service = InferenceService(Scorer(site), callers, importlib.metadata.version("hanse"))
        server, checks = _build(settings, service)
        address = _listen(server, settings, callers)
        await site.log.append(_started(site))
        await checks.set(SERVICE_NAME, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        ready(address)
        await stop.wait()
        service.ready = False
        await checks.enter_graceful_shutdown()
        await server.stop(settings.grace_s)


async def _serve_until_signal(settings: ScoringSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(settings, stop, _announce)


def _announce(address: str) -> None:
    sys.stdout.write(f"ready {address}\n")
    sys.stdout.flush()


def _started(site: Site) -> Event:
    return Event(type=EventType.SCORER_STARTED, agreement=site.agreement.digest, model_in=site.model.digest)


def _build(
    settings: ScoringSettings, service: InferenceService
) -> tuple[grpc.aio.Server, health.HealthServicer]:
    """A server with the inference service, health checks and reflection."""
    server = grpc.aio.server(
        interceptors=[ErrorTranslator()],
        options=[
            ("grpc.max_receive_message_length", settings.maximum_message_bytes),
            # Two scorers on one port would share the calls between them unseen.
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=MAXIMUM_CONCURRENT_CALLS,
    )
    server.add_generic_rpc_handlers((service.handler(),))
    checks = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    _reflect(server)
    return server, checks


def _reflect(server: grpc.aio.Server) -> None:
    """Server reflection over the private pool, which must hold every service that it names."""
    pool = oip.DESCRIPTOR.pool
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    reflection.enable_server_reflection(
        (SERVICE_NAME, HEALTH_NAME, reflection.SERVICE_NAME), server, pool=pool
    )


def _listen(server: grpc.aio.Server, settings: ScoringSettings, callers: Callers) -> str:
    """Opens the port; returns the address with the port that was taken."""
    try:
        if settings.dangerously_insecure:
            port = server.add_insecure_port(settings.address)
        else:
            port = server.add_secure_port(settings.address, _credentials(settings, callers))
    except RuntimeError as error:
        raise ConfigurationError("config.invalid", f"cannot listen on {settings.address}") from error
    return f"{settings.address.rpartition(':')[0]}:{port}"


def _credentials(settings: ScoringSettings, callers: Callers) -> grpc.ServerCredentials:
    """Mutual TLS; without key and certificate an error, never plaintext."""
    if settings.tls_key is None or settings.tls_certificate is None:
        raise ConfigurationError("config.invalid", "tls_key and tls_certificate are needed")
    return callers.credentials(read_secret(settings.tls_key), read_file(settings.tls_certificate))
