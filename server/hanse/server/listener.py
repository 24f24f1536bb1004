"""The coordinator's gRPC port, which takes up who is enrolled while it serves.

gRPC asks for the trusted certificates at each connection. What it makes handshakes with it replaces under a
lock and uses after the lock is given up (https://github.com/grpc/grpc/issues/36693): of two connections that
arrive together, one can use what the other has freed, and the process ends. Whoever reaches the port can
bring that about. So gRPC is told that nothing is new unless something is. Before something is, the listener
begins a handshake with itself and leaves it there: gRPC frees nothing that a handshake was made with before
that handshake is over, so that whoever was between lock and use has a minute to get on.
"""

import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

import grpc

from hanse.errors import ConfigurationError

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
WORKERS: Final = 256
"""Threads, made when they are needed: each witness holds one for as long as it follows the log, and so do
whoever follows a run and each session of the exchange."""

HANDSHAKE_S: Final = 120
"""How long gRPC waits for the end of a handshake."""

HOLD_S: Final = 60.0
ANSWER_S: Final = 20.0

log = logging.getLogger("hanse.server")


class Listener:
    """See the module docstring; thread-safe. It serves until :meth:`stop`.

    Args:
        services: Each adds one service to the server.
        address: ``host:port``.
        key: PEM file, the server's key.
        certificate: PEM file, the server's certificate.
        peers: Client certificates (PEM) that are accepted now; asked at the start and by :meth:`renew`.

    Raises:
        ConfigurationError: ``config.invalid`` when the address cannot be bound.
    """

    def __init__(
        self,
        services: Sequence[Callable[[grpc.Server], None]],
        address: str,
        key: Path,
        certificate: Path,
        peers: Callable[[], list[str]],
    ) -> None:
        self._address = address
        self._pair = (key.read_bytes(), certificate.read_bytes())
        self._peers = peers
        self._lock = threading.Lock()
        self._fresh: deque[Any] = deque()
        self._held: deque[tuple[float, socket.socket]] = deque()
        self._trusted = self._certificates()
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_S * 1000),
        ]
        self._server = grpc.server(futures.ThreadPoolExecutor(WORKERS), options=options)
        for add in services:
            add(self._server)
        credentials = grpc.dynamic_ssl_server_credentials(
            self._configuration(self._trusted), self._next, require_client_authentication=True
        )
        try:
            self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise ConfigurationError(
                "config.invalid", f"cannot listen on {address}; is the port in use?"
            ) from error
        self._server.start()

    def renew(self) -> None:
        """Accepts the certificates that there are now; to be called again and again.

        Connections that are there already stay. If it fails, the log says so, and the next call tries again.
        """
        with self._lock:
            self._release(monotonic() - HOLD_S)
            trusted = self._certificates()
            if trusted == self._trusted:
                return
            try:
                self._hold()
                self._fresh.append(self._configuration(trusted))
                self._hold()  # this one takes it up, while the one before keeps what it replaces
            except OSError as error:
                self._fresh.clear()
                log.warning("who was enrolled since cannot connect yet: %s", error)
                return
            self._trusted = trusted

    def stop(self, grace_s: float) -> None:
        """Takes no more calls and returns when none is under way.

        Args:
            grace_s: How long calls that are under way may take.
        """
        self._server.stop(grace_s).wait()
        with self._lock:
            self._release(monotonic())

    def _certificates(self) -> bytes:
        """What is trusted; the server itself when nobody is enrolled, for it must be something."""
        return "".join(self._peers()).encode() or self._pair[1]

    def _configuration(self, trusted: bytes) -> Any:  # noqa: ANN401 - grpc's type has no public name
        return grpc.ssl_server_certificate_configuration([self._pair], root_certificates=trusted)

    def _next(self) -> Any:  # noqa: ANN401 - as above
        """What gRPC asks for at each connection, one at a time: None if nothing is new."""
        with suppress(IndexError):
            return self._fresh.popleft()
        return None

    def _hold(self) -> None:
        """Begins a handshake with itself, up to the server's first word, and leaves it there."""
        host, _, port = self._address.rpartition(":")
        connection = socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S)
        self._held.append((monotonic(), connection))
        connection.sendall(_client_hello())
        if not connection.recv(1):
            raise ConnectionResetError("the listener did not answer itself")

    def _release(self, before_s: float) -> None:
        while self._held and self._held[0][0] <= before_s:
            self._held.popleft()[1].close()


def _client_hello() -> bytes:
    """The first message of a handshake that is never finished."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    hello = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
    return hello.read()
