"""Over gRPC with mutual TLS: strangers, garbage, broken connections, killed processes, many members."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.exchange.exchange_tools import HASTY, SMALL, WAIT_S, GrpcWorld, Sites, code, until

from hanse.api.v1 import exchange_pb2 as pb
from hanse.client.channel import open_channel
from hanse.client.exchange import open_exchange
from hanse.errors import ConfigurationError
from hanse.exchange import PROTOCOL, Limits, Timing
from hanse.server.exchange import ExchangeMetrics
from hanse.server.ports import free_port
from hanse.server.scraping import serving_metrics

ROOT = Path(__file__).resolve().parents[2]
LARGE = Limits(message_bytes=4_000_000, window_bytes=1_000_000, unacknowledged_bytes=8_000_000)
METHOD = "/hanse.api.v1.Exchange/Open"


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("grpc")


@contextmanager
def raw(world: GrpcWorld, name: str) -> Iterator[Any]:
    """Calls with whatever bytes, and returns the code of the refusal."""
    with open_channel(world.sites.site(name), f"127.0.0.1:{world._port}") as channel:
        method: Any = channel.stream_stream(METHOD)

        def call(*frames: bytes) -> str:
            open_end = threading.Event()

            def requests() -> Iterator[bytes]:
                yield from frames
                open_end.wait(WAIT_S)

            try:
                for _ in method(requests(), timeout=WAIT_S):
                    pass
            except grpc.RpcError as error:
                trailers: Any = error.trailing_metadata() or ()
                codes = [str(value) for key, value in trailers if key == "hanse-error-code"]
                return codes[0] if codes else error.code().name
            finally:
                open_end.set()
            return "no error"

        yield call


def hello(world: GrpcWorld, **more: Any) -> bytes:
    fields: dict[str, Any] = {
        "protocol": PROTOCOL,
        "run": world.run,
        "phase": "sum",
        "incarnation": b"i" * 16,
        "credit": 2_000,
    }
    return pb.MemberFrame(hello=pb.Hello(**(fields | more))).SerializeToString()


def frame(**fields: Any) -> bytes:
    return pb.MemberFrame(frame=pb.Frame(**fields)).SerializeToString()


def test_a_connection_cut_in_the_middle_of_a_message_goes_on(make_world: Callable[..., Any]) -> None:
    world = make_world("grpc", limits=LARGE)
    exchange = world.hub.open(world.run, "sum", ["ann"])
    body = os.urandom(LARGE.message_bytes)
    with world.member("ann") as ann:
        until(lambda: ann.attached)
        for receive, send in (
            (exchange.links["ann"].receive, ann.send),
            (ann.receive, exchange.links["ann"].send),
        ):
            passed = world.proxies["ann"].passed_bytes
            with ThreadPoolExecutor(1) as pool:
                send(body, timeout_s=WAIT_S)
                arriving = pool.submit(receive, WAIT_S)
                until(lambda passed=passed: world.proxies["ann"].passed_bytes > passed + 500_000)  # type: ignore[misc]
                world.cut("ann")
                assert arriving.result() == body
    assert world.hub.metrics.resumes._value.get() >= 1


def test_a_certificate_that_nobody_knows_is_refused(world: GrpcWorld) -> None:
    world.hub.open(world.run, "sum", ["ann"])
    address = f"127.0.0.1:{world._port}"
    with open_exchange(world.sites.site("eve"), address, world.run, "sum", SMALL, HASTY) as eve:
        assert code(lambda: eve.receive(WAIT_S)) in {"run.engine", "identity.unauthenticated"}


def test_a_member_outside_of_the_agreement_learns_of_no_run(world: GrpcWorld) -> None:
    world.hub.open(world.run, "sum", ["ann"])
    with raw(world, "dan") as call:
        assert call(hello(world)) == "run.unknown"
        assert call(hello(world, run="run-20260101-000000-abcdef")) == "run.unknown"


def test_what_is_no_session_is_refused_by_name(world: GrpcWorld) -> None:
    exchange = world.hub.open(world.run, "sum", ["ann"])
    with raw(world, "ann") as call:
        assert call(hello(world, protocol=PROTOCOL + 1)) == "protocol.version"
        assert call(hello(world, phase="none")) == "exchange.restarted"
        assert call(hello(world, known=b"k" * 16)) == "exchange.restarted"
        assert call(frame()) == "protocol.malformed"
        assert call(b"") == "protocol.malformed"
        assert call() in {"CANCELLED", "UNKNOWN"}  # says nothing for too long
        assert exchange.links["ann"].failure is None  # none of it touched the session
        assert call(hello(world), hello(world)) == "protocol.malformed"
    assert code(lambda: exchange.receive("ann", WAIT_S)) == "protocol.malformed"


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ((frame(sequence=2, payload=b"x", last=True),), "exchange.out-of-step"),
        ((frame(ack=5),), "exchange.out-of-step"),
        ((frame(sequence=1, payload=bytes(401), last=True),), "protocol.malformed"),
        (tuple(frame(sequence=n, last=True) for n in range(1, 10)), "exchange.flooded"),
        ((frame(sequence=1, payload=b"x", last=True, peer="dan"),), "exchange.unknown-peer"),
        ((frame(sequence=1, payload=bytes(20_000_000), last=True),), "RESOURCE_EXHAUSTED"),
        ((b"\xff" * 40,), "INTERNAL"),
    ],
)
def test_a_member_at_fault_is_told_and_loses_its_session_alone(
    world: GrpcWorld, frames: tuple[bytes, ...], expected: str
) -> None:
    exchange = world.hub.open(world.run, "sum", ["ann", "bob"])
    with raw(world, "ann") as call, world.member("bob") as bob:
        assert call(hello(world), *frames) == expected
        bob.send(b"nothing happened")
        assert exchange.receive("bob", WAIT_S) == b"nothing happened"
    if "." in expected:
        while (last := code(lambda: exchange.receive("ann", 0))) == "no error":  # what came before is there
            pass
        assert last == expected


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_garbage_is_refused_and_the_next_call_is_served(world: GrpcWorld, frames: list[bytes]) -> None:
    with raw(world, "ann") as call:
        assert call(*frames) in {"protocol.malformed", "protocol.version", "run.unknown", "INTERNAL"}
        assert call(hello(world, protocol=9)) == "protocol.version"


class Process:
    """A process of ``exchange_process.py``."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "tests.exchange.exchange_process", *map(str, arguments)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.slow
def test_a_coordinator_that_is_killed_is_known_to_be_another_when_it_is_back(sites: Sites) -> None:
    address = f"127.0.0.1:{free_port()}"
    patient = Timing(heartbeat_s=0.2, silence_s=3.0, resume_s=60.0)
    with ExitStack() as stack:
        first = Process("coordinator", sites.folder, address, "ann", "bob")
        stack.callback(first.kill)
        run = first.line()
        ann = stack.enter_context(open_exchange(sites.site("ann"), address, run, "sum", SMALL, patient))
        bob = stack.enter_context(open_exchange(sites.site("bob"), address, run, "sum", SMALL, HASTY))
        for channel in (ann, bob):
            channel.send(b"hello")
            assert channel.receive(WAIT_S) == b"hello"
        first.kill()
        assert code(lambda: bob.receive(WAIT_S)) == "exchange.lost"
        ann.send(b"still there?")
        again = Process("coordinator", sites.folder, address, "ann", "bob")
        stack.callback(again.kill)
        assert again.line() != run
        assert code(lambda: ann.receive(2 * WAIT_S)) in {"exchange.restarted", "run.unknown"}


@pytest.mark.slow
def test_a_member_that_is_killed_fails_alone(world: GrpcWorld) -> None:
    exchange = world.hub.open(world.run, "sum", ["ann", "bob"])
    address = f"127.0.0.1:{world._port}"
    member = Process("member", world.sites.folder, address, world.run, "ann")
    with world.member("bob") as bob:
        try:
            assert exchange.receive("ann", 3 * WAIT_S) == b"here"
            exchange.send("ann", b"seen")
            assert member.line() == "seen"
        finally:
            member.kill()
        bob.send(b"goes on")
        gathered = exchange.gather(WAIT_S)
    assert gathered.pop("bob") == b"goes on"
    assert getattr(gathered["ann"], "code", None) == "exchange.lost"


def test_twenty_members_at_once(sites: Sites, make_world: Callable[..., Any]) -> None:
    members = tuple(f"member-{number}" for number in range(20))
    for name in members:
        sites.make_alike(name, "ann")
    world = make_world("grpc", members, limits=LARGE)
    exchange = world.hub.open(world.run, "sum", members)
    with ExitStack() as stack:
        channels = {name: stack.enter_context(world.member(name)) for name in members}
        for level in range(3):
            body = os.urandom(300_000)
            for name in members:
                exchange.send(name, body)
            for name, channel in channels.items():
                channel.send(channel.receive(WAIT_S)[level : level + 5] + name.encode())
            assert exchange.gather(WAIT_S) == {m: body[level : level + 5] + m.encode() for m in members}
        exchange.close()


def test_figures_are_served_where_the_settings_say() -> None:
    metrics, address = ExchangeMetrics(), f"127.0.0.1:{free_port()}"
    metrics.received.inc(7)
    with serving_metrics(address, metrics.registry), urlopen(f"http://{address}/metrics") as answer:
        assert b"hanse_exchange_received_bytes_total 7.0" in answer.read()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for wrong in ("9401", "host:port", f"127.0.0.1:{taken.getsockname()[1]}"):
            with pytest.raises(ConfigurationError), serving_metrics(wrong, metrics.registry):
                pass
    with serving_metrics(None, metrics.registry):
        pass
