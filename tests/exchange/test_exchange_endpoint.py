"""One end of a session against whatever the other end may say."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.exchange.exchange_tools import SMALL, code

from hanse.api.v1.exchange_pb2 import Frame
from hanse.errors import HanseError
from hanse.exchange import FRAME_COST, Endpoint, Limits

GARBAGE = st.builds(
    Frame,
    ack=st.integers(0, 4),
    credit=st.integers(0, 2**64 - 1),
    sequence=st.one_of(st.integers(0, 4), st.integers(0, 2**64 - 1)),
    payload=st.binary(max_size=150),
    last=st.booleans(),
    peer=st.sampled_from(["", "", "b", "stranger"]),
    end=st.booleans(),
    error_code=st.sampled_from(["", "", "run.cancelled", "no such code"]),
)


def connected(limits: Limits = SMALL, **options: Any) -> tuple[Endpoint, int]:
    end = Endpoint(limits, **options)
    number, _, _ = end.greet()
    end.connect(0, limits.window_bytes)
    return end, number


def piece(sequence: int = 1, payload: bytes = b"x", last: bool = True, **more: Any) -> Frame:
    return Frame(sequence=sequence, payload=payload, last=last, **more)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([piece(2)], "exchange.out-of-step"),
        ([piece(1), piece(3)], "exchange.out-of-step"),
        ([piece(1, ack=1)], "exchange.out-of-step"),
        ([Frame(ack=1)], "exchange.out-of-step"),
        ([Frame(sequence=1, end=True), piece(2)], "exchange.out-of-step"),
        ([piece(1, b"x" * 401)], "protocol.malformed"),
        ([piece(1, b"", last=False)], "protocol.malformed"),
        ([piece(1, last=False), piece(2, peer="b")], "protocol.malformed"),
        ([piece(1, last=False), Frame(sequence=2, end=True)], "protocol.malformed"),
        ([piece(0)], "protocol.malformed"),
        ([piece(1, error_code="run.cancelled")], "protocol.malformed"),
        ([piece(1, peer="stranger")], "exchange.unknown-peer"),
        ([Frame(error_code="run.cancelled")], "run.cancelled"),
        ([Frame(error_code="anything")], "exchange.closed"),
        ([piece(n, b"x" * 100, last=False) for n in range(1, 52)], "exchange.too-large"),
        ([piece(n, b"") for n in range(1, 9)], "exchange.flooded"),
    ],
)
def test_what_is_not_acceptable_is_named(frames: list[Frame], expected: str) -> None:
    end, number = connected(
        Limits(400, 5_000, 2_000 if expected == "exchange.flooded" else 30_000), peers={"b"}
    )

    def feed() -> None:
        for frame in frames:
            end.accept(number, frame)

    assert code(feed) == expected


def test_a_frame_that_was_there_before_is_dropped() -> None:
    end, number = connected()
    assert end.accept(number, piece(1, b"one"))
    assert not end.accept(number, piece(1, b"other"))
    assert [end.incoming.take(), end.incoming.take()] == [b"one", None]


@pytest.mark.parametrize(("received", "expected"), [(3, "exchange.out-of-step"), (1, "no error")])
def test_resuming_where_nobody_can_be(received: int, expected: str) -> None:
    end, number = connected()
    for _ in range(2):
        end.outgoing.put(b"message")
        end.next_frame()
    end.accept(number, Frame(ack=1))
    end.greet()
    assert code(lambda: end.connect(received, 2_000)) == expected
    assert code(lambda: end.connect(0, 2_000)) == "exchange.out-of-step"


def test_nothing_is_sent_beyond_the_credit() -> None:
    end, number = connected()
    for _ in range(10):
        end.outgoing.put(b"")
    frames = list(iter(end.next_frame, None))
    assert len(frames) == 2_000 // FRAME_COST
    end.accept(number, Frame(credit=2_000 + FRAME_COST))
    assert len(list(iter(end.next_frame, None))) == 1


def test_the_longest_message_passes_a_window_that_is_shorter() -> None:
    (left, one), (right, other) = connected(), connected()
    body = bytes(SMALL.message_bytes)
    left.outgoing.put(body)
    assert code(lambda: left.outgoing.put(body + b"x")) == "exchange.too-large"
    while right.incoming.peek() is None:
        frame = left.next_frame()
        assert frame is not None
        right.accept(other, frame)
        left.accept(one, right.heartbeat())
    assert right.incoming.take() == body


def test_of_what_nobody_takes_no_more_comes_than_the_window() -> None:
    (left, one), (right, other) = connected(), connected()
    for _ in range(100):
        left.outgoing.put(b"x" * 100)
    passed = 0
    for _ in range(100):
        while (frame := left.next_frame()) is not None:
            right.accept(other, frame)
            passed += 1
        left.accept(one, right.heartbeat())
    assert passed == SMALL.window_bytes // (100 + FRAME_COST)
    assert not left.outgoing.room(SMALL.unacknowledged_bytes)


def test_after_the_end_nothing_more_is_said() -> None:
    end, _ = connected()
    end.outgoing.put(b"last")
    end.outgoing.end("run.cancelled")
    end.outgoing.end()
    assert code(lambda: end.outgoing.put(b"more")) == "exchange.closed"
    frames = list(iter(end.next_frame, None))
    assert [(frame.end, frame.error_code) for frame in frames] == [(False, ""), (True, "run.cancelled")]


def fed(frames: list[Frame], into: Callable[[Frame], object]) -> None:
    for frame in frames:
        into(frame)


@settings(max_examples=100, deadline=None)
@given(st.lists(GARBAGE, max_size=8))
def test_any_frames_are_taken_or_refused_by_name(frames: list[Frame]) -> None:
    end, number = connected(peers={"b"})
    end.outgoing.put(b"message")
    end.next_frame()
    with suppress(HanseError):
        fed(frames, lambda frame: end.accept(number, frame))
    assert end.incoming.held <= SMALL.window_bytes + SMALL.message_bytes + 50 * FRAME_COST


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused_by_name(data: bytes) -> None:
    end, number = connected()
    with suppress(DecodeError, HanseError):  # the first is the transport's, see the service's own test
        end.accept(number, Frame.FromString(data))


def test_a_frame_of_a_connection_that_was_replaced_is_not_looked_at() -> None:
    end, old = connected()
    end.greet()
    end.connect(0, SMALL.window_bytes)
    for frame in (piece(1), piece(7), Frame(ack=9), Frame(error_code="run.cancelled")):
        assert not end.accept(old, frame)
    assert end.incoming.received == 0
