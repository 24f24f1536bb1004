"""Sealed conversations between members over a coordinator's exchange, honest and hostile."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from tests.exchange.exchange_tools import RUN, SMALL, WAIT_S, MemoryWorld, code, until
from tests.exchange.hostile_relay import ACTIONS, Action, Fault, HostileRelay, deviation

from hanse.client.exchange import CoordinatorChannel, ExchangeChannel, SealedPeers, open_peers
from hanse.crypto import SigningKey
from hanse.crypto.sealed import HELLO_BYTES, PROOF_BYTES, SealedTerms
from hanse.errors import HanseError
from hanse.exchange import LONGEST_BODY_BYTES, Limits, Transcript
from hanse.server.exchange import MemberChannel

KEYS = {name: SigningKey(name, name.encode().ljust(32)) for name in ("ann", "bob", "cat", "eve")}
TERMS = SealedTerms("ab" * 32, RUN, "sum", "alignment")
ROOMY = Limits(message_bytes=5_000_000, window_bytes=1_000_000, unacknowledged_bytes=10_000_000)


def opened(
    channel: ExchangeChannel, name: str, *others: str, key: str = "", terms: SealedTerms = TERMS, **more: Any
) -> SealedPeers:
    pinned = {other: KEYS[other].verifier for other in others}
    more = {"wait_s": WAIT_S, "open_s": WAIT_S} | more
    return open_peers(channel, KEYS[key or name], terms, pinned, **more)


def both(
    world: Any,
    ann: Callable[[ExchangeChannel], Any],
    bob: Callable[[ExchangeChannel], Any],
    *,
    ends_with_one: bool = False,
) -> list[Any]:
    """What each side returns, or the code of its error; the coordinator may end the phase with the first."""
    exchange = world.hub.open(getattr(world, "run", RUN), "sum", ["ann", "bob"])

    def run(name: str, part: Callable[[ExchangeChannel], Any]) -> Any:
        try:
            with world.member(name) as channel:
                return part(channel)
        except HanseError as error:
            if ends_with_one:
                exchange.close(error.code)
            return error.code

    with ThreadPoolExecutor(2) as pool:
        return [way.result() for way in (pool.submit(run, "ann", ann), pool.submit(run, "bob", bob))]


@pytest.fixture
def world(make_world: Callable[..., Any]) -> MemoryWorld:
    made: MemoryWorld = make_world("memory", limits=ROOMY)
    return made


def test_members_talk_and_their_transcripts_agree(world: Any) -> None:
    bodies = [b"", b"x", os.urandom(3_000_000), b"last"]

    def part(name: str, other: str) -> Callable[[ExchangeChannel], Any]:
        def talk(channel: ExchangeChannel) -> Any:
            with opened(channel, name, other) as peers:
                told = Transcript(peers[other])
                for body in bodies:
                    told.send(body)
                assert [told.receive() for _ in bodies] == bodies
                return told.sent, told.received, peers[other].transcript

        return talk

    ann, bob = both(world, part("ann", "bob"), part("bob", "ann"))
    assert ann == (bob[1], bob[0], bob[2])
    assert ann[0].messages == len(bodies)


def test_three_members_and_the_coordinator_over_tls(make_world: Callable[..., Any]) -> None:
    world = make_world("grpc", limits=ROOMY)
    terms = SealedTerms("ab" * 32, world.run, "sum", "alignment")
    exchange = world.hub.open(world.run, "sum", world.members)

    def part(name: str) -> list[bytes]:
        others = [other for other in world.members if other != name]
        with world.member(name) as channel, opened(channel, name, *others, terms=terms) as peers:
            for other in others:
                peers[other].send(f"{name} to {other}".encode())
            dealer = CoordinatorChannel(channel, WAIT_S)
            dealer.send(name.encode())
            return [dealer.receive(), *(peers[other].receive() for other in others)]

    with ThreadPoolExecutor(3) as pool:
        ways = {name: pool.submit(part, name) for name in world.members}
        for name in world.members:
            member = MemberChannel(exchange, name, WAIT_S)
            assert member.receive() == name.encode()
            member.send(b"seed of " + name.encode())
        said = {name: way.result() for name, way in ways.items()}
    assert said["bob"] == [b"seed of bob", b"ann to bob", b"cat to bob"]


@pytest.mark.parametrize(("peer", "whose"), [("", "the coordinator itself"), ("bob", "bob")])
def test_who_waited_in_vain_says_for_whom(world: Any, peer: str, whose: str) -> None:
    exchange = world.hub.open(RUN, "sum", ["ann", "bob"])
    with world.member("ann") as channel, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(channel.receive, WAIT_S, peer)
        until(lambda: channel.attached)
        exchange.close("run.cancelled")
        with pytest.raises(HanseError, match=rf"^run\.cancelled: .*; a message of {whose} was due$"):
            waiting.result()


@pytest.mark.parametrize(("peer", "whose"), [("", "the coordinator itself"), ("bob", "bob")])
def test_who_waited_for_too_long_says_for_whom(world: Any, peer: str, whose: str) -> None:
    world.hub.open(RUN, "sum", ["ann", "bob"])
    with world.member("ann") as channel:
        with pytest.raises(HanseError, match=rf"^exchange\.timeout: .*; a message of {whose} was due$"):
            channel.receive(0.1, peer)
        channel.close("run.cancelled")


def test_the_relay_sees_neither_plaintext_nor_a_pattern(world: Any) -> None:
    relay = HostileRelay(world.hub)
    canary = b"erika.mustermann@example.com"
    bodies = [canary * 2_000, bytes(600_000), canary, b"\0" * 64]

    def speak(channel: ExchangeChannel) -> None:
        with opened(channel, "ann", "bob") as peers:
            for body in bodies:
                peers["bob"].send(body)

    def listen(channel: ExchangeChannel) -> None:
        with opened(channel, "bob", "ann") as peers:
            assert [peers["ann"].receive() for _ in bodies] == bodies

    assert both(world, speak, listen) == [None, None]
    hello, proof, *records, close = relay.heard["ann", "bob"]
    assert (len(hello), len(proof)) == (HELLO_BYTES, PROOF_BYTES)
    assert [len(record) - 16 for record in records] == [
        len(body) for body in bodies
    ]  # sizes are what it sees
    everything = b"".join((hello, proof, *records, close))
    for part in (canary, canary[:12], b"mustermann", bytes(8)):
        assert part not in everything
    for name in (b"ann", b"bob"):  # so short that they come by chance in half a megabyte
        assert name not in hello + proof + close
    assert deviation(b"".join((proof, *records, close))) < 6
    assert deviation(b"".join(bodies)) > 1_000


@pytest.mark.parametrize("action", ACTIONS)
def test_what_a_hostile_relay_does_to_a_record_is_refused_by_name(world: Any, action: Action) -> None:
    relay = HostileRelay(world.hub, Fault("ann", "bob", 4, action))
    heard: list[bytes] = []

    def speak(channel: ExchangeChannel) -> None:
        with opened(channel, "ann", "bob") as peers:
            assert peers["bob"].receive() == b"begin"
            for turn in range(4):
                peers["bob"].send(b"message %d" % turn)
            peers["bob"].receive()

    def listen(channel: ExchangeChannel) -> None:
        with opened(channel, "bob", "ann") as peers:
            peers["ann"].send(b"begin")
            while True:
                heard.append(peers["ann"].receive())

    codes = both(world, speak, listen)
    assert relay.done
    assert codes == ["sealed.broken"] * 2  # ann is told by bob, sealed
    # All before it, nothing after it; what comes twice is heard once.
    assert heard == [b"message %d" % turn for turn in range(3 if action == "duplicate" else 2)]


@pytest.mark.parametrize(
    ("number", "action", "expected"),
    [
        (0, "drop", {"protocol.malformed"}),
        (0, "duplicate", {"sealed.broken"}),
        (0, "alter", {"sealed.foreign"}),
        (0, "reflect", {"sealed.foreign", "sealed.broken", "protocol.malformed"}),
        (1, "drop", {"sealed.broken"}),
        (1, "alter", {"sealed.broken"}),
        (1, "reflect", {"sealed.broken"}),
    ],
)
def test_what_a_hostile_relay_does_to_a_handshake_is_refused_by_name(
    world: Any, number: int, action: Action, expected: set[str]
) -> None:
    relay = HostileRelay(world.hub, Fault("ann", "bob", number, action))

    def part(name: str, other: str) -> Callable[[ExchangeChannel], Any]:
        def talk(channel: ExchangeChannel) -> None:
            with opened(channel, name, other, wait_s=2.0, open_s=2.0) as peers:
                peers[other].send(b"first")
                peers[other].receive()
                peers[other].receive()

        return talk

    codes = both(world, part("ann", "bob"), part("bob", "ann"), ends_with_one=True)
    assert relay.done
    assert codes[1] in expected
    assert codes[0] in expected


def test_who_has_not_the_pinned_key_is_refused(world: Any) -> None:
    def eve(channel: ExchangeChannel) -> None:
        # The certificate of ann's connection, and the hello that ann would send; only the key is another.
        opened(channel, "ann", "bob", key="eve", open_s=2.0)

    codes = both(world, eve, lambda channel: opened(channel, "bob", "ann", open_s=2.0))
    assert codes == ["sealed.foreign", "sealed.foreign"]


@pytest.mark.parametrize(
    "other",
    [
        SealedTerms("cd" * 32, RUN, "sum", "alignment"),
        SealedTerms("ab" * 32, "run-20260101-000000-000000", "sum", "alignment"),
        SealedTerms("ab" * 32, RUN, "sum-2", "alignment"),
        SealedTerms("ab" * 32, RUN, "sum", "training"),
    ],
)
def test_who_means_another_conversation_is_told(world: Any, other: SealedTerms) -> None:
    codes = both(
        world,
        lambda channel: opened(channel, "ann", "bob", terms=other),
        lambda channel: opened(channel, "bob", "ann"),
    )
    assert codes == ["sealed.foreign"] * 2


@pytest.mark.parametrize("kind", ["memory", "grpc"])
def test_a_connection_that_is_cut_keeps_the_conversation(make_world: Callable[..., Any], kind: str) -> None:
    world = make_world(kind, limits=ROOMY)
    bodies = [os.urandom(size) for size in (300_000, 10, 700_000, 0) * 3]

    def part(name: str, other: str, cuts: tuple[int, ...]) -> Callable[[ExchangeChannel], Any]:
        def talk(channel: ExchangeChannel) -> Any:
            with opened(channel, name, other) as peers:
                told = Transcript(peers[other])
                for turn, body in enumerate(bodies):
                    told.send(body)
                    if turn in cuts:  # what was just sent is under way
                        world.cut(name)
                    assert told.receive() == body
                return told.received

        return talk

    ann, bob = both(world, part("ann", "bob", (2, 6)), part("bob", "ann", (6, 9)))
    assert ann == bob
    assert world.hub.metrics.resumes._value.get() >= 2


def test_an_exchange_that_ends_before_the_other_member_has_is_a_truncation(world: Any) -> None:
    exchange = world.hub.open(RUN, "sum", ["ann", "bob"])
    with ThreadPoolExecutor(2) as pool, world.member("ann") as ann, world.member("bob") as bob:
        first = pool.submit(opened, ann, "ann", "bob")
        second = opened(bob, "bob", "ann")["ann"]
        first.result()["bob"].send(b"all that I have to say")
        exchange_has_it = second.receive()
        assert exchange_has_it
        exchange.close()
        assert code(second.receive) == "sealed.truncated"
        assert code(second.receive) == "sealed.truncated"
        assert code(lambda: second.send(b"")) == "sealed.truncated"


def test_an_end_says_why_and_more_than_is_due_is_noticed(world: Any) -> None:
    def fails(channel: ExchangeChannel) -> None:
        with opened(channel, "ann", "bob"):
            raise HanseError("policy.cohort", "17 rows")

    def waits(channel: ExchangeChannel) -> None:
        with opened(channel, "bob", "ann") as peers:
            peers["ann"].receive()

    assert both(world, fails, waits) == ["policy.cohort", "policy.cohort"]


def test_who_says_more_than_is_due_is_found_at_the_end(world: Any) -> None:
    def talks(channel: ExchangeChannel) -> None:
        with opened(channel, "ann", "bob") as peers:
            peers["bob"].send(b"one more thing")

    assert both(world, talks, lambda channel: opened(channel, "bob", "ann").close()) == [
        None,
        "protocol.unexpected-step",
    ]


@pytest.mark.parametrize(("reserve_bytes", "expected"), [(0, "exchange.timeout"), (100_000, "no error")])
def test_a_stream_of_one_member_does_not_stand_before_another(
    make_world: Callable[..., Any], reserve_bytes: int, expected: str
) -> None:
    world = make_world("memory", limits=replace(SMALL, reserve_bytes=reserve_bytes))
    world.hub.open(RUN, "sum", world.members)
    with world.member("ann") as ann, world.member("bob") as bob, world.member("cat") as cat:
        bulk = [bytes([number]) * 900 for number in range(20)]
        for body in bulk:
            cat.send(body, peer="ann")
        until(lambda: world.hub.metrics.relayed._value.get() == 20 * 900)
        bob.send(b"behind all of it", peer="ann")
        assert code(lambda: ann.receive(1.0 if not reserve_bytes else WAIT_S, peer="bob")) == expected
        assert [ann.receive(WAIT_S, peer="cat") for _ in bulk] == bulk


def test_a_wait_that_was_too_long_may_be_repeated(world: Any) -> None:
    world.hub.open(RUN, "sum", ["ann", "bob"])
    with ThreadPoolExecutor(1) as pool, world.member("ann") as ann, world.member("bob") as bob:
        first = pool.submit(opened, ann, "ann", "bob")
        patient = opened(bob, "bob", "ann", wait_s=0.05)["ann"]
        speaker = first.result()["bob"]
        with pytest.raises(HanseError, match="ann was silent") as caught:
            patient.receive()
        assert caught.value.code == "exchange.timeout"
        speaker.send(b"after all")
        until(lambda: code(patient.receive) == "no error")
        assert code(lambda: patient.send(bytes(LONGEST_BODY_BYTES + 1))) == "exchange.too-large"


def test_a_member_that_is_interrupted_says_so(world: Any) -> None:
    def interrupted(channel: ExchangeChannel) -> None:
        with pytest.raises(SystemExit), opened(channel, "ann", "bob"):
            sys.exit(3)

    def waits(channel: ExchangeChannel) -> None:
        with opened(channel, "bob", "ann") as peers:
            peers["ann"].receive()

    assert both(world, interrupted, waits) == [None, "internal.error"]
