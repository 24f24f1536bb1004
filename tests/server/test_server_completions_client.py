"""The client on gRPC's completion queue, and coroutines that begin in place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

import grpc
import pytest

from hanse.server.completions import (
    CallClient,
    CallEnd,
    CallServer,
    Handler,
    IncomingCall,
    Meanwhile,
    begin,
    start,
)

METHOD: Final = "/tests.Echo/Say"
TIMEOUT_S: Final = 20.0


def serve(call: IncomingCall, _handler: Handler) -> None:
    """Answers with what came; ``no`` is refused, ``wait`` is never answered."""

    def received(body: bytes | None) -> None:
        if body == b"no":
            call.finish(grpc.StatusCode.ABORTED, "no", (("code", "tests.refused"),))
        elif body != b"wait":
            call.answer(body or b"")

    call.receive(received)


@asynccontextmanager
async def connected() -> AsyncIterator[CallClient]:
    """A client of a server that runs."""
    server = CallServer(serve)
    handler: Handler = grpc.unary_unary_rpc_method_handler(lambda body, _context: body)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Echo", {"Say": handler}),))
    client = CallClient(f"127.0.0.1:{server.listen('127.0.0.1:0', None)}", None)
    server.start()
    try:
        yield client
    finally:
        await client.close()
        await server.stop(None)
        await server.close()


def asked(client: CallClient, body: bytes, timeout_s: float = TIMEOUT_S) -> "asyncio.Future[CallEnd]":
    """What comes of a call."""
    end: asyncio.Future[CallEnd] = asyncio.get_running_loop().create_future()
    client.ask(METHOD, body, timeout_s, end.set_result)
    return end


def test_every_call_has_its_own_answer() -> None:
    async def run() -> list[CallEnd]:
        async with connected() as client:
            return await asyncio.gather(*(asked(client, str(number).encode()) for number in range(200)))

    ends = asyncio.run(run())
    assert [end.body for end in ends] == [str(number).encode() for number in range(200)]
    assert {end.code for end in ends} == {grpc.StatusCode.OK}


def test_a_refusal_comes_with_what_a_program_may_learn_of_it() -> None:
    async def run() -> CallEnd:
        async with connected() as client:
            return await asked(client, b"no")

    end = asyncio.run(run())
    assert (end.body, end.code) == (None, grpc.StatusCode.ABORTED)
    assert [(key, value) for key, value in end.trailers if key == "code"] == [("code", "tests.refused")]


def test_who_is_not_answered_in_time_learns_that_and_others_are_answered() -> None:
    async def run() -> tuple[CallEnd, CallEnd]:
        async with connected() as client:
            late = asked(client, b"wait", 0.05)
            return await asked(client, b"yes"), await late

    answered, late = asyncio.run(run())
    assert answered.body == b"yes"
    assert late.body is None
    # The server knows the deadline too, and may give the call up a moment before the client does.
    assert late.code in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}


def test_where_nobody_listens_a_call_ends() -> None:
    async def run() -> CallEnd:
        client = CallClient("127.0.0.1:1", None)
        try:
            return await asked(client, b"yes")
        finally:
            await client.close()

    assert asyncio.run(run()).code is grpc.StatusCode.UNAVAILABLE


def test_calls_under_way_end_with_the_connection_and_none_begins_after_it() -> None:
    async def run() -> tuple[CallEnd, CallEnd]:
        async with connected() as client:
            assert (await asked(client, b"yes")).body == b"yes"
            waiting = asked(client, b"wait")
            await client.close()
            await client.close()
            return await waiting, await asked(client, b"yes")

    for end in asyncio.run(run()):
        assert (end.body, end.code) == (None, grpc.StatusCode.CANCELLED)


_whose: ContextVar[str] = ContextVar("whose", default="nobody")


def test_a_result_that_is_there_at_once_needs_no_task_and_another_comes_later() -> None:
    async def one(waited: "asyncio.Future[int] | None") -> int:
        return 7 if waited is None else await waited

    async def run() -> None:
        begun = begin(one(None))
        assert not isinstance(begun, asyncio.Task)
        assert begun.result() == 7
        waited = asyncio.get_running_loop().create_future()
        begun = begin(one(waited))
        assert not begun.done()
        waited.set_result(8)
        assert await begun == 8

    asyncio.run(run())


def test_something_else_is_done_once_when_one_has_to_wait_and_never_if_not() -> None:
    done: list[str] = []

    async def one(*waited: "asyncio.Future[int]") -> int:
        done.append("asked")
        found = sum([await each for each in waited])
        async with asyncio.timeout(TIMEOUT_S):  # of the current task, which is that of who waits
            await asyncio.sleep(0)
        return found

    async def at_once() -> int:
        return 7

    async def run() -> None:
        assert await Meanwhile(at_once(), lambda: done.append("never")) == 7
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()

        def do() -> None:
            done.append("done")
            loop.call_soon(first.set_result, 3)
            loop.call_soon(second.set_result, 4)

        assert await Meanwhile(one(first, second), do) == 7

    asyncio.run(run())
    assert done == ["asked", "done"]


def test_who_waits_and_does_something_else_meanwhile_is_refused_and_cancelled_as_without() -> None:
    done: list[str] = []

    async def one(waited: "asyncio.Future[int]") -> int:
        try:
            return await waited
        except asyncio.CancelledError:
            done.append("cancelled")
            raise
        except ValueError:
            return 9

    async def waiting(waited: "asyncio.Future[int]") -> int:
        return await Meanwhile(one(waited), lambda: done.append("done"))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        waited = loop.create_future()
        loop.call_soon(waited.set_exception, ValueError())
        assert await waiting(waited) == 9
        task = asyncio.create_task(waiting(loop.create_future()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert done == ["done", "done", "cancelled"]


def test_what_need_not_wait_is_done_in_place() -> None:
    done: list[str] = []

    async def now() -> None:
        _whose.set("its own")
        done.append(_whose.get())

    async def run() -> None:
        assert start(now()) is None
        assert (done, _whose.get()) == (["its own"], "nobody")

    asyncio.run(run())


def test_what_has_to_wait_goes_on_in_a_task_as_what_it_was() -> None:
    done: list[str] = []

    async def wait(first: "asyncio.Future[int]", second: "asyncio.Future[int]") -> None:
        _whose.set("its own")
        done.append(f"{await first}")
        await asyncio.sleep(0)
        try:
            await second
        except ValueError:
            done.append("refused")
        async with asyncio.timeout(TIMEOUT_S):  # which wants a current task
            await asyncio.sleep(0)
        done.append(_whose.get())

    async def run() -> None:
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        task = start(wait(first, second))
        assert task is not None
        assert not done
        first.set_result(7)
        second.set_exception(ValueError())
        await task

    asyncio.run(run())
    assert done == ["7", "refused", "its own"]


def test_who_waits_can_be_cancelled_and_learns_it() -> None:
    done: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            done.append("cancelled")
            raise

    async def run() -> None:
        task = start(wait())
        assert task is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert done == ["cancelled"]


def test_what_is_raised_in_place_is_raised_there_and_later_in_the_task() -> None:
    async def fail(*, first: bool) -> None:
        if not first:
            await asyncio.sleep(0)
        raise ValueError("it fails")

    async def run() -> None:
        with pytest.raises(ValueError, match="it fails"):
            start(fail(first=True))
        task = start(fail(first=False))
        assert task is not None
        with pytest.raises(ValueError, match="it fails"):
            await task

    asyncio.run(run())
