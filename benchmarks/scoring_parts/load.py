"""A load client over HTTP/2, for gRPC calls that are prepared: a few microseconds of Python per call.

h2load counts an answer with an error in its trailers as a success, and cannot present a client certificate.
This client speaks as much of HTTP/2 (RFC 9113) as it takes to keep some streams of one connection busy with
prepared messages, and counts a call as answered only if the answer has a message: a gRPC error has none.
"""

import socket
import ssl
import struct
import time
from dataclasses import dataclass
from typing import Final

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_FRAME_HEAD_BYTES: Final = 9
_INITIAL_WINDOW_SETTING: Final = 4
_FRAME_BYTES: Final = 16_384
_INITIAL_WINDOW: Final = (1 << 31) - 1
_READ_BYTES: Final = 1 << 20
_HEADER_BYTES: Final = 5  # of a gRPC message


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask for, and how.

    Attributes:
        host: Where the server is.
        port: Its port.
        path: The method, ``/package.Service/Method``.
        message: The serialised request.
        streams: Calls under way at a time.
        calls: Calls in all.
        others: Further requests; then all of them take turns.
    """

    host: str
    port: int
    path: str
    message: bytes
    streams: int
    calls: int
    others: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        answered: Calls that were answered as expected.
        refused: All others.
        elapsed_s: From the first to the last.
        latencies_s: One per call.
    """

    answered: int
    refused: int
    elapsed_s: float
    latencies_s: list[float]


def run(load: Load, context: ssl.SSLContext | None) -> Outcome:
    """Asks until all calls are answered.

    Args:
        load: What to ask.
        context: For TLS; None for plaintext.

    Raises:
        ConnectionError: If the server closes the connection.
    """
    plain = socket.create_connection((load.host, load.port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = plain if context is None else context.wrap_socket(plain, server_hostname="localhost")
    with connection:
        return _Session(load, connection).run()


class _Session:
    def __init__(self, load: Load, connection: socket.socket) -> None:
        self.load = load
        self.connection = connection
        self.headers = _header_block(load, secure=isinstance(connection, ssl.SSLSocket))
        messages = (load.message, *load.others)
        self.bodies = [b"\0" + struct.pack(">I", len(message)) + message for message in messages]
        self.next_stream = 1
        self.begun: dict[int, float] = {}
        self.received: dict[int, int] = {}
        self.latencies: list[float] = []
        self.refused = 0
        self.buffer = bytearray()
        self.outgoing = bytearray()
        self.window = 65_535
        self.stream_window = 65_535
        self.waiting: list[tuple[int, int]] = []  # stream and how much of its body went out

    def run(self) -> Outcome:
        settings = struct.pack(">HIHI", 3, 1000, 4, _INITIAL_WINDOW)
        hello = _PREFACE + _frame(_SETTINGS, 0, 0, settings)
        self.connection.sendall(hello + _frame(_WINDOW, 0, 0, struct.pack(">I", _INITIAL_WINDOW - 65_535)))
        while not self._read_until_settings():
            pass
        start = time.perf_counter()
        for _ in range(min(self.load.streams, self.load.calls)):
            self._begin()
        self._flush()
        while len(self.latencies) + self.refused < self.load.calls:
            self._receive()
            self._flush()
        elapsed_s = time.perf_counter() - start
        return Outcome(len(self.latencies), self.refused, elapsed_s, self.latencies)

    def _read_until_settings(self) -> bool:
        self._receive()
        self._flush()
        return self.stream_window > 0 and self.settled

    settled = False

    def _begin(self) -> None:
        stream = self.next_stream
        self.next_stream += 2
        self.begun[stream] = time.perf_counter()
        self.received[stream] = 0
        self.outgoing += _frame(_HEADERS, _END_HEADERS, stream, self.headers)
        self._send_body(stream, 0)

    def _send_body(self, stream: int, sent: int) -> None:
        body = self.bodies[(stream - 1) // 2 % len(self.bodies)]
        size = len(body)
        while sent < size:
            room = min(_FRAME_BYTES, size - sent, self.window, self.stream_window - sent)
            if room <= 0:
                self.waiting.append((stream, sent))
                return
            last = sent + room == size
            self.outgoing += _frame(_DATA, _END_STREAM if last else 0, stream, body[sent : sent + room])
            sent += room
            self.window -= room

    def _flush(self) -> None:
        if self.outgoing:
            self.connection.sendall(self.outgoing)
            self.outgoing.clear()

    def _receive(self) -> None:
        piece = self.connection.recv(_READ_BYTES)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self.buffer += piece
        offset, end = 0, len(self.buffer)
        while end - offset >= _FRAME_HEAD_BYTES:
            length = int.from_bytes(self.buffer[offset : offset + 3], "big")
            if end - offset < _FRAME_HEAD_BYTES + length:
                break
            kind, flags = self.buffer[offset + 3], self.buffer[offset + 4]
            stream = int.from_bytes(self.buffer[offset + 5 : offset + 9], "big")
            self._take(kind, flags, stream, offset + _FRAME_HEAD_BYTES, length)
            offset += _FRAME_HEAD_BYTES + length
        del self.buffer[:offset]

    def _take(self, kind: int, flags: int, stream: int, start: int, length: int) -> None:
        if kind == _DATA:
            self.received[stream] += length
        elif kind == _SETTINGS and not flags & _ACK:
            self._adopt(bytes(self.buffer[start : start + length]))
            self.outgoing += _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self.outgoing += _frame(_PING, _ACK, 0, bytes(self.buffer[start : start + length]))
        elif kind == _WINDOW and stream == 0:
            self.window += int.from_bytes(self.buffer[start : start + 4], "big")
            waiting, self.waiting = self.waiting, []
            for each, sent in waiting:
                self._send_body(each, sent)
        elif kind == _GOAWAY:
            raise ConnectionError("the server ends the connection")
        if (kind in (_DATA, _HEADERS) and flags & _END_STREAM) or kind == _RST:
            self._finish(stream)

    def _adopt(self, settings: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", settings):
            if name == _INITIAL_WINDOW_SETTING:
                self.stream_window = value
        self.settled = True

    def _finish(self, stream: int) -> None:
        received = self.received.pop(stream)
        begun = self.begun.pop(stream)
        if received > _HEADER_BYTES:
            self.latencies.append(time.perf_counter() - begun)
        else:
            self.refused += 1
        if (self.next_stream - 1) // 2 < self.load.calls:
            self._begin()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _header_block(load: Load, *, secure: bool) -> bytes:
    """Literal fields without indexing (RFC 7541, 6.2.2), so that every call has the same bytes."""
    fields = (
        (":method", "POST"), (":scheme", "https" if secure else "http"), (":path", load.path),
        (":authority", "localhost"), ("te", "trailers"), ("content-type", "application/grpc"),
    )  # fmt: skip
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)


def _text(value: str) -> bytes:
    """A string literal of fewer than 127 ASCII characters."""
    return bytes((len(value),)) + value.encode()
