"""What members reach of Flower, and how long a question is held."""

import asyncio
import base64
from typing import Any

import pytest

from hanse.server.flower.door import ALLOWED, MAX_PULL_BYTES, PULL, FleetDoor

KEY = b"a public key"


class Inner:
    """Stands in for Flower's application: remembers what reached it."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        message = await receive()
        self.bodies.append(message.get("body", b""))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answer"})


class Connection:
    """One HTTP request as uvicorn hands it in; ``hang_up`` is what the client does next."""

    def __init__(self, body: bytes = b"question") -> None:
        self.sent: list[Any] = []
        self._parts = [{"type": "http.request", "body": body, "more_body": False}]
        self.gone = asyncio.Event()

    async def receive(self) -> Any:
        if self._parts:
            return self._parts.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None


def scope(path: str, key: bytes | str = KEY, kind: str = "http") -> dict[str, Any]:
    header = key.encode() if isinstance(key, str) else base64.b64encode(key)
    return {"type": kind, "path": path, "headers": [(b"flwr-public-key", header)]}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/pull-messages/",
        "/v1/fleet/../control/start-run",
        "/docs",
        "/openapi.json",
        "/",
        "",
    ],
)
def test_everything_but_the_fleet_routes_of_a_node_is_not_there(path: str) -> None:
    async def check() -> None:
        inner, connection = Inner(), Connection()
        await FleetDoor(inner)(scope(path), connection.receive, connection.send)
        assert (connection.status, inner.paths) == (404, [])

    asyncio.run(check())


def test_a_websocket_is_closed() -> None:
    async def check() -> None:
        connection = Connection()
        await FleetDoor(Inner())(scope(PULL, kind="websocket"), connection.receive, connection.send)
        assert connection.sent == [{"type": "websocket.close", "code": 1008}]

    asyncio.run(check())


@pytest.mark.parametrize("path", sorted(ALLOWED - {PULL}))
def test_the_other_fleet_routes_pass_at_once(path: str) -> None:
    async def check() -> None:
        inner, connection = Inner(), Connection()
        await FleetDoor(inner, hold_s=60)(scope(path), connection.receive, connection.send)
        assert (connection.status, inner.paths, inner.bodies) == (200, [path], [b"question"])

    asyncio.run(check())


@pytest.mark.parametrize("key", [b"a stranger's key", "not base64!"])
def test_the_question_of_a_stranger_is_not_held(key: bytes | str) -> None:
    async def check() -> None:
        door, connection = FleetDoor(Inner(), hold_s=60), Connection()
        door.enrol(frozenset({KEY}))
        await asyncio.wait_for(door(scope(PULL, key), connection.receive, connection.send), 5)
        assert connection.status == 200
        assert door.asked(KEY) == 0

    asyncio.run(check())


async def ask(door: FleetDoor) -> Connection:
    connection = Connection()
    await door(scope(PULL), connection.receive, connection.send)
    return connection


def test_a_question_is_held_until_there_may_be_an_answer() -> None:
    async def check() -> None:
        inner = Inner()
        door = FleetDoor(inner, hold_s=60)
        door.enrol(frozenset({KEY}))
        await asyncio.wait_for(ask(door), 5)  # the first one is answered: there may be messages from before
        held = asyncio.ensure_future(ask(door))
        await asyncio.sleep(0.05)
        assert not held.done()
        assert len(inner.paths) == 1
        door.announce()
        connection = await asyncio.wait_for(held, 5)
        assert connection.status == 200
        assert inner.bodies == [b"question"] * 2

    asyncio.run(check())


def test_a_question_is_held_no_longer_than_agreed() -> None:
    async def check() -> None:
        door = FleetDoor(Inner(), hold_s=0.05)
        door.enrol(frozenset({KEY}))
        await ask(door)
        assert (await asyncio.wait_for(ask(door), 5)).status == 200

    asyncio.run(check())


def test_an_announcement_between_two_questions_is_not_missed() -> None:
    async def check() -> None:
        door = FleetDoor(Inner(), hold_s=60)
        door.enrol(frozenset({KEY}))
        await ask(door)
        door.announce()
        assert (await asyncio.wait_for(ask(door), 5)).status == 200

    asyncio.run(check())


def test_the_question_of_a_node_that_hung_up_is_dropped() -> None:
    """Flower would mark messages as delivered that nobody got."""

    async def check() -> None:
        inner, connection = Inner(), Connection()
        door = FleetDoor(inner, hold_s=60)
        door.enrol(frozenset({KEY}))
        await ask(door)
        held = asyncio.ensure_future(door(scope(PULL), connection.receive, connection.send))
        await asyncio.sleep(0.05)
        connection.gone.set()
        await asyncio.wait_for(held, 5)
        assert len(inner.paths) == 1

    asyncio.run(check())


def test_a_closing_door_holds_nothing() -> None:
    async def check() -> None:
        door = FleetDoor(Inner(), hold_s=60)
        door.enrol(frozenset({KEY}))
        await ask(door)
        held = asyncio.ensure_future(ask(door))
        await asyncio.sleep(0.05)
        door.close()
        assert (await asyncio.wait_for(held, 5)).status == 200
        assert (await asyncio.wait_for(ask(door), 5)).status == 200

    asyncio.run(check())


def test_an_oversized_question_is_dropped() -> None:
    async def check() -> None:
        inner, connection = Inner(), Connection(b"x" * (MAX_PULL_BYTES + 1))
        door = FleetDoor(inner)
        door.enrol(frozenset({KEY}))
        await door(scope(PULL), connection.receive, connection.send)
        assert not inner.paths

    asyncio.run(check())


def test_a_round_waits_for_the_next_question_of_a_node() -> None:
    async def check() -> None:
        door = FleetDoor(Inner())
        door.enrol(frozenset({KEY}))
        seen = {KEY: door.asked(KEY)}
        waiting = asyncio.get_running_loop().run_in_executor(None, door.wait_for_question, seen, 30)
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await ask(door)
        await asyncio.wait_for(waiting, 5)
        assert door.asked(KEY) == 1
        door.wait_for_question({KEY: 1}, 0.01)

    asyncio.run(check())


def test_a_node_that_signs_on_is_counted_and_a_stranger_is_not() -> None:
    async def check() -> None:
        door = FleetDoor(Inner())
        door.enrol(frozenset({KEY}))
        for key in (KEY, b"a stranger's key"):
            connection = Connection()
            await door(scope("/v1/fleet/activate-node", key), connection.receive, connection.send)
        assert (door.activated(KEY), door.activated(b"a stranger's key"), door.asked(KEY)) == (1, 0, 0)

    asyncio.run(check())
