"""The only HTTP surface that members reach: Flower's fleet routes, and nothing else.

Flower serves its control, runtime and fleet routes on one port. This ASGI filter stands in front of a
second listener of the same application and lets only the fleet routes through that a node needs.
Registration is not among them: nodes are registered by the coordinator from the identities that it
enrolled, so that a stranger with the certificate authority's certificate gets no further than a 404.

It also replaces polling. A node asks for messages and Flower answers at once, empty; stock nodes then
sleep for seconds. Here the question of an enrolled node is *held* until there may be an answer, or for
``hold_s``. A node does one thing at a time, so that its next question also says that it has handed in
its last answer completely: that wakes the round that waits for it. And a node that signs on has lost whatever
command an earlier process of it was given.
"""

import asyncio
import base64
import binascii
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX = "/v1/fleet/"
PULL = PREFIX + "pull-messages"
ACTIVATE = PREFIX + "activate-node"
ALLOWED = frozenset(
    PREFIX + name
    for name in (
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "get-run",
        "get-fab",
        "push-object",
        "pull-object",
        "confirm-message-received",
    )
)
KEY_HEADER = b"flwr-public-key"
MAX_PULL_BYTES = 64 * 1024


class FleetDoor:
    """ASGI application that guards and accelerates the fleet routes of another one.

    Args:
        app: Flower's application.
        hold_s: Longest time that a node's question is held; below the node's read timeout (30 s).
    """

    def __init__(self, app: Application, hold_s: float = 10.0) -> None:
        self._app = app
        self._hold_s = hold_s
        self._enrolled: frozenset[bytes] = frozenset()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._generation = 0
        self._seen: dict[bytes, int] = {}
        self._asked: dict[bytes, int] = {}
        self._activated: dict[bytes, int] = {}
        self._question = threading.Condition()
        self._closing = False

    def enrol(self, public_keys: frozenset[bytes]) -> None:
        """Sets whose questions may be held. Everybody else is answered, and refused, at once."""
        self._enrolled = public_keys

    def announce(self) -> None:
        """Wakes every held question: there may be messages now. Safe from any thread."""
        loop = self._loop
        self._generation += 1
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._release)

    def close(self) -> None:
        """Answers every held question now and holds none any more, so that the listener can stop."""
        self._closing = True
        self.announce()

    def asked(self, key: bytes) -> int:
        """How many questions the node with this key has asked so far."""
        with self._question:
            return self._asked.get(key, 0)

    def activated(self, key: bytes) -> int:
        """How often a process of the node with this key has signed on so far."""
        with self._question:
            return self._activated.get(key, 0)

    def wait_for_question(self, seen: Mapping[bytes, int], timeout_s: float) -> None:
        """Returns when one of the nodes has asked more often than ``seen`` says, or after ``timeout_s``."""
        with self._question:
            self._question.wait_for(
                lambda: any(self._asked.get(key, 0) > count for key, count in seen.items()), timeout_s
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        self._loop = asyncio.get_running_loop()
        if scope["type"] != "http" or scope["path"] not in ALLOWED:
            await _refuse(scope, send)
            return
        if scope["path"] == ACTIVATE and (key := _public_key(scope)) in self._enrolled:
            with self._question:
                self._activated[key] = self._activated.get(key, 0) + 1
        if scope["path"] == PULL and (key := _public_key(scope)) in self._enrolled:
            self._note_question(key)
            body = await _read_body(receive)
            if body is None or not await self._hold(key, receive):
                return
            receive = _replay(body, receive)
        await self._app(scope, receive, send)

    def _note_question(self, key: bytes) -> None:
        with self._question:
            self._asked[key] = self._asked.get(key, 0) + 1
            self._question.notify_all()

    async def _hold(self, key: bytes, receive: Receive) -> bool:
        """Waits for an announcement that ``key`` has not seen; False when the node hung up meanwhile.

        Passing on the question of a node that hung up would mark messages as delivered that nobody got.
        """
        if self._closing or self._generation > self._seen.get(key, -1):
            self._seen[key] = self._generation
            return True
        waiter = asyncio.get_running_loop().create_future()
        gone = asyncio.ensure_future(receive())
        self._waiters.add(waiter)
        try:
            await asyncio.wait({waiter, gone}, timeout=self._hold_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiters.discard(waiter)
        if gone.done():
            return False
        gone.cancel()
        self._seen[key] = self._generation
        return True

    def _release(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _public_key(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == KEY_HEADER:
            try:
                return base64.b64decode(value, validate=True)
            except binascii.Error:
                return b""
    return b""


async def _read_body(receive: Receive) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_PULL_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replayed() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replayed


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
