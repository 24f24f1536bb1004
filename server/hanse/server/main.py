"""Puts the coordinator's process together and keeps it running."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hanse.audit import Actor, AuditLog
from hanse.policies import Identity
from hanse.policies.site_key import SiteFiles, load_site_key
from hanse.server.audit_service import AuditService
from hanse.server.coordinator import Coordinator, CoordinatorFolders, Evidence
from hanse.server.exchange import ExchangeService, Hub
from hanse.server.flower import prepare_environment
from hanse.server.home import CoordinatorHome
from hanse.server.ports import free_port
from hanse.server.runs import RunBook
from hanse.server.scraping import serving_metrics
from hanse.server.service import CoordinatorService, serve
from hanse.server.settings import ServerSettings
from hanse.server.statements import Statements
from hanse.server.witnesses import Witnesses

PEERS_RESCAN_S = 2.0

log = logging.getLogger("hanse.server")


def utc_now() -> datetime:
    """The current time, aware, UTC."""
    return datetime.now(UTC)


def run_coordinator(
    home_folder: Path, settings: ServerSettings, ready: Callable[[], None], stopping: threading.Event
) -> None:
    """Runs the coordinator until ``stopping`` is set.

    Args:
        home_folder: The coordinator's folder.
        settings: Its settings.
        ready: Called once nodes and people can connect.
        stopping: Set by a signal handler.

    Raises:
        HanseError: When it cannot start; the error names what to change.
    """
    home = CoordinatorHome(home_folder)
    place = settings.audit_url or home.log
    key = load_site_key(SiteFiles(home.node_key, home.identity, place))
    actor = Actor(organisation=settings.name, key_id=key.verifier.key_id, role="coordinator")
    shared_log = AuditLog.open(place, key, actor, utc_now)
    book = RunBook(home.runs, shared_log, utc_now)
    prepare_environment(home.flower_state)
    # Imported now: Flower reads its environment when it is first imported.
    from hanse.server.flower.engine import EngineSettings, FlowerEngine  # noqa: PLC0415

    engine = FlowerEngine(
        EngineSettings(
            host=settings.host,
            port=settings.fleet_port,
            private_port=settings.private_port or free_port(),
            certificate=home.server_certificate,
            key=home.server_key,
            authority=home.authority,
            state_folder=home.flower_state,
        )
    )
    engine.start()
    try:
        folders = CoordinatorFolders(home.agreements, home.models, home.peers, home.packs)
        evidence = Evidence(Statements(shared_log), Witnesses(shared_log))
        with Hub() as hub, serving_metrics(settings.metrics_address, hub.metrics.registry):
            coordinator = Coordinator(
                folders, key, Identity.load(home.identity), shared_log, book, engine, evidence, hub, utc_now
            )
            for model in coordinator.withhold_unproven():
                log.warning("model %s has no proof of its registration; it is withheld", model)
            coordinator.enrol_peers()
            engine.open_door()
            # Before anybody can ask for another run: there is one at a time.
            for run in coordinator.take_up():
                log.warning("run %s was interrupted when the coordinator stopped; it is closed", run)
            server = serve(
                CoordinatorService(coordinator, book),
                AuditService(coordinator, evidence.statements, evidence.witnesses),
                ExchangeService(coordinator, book, hub),
                f"{settings.host}:{settings.port}",
                home.server_key,
                home.server_certificate,
                lambda: _certificates(coordinator),
            )
            try:
                ready()
                while not stopping.wait(PEERS_RESCAN_S):
                    coordinator.enrol_peers()
                    server.renew()
            finally:
                book.interrupt()
                hub.close()  # its calls end with a named error, not with a broken connection
                server.stop(grace_s=1.0)
    finally:
        engine.stop()


def _certificates(coordinator: Coordinator) -> list[str]:
    return [peer.tls_certificate for peer in coordinator.peers().values() if peer.tls_certificate]
