"""Calls of one request and one answer to another server, from an event loop.

As with the server, a step is a callback: what comes back is handed to the loop once, without the futures and
tasks by which ``grpc.aio`` passes it on.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

import grpc

from hanse.server.completions import core

_NO_FLAGS: Final = 0
_MESSAGE, _STATUS = -2, -1  # places of the last two operations
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class CallEnd(NamedTuple):
    """How a call ended.

    Attributes:
        body: The answer; None without one.
        code: How it ended.
        trailers: What a program may learn of it.
    """

    body: bytes | None
    code: grpc.StatusCode
    trailers: Sequence[tuple[str, str | bytes]] = ()


Then = Callable[[CallEnd], None]


class CallClient:
    """A connection, which is made when it is first needed; used in the running loop alone.

    Args:
        address: ``host:port``.
        credentials: TLS; None for plaintext.
        options: Options of a gRPC channel, by name.
    """

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        # Private, as what it is for.
        secret = None if credentials is None else getattr(credentials, "_credentials")  # noqa: B009 - untyped
        self._channel = core.Channel(address.encode(), tuple(options), secret)
        self._loop = asyncio.get_running_loop()
        self._is_open, self._is_over = True, False
        # One for each call: it has one event, which comes whatever becomes of it. Python's own semaphore
        # takes ten times as long.
        self._due: SimpleQueue[None] = SimpleQueue()
        self._thread = threading.Thread(target=self._wait, name="grpc-answers", daemon=True)
        self._thread.start()

    def ask(self, method: str, body: bytes, timeout_s: float, then: Then) -> None:
        """Makes a call.

        Args:
            method: ``/package.Service/Method``.
            body: The request.
            timeout_s: How long to wait, seconds.
            then: Is called once, in the loop, and must not raise.
        """
        if not self._is_open:
            self._loop.call_soon(then, CallEnd(None, grpc.StatusCode.CANCELLED))
            return
        operations = (
            core.SendMetadata(None, _NO_FLAGS),
            core.SendMessage(body, _NO_FLAGS),
            core.SendClose(_NO_FLAGS),
            core.ReceiveMetadata(_NO_FLAGS),
            core.ReceiveMessage(_NO_FLAGS),
            core.ReceiveStatus(_NO_FLAGS),
        )
        self._channel.integrated_call(
            core.PROPAGATE,
            method.encode(),
            None,
            time.time() + timeout_s,
            None,
            None,
            ((operations, then),),
        )
        self._due.put(None)

    async def close(self) -> None:
        """Ends calls that are under way, and the connection."""
        if self._is_open:
            self._is_open = False
            await asyncio.to_thread(self._channel.close, core.CANCELLED, "closed")  # waits for their events
            self._is_over = True
            self._due.put(None)
            await asyncio.to_thread(self._thread.join)

    def _wait(self) -> None:
        """In the thread: hands the loop one event after the other.

        gRPC's queue must not be asked when no call is under way: it goes with the connection.
        """
        while True:
            self._due.get()
            if self._is_over:
                return
            event: core.Event = self._channel.next_call_event()
            try:
                self._loop.call_soon_threadsafe(event.tag, _end(event))
            except RuntimeError:
                return  # the loop is closed, and with it whoever waited
            del event  # it may hold the last reference to a call


def _end(event: core.Event) -> CallEnd:
    message, status = event.batch_operations[_MESSAGE], event.batch_operations[_STATUS]
    code = _CODES.get(status.code(), grpc.StatusCode.UNKNOWN)
    if code is grpc.StatusCode.OK:
        return CallEnd(message.message(), code)
    return CallEnd(None, code, status.trailing_metadata() or ())
