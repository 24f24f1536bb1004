"""One call of a :class:`hanse.server.completions.server.CallServer`, from its side."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from hanse.server.completions import core
from hanse.server.completions.events import Events

_NO_FLAGS: Final = 0
_FOREVER_S: Final = 1e12
"""gRPC says of a call without a deadline that it ends in as many seconds as 64 bits can count."""
_CERTIFICATE: Final = b"x509_pem_cert"
_OK: Final[int] = grpc.StatusCode.OK.value[0]

Trailers = Sequence[tuple[str, str]]


class IncomingCall:
    """A call that has begun; used in the loop alone.

    It has what our methods and those of gRPC's own services use of a :class:`grpc.aio.ServicerContext`.

    Args:
        event: Told of it.
        events: Takes its further events.

    Attributes:
        method: ``/package.Service/Method``.
        serialise: Turns messages that :meth:`write` is given into bytes; None if they are bytes.
        over: Whether its end was said.
    """

    __slots__ = (
        "_call", "_details", "_event", "_events", "_has_begun", "_is_watched", "method", "over", "serialise"
    )  # fmt: skip

    def __init__(self, event: core.CallEvent, events: Events) -> None:
        self._event = event
        self._events = events
        self._call = event.call
        self._details = event.call_details
        self._has_begun = False
        self._is_watched = False
        self.method: str = event.call_details.method.decode("ascii", "replace")
        self.serialise: Callable[[Any], bytes] | None = None
        self.over = False

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """What the caller sent with the call beside messages."""
        metadata: Sequence[tuple[str, str | bytes]] = self._event.invocation_metadata
        return metadata

    def certificates(self) -> Sequence[bytes]:
        """The caller's certificate, which the transport has verified, PEM; none where it asks for none."""
        found: Sequence[bytes] = (core.auth_context(self._call) or {}).get(_CERTIFICATE, ())
        return found

    def time_remaining(self) -> float | None:
        """Seconds until the caller stops waiting; None if it said nothing."""
        left_s: float = self._details.deadline - time.time()
        return None if left_s > _FOREVER_S else max(left_s, 0.0)

    def receive(self, then: Callable[[bytes | None], None]) -> None:
        """Asks for the next message.

        Args:
            then: Is called with it once, in the loop; with None if there is none, also because the caller has
                gone.
        """
        self._start(
            (core.ReceiveMessage(_NO_FLAGS),),
            lambda event: then(event.batch_operations[0].message()),
        )

    async def read(self) -> bytes | None:
        """The next message; None if there is none, also because the caller has gone."""
        read: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self.receive(lambda message: None if read.done() else read.set_result(message))
        return await read

    async def messages(self) -> AsyncIterator[bytes]:
        """All messages, in their order."""
        while (message := await self.read()) is not None:
            yield message

    async def write(self, message: Any) -> None:  # noqa: ANN401 - whatever ``serialise`` takes
        """Sends a message, and waits until the caller's window has room for it.

        Raises:
            asyncio.CancelledError: If the caller has gone.
        """
        body: bytes = message if self.serialise is None else self.serialise(message)
        sent: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        operations = [*self._beginning(), core.SendMessage(body, _NO_FLAGS)]
        self._start(operations, lambda event: None if sent.done() else sent.set_result(event.success))
        if not await sent:
            raise asyncio.CancelledError

    def watch(self, gone: Callable[[], None]) -> None:
        """Learns when the caller gives the call up, or its time is over.

        Args:
            gone: Is called then, in the loop; never if the call ends otherwise.
        """
        if self._is_watched or self.over or not self._events.is_open:
            return
        self._is_watched = True
        self._start(
            (core.ReceiveClose(_NO_FLAGS),),
            lambda event: gone() if event.batch_operations[0].cancelled() else None,
        )

    def answer(self, body: bytes) -> None:
        """Ends the call with its only message.

        Args:
            body: The message.
        """
        self._end((core.SendMessage(body, _NO_FLAGS),), _OK, "", ())

    def finish(
        self, code: grpc.StatusCode = grpc.StatusCode.OK, details: str = "", trailers: Trailers = ()
    ) -> None:
        """Ends the call without a further message; does nothing if it is over.

        Args:
            code: How it ends.
            details: What the caller is told.
            trailers: What its program is told.
        """
        self._end((), code.value[0], details, trailers)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailers: Trailers = ()) -> NoReturn:
        """As :meth:`finish`, for methods of gRPC's own services.

        Raises:
            grpc.aio.AbortError: Always.
        """
        self.finish(code, details, trailers)
        raise grpc.aio.AbortError

    def _end(self, message: Sequence[Any], code: int, details: str, trailers: Trailers) -> None:
        if self.over or not self._events.is_open:
            return
        self.over = True
        operations = [
            *self._beginning(),
            *message,
            core.SendStatus(trailers or None, code, details.encode(), _NO_FLAGS),
        ]
        if not self._is_watched:
            # gRPC wants to be asked once how a call has ended; together with its end that costs nothing.
            operations.append(core.ReceiveClose(_NO_FLAGS))
        self._start(operations, _nothing)

    def _start(self, operations: Sequence[Any], tag: core.Tag) -> None:
        if not self._events.is_open:
            raise asyncio.CancelledError
        self._call.start_server_batch(operations, tag)

    def _beginning(self) -> Sequence[Any]:
        """What goes before the first message or the end."""
        if self._has_begun:
            return ()
        self._has_begun = True
        return (core.SendMetadata(None, _NO_FLAGS),)


def _nothing(_event: core.Event) -> None:
    """What was sent needs no more; whether it arrived, only the caller knows."""
