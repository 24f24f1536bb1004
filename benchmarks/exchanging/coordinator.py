"""The coordinator of the exchange's benchmark: all that the real one has on its port, without Flower."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hanse.audit import Actor, AuditLog
from hanse.client.home import MemberHome
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.crypto import SigningKey
from hanse.policies import Identity
from hanse.server.audit_service import AuditService
from hanse.server.coordinator import Coordinator, CoordinatorFolders, Evidence
from hanse.server.exchange import ExchangeService, Hub
from hanse.server.home import CoordinatorHome
from hanse.server.runs import RunBook
from hanse.server.service import CoordinatorService, serve
from hanse.server.setup import init_coordinator
from hanse.server.statements import Statements
from hanse.server.transport import Transport
from hanse.server.witnesses import Witnesses


def utc_now() -> datetime:
    """The current time, aware, UTC."""
    return datetime.now(UTC)


class NoEngine:
    """Nothing is trained."""

    def register(self, member: str, flower_key: str) -> None:
        """Takes no note."""
        del member, flower_key

    def run(self, work: Callable[[Transport], None], cancelled: Callable[[], bool]) -> None:
        """Never asked for."""
        raise NotImplementedError


def make_sites(folder: Path, members: Sequence[str]) -> None:
    """Makes the coordinator's folder and those of the members, who know each other."""
    home = CoordinatorHome(folder / "hub")
    init_coordinator(home.root, "hub", "Hub", "DE", [], utc_now())
    for name in members:
        organisation = Organisation(name, f"{name} AG", "DE", "DE")
        init_member(folder / name, organisation, DatasetHints(None, "id", "y"), utc_now())
        site = MemberHome(folder / name)
        site.authority.write_bytes(home.authority.read_bytes())
        Identity.load(site.identity).save(home.peers / f"{name}.json")


@contextmanager
def coordinating(folder: Path, address: str, members: Sequence[str]) -> Iterator[tuple[Hub, str]]:
    """Serves on the address; yields the hub and a run of these members."""
    home = CoordinatorHome(folder / "hub")
    key = SigningKey.load(home.node_key)
    log = AuditLog.open(
        home.log, key, Actor(organisation="hub", key_id=key.verifier.key_id, role="coordinator")
    )
    book, evidence = RunBook(home.runs, log, utc_now), Evidence(Statements(log), Witnesses(log))
    folders = CoordinatorFolders(home.agreements, home.models, home.peers, home.packs)
    identity = Identity.load(home.identity)
    with Hub() as hub:
        coordinator = Coordinator(folders, key, identity, log, book, NoEngine(), evidence, hub, utc_now)
        coordinator.enrol_peers()
        server = serve(
            CoordinatorService(coordinator, book),
            AuditService(coordinator, evidence.statements, evidence.witnesses),
            ExchangeService(coordinator, book, hub),
            address,
            home.server_key,
            home.server_certificate,
            lambda: [peer.tls_certificate or "" for peer in coordinator.peers().values()],
        )
        try:
            yield hub, book.new("abcdef", frozenset(members)).run
        finally:
            server.stop(1.0)
