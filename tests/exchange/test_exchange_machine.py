"""Two endpoints and all that a network can do: what was sent arrives once, in order, in bounded memory."""

from collections import deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from hanse.api.v1.exchange_pb2 import Frame
from hanse.exchange import FRAME_COST, Endpoint, Limits

LIMITS = Limits(piece_bytes=10, message_bytes=45, window_bytes=1_000, unacknowledged_bytes=2_000)
SIDES = st.sampled_from([0, 1])
PEERS = st.sampled_from(["", "", "other"])


class TwoEnds(RuleBasedStateMachine):
    """``wires[i]`` is on its way to end ``i``, ``old[i]`` was on connections that broke."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = [Endpoint(LIMITS), Endpoint(LIMITS)]
        self.wires: list[deque[bytes]] = [deque(), deque()]
        self.old: list[list[tuple[int, bytes]]] = [[], []]
        self.numbers = [0, 0]
        self.sent: list[dict[str, list[bytes]]] = [{}, {}]
        self.taken: list[dict[str, list[bytes]]] = [{}, {}]
        self.connected = False

    @precondition(lambda self: not self.connected)
    @rule(answered=st.booleans(), most=st.integers(0, 10))
    def break_off_while_greeting(self, answered: bool, most: int) -> None:
        """The greeting is lost, or the answer to it and what was sent right after."""
        _, *greeting = self.ends[0].greet()
        if answered:
            self.ends[1].greet()
            self.ends[1].connect(*greeting)
            for _ in range(most):
                self.ends[1].next_frame()

    @precondition(lambda self: not self.connected)
    @rule()
    def reconnect(self) -> None:
        greetings = [end.greet() for end in self.ends]
        for side in (0, 1):
            self.numbers[side] = greetings[side][0]
            self.ends[side].connect(*greetings[1 - side][1:])
        self.connected = True

    @rule(side=SIDES, size=st.integers(0, 45), peer=PEERS)
    def send(self, side: int, size: int, peer: str) -> None:
        if self.ends[side].outgoing.room(size):
            mine = self.sent[side].setdefault(peer, [])
            body = bytes([len(mine) % 256]) * size
            self.ends[side].outgoing.put(body, peer)
            mine.append(body)

    @precondition(lambda self: self.connected)
    @rule(side=SIDES, most=st.integers(1, 30))
    def transmit(self, side: int, most: int) -> None:
        for _ in range(most):
            frame = self.ends[side].next_frame()
            if frame is None:
                return
            self.wires[1 - side].append(frame.SerializeToString())

    @precondition(lambda self: self.connected)
    @rule(side=SIDES)
    def beat(self, side: int) -> None:
        self.wires[1 - side].append(self.ends[side].heartbeat().SerializeToString())

    @rule(side=SIDES, most=st.integers(1, 30))
    def deliver(self, side: int, most: int) -> None:
        for _ in range(min(most, len(self.wires[side]))):
            self.accept(side, self.numbers[side], self.wires[side].popleft())

    @precondition(lambda self: any(self.wires))
    @rule(side=SIDES)
    def deliver_twice(self, side: int) -> None:
        if self.wires[side]:
            data = self.wires[side].popleft()
            self.accept(side, self.numbers[side], data)
            self.accept(side, self.numbers[side], data)

    @precondition(lambda self: self.connected)
    @rule(kept=st.integers(0, 3))
    def cut(self, kept: int) -> None:
        """What is on its way is lost, or comes when its connection is long replaced."""
        for side in (0, 1):
            late = [(self.numbers[side], data) for data in self.wires[side]]
            self.old[side] = [*self.old[side], *late][-kept:] if kept else []
            self.wires[side].clear()
        self.connected = False

    @precondition(lambda self: self.connected and any(self.old))
    @rule(side=SIDES)
    def deliver_late(self, side: int) -> None:
        for number, data in self.old[side]:
            assert number < self.numbers[side]
            self.accept(side, number, data)

    @rule(side=SIDES, peer=PEERS, most=st.integers(1, 10))
    def take(self, side: int, peer: str, most: int) -> None:
        for _ in range(most):
            body = self.ends[side].incoming.take(peer)
            if body is None:
                return
            self.taken[side].setdefault(peer, []).append(body)

    def accept(self, side: int, number: int, data: bytes) -> None:
        self.ends[side].accept(number, Frame.FromString(data))

    @invariant()
    def what_is_taken_was_sent_in_this_order(self) -> None:
        for side in (0, 1):
            for peer, bodies in self.taken[side].items():
                assert bodies == self.sent[1 - side].get(peer, [])[: len(bodies)]

    @invariant()
    def memory_is_bounded(self) -> None:
        pieces = -(-LIMITS.message_bytes // LIMITS.piece_bytes)
        longest = LIMITS.message_bytes + pieces * FRAME_COST
        for end in self.ends:
            assert end.incoming.held <= LIMITS.window_bytes + longest
            assert end.outgoing._held <= LIMITS.unacknowledged_bytes + pieces * FRAME_COST

    @override
    def teardown(self) -> None:
        """Once the network is quiet and both sides read, everything arrives."""
        if not self.connected:
            self.reconnect()
        for _ in range(200):
            for side in (0, 1):
                self.transmit(side, 1_000)
                self.deliver(1 - side, 1_000)
                for peer in ("", "other"):
                    self.take(side, peer, 1_000)
        assert self.taken == self.sent[::-1]
        for side in (0, 1):
            self.beat(side)
            self.deliver(1 - side, 1)
        assert all(end.outgoing.settled and not end.outgoing._held for end in self.ends)


TestTwoEnds: Any = TwoEnds.TestCase
TestTwoEnds.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
