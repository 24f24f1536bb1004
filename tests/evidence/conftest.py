"""A coordinator on loopback whose shared log can be exchanged; two members and an auditor witness it."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from hanse.audit import Actor, AuditLog, Event, EventType
from hanse.audit.policy_file import quorum_of
from hanse.client.auditor import init_auditor
from hanse.client.evidence import SiteWitness, make_site_witness, witnessing
from hanse.client.home import MemberHome
from hanse.client.peers import coordinator_of
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.client.shared_log import SharedLogClient
from hanse.crypto import SigningKey
from hanse.crypto.cosigning import CosignerVerifier
from hanse.policies import Identity
from hanse.server.audit_service import AuditService
from hanse.server.coordinator import Coordinator, CoordinatorFolders, Evidence
from hanse.server.exchange import ExchangeService
from hanse.server.exchange import Hub as ExchangeHub
from hanse.server.home import CoordinatorHome
from hanse.server.ports import free_port
from hanse.server.runs import RunBook
from hanse.server.service import CoordinatorService, serve
from hanse.server.setup import init_coordinator
from hanse.server.statements import Statements
from hanse.server.witnesses import Witnesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hanse.audit.policy_file import TrustPolicy

MEMBERS = ("brand", "insurer")
AUDITOR = "watchdog"
DEADLINE_S = 30.0


def utc_now() -> datetime:
    return datetime.now(UTC)


def until(true: Callable[[], bool]) -> None:
    """Waits for what another thread does; how long it takes is not what is tested."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline_s, "nothing happened"
        time.sleep(0.02)


class NoEngine:
    """There is nothing to train in these tests."""

    def register(self, member: str, flower_key: str) -> None:
        del member, flower_key

    def run(self, work: Callable[[Any], None], cancelled: Callable[[], bool]) -> None:
        raise NotImplementedError


@dataclass
class Serving:
    """A coordinator that answers.

    Attributes:
        log: Its shared log.
        statements: What it takes of members.
        witnesses: Who co-signs.
    """

    log: AuditLog
    statements: Statements
    witnesses: Witnesses

    def grow(self, entries: int = 1, run: str = "run-1") -> None:
        for _ in range(entries):
            self.log.append(Event(type=EventType.RUN_STARTED, run=run))


class Hub:
    """See the module docstring."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = CoordinatorHome(folder / "hub")
        self.address = f"127.0.0.1:{free_port()}"
        if not folder.exists():
            self._make()

    def _make(self) -> None:
        now = utc_now()
        init_coordinator(self.home.root, "hub", "Hub", "DE", [], now)
        for name in MEMBERS:
            organisation = Organisation(name, f"{name} AG", "DE", "DE")
            init_member(self.folder / name, organisation, DatasetHints(None, "id", "y"), now)
        init_auditor(self.folder / AUDITOR, AUDITOR, "Watchdog KG", "DE", now)
        identity = Identity.load(self.home.identity)
        for name in (*MEMBERS, AUDITOR):
            home = self.site(name)
            Identity.load(home.identity).save(self.home.peers / f"{name}.json")
            identity.save(home.peers / "hub.json")
            home.authority.write_bytes(self.home.authority.read_bytes())

    @property
    def key(self) -> SigningKey:
        return SigningKey.load(self.home.node_key)

    def site(self, name: str) -> MemberHome:
        return MemberHome(self.folder / name)

    def open_log(self, place: Path | None = None, key: SigningKey | None = None) -> AuditLog:
        """The shared log, or another of the same name: what a coordinator can make with its key."""
        key = key or self.key
        if place is not None and not place.exists():
            AuditLog.create(place, "hub", key)
        actor = Actor(organisation="hub", key_id=key.verifier.key_id, role="coordinator")
        return AuditLog.open(place or self.home.log, key, actor)

    def own_log(self, name: str) -> AuditLog:
        key = SigningKey.load(self.site(name).node_key)
        return AuditLog.open(
            self.site(name).log, key, Actor(organisation=name, key_id=key.verifier.key_id, role="member")
        )

    def policy(self, quorum: int) -> TrustPolicy:
        keys = [str(Identity.load(self.site(name).identity).witness_key) for name in (*MEMBERS, AUDITOR)]
        return quorum_of(self.key.verifier, [CosignerVerifier.decode(key) for key in keys], quorum)

    @contextmanager
    def serving(self, log: AuditLog | None = None) -> Iterator[Serving]:
        """The coordinator answers on its port, from this log."""
        log = log or self.open_log()
        made = Serving(log, Statements(log), Witnesses(log))
        folders = CoordinatorFolders(self.home.agreements, self.home.models, self.home.peers, self.home.packs)
        hub = ExchangeHub()
        coordinator = Coordinator(
            folders,
            self.key,
            Identity.load(self.home.identity),
            log,
            RunBook(self.home.runs, log, utc_now),
            NoEngine(),
            Evidence(made.statements, made.witnesses),
            hub,
            utc_now,
        )
        coordinator.enrol_peers()
        server = serve(
            CoordinatorService(coordinator, RunBook(self.home.runs, log, utc_now)),
            AuditService(coordinator, made.statements, made.witnesses),
            ExchangeService(coordinator, RunBook(self.home.runs, log, utc_now), hub),
            self.address,
            self.home.server_key,
            self.home.server_certificate,
            lambda: [peer.tls_certificate or "" for peer in coordinator.peers().values()],
        )
        try:
            yield made
        finally:
            server.stop(0)

    def client(self, name: str) -> SharedLogClient:
        return SharedLogClient(self.site(name), self.address)

    def witness(self, name: str) -> SiteWitness:
        home = self.site(name)
        return make_site_witness(home, coordinator_of(home), self.own_log(name), utc_now)

    @contextmanager
    def witnessed(self, *names: str) -> Iterator[list[SiteWitness]]:
        """The witnesses of some sites, each in its thread."""
        with ExitStack() as stack:
            made = [self.witness(name) for name in names]
            for name, witness in zip(names, made, strict=True):
                stack.enter_context(witnessing(witness, stack.enter_context(self.client(name))))
            yield made

    def cosign_once(self, name: str, size: int) -> None:
        """Lets a site's witness co-sign until it has seen a size, and ends it."""
        with self.client(name) as client:
            stopping = threading.Event()
            witness = make_site_witness(
                self.site(name),
                coordinator_of(self.site(name)),
                self.own_log(name),
                utc_now,
                lambda seen: stopping.set() if seen >= size else None,
            )
            thread = threading.Thread(target=witness.follow, args=(client, stopping), daemon=True)
            thread.start()
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def made_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sites that nobody uses: copying them is quicker than making their keys."""
    return Hub(tmp_path_factory.mktemp("evidence") / "sites").folder


@pytest.fixture
def hub(made_hub: Path, tmp_path: Path) -> Hub:
    shutil.copytree(made_hub, tmp_path / "sites")
    return Hub(tmp_path / "sites")
