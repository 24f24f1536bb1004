"""The coordinator's port: who is enrolled later connects without a restart, and no call breaks for it."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import grpc
import pytest

from hanse.crypto import make_client_certificate
from hanse.errors import ConfigurationError
from hanse.server import listener
from hanse.server.listener import Listener
from hanse.server.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 30.0
SERVER = "hub"


class Site:
    """A listener with two methods: ``Say`` answers at once, ``Follow`` when it is told to."""

    def __init__(self, folder: Path, *members: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.told = threading.Event()
        self.trusted: list[str] = []
        self._pairs: dict[str, tuple[bytes, bytes]] = {}
        self._channels: list[Any] = []
        for name in (SERVER, *members):
            self.enrol(name)
        self.trusted.remove(self._pairs[SERVER][1].decode())
        for suffix, data in zip(("key", "crt"), self._pairs[SERVER], strict=True):
            (folder / f"{SERVER}.{suffix}").write_bytes(data)
        self.listener = self.listen()

    def listen(self) -> Listener:
        key, certificate = self.folder / f"{SERVER}.key", self.folder / f"{SERVER}.crt"
        return Listener([self._add], f"127.0.0.1:{self.port}", key, certificate, lambda: list(self.trusted))

    def enrol(self, name: str) -> None:
        self._pairs[name] = make_client_certificate(name, datetime.now(UTC), 1)
        self.trusted.append(self._pairs[name][1].decode())

    def channel(self, name: str) -> Any:  # whose calls have no types
        key, certificate = self._pairs[name]
        credentials = grpc.ssl_channel_credentials(self._pairs[SERVER][1], key, certificate)
        options = [("grpc.ssl_target_name_override", SERVER), ("grpc.use_local_subchannel_pool", 1)]
        self._channels.append(grpc.secure_channel(f"127.0.0.1:{self.port}", credentials, options=options))
        return self._channels[-1]

    def says(self, name: str) -> bytes:
        """What ``Say`` answers to a member over a connection of its own."""
        answer: bytes = self.channel(name).unary_unary("/test.Echo/Say")(name.encode(), timeout=WAIT_S)
        return answer

    def follow(self, name: str) -> Iterator[bytes]:
        return iter(self.channel(name).unary_stream("/test.Echo/Follow")(name.encode(), timeout=WAIT_S))

    def _add(self, server: grpc.Server) -> None:
        methods: dict[str, Any] = {
            "Say": grpc.unary_unary_rpc_method_handler(lambda body, _: body),
            "Follow": grpc.unary_stream_rpc_method_handler(self._follow),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))

    def _follow(self, body: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
        yield body
        self.told.wait(WAIT_S)
        yield b"told"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self._channels:
            channel.close()
        self.told.set()
        self.listener.stop(0)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, "ann") as made:
        yield made


def refused(site: Site, name: str) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as error:
        site.says(name)
    code: grpc.StatusCode = error.value.code()
    return code


def test_who_is_enrolled_later_connects_and_the_calls_of_others_go_on(site: Site) -> None:
    following = site.follow("ann")
    assert next(following) == b"ann"
    site.enrol("bob")
    assert refused(site, "bob") is grpc.StatusCode.UNAVAILABLE
    site.listener.renew()
    assert site.says("bob") == b"bob"
    assert site.says("ann") == b"ann"
    site.told.set()
    assert list(following) == [b"told"]


def test_a_connection_that_is_there_already_takes_more_calls_afterwards(site: Site) -> None:
    say = site.channel("ann").unary_unary("/test.Echo/Say")
    for number in range(5):
        assert say(b"%d" % number, timeout=WAIT_S) == b"%d" % number
        site.enrol(f"member-{number}")
        site.listener.renew()


def test_who_is_trusted_no_more_does_not_connect(site: Site) -> None:
    site.enrol("bob")
    del site.trusted[0]
    site.listener.renew()
    assert site.says("bob") == b"bob"
    assert refused(site, "ann") is grpc.StatusCode.UNAVAILABLE


def test_with_nobody_enrolled_nobody_connects(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.enrol("ann")
        assert refused(site, "ann") is grpc.StatusCode.UNAVAILABLE


def test_nothing_is_new_to_grpc_while_the_certificates_are_the_same(site: Site) -> None:
    site.listener.renew()
    assert not site.listener._fresh
    assert not site.listener._held


def test_a_certificate_that_is_none_keeps_out_nobody_who_was_in(site: Site) -> None:
    site.trusted[:0] = ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    site.listener.renew()
    assert site.says("ann") == b"ann"
    del site.trusted[0]
    site.enrol("bob")
    site.listener.renew()
    assert site.says("bob") == b"bob"


def test_what_is_replaced_is_held_for_a_minute_and_no_longer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.enrol("bob")
    site.listener.renew()
    site.listener.renew()
    assert len(site.listener._held) == 2  # the one that was, and the one that is
    monkeypatch.setattr(listener, "HOLD_S", 0.0)
    site.listener.renew()
    assert not site.listener._held


def test_without_a_handshake_to_hold_nothing_is_replaced(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site.enrol("bob")
    with socket.create_server(("127.0.0.1", 0)) as silent, monkeypatch.context() as patch:
        patch.setattr(listener, "ANSWER_S", 0.1)
        patch.setattr(site.listener, "_address", f"127.0.0.1:{silent.getsockname()[1]}")
        site.listener.renew()
    assert "cannot connect yet" in caplog.text
    assert not site.listener._fresh
    assert refused(site, "bob") is grpc.StatusCode.UNAVAILABLE
    site.listener.renew()
    assert site.says("bob") == b"bob"


def test_the_port_of_somebody_else_is_not_shared(site: Site) -> None:
    with pytest.raises(ConfigurationError, match="port in use"):
        site.listen()
    site.listener.stop(0)
    site.listener = site.listen()
    assert site.says("ann") == b"ann"
    site.port = free_port()
    with (
        socket.create_server(("127.0.0.1", site.port)),
        pytest.raises(ConfigurationError, match="port in use"),
    ):
        site.listen()


def test_stopping_ends_calls_and_lets_go_of_what_is_held(site: Site) -> None:
    following = site.follow("ann")
    assert next(following) == b"ann"
    site.enrol("bob")
    site.listener.renew()
    site.listener.stop(0)
    with pytest.raises(grpc.RpcError):
        next(following)
    assert not site.listener._held


@pytest.mark.slow
def test_many_connections_at_once_do_not_end_the_process() -> None:
    """gRPC's own way to take up certificates ends it within seconds (:mod:`hanse.server.listener`)."""
    command = [sys.executable, "-m", "tests.server.connection_storm", "15"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 0
