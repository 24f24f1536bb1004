"""A conversation between two processes over TCP on loopback: each message behind its length."""

import socket
import struct
import threading
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Final

from hanse.exchange.peers import LONGEST_BODY_BYTES

_LENGTH: Final = struct.Struct("!I")
_TIMEOUT_S: Final = 3600.0


@dataclass
class SocketChannel:
    """A :class:`hanse.exchange.peers.PeerChannel` that counts what it sends.

    Sending only queues, as the interface says; a thread writes.

    Attributes:
        peer: The other party.
        link: The connected socket.
    """

    peer: str
    link: socket.socket
    sent_bytes: int = 0
    sent_messages: int = 0
    _waiting: SimpleQueue[bytes] = field(default_factory=SimpleQueue)
    _writer: threading.Thread | None = None

    def send(self, body: bytes) -> None:
        """See the interface."""
        if len(body) > LONGEST_BODY_BYTES:
            raise ValueError("the message is too long")
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, daemon=True)
            self._writer.start()
        self.sent_bytes += len(body)
        self.sent_messages += 1
        self._waiting.put(body)

    def _write(self) -> None:
        while True:
            body = self._waiting.get()
            self.link.sendall(_LENGTH.pack(len(body)))
            self.link.sendall(body)

    def receive(self) -> bytes:
        """See the interface."""
        self.link.settimeout(_TIMEOUT_S)
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return bytes(self._read(length))

    def _read(self, length: int) -> bytearray:
        data = bytearray(length)
        rest = memoryview(data)
        while rest:
            count = self.link.recv_into(rest)
            if not count:
                raise ConnectionError(f"{self.peer} has gone")
            rest = rest[count:]
        return data


def loopback_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    for end in (one, other):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other
