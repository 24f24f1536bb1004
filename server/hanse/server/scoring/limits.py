"""Bounds what callers can make a scorer hold: calls at once, requests at once, and for how long.

Every method that answers once is served through :class:`Limits`. It receives the request itself instead of
leaving that to gRPC, which would receive all of it, for as long as that takes, before any code of ours runs:

* A call over ``calls`` is refused before its request is read.
* At most ``receiving`` requests are received at once, so that no more than ``receiving`` times the largest
  request is held of requests that have not arrived; each must arrive within ``receive_s``.
* A call that has not been answered after ``call_s`` is given up, whether its caller set a deadline or not.

A method that answers with a stream is given up when its caller takes longer than ``receive_s`` to take one
message; a stream that has nothing to say, such as the watch of a health check, may last.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import isasyncgenfunction
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from typing_extensions import override

from hanse.errors import HanseError, ProtocolError, ServingError
from hanse.server.scoring.borders import known, trailers
from hanse.server.scoring.noted import Noted, Watcher, note

SWEEP_S: Final = 0.25
"""How late a call may be given up."""
GOODBYE_S: Final = 1.0
"""How long a caller that takes nothing may take to take an error."""
OWN_STREAMS: Final = "/grpc."
"""Methods of gRPC's own services; their streams last until the caller has enough."""

_log = logging.getLogger(__name__)

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handlers: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Work: TypeAlias = Callable[["_Running"], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """See the module.

    Attributes:
        calls: Most calls at once.
        receiving: Most requests that are received at once.
        receive_s: How long a request may take to arrive, and a message to be taken, seconds.
        call_s: How long a call may take, seconds.
    """

    calls: int
    receiving: int
    receive_s: float
    call_s: float


@dataclass(slots=True)
class _Running:
    """A call that runs.

    Attributes:
        noted: The call.
        until: When it is given up, in seconds of the loop's clock.
        late: What it is given up for then.
        why: What it was given up for.
    """

    noted: Noted
    until: float = math.inf
    late: str = "scoring.timeout"
    why: HanseError | None = None


class Limits(grpc.aio.ServerInterceptor):
    """Serves calls within bounds, and turns what they raise into what an outsider may learn.

    Args:
        bounds: The bounds.
        watchers: Are told of every call.
    """

    def __init__(self, bounds: Bounds, watchers: Sequence[Watcher] = ()) -> None:
        self._bounds = bounds
        self._watchers = tuple(watchers)
        self._running: dict[asyncio.Task[Any], _Running] = {}
        self._lasting: dict[asyncio.Task[Any], _Running] = {}
        self._receiving = asyncio.Semaphore(bounds.receiving)
        self._served: dict[str, _Handlers] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """How many calls run, without the streams of gRPC's own services."""
        return len(self._running)

    async def finish(self) -> None:
        """Waits until no call runs, then ends the streams of gRPC's own services."""
        await self._idle.wait()
        for task, running in list(self._lasting.items()):
            self._give_up(task, running, "scoring.stopping")

    @override
    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[_Handlers | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handlers | None":
        """What serves a method: the same every time, made when it is called for the first time."""
        method = handler_call_details.method
        served = self._served.get(method)
        if served is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            served = self._served[method] = self._bounded(method, handler)
        return served

    def _bounded(self, method: str, handler: _Handlers) -> _Handlers:
        reader, writer = handler.request_deserializer, handler.response_serializer
        if not handler.response_streaming and not handler.request_streaming:
            made = self._once(method, handler.unary_unary)
            return grpc.stream_unary_rpc_method_handler(made, reader, writer)
        if not handler.response_streaming:
            made = self._stream(method, handler.stream_unary)
            return grpc.stream_unary_rpc_method_handler(made, reader, writer)
        if not handler.request_streaming:
            made = self._stream(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(made, reader, writer)
        made = self._stream(method, handler.stream_stream)
        return grpc.stream_stream_rpc_method_handler(made, reader, writer)

    def _once(self, method: str, handle: Any) -> Any:  # noqa: ANN401 - grpc types the synchronous API
        """Serves a method that takes one message and gives one."""

        async def serve(_requests: Any, context: _Context) -> Any:  # noqa: ANN401
            async def work(running: _Running) -> Any:  # noqa: ANN401
                return await handle(await self._receive(running, context), context)

            return await self._run(method, context, work)

        return serve

    def _stream(self, method: str, handle: Any) -> Any:  # noqa: ANN401
        """Serves a method that takes or gives many messages."""

        async def serve(request: Any, context: _Context) -> Any:  # noqa: ANN401
            async def work(running: _Running) -> Any:  # noqa: ANN401
                patient = _PatientContext(context, running, self._bounds.receive_s)
                if not isasyncgenfunction(handle):
                    return await handle(request, patient)
                async for message in handle(request, patient):
                    await patient.write(message)
                return None

            return await self._run(method, context, work)

        return serve

    async def _receive(self, running: _Running, context: _Context) -> Any:  # noqa: ANN401
        """The request of a call, once it has arrived."""
        clock = asyncio.get_running_loop().time
        running.until = last = clock() + self._bounds.call_s
        async with self._receiving:
            running.until, running.late = min(last, clock() + self._bounds.receive_s), "scoring.slow"
            request = await context.read()
        if request is grpc.aio.EOF:
            # The caller is gone, or gRPC has refused what it sent and said so.
            raise ProtocolError("protocol.malformed", "a call without a request")
        running.until, running.late = last, "scoring.timeout"
        return request

    async def _run(self, method: str, context: _Context, work: _Work) -> Any:  # noqa: ANN401
        """Runs a call to its end, whatever that is."""
        noted = Noted(method, asyncio.get_running_loop().time())
        for watcher in self._watchers:
            watcher.begin(noted, context.invocation_metadata)
        note(noted)
        try:
            answer, error = await self._outcome(noted, work)
            if error is None:
                return answer
            noted.code, noted.rule = error.code, error.rule
            return await _refuse(context, noted, error)
        finally:
            noted.seconds = asyncio.get_running_loop().time() - noted.began
            for watcher in self._watchers:
                watcher.end(noted)

    async def _outcome(self, noted: Noted, work: _Work) -> tuple[Any, HanseError | None]:
        """What a call answers, or why it does not."""
        group = self._lasting if noted.method.startswith(OWN_STREAMS) else self._running
        if len(group) >= self._bounds.calls:
            return None, ServingError("scoring.busy", "as many calls run as may")
        task, running = asyncio.current_task(), _Running(noted)
        assert task is not None  # noqa: S101 - gRPC runs every call in a task
        group[task] = running
        self._watch()
        try:
            return await work(running), None
        except grpc.aio.AbortError:
            noted.code = "aborted"
            raise
        except asyncio.CancelledError:
            if running.why is None:
                noted.code = "cancelled"
                raise
            task.uncancel()
            return None, running.why
        except Exception as raised:  # noqa: BLE001 - this is the border: nothing may pass untranslated
            return None, known(raised)
        finally:
            del group[task]
            if not self._running:
                self._idle.set()

    def _watch(self) -> None:
        if self._running:
            self._idle.clear()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Gives up what is late; one timer for all calls costs each of them next to nothing."""
        loop = asyncio.get_running_loop()
        for group in (self._running, self._lasting):
            for task, running in list(group.items()):
                if running.until <= loop.time():
                    self._give_up(task, running, running.late)
        more = self._running or self._lasting
        self._timer = loop.call_later(SWEEP_S, self._sweep) if more else None

    @staticmethod
    def _give_up(task: asyncio.Task[Any], running: _Running, code: str) -> None:
        running.until = math.inf
        running.why = ServingError(code, f"{running.noted.method} was given up")
        task.cancel()


async def _refuse(context: _Context, noted: Noted, error: HanseError) -> Any:  # noqa: ANN401 - never returns
    _log.info("refused: %s", error, extra={"call": noted})
    status = grpc.StatusCode[error.spec.status.value]
    try:
        async with asyncio.timeout(GOODBYE_S):
            return await context.abort(status, error.public_message, trailers(error))
    except TimeoutError:
        # Nothing reaches this caller; its connection ends when it is too old, and with it the call.
        raise asyncio.CancelledError from None


class _PatientContext:
    """A call's context that notes since when a message has not been taken.

    Args:
        context: The context.
        running: The call.
        patience_s: How long a message may take to be taken, seconds.
    """

    def __init__(self, context: _Context, running: _Running, patience_s: float) -> None:
        self._context = context
        self._running = running
        self._patience_s = patience_s

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the context's own
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:  # noqa: ANN401
        """Sends a message; see :meth:`grpc.aio.ServicerContext.write`."""
        self._running.late = "scoring.slow"
        self._running.until = asyncio.get_running_loop().time() + self._patience_s
        await self._context.write(message)
        self._running.until = math.inf
