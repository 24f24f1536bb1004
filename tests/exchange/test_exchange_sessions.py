"""What a session promises, over an in-memory link and over gRPC with mutual TLS."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.exchange.exchange_tools import HASTY, RUN, SMALL, WAIT_S, GrpcWorld, code, until

from hanse.errors import HanseError
from hanse.exchange import Timing


def run_of(world: Any) -> str:
    return world.run if isinstance(world, GrpcWorld) else RUN


def test_messages_of_every_size_arrive_both_ways_in_order(world: Any) -> None:
    bodies = [bytes([size % 256]) * size for size in (0, 1, 99, 100, 101, 200, 4_999, 5_000)]
    with world.hub.open(run_of(world), "sum", ["ann"]) as exchange, world.member("ann") as ann:
        for body in bodies:
            exchange.send("ann", body)
            ann.send(body)
        assert [ann.receive(WAIT_S) for _ in bodies] == bodies
        assert [exchange.receive("ann", WAIT_S) for _ in bodies] == bodies


def test_all_members_at_once(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", world.members)
    with ExitStack() as stack:
        channels = {name: stack.enter_context(world.member(name)) for name in world.members}
        for level in range(5):
            for name in world.members:
                exchange.send(name, b"%d for %s" % (level, name.encode()))
            for name, channel in channels.items():
                channel.send(channel.receive(WAIT_S) + b" of " + name.encode())
            gathered = exchange.gather(WAIT_S)
            assert gathered == {
                m: b"%d for %s of %s" % (level, m.encode(), m.encode()) for m in world.members
            }
        exchange.close()


def test_who_is_silent_fails_alone(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", world.members)
    with world.member("ann") as ann, world.member("bob"):
        ann.send(b"here")
        exchange.receive("ann", WAIT_S)
        ann.send(b"again")
        gathered = exchange.gather(0.3)
        assert gathered.pop("ann") == b"again"
        assert {name: getattr(error, "code", error) for name, error in gathered.items()} == {
            "bob": "exchange.timeout",
            "cat": "exchange.timeout",
        }
        exchange.close()


def test_the_coordinator_ends_with_a_code_after_everything_it_sent(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", ["ann", "bob"])
    with world.member("ann") as ann, world.member("bob") as bob:
        for number in range(10):
            exchange.send("ann", b"%d" % number)
        exchange.close("run.cancelled")
        assert [ann.receive(WAIT_S) for _ in range(10)] == [b"%d" % number for number in range(10)]
        assert code(lambda: ann.receive(WAIT_S)) == "run.cancelled"
        assert code(lambda: ann.send(b"more")) == "run.cancelled"
        assert code(lambda: bob.receive(WAIT_S)) == "run.cancelled"
        assert code(lambda: exchange.send("ann", b"more")) == "exchange.closed"
    until(lambda: not world.hub._exchanges)


def test_a_member_ends_after_everything_it_sent(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", ["ann"])
    ann = world.member("ann")
    for number in range(6):
        ann.send(b"%d" % number)
    ann.close()  # returns when the coordinator has everything
    assert [exchange.receive("ann", 0) for _ in range(6)] == [b"%d" % number for number in range(6)]
    assert code(lambda: exchange.receive("ann", WAIT_S)) == "exchange.closed"
    assert code(lambda: exchange.send("ann", b"more")) == "exchange.closed"


def test_a_session_that_is_announced_later_is_found_and_others_are_refused(world: Any) -> None:
    with world.member("ann") as ann, world.member("bob", phase="other", timing=HASTY) as bob:
        until(lambda: world.hub._calls["ann"] > 0)
        with world.hub.open(run_of(world), "sum", ["ann"]) as exchange:
            exchange.send("ann", b"found")
            assert ann.receive(WAIT_S) == b"found"
            assert code(lambda: world.hub.open(run_of(world), "sum", ["ann"])) == "protocol.unexpected-step"
        assert code(lambda: bob.receive(WAIT_S)) == "exchange.restarted"
        assert 'refusals_total{code="exchange.restarted"}' in figures(world)


def figures(world: Any) -> str:
    return generate_latest(world.hub.metrics.registry).decode()


def test_a_member_of_the_run_outside_of_the_phase_is_refused(world: Any) -> None:
    with world.hub.open(run_of(world), "sum", ["ann", "bob"]), world.member("cat", timing=HASTY) as cat:
        assert code(lambda: cat.receive(WAIT_S)) == "exchange.unknown-session"


@pytest.mark.parametrize("run", ["run-of-nobody", "", "../" * 20])
def test_another_run_is_refused_at_once(world: Any, run: str) -> None:
    with world.hub.open(run_of(world), "sum", ["ann"]), world.member("ann", run=run or "none") as ann:
        assert code(lambda: ann.receive(WAIT_S)) == "run.unknown"


def test_a_slow_reader_stops_its_sender_and_nobody_else(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", ["ann", "bob"])
    with world.member("ann") as slow, world.member("bob") as quick:
        sent = 0
        until(lambda: slow.attached)
        while code(lambda: exchange.send("ann", b"x" * 900, timeout_s=0.3)) == "no error":
            sent += 1
        most = SMALL.window_bytes + SMALL.unacknowledged_bytes + SMALL.message_bytes
        assert SMALL.unacknowledged_bytes // 2_000 < sent < most // 900
        for _ in range(50):
            exchange.send("bob", b"y" * 900, timeout_s=WAIT_S)
            quick.send(quick.receive(WAIT_S))
            assert exchange.receive("bob", WAIT_S) == b"y" * 900
        assert all(slow.receive(WAIT_S) == b"x" * 900 for _ in range(sent))
        exchange.send("ann", b"done", timeout_s=WAIT_S)
        assert slow.receive(WAIT_S) == b"done"


def test_members_reach_each_other_and_nobody_outside(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", ["ann", "bob"])
    with world.member("ann") as ann, world.member("bob") as bob:
        for number in range(20):
            ann.send(b"sealed %d" % number, peer="bob")
            bob.send(bytes(3_000), peer="ann")
            assert ann.receive(WAIT_S, peer="bob") == bytes(3_000)
        assert [bob.receive(WAIT_S, peer="ann") for _ in range(20)] == [b"sealed %d" % n for n in range(20)]
        assert (
            code(lambda: exchange.receive("ann", 0)) == "exchange.timeout"
        )  # none of it is for the coordinator
        ann.send(b"x", peer="cat")  # of the run, not of the phase
        assert code(lambda: ann.receive(WAIT_S)) == "exchange.unknown-peer"
        bob.send(b"x", peer="nobody")
        assert code(lambda: bob.receive(WAIT_S)) == "exchange.unknown-peer"
        assert code(lambda: exchange.receive("ann", WAIT_S)) == "exchange.unknown-peer"
    assert "hanse_exchange_relayed_bytes_total 60" in figures(world)


def test_a_member_that_does_not_read_its_peers_stops_them_until_it_does(world: Any) -> None:
    world.hub.open(run_of(world), "sum", ["ann", "bob"])
    with world.member("ann") as ann, world.member("bob") as bob:
        sent = 0
        while code(lambda: ann.send(b"x" * 900, peer="bob", timeout_s=0.3)) == "no error":
            sent += 1
        with ThreadPoolExecutor(1) as pool:
            more = pool.submit(ann.send, b"one more", "bob", WAIT_S)
            assert all(bob.receive(WAIT_S, peer="ann") == b"x" * 900 for _ in range(sent))
            more.result()
        assert bob.receive(WAIT_S, peer="ann") == b"one more"


def test_connections_that_break_lose_double_and_reorder_nothing(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", ["ann"])
    bodies = [b"%d " % number * (number * 7 % 400) for number in range(150)]
    with world.member("ann") as ann:
        done = threading.Event()

        def cutting() -> None:
            for _ in range(8):
                until(lambda: ann.attached or done.is_set())
                time.sleep(0.03)
                world.cut("ann")

        def sending(send: Any) -> None:
            for body in bodies:
                send(body)

        with ThreadPoolExecutor(3) as pool:
            ways = [
                pool.submit(sending, lambda body: exchange.send("ann", body, WAIT_S)),
                pool.submit(sending, ann.send),
            ]
            pool.submit(cutting)
            assert [ann.receive(WAIT_S) for _ in bodies] == bodies
            assert [exchange.receive("ann", WAIT_S) for _ in bodies] == bodies
            done.set()
            for way in ways:
                way.result()
    assert code(lambda: exchange.receive("ann", WAIT_S)) == "exchange.closed"


def test_a_member_that_was_restarted_cannot_resume(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", ["ann", "bob"])
    with world.member("ann") as before, world.member("bob") as bob:
        before.send(b"half of the protocol")
        assert exchange.receive("ann", WAIT_S) == b"half of the protocol"
        with world.member("ann") as after:
            assert code(lambda: after.receive(WAIT_S)) == "exchange.restarted"
            assert code(lambda: exchange.receive("ann", WAIT_S)) == "exchange.restarted"
            assert code(lambda: before.receive(WAIT_S)) == "exchange.restarted"
        bob.send(b"nothing happened")
        assert exchange.receive("bob", WAIT_S) == b"nothing happened"


def test_a_coordinator_that_was_restarted_cannot_resume(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", ["ann"])
    with world.member("ann") as ann:
        exchange.send("ann", b"before")
        assert ann.receive(WAIT_S) == b"before"
        world.hub._exchanges.clear()
        world.hub.open(run_of(world), "sum", ["ann"])  # the same name, in a process without a memory
        world.cut("ann")
        assert code(lambda: ann.receive(WAIT_S)) == "exchange.restarted"


def test_more_than_a_member_may_hold_is_refused(world: Any) -> None:
    for number in range(3):
        world.hub.open(run_of(world), f"phase {number}", ["ann"])
    assert code(lambda: world.hub.open(run_of(world), "one more", ["ann", "bob"])) == "exchange.limit"
    world.hub.open(run_of(world), "one more", ["bob"])
    with ExitStack() as stack:
        held = [stack.enter_context(world.member("ann", phase=f"phase {number}")) for number in range(3)]
        until(lambda: all(channel.attached for channel in held))
        for _ in range(3):
            stack.enter_context(world.member("ann", phase="never"))
        until(lambda: 'refusals_total{code="exchange.limit"}' in figures(world))
        assert "hanse_exchange_connections 3.0" in figures(world)


def test_a_session_without_its_member_or_without_use_ends(make_world: Any) -> None:
    world = make_world("memory", timing=Timing(heartbeat_s=0.1, silence_s=WAIT_S, resume_s=0.5, idle_s=2.0))
    exchange = world.hub.open(RUN, "sum", ["ann", "bob"])
    ann = world.member("ann")
    bob = world.member("bob")
    ann.send(b"here")
    exchange.receive("ann", WAIT_S)
    ann._stopping.set()  # does not come back
    world.cut("ann")
    assert code(lambda: exchange.receive("ann", WAIT_S)) == "exchange.lost"
    assert code(lambda: exchange.receive("bob", WAIT_S)) == "exchange.idle"
    assert code(lambda: bob.receive(WAIT_S)) == "exchange.idle"


def test_a_connection_that_has_gone_silent_is_replaced(make_world: Any) -> None:
    world = make_world("memory", timing=Timing(heartbeat_s=0.1, silence_s=0.5, resume_s=WAIT_S))
    exchange = world.hub.open(RUN, "sum", ["ann"])
    with world.member("ann") as ann:
        ann.send(b"here")
        exchange.receive("ann", WAIT_S)
        world._diallers["ann"].calls[-1].mute.set()
        ann.send(b"still here")
        assert exchange.receive("ann", WAIT_S) == b"still here"


def test_what_is_too_large_is_refused_before_it_is_sent(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", ["ann"])
    with world.member("ann") as ann:
        too_large = bytes(SMALL.message_bytes + 1)
        assert code(lambda: ann.send(too_large)) == "exchange.too-large"
        assert code(lambda: exchange.send("ann", too_large)) == "exchange.too-large"
        assert code(lambda: exchange.send("eve", b"")) == "exchange.unknown-peer"
        ann.send(b"goes on")
        assert exchange.receive("ann", WAIT_S) == b"goes on"


def test_a_stopping_coordinator_says_so(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", ["ann"])
    with world.member("ann") as ann:
        until(lambda: ann.attached)
        world.hub.close()
        assert code(lambda: ann.receive(WAIT_S)) == "run.interrupted"
        assert code(lambda: exchange.receive("ann", WAIT_S)) == "run.interrupted"
        assert code(lambda: world.hub.open(run_of(world), "late", ["ann"])) == "exchange.closed"


def test_an_error_of_the_member_reaches_the_coordinator_as_its_code(world: Any) -> None:
    exchange = world.hub.open(run_of(world), "sum", ["ann", "bob"])
    with pytest.raises(ZeroDivisionError), world.member("ann"):
        raise ZeroDivisionError
    assert code(lambda: exchange.receive("ann", WAIT_S)) == "internal.error"
    refused = HanseError("policy.cohort", "17 rows")
    with pytest.raises(HanseError), world.member("bob"):
        raise refused
    with pytest.raises(HanseError) as told:
        exchange.receive("bob", WAIT_S)
    assert told.value.code == "policy.cohort"
    assert "17" not in str(told.value)


def test_the_figures_carry_no_name_and_no_message(world: Any) -> None:
    with world.hub.open(run_of(world), "sum", ["ann"]) as exchange, world.member("ann") as ann:
        ann.send(b"Erika Mustermann")
        exchange.receive("ann", WAIT_S)
        text = figures(world)
    assert "hanse_exchange_received_bytes_total 16.0" in text
    assert "hanse_exchange_sessions 1.0" in text
    assert "ann" not in text
    assert "Erika" not in text
