"""What a stream of gRPC costs by itself: bytes in, bytes out, the same TLS, the same kind of threads.

It keeps nothing, so that a broken connection loses messages, and holds back nobody.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc

from hanse.client.channel import MAX_MESSAGE_BYTES, open_channel
from hanse.client.home import MemberHome
from hanse.server.home import CoordinatorHome

SERVICE = "benchmark.Bare"
METHOD = "Open"


class Bare:
    """The coordinator's side: one stream per member.

    Args:
        members: Their names; each says its own first.
    """

    def __init__(self, members: Sequence[str]) -> None:
        self._out: dict[str, queue.SimpleQueue[bytes | None]] = {
            name: queue.SimpleQueue() for name in members
        }
        self._in: dict[str, queue.SimpleQueue[bytes]] = {name: queue.SimpleQueue() for name in members}

    def open(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Serves one stream."""
        del context
        name = next(requests).decode()
        threading.Thread(target=self._read, args=(name, requests), daemon=True).start()
        yield from iter(self._out[name].get, None)

    def _read(self, name: str, requests: Iterator[bytes]) -> None:
        with suppress(grpc.RpcError):
            for message in requests:
                self._in[name].put(message)

    def close(self) -> None:
        """Ends all streams."""
        for messages in self._out.values():
            messages.put(None)

    def ask(self, members: Sequence[str], message: bytes, wait_s: float) -> None:
        """Sends one message to each member and waits for all the answers."""
        for member in members:
            self._out[member].put(message)
        for member in members:
            self._in[member].get(timeout=wait_s)


@contextmanager
def serving_bare(folder: Path, address: str, members: Sequence[str]) -> Iterator[Bare]:
    """Serves the streams on the address."""
    home, bare = CoordinatorHome(folder / "hub"), Bare(members)
    roots = b"".join(MemberHome(folder / name).tls_certificate.read_bytes() for name in members)
    pair = (home.server_key.read_bytes(), home.server_certificate.read_bytes())
    credentials = grpc.ssl_server_credentials([pair], roots, require_client_auth=True)
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(2 * len(members)), options=options)
    handler: Any = grpc.stream_stream_rpc_method_handler(bare.open)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    server.add_secure_port(address, credentials)
    server.start()
    try:
        yield bare
    finally:
        bare.close()
        server.stop(0).wait()


def answer_bare(home: MemberHome, address: str, answer: Callable[[bytes], bytes]) -> None:
    """The member's side; ends with the stream."""
    outgoing: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    outgoing.put(home.root.name.encode())
    with open_channel(home, address) as channel, suppress(grpc.RpcError):
        method: Any = channel.stream_stream(f"/{SERVICE}/{METHOD}")
        for message in method(iter(outgoing.get, None), wait_for_ready=True):
            outgoing.put(answer(message))
