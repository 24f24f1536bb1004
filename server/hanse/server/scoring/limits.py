"""Bounds what callers can make a scorer hold: calls at once, requests at once, and for how long.

Every call is served through :class:`Limits`, which decides whether, and for how long, its request is
received:

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
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from inspect import isasyncgenfunction
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio

from hanse.errors import HanseError, ProtocolError, ServingError
from hanse.server.completions import Handler, IncomingCall, start
from hanse.server.scoring.borders import known, trailers
from hanse.server.scoring.noted import Noted, Watcher, note

SWEEP_S: Final = 0.25
"""How late a call may be given up, and how late it is noticed that its caller gave up a single answer."""
GOODBYE_S: Final = 1.0
"""How long calls that are cut off may take to end."""
OWN_STREAMS: Final = "/grpc."
"""Methods of gRPC's own services; their streams last until the caller has enough."""

_log = logging.getLogger(__name__)

Then: TypeAlias = Callable[[bytes | BaseException | None], None]
Quick: TypeAlias = Callable[[bytes, IncomingCall, Noted, Then], bool]
"""Serves requests of a method without a task for each, where it can. It is called with a request, the call,
what is noted of it, and what to call with the answer, an error, or None if the method itself is to serve it.
It says whether that will be called; if not, the method itself is to serve the request at once."""


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


@dataclass(slots=True, eq=False)
class _Running:
    """A call that runs.

    Attributes:
        call: The call.
        handler: What serves its method.
        noted: What is noted of it.
        group: The calls among which it counts.
        last: When it is given up at the latest, in seconds of the loop's clock.
        until: When it is given up as things are.
        late: What it is given up for then.
        why: What it was given up for.
        task: Serves it, once its request has arrived.
    """

    call: IncomingCall
    handler: Handler
    noted: Noted
    group: "set[_Running]"
    last: float
    until: float = math.inf
    late: str = "scoring.timeout"
    why: HanseError | None = None
    task: "asyncio.Task[None] | None" = None


class Limits:
    """Serves calls within bounds, and turns what they raise into what an outsider may learn.

    Args:
        bounds: The bounds.
        watchers: Are told of every call.
    """

    def __init__(self, bounds: Bounds, watchers: Sequence[Watcher] = ()) -> None:
        self._bounds = bounds
        self._watchers = tuple(watchers)
        self._quick: dict[str, Quick] = {}
        self._running: set[_Running] = set()
        self._lasting: set[_Running] = set()
        self._receiving = 0
        self._to_receive: deque[_Running] = deque()
        self._loop = asyncio.get_running_loop()
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
        self._end_all(self._lasting)

    async def cut_off(self) -> None:
        """Ends every call, and waits a moment until each has left its entry in the log."""
        self._end_all(self._running)
        self._end_all(self._lasting)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), GOODBYE_S)

    def hasten(self, method: str, quick: Quick) -> None:
        """Has a method served without a task for each request, where that can be.

        Args:
            method: ``/package.Service/Method``, with one request and one answer.
            quick: Serves what it can.
        """
        self._quick[method] = quick

    def serve(self, call: IncomingCall, handler: Handler) -> None:
        """Serves a call to its end, whatever that is.

        Args:
            call: A call that has begun.
            handler: What serves its method.
        """
        now = self._loop.time()
        noted = Noted(call.method, now)
        for watcher in self._watchers:
            watcher.begin(noted, call.invocation_metadata)
        group = self._lasting if noted.method.startswith(OWN_STREAMS) else self._running
        running = _Running(call, handler, noted, group, now + self._bounds.call_s)
        if len(group) >= self._bounds.calls:
            self._refuse(running, ServingError("scoring.busy", "as many calls run as may"))
            return
        group.add(running)
        self._watch()
        if handler.request_streaming:
            self._begin(running, None)
        else:
            running.until = running.last
            self._to_receive.append(running)
            self._receive_next()

    def _receive_next(self) -> None:
        """Receives requests of calls that wait for that, as long as there is room."""
        while self._to_receive and self._receiving < self._bounds.receiving:
            running = self._to_receive.popleft()
            if running.call.over:
                continue
            running.until = min(running.last, self._loop.time() + self._bounds.receive_s)
            running.late = "scoring.slow"
            self._receiving += 1
            running.call.receive(partial(self._received, running))

    def _received(self, running: _Running, body: bytes | None) -> None:
        self._receiving -= 1
        self._receive_next()
        if running.call.over:
            return
        running.until, running.late = running.last, "scoring.timeout"
        if body is None:
            # The caller is gone, or gRPC has refused what it sent and said so.
            self._refuse(running, ProtocolError("protocol.malformed", "a call without a request"))
            return
        quick = self._quick.get(running.noted.method)
        if quick is None or not self._hastened(quick, running, body):
            self._begin(running, body)

    def _hastened(self, quick: Quick, running: _Running, body: bytes) -> bool:
        def then(answer: bytes | BaseException | None) -> None:
            if running.call.over:
                return
            if isinstance(answer, bytes):
                self._over(running)
                running.call.answer(answer)
            elif isinstance(answer, Exception):
                self._refuse(running, known(answer))
            elif answer is None:
                self._begin(running, body)
            else:
                self._give_up(running, "scoring.stopping")

        try:
            return quick(body, running.call, running.noted, then)
        except Exception as raised:  # noqa: BLE001 - as in _run
            self._refuse(running, known(raised))
            return True

    def _begin(self, running: _Running, body: bytes | None) -> None:
        if running.handler.response_streaming or running.handler.request_streaming:
            running.until = math.inf
            running.call.watch(partial(self._gone, running))
            running.task = self._loop.create_task(self._run(running, body))
        else:
            running.task = start(self._run(running, body))

    async def _run(self, running: _Running, body: bytes | None) -> None:
        note(running.noted)
        try:
            answer = await _answer(running, body, self._bounds.receive_s)
        except grpc.aio.AbortError:
            running.noted.code = "aborted"
            self._over(running)
        except asyncio.CancelledError:
            # Nobody waits for this task: that it was cancelled is said here, and to the caller.
            self._refuse(running, running.why or ServingError("scoring.abandoned", "it was given up"))
        except Exception as raised:  # noqa: BLE001 - this is the border: nothing may pass untranslated
            self._refuse(running, known(raised))
        else:
            self._over(running)
            if answer is None:
                running.call.finish()
            else:
                running.call.answer(answer)

    def _refuse(self, running: _Running, error: HanseError) -> None:
        if running.call.over:
            return
        noted = running.noted
        noted.code, noted.rule = error.code, error.rule
        self._over(running)
        _log.info("refused: %s", error, extra={"call": noted})
        status = grpc.StatusCode[error.spec.status.value]
        running.call.finish(status, error.public_message, trailers(error))

    def _over(self, running: _Running) -> None:
        """A call has ended; what it is answered with is handed to gRPC right after."""
        running.noted.seconds = self._loop.time() - running.noted.began
        running.group.discard(running)
        if not self._running:
            self._idle.set()
        for watcher in self._watchers:
            watcher.end(running.noted)

    def _gone(self, running: _Running) -> None:
        """The caller has given the call up."""
        if running.task is not None:
            running.task.cancel()
        else:
            self._refuse(running, ServingError("scoring.abandoned", "it was given up"))

    def _watch(self) -> None:
        if self._running:
            self._idle.clear()
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Gives up what is late; one timer for all calls costs each of them next to nothing."""
        now = self._loop.time()
        for running in [*self._running, *self._lasting]:
            if running.until <= now:
                self._give_up(running, running.late)
            else:
                running.call.watch(partial(self._gone, running))
        more = self._running or self._lasting
        self._timer = self._loop.call_later(SWEEP_S, self._sweep) if more else None

    def _end_all(self, group: "set[_Running]") -> None:
        for running in list(group):
            self._give_up(running, "scoring.stopping")

    def _give_up(self, running: _Running, code: str) -> None:
        running.until = math.inf
        running.why = ServingError(code, f"{running.noted.method} was given up")
        if running.task is None:
            self._refuse(running, running.why)
        else:
            running.task.cancel()


async def _answer(running: _Running, body: bytes | None, patience_s: float) -> bytes | None:
    """What a method answers with a single message; None when it has sent what there is to say."""
    call, handler = running.call, running.handler
    call.serialise = handler.response_serializer
    if not handler.response_streaming and not handler.request_streaming:
        assert body is not None  # noqa: S101 - such a call begins with its request
        serve_once: Any = handler.unary_unary
        message = await serve_once(_read(handler, body), call)
        answer: bytes = message if call.serialise is None else call.serialise(message)
        return answer
    patient = _PatientCall(call, running, patience_s)
    serve: Any
    if handler.request_streaming:
        serve, request = handler.stream_stream, _messages(handler, call)
    else:
        assert body is not None  # noqa: S101 - likewise
        serve, request = handler.unary_stream, _read(handler, body)
    if not isasyncgenfunction(serve):
        await serve(request, patient)
        return None
    async for message in serve(request, patient):
        await patient.write(message)
    return None


def _read(handler: Handler, body: bytes) -> Any:  # noqa: ANN401 - whatever the method takes
    """A request as its method takes it.

    Raises:
        ProtocolError: ``protocol.malformed``.
    """
    if handler.request_deserializer is None:
        return body
    try:
        return handler.request_deserializer(body)
    except Exception:  # noqa: BLE001 - protobuf raises one of several
        raise ProtocolError("protocol.malformed", "not a message of this method") from None


async def _messages(handler: Handler, call: IncomingCall) -> Any:  # noqa: ANN401
    async for body in call.messages():
        yield _read(handler, body)


class _PatientCall:
    """A call that notes since when a message has not been taken.

    Args:
        call: The call.
        running: What is known of it.
        patience_s: How long a message may take to be taken, seconds.
    """

    def __init__(self, call: IncomingCall, running: _Running, patience_s: float) -> None:
        self._call = call
        self._running = running
        self._patience_s = patience_s

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the call's own
        return getattr(self._call, name)

    async def write(self, message: Any) -> None:  # noqa: ANN401
        """Sends a message; see :meth:`IncomingCall.write`."""
        self._running.late = "scoring.slow"
        self._running.until = asyncio.get_running_loop().time() + self._patience_s
        await self._call.write(message)
        self._running.until = math.inf
