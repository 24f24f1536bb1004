"""Sessions over an in-memory link, and over gRPC with mutual TLS on loopback, behind the same few words."""

import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hanse.api.v1 import exchange_pb2 as pb
from hanse.audit import Actor, AuditLog
from hanse.client.exchange import ExchangeChannel, open_exchange
from hanse.client.home import MemberHome
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.crypto import SigningKey, make_client_certificate, write_atomic
from hanse.errors import HanseError, TrainingError
from hanse.exchange import Limits, Timing
from hanse.policies import Identity
from hanse.server.audit_service import AuditService
from hanse.server.coordinator import Coordinator, CoordinatorFolders, Evidence
from hanse.server.exchange import Bounds, ExchangeService, Hub
from hanse.server.home import CoordinatorHome
from hanse.server.ports import free_port
from hanse.server.runs import RunBook
from hanse.server.service import CoordinatorService, serve
from hanse.server.setup import init_coordinator
from hanse.server.statements import Statements
from hanse.server.witnesses import Witnesses

RUN = "run-20260101-000000-abcdef"
SMALL = Limits(piece_bytes=400, message_bytes=5_000, window_bytes=2_000, unacknowledged_bytes=40_000)
QUICK = Timing(heartbeat_s=0.2, silence_s=6.0, resume_s=10.0, idle_s=60.0)
HASTY = Timing(resume_s=0.5)
BOUNDS = Bounds(sessions=3, calls=4, hello_s=3.0, announce_s=0.3, linger_s=0.5)
WAIT_S = 20.0
"""Longer than anything takes on a busy machine; nothing waits for its end."""


def code(call: Callable[[], Any]) -> str:
    try:
        call()
    except HanseError as error:
        return error.code
    return "no error"


def until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline_s, "nothing happened"
        time.sleep(0.01)


class MemoryCall:
    """A call whose two directions are queues of this process; both end when either side cuts it."""

    def __init__(self, requests: Iterator[pb.MemberFrame], hub: Hub, member: str, admit: Any) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bytes | HanseError | None] = queue.SimpleQueue()
        self._cut = threading.Event()
        self.mute = threading.Event()  # set: nothing gets through, and nobody is told
        threading.Thread(target=self._carry, args=(requests,), daemon=True).start()
        threading.Thread(target=self._serve, args=(hub, member, admit), daemon=True).start()

    def _carry(self, requests: Iterator[pb.MemberFrame]) -> None:
        for request in requests:
            if self._cut.is_set():
                break
            if not self.mute.is_set():
                self._requests.put(request.SerializeToString())
        self._requests.put(None)

    def _arrived(self) -> Iterator[pb.MemberFrame]:
        while (data := self._requests.get()) is not None and not self._cut.is_set():
            yield pb.MemberFrame.FromString(data)

    def _serve(self, hub: Hub, member: str, admit: Any) -> None:
        try:
            for answer in hub.connect(member, self._arrived(), self.cancel, admit):
                if self._cut.is_set():
                    break
                if not self.mute.is_set():
                    self._answers.put(answer.SerializeToString())
            self._answers.put(None)
        except HanseError as error:
            self._answers.put(error)

    def __iter__(self) -> Iterator[pb.CoordinatorFrame]:
        while (answer := self._answers.get()) is not None:
            if isinstance(answer, HanseError):
                raise answer
            if self._cut.is_set():
                raise TrainingError("run.engine", "the connection was cut")
            yield pb.CoordinatorFrame.FromString(answer)

    def cancel(self) -> None:
        self._cut.set()
        self._requests.put(None)
        self._answers.put(None)


@dataclass
class MemoryDialler:
    hub: Hub
    member: str
    admit: Callable[[str], None]
    calls: list[MemoryCall] = field(default_factory=list)

    def dial(self, requests: Iterator[pb.MemberFrame]) -> MemoryCall:
        call = MemoryCall(requests, self.hub, self.member, self.admit)
        self.calls.append(call)
        return call

    def close(self) -> None:
        for call in self.calls:
            call.cancel()


class MemoryWorld:
    """A hub in this process."""

    def __init__(self, members: tuple[str, ...], limits: Limits = SMALL, timing: Timing = QUICK) -> None:
        self.members = members
        self.limits, self.timing = limits, timing
        self.hub = Hub(limits, timing, BOUNDS)
        self._diallers: dict[str, MemoryDialler] = {}

    def admit(self, run: str, member: str) -> None:
        if run != RUN or member not in self.members:
            raise TrainingError("run.unknown", "no such run of this member")

    def member(
        self, name: str, phase: str = "sum", run: str = RUN, timing: Timing | None = None
    ) -> ExchangeChannel:
        dialler = MemoryDialler(self.hub, name, lambda asked: self.admit(asked, name))
        self._diallers[name] = dialler
        return ExchangeChannel(dialler, run, phase, self.limits, timing or self.timing)

    def cut(self, name: str) -> None:
        self._diallers[name].calls[-1].cancel()

    def close(self) -> None:
        self.hub.close()


def utc_now() -> datetime:
    return datetime.now(UTC)


class NoEngine:
    """There is nothing to train in these tests."""

    def register(self, member: str, flower_key: str) -> None:
        del member, flower_key

    def run(self, work: Callable[[Any], None], cancelled: Callable[[], bool]) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Sites:
    """The folders of a coordinator and its members."""

    folder: Path

    @property
    def home(self) -> CoordinatorHome:
        return CoordinatorHome(self.folder / "hub")

    def site(self, name: str) -> MemberHome:
        return MemberHome(self.folder / name)

    def make(self, members: tuple[str, ...], strangers: tuple[str, ...] = ()) -> None:
        now = utc_now()
        init_coordinator(self.home.root, "hub", "Hub", "DE", [], now)
        for name in (*members, *strangers):
            organisation = Organisation(name, f"{name} AG", "DE", "DE")
            init_member(self.folder / name, organisation, DatasetHints(None, "id", "y"), now)
            home = self.site(name)
            home.authority.write_bytes(self.home.authority.read_bytes())
        for name in members:
            Identity.load(self.site(name).identity).save(self.home.peers / f"{name}.json")

    def make_alike(self, name: str, like: str) -> None:
        """A member that has what a connection needs, and nothing else of its own; takes milliseconds."""
        home, now = self.site(name), utc_now()
        key, certificate = make_client_certificate(name, now, 1)
        authority = self.home.authority.read_bytes()
        for path, data in (
            (home.tls_key, key),
            (home.tls_certificate, certificate),
            (home.authority, authority),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
        identity = Identity.load(self.site(like).identity)
        mine = identity.model_copy(update={"name": name, "tls_certificate": certificate.decode()})
        mine.save(self.home.peers / f"{name}.json")

    @contextmanager
    def serving(self, hub: Hub, address: str, members: frozenset[str]) -> Iterator[str]:
        """Everything that the coordinator's process has on its port; yields the run of these members."""
        home, key = self.home, SigningKey.load(self.home.node_key)
        log = AuditLog.open(
            home.log, key, Actor(organisation="hub", key_id=key.verifier.key_id, role="coordinator")
        )
        book = RunBook(home.runs, log, utc_now)
        evidence = Evidence(Statements(log), Witnesses(log))
        folders = CoordinatorFolders(home.agreements, home.models, home.peers, home.packs)
        coordinator = Coordinator(
            folders, key, Identity.load(home.identity), log, book, NoEngine(), evidence, hub, utc_now
        )
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
            yield book.new(secrets.token_hex(3), members).run
        finally:
            hub.close()
            server.stop(0)


class Proxy:
    """Carries bytes between a client and the coordinator until it is cut; none while it is ``down``."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[Any, Any]] = []
        self.passed_bytes = 0
        self.down = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.down:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self._port))
            except OSError:  # the coordinator may be there again for the next one
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append((near, far))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, near: Any, far: Any) -> None:
        try:
            while data := near.recv(65_536):
                self.passed_bytes += len(data)
                far.sendall(data)
        except OSError:
            pass
        self._shut(near, far)

    def _shut(self, *ends: Any) -> None:
        for end in ends:
            with ExitStack() as stack:
                stack.callback(end.close)
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            self._shut(*pair)

    def close(self) -> None:
        self._listener.close()
        self.cut()


class GrpcWorld:
    """A coordinator on loopback; every member reaches it through a proxy of its own."""

    def __init__(
        self, sites: Sites, members: tuple[str, ...], limits: Limits = SMALL, timing: Timing = QUICK
    ) -> None:
        self.members = members
        self.limits, self.timing = limits, timing
        self.sites = sites
        self.hub = Hub(limits, timing, BOUNDS)
        self._port = free_port()
        self._stack = ExitStack()
        self.run = self._stack.enter_context(
            sites.serving(self.hub, f"127.0.0.1:{self._port}", frozenset(members))
        )
        self.proxies: dict[str, Proxy] = {}

    def member(
        self, name: str, phase: str = "sum", run: str | None = None, timing: Timing | None = None
    ) -> ExchangeChannel:
        if name not in self.proxies:
            self.proxies[name] = Proxy(self._port)
        address = f"127.0.0.1:{self.proxies[name].port}"
        return open_exchange(
            self.sites.site(name), address, run or self.run, phase, self.limits, timing or self.timing
        )

    def cut(self, name: str) -> None:
        self.proxies[name].cut()

    def close(self) -> None:
        self._stack.close()
        for proxy in self.proxies.values():
            proxy.close()
