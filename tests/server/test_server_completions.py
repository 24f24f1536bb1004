"""The server on gRPC's completion queue, asked by gRPC's own clients."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio
import pytest

from hanse.errors import ConfigurationError
from hanse.server.completions import CallServer, Handler, IncomingCall, core
from hanse.server.completions.events import MOST_AT_ONCE

SERVICE: Final = "tests.Echo"
TIMEOUT_S: Final = 20

Serve = Callable[[IncomingCall], Awaitable[None]]


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs a test in an event loop."""

    @functools.wraps(test)
    def run(*args: Any, **fixtures: Any) -> None:
        async def whole() -> None:
            await test(*args, **fixtures)

        asyncio.run(whole())

    return run


class Services:
    """Serves calls with a coroutine, in a task each.

    Attributes:
        gone: A caller has given its call up.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._tasks: set[asyncio.Task[Any]] = set()
        self.gone = asyncio.Event()

    def __call__(self, call: IncomingCall, _handler: Handler) -> None:
        task = asyncio.ensure_future(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def gone() -> None:
            self.gone.set()
            task.cancel()

        call.watch(gone)

    async def _run(self, call: IncomingCall) -> None:
        try:
            await self._serve(call)
        except Exception as error:  # the caller sees it at once, not a deadline later
            call.finish(grpc.StatusCode.INTERNAL, repr(error))
            raise


@asynccontextmanager
async def serving(
    serve: Serve, *options: tuple[str, Any]
) -> AsyncIterator[tuple[grpc.aio.Channel, Services]]:
    """A server with two methods, and a channel to it."""
    services = Services(serve)
    server, port = started(services, *options)
    try:
        # Without probes the client's window stays as small as it begins.
        fixed = [("grpc.http2.bdp_probe", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=fixed) as channel:
            yield channel, services
    finally:
        await server.stop(TIMEOUT_S)
        await server.close()


def started(
    serve: Callable[[IncomingCall, Handler], None], *options: tuple[str, Any]
) -> tuple[CallServer, int]:
    """A server that takes calls, and its port."""
    server = CallServer(serve, options)
    server.add_generic_rpc_handlers((methods(),))
    port = server.listen("127.0.0.1:0", None)
    server.start()
    return server, port


def methods() -> grpc.GenericRpcHandler:
    """The one method; how it is served, the server is told otherwise."""
    handler: Handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
    return grpc.method_handlers_generic_handler(SERVICE, {"Say": handler})


async def echo(call: IncomingCall) -> None:
    """Answers with what came."""
    body = await call.read()
    assert body is not None
    call.answer(body)


def say(channel: grpc.aio.Channel, name: str = "Say") -> Callable[..., Any]:
    """A method, with one request and one answer."""
    method: Callable[..., Any] = channel.unary_unary(f"/{SERVICE}/{name}")
    return method


def talk(channel: grpc.aio.Channel) -> Callable[..., Any]:
    """The method, with many of both."""
    method: Callable[..., Any] = channel.stream_stream(f"/{SERVICE}/Say")
    return method


@in_loop
async def test_more_calls_at_once_than_are_taken_at_once() -> None:
    async with serving(echo) as (channel, _):
        bodies = [str(number).encode() for number in range(4 * MOST_AT_ONCE)]
        answers = await asyncio.gather(*(say(channel)(body, timeout=TIMEOUT_S) for body in bodies))
    assert answers == bodies


@in_loop
async def test_metadata_deadline_and_the_end_of_a_call() -> None:
    async def refuse(call: IncomingCall) -> None:
        left_s = call.time_remaining()
        assert left_s is not None
        # On the wire a time is rounded up to what takes few characters.
        assert 0 < left_s <= 1.1 * TIMEOUT_S
        assert ("who", "me") in call.invocation_metadata()
        assert list(call.certificates()) == []
        await call.read()
        call.finish(grpc.StatusCode.NOT_FOUND, "nobody ü", (("code", "x"),))
        call.finish(grpc.StatusCode.OK)  # it is over
        call.answer(b"late")

    async with serving(refuse) as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(channel)(b"", timeout=TIMEOUT_S, metadata=(("who", "me"),))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "nobody ü"
    assert ("code", "x") in tuple(caught.value.trailing_metadata() or ())


@in_loop
async def test_no_deadline_is_none() -> None:
    async def tell(call: IncomingCall) -> None:
        await call.read()
        call.answer(repr(call.time_remaining()).encode())

    async with serving(tell) as (channel, _):
        assert await say(channel)(b"") == b"None"


@in_loop
async def test_a_method_that_is_not_there() -> None:
    async with serving(echo) as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(channel, "Shout")(b"", timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@in_loop
async def test_messages_both_ways_in_their_order() -> None:
    async def repeat(call: IncomingCall) -> None:
        call.serialise = bytes.upper
        async for body in call.messages():
            await call.write(body)
        call.finish()

    async with serving(repeat) as (channel, _):
        stream = talk(channel)(timeout=TIMEOUT_S)
        for number in range(100):
            await stream.write(b"a%d" % number)
            assert await stream.read() == b"A%d" % number
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK


@in_loop
async def test_a_message_waits_until_its_caller_takes_the_one_before() -> None:
    written = 0

    async def flood(call: IncomingCall) -> None:
        nonlocal written
        for _ in range(64):
            await call.write(bytes(1 << 18))
            written += 1
        call.finish()

    async with serving(flood) as (channel, _):
        stream = talk(channel)(timeout=TIMEOUT_S)
        await stream.done_writing()
        assert len(await stream.read()) == 1 << 18
        await asyncio.sleep(0.5)
        assert 0 < written < 64  # 16 MiB would not fit into what a caller takes unread
        count = 1
        while await stream.read() is not grpc.aio.EOF:
            count += 1
    assert count == written == 64


@in_loop
async def test_a_caller_that_gives_up_is_noticed_and_its_writer_stops() -> None:
    ended = asyncio.Event()

    async def forever(call: IncomingCall) -> None:
        try:
            while True:
                await call.write(b"x")
        finally:
            ended.set()

    async with serving(forever) as (channel, _):
        stream = talk(channel)(timeout=TIMEOUT_S)
        await stream.read()
        stream.cancel()
        await asyncio.wait_for(ended.wait(), TIMEOUT_S)
    assert ended.is_set()


@in_loop
async def test_a_call_that_nobody_watches_ends_without_a_word() -> None:
    waiting = asyncio.Event()

    async def read(call: IncomingCall) -> None:
        await call.read()
        waiting.set()
        await asyncio.Event().wait()

    async with serving(read) as (channel, services):
        call = say(channel)(b"", timeout=TIMEOUT_S)
        asking = asyncio.ensure_future(call)
        await asyncio.wait_for(waiting.wait(), TIMEOUT_S)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(services.gone.wait(), TIMEOUT_S)


@in_loop
async def test_a_request_over_the_limit_is_refused_by_grpc() -> None:
    async with serving(echo, ("grpc.max_receive_message_length", 1000)) as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(channel)(bytes(1001), timeout=TIMEOUT_S)
        assert await say(channel)(bytes(1000), timeout=TIMEOUT_S) == bytes(1000)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@in_loop
async def test_what_one_call_raises_is_no_other_calls_end(caplog: pytest.LogCaptureFixture) -> None:
    def serve(call: IncomingCall, _handler: Handler) -> None:
        def then(body: bytes | None) -> None:
            if body == b"bad":
                call.finish(grpc.StatusCode.INTERNAL)
                raise ValueError("the caller's own words")
            call.answer(body or b"")

        call.receive(then)

    server, port = started(serve)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await say(channel)(b"bad", timeout=TIMEOUT_S)
        assert await say(channel)(b"good", timeout=TIMEOUT_S) == b"good"
    await server.stop(None)
    await server.close()
    assert "ValueError" in caplog.text
    assert "own words" not in caplog.text


@in_loop
async def test_running_calls_finish_in_their_grace_and_are_ended_after_it() -> None:
    release, begun = asyncio.Event(), asyncio.Event()

    async def slow(call: IncomingCall) -> None:
        await call.read()
        begun.set()
        await release.wait()
        call.answer(b"done")

    for grace_s, expected in ((TIMEOUT_S, grpc.StatusCode.OK), (0.1, grpc.StatusCode.CANCELLED)):
        release.clear()
        begun.clear()
        services = Services(slow)
        server, port = started(services)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = say(channel)(b"", timeout=TIMEOUT_S)
            await asyncio.wait_for(begun.wait(), TIMEOUT_S)
            stopping = asyncio.ensure_future(server.stop(grace_s))
            if expected is grpc.StatusCode.OK:
                asyncio.get_running_loop().call_later(0.2, release.set)
            assert await call.code() in (expected, grpc.StatusCode.UNAVAILABLE)
            assert (await call.code() is grpc.StatusCode.OK) is (expected is grpc.StatusCode.OK)
            await stopping
        await server.close()


@in_loop
async def test_a_call_that_outlives_the_server_asks_nothing_more_of_grpc() -> None:
    kept: asyncio.Future[IncomingCall] = asyncio.get_running_loop().create_future()

    def keep(call: IncomingCall, _handler: Handler) -> None:
        kept.set_result(call)

    server, port = started(keep)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = say(channel)(b"", timeout=TIMEOUT_S)
        late = await asyncio.wait_for(kept, TIMEOUT_S)
        await server.stop(None)
        await server.close()
        assert await call.code() is not grpc.StatusCode.OK
    late.answer(b"late")
    late.watch(lambda: None)
    with pytest.raises(asyncio.CancelledError):
        await late.read()


@in_loop
async def test_a_port_that_is_taken() -> None:
    async with serving(echo):
        first = CallServer(lambda _call, _handler: None, [("grpc.so_reuseport", 0)])
        port = first.listen("127.0.0.1:0", None)
        second = CallServer(lambda _call, _handler: None, [("grpc.so_reuseport", 0)])
        with pytest.raises(RuntimeError, match="cannot listen"):
            second.listen(f"127.0.0.1:{port}", None)


def test_a_release_of_grpcio_without_what_is_used_is_named() -> None:
    with pytest.raises(ConfigurationError, match=rf"grpcio {grpc.__version__} has no .*Gone"):
        core._named("Gone")
