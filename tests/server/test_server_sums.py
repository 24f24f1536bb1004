"""Secure sums over sessions: who is lost when, what is still summed, and what nobody is asked twice."""

from __future__ import annotations

import queue
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hanse.aggregation import AgreedTerms, FixedPoint, Query, Scoped, SumHistory, work_digest
from hanse.api.v1 import round_pb2 as pb
from hanse.client.sums import MemberSums
from hanse.crypto import SigningKey
from hanse.errors import HanseError, PolicyError, TrainingError
from hanse.server.checkpoints import OpenedSums
from hanse.server.sums import Epochs, SecureAggregator, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hanse.aggregation import Vector

NAMES = ("ann", "bob", "cat", "dan")
AGREEMENT = "a" * 64
WORK = work_digest("train", b"work")
ENCODING = FixedPoint(100.0, 4, 16, ring_bits=64)


def query(number: int = 0, contributors: int = 4) -> Query:
    return Query("test.values", b"%d" % number, 3, FixedPoint(100.0, contributors, 16, ring_bits=64))


@dataclass
class Values:
    """Answers with its own number, three times."""

    value: float
    asked: list[Query] = field(default_factory=list)

    def contribute(self, query: Query) -> Vector:
        self.asked.append(query)
        return np.full(3, self.value)


STAYS = SimpleNamespace(left=SimpleNamespace(require_in=lambda _: None))
"""A site that has left no run."""


@dataclass
class World:
    """A coordinator's half and four members' halves, one message at a time, in one thread."""

    names: tuple[str, ...] = NAMES
    minimum: int = 3
    timeout_s: float = 5.0
    sums: int = 4
    cancelled: bool = False
    lost: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    before: Callable[[str, pb.FromCoordinator], None] = lambda _member, _message: None
    change: Callable[[str, bytes], bytes] = lambda _member, data: data

    def __post_init__(self) -> None:
        keys = {name: SigningKey(name, bytes([number + 1]) * 32) for number, name in enumerate(self.names)}
        self.verifiers = {name: key.verifier for name, key in keys.items()}
        self.active = frozenset(self.names)
        terms = AgreedTerms(AGREEMENT, "run-1", "a purpose", self.verifiers, self.minimum)
        self.values = {name: Values(float(2**number)) for number, name in enumerate(self.names)}
        self.answers: dict[str, queue.SimpleQueue[bytes | HanseError]] = {}
        self.members: dict[str, MemberSums] = {}
        for name, key in keys.items():
            session: Any = SimpleNamespace(
                agreed_terms=lambda: terms, member=name, sums=SumHistory(), run="run-1", tools=STAYS
            )
            self.members[name] = MemberSums(session, key, Scoped(self.values[name], WORK))
            self.answers[name] = queue.SimpleQueue()
        agreement = SimpleNamespace(
            purpose="a purpose",
            cohort=SimpleNamespace(minimum_members=self.minimum),
            privacy=None,
            training=SimpleNamespace(round_timeout_s=self.timeout_s),
        )
        signed = SimpleNamespace(digest=AGREEMENT)
        self.agreement: Any = agreement
        self.context: Any = SimpleNamespace(signed=signed, run="run-1", agreement=agreement)
        self.attempt = 0
        self.folder = tempfile.TemporaryDirectory()
        self.aggregator = self.phase()

    def phase(self, epochs: Epochs | None = None) -> SecureAggregator:
        party: Any = self
        exchange: Any = self
        self.epochs = epochs or Epochs(party)
        return SecureAggregator(
            party,
            exchange,
            self.epochs,
            Work(WORK, "trained", 1, self.sums),
            OpenedSums(Path(self.folder.name) / "sums"),
        )

    # What the aggregator takes for the party.

    def require_wanted(self) -> None:
        if self.cancelled:
            raise TrainingError("run.cancelled", "asked to end")

    def lose_for(self, member: str, error: HanseError, what: str, number: int | None) -> None:
        assert (what, number) == ("trained", 1)
        self.lost[member] = error.code
        self.active -= {member}

    # What it takes for the exchange.

    def send(self, member: str, body: bytes) -> None:
        message = pb.FromCoordinator.FromString(body)
        try:
            self.before(member, message)
            answer = self.members[member]._answer(body)
        except HanseError as error:
            self.answers[member].put(error)
            return
        except InterruptedError:  # a member that is silent
            return
        if answer is not None:
            self.answers[member].put(self.change(member, answer.SerializeToString()))

    def gather(self, timeout_s: float, members: Collection[str] | None = None) -> dict[str, Any]:
        del timeout_s
        silent = TrainingError("exchange.timeout", "silent")
        waiting = {name: self.answers[name] for name in members or ()}
        return {name: silent if own.empty() else own.get() for name, own in waiting.items()}

    def end(self, member: str, code: str) -> None:
        self.ended[member] = code


def at(kind: str, name: str, error: Exception) -> Callable[[str, pb.FromCoordinator], None]:
    """A member that does something else instead of answering one kind of message."""

    def before(member: str, message: pb.FromCoordinator) -> None:
        if member == name and message.WhichOneof("content") == kind:
            raise error

    return before


def test_the_sum_of_all_and_their_names() -> None:
    world = World()
    total = world.aggregator.aggregate(query())
    assert total.values.tolist() == [15.0] * 3
    assert total.members == world.aggregator.members == NAMES
    assert world.values["ann"].asked == [query()]  # as the algorithm wrote it
    assert sum(member.answered for member in world.members.values()) == 3  # as many as are needed


def test_more_sums_than_an_epoch_has() -> None:
    world = World(sums=2)
    totals = [world.aggregator.aggregate(query(number)).values[0] for number in range(5)]
    assert totals == [15.0] * 5
    assert {member._session.sums.epoch for member in world.members.values()} == {3}


def test_epochs_go_on_in_the_next_phase() -> None:
    world = World()
    world.aggregator.aggregate(query(1))
    assert world.phase(world.epochs).aggregate(query(2)).values[0] == 15.0
    assert {member._session.sums.epoch for member in world.members.values()} == {2}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("opening", 13.0),
        ("advertisements", 13.0),
        ("question", 13.0),
        ("certificate", 15.0),  # its vector had come
    ],
)
@pytest.mark.parametrize("silent", [True, False])
def test_a_member_that_vanishes_is_lost_and_the_others_go_on(
    kind: str, expected: float, silent: bool
) -> None:
    world = World(timeout_s=0.02 if silent else 5.0)
    error = InterruptedError() if silent else PolicyError("policy.denied", "no")
    world.before = at(kind, "bob", error)
    assert world.aggregator.aggregate(query()).values[0] == expected
    assert world.lost == {"bob": "exchange.timeout" if silent else "policy.denied"}
    assert world.ended == world.lost
    # Contributors are those that are left, although the roster still has four.
    after = world.aggregator.aggregate(query(1, contributors=3))
    assert (after.values[0], after.members) == (13.0, ("ann", "cat", "dan"))


def test_a_member_that_vanishes_when_another_has_is_lost_and_the_others_go_on() -> None:
    """Only then is there a list to sign."""
    names = tuple("abcdefg")
    world = World(names=names)
    steps = {
        "g": at("question", "g", PolicyError("policy.denied", "no")),
        "b": at("survivors", "b", PolicyError("policy.denied", "no")),
    }
    world.before = lambda member, message: steps[member](member, message) if member in steps else None
    assert world.aggregator.aggregate(query(contributors=7)).values[0] == 63.0
    assert set(world.lost) == {"b", "g"}


def test_too_few_are_left() -> None:
    world = World()
    world.before = at("question", "bob", PolicyError("policy.denied", "no"))
    world.aggregator.aggregate(query())
    world.before = at("question", "cat", PolicyError("policy.denied", "no"))
    with pytest.raises(TrainingError) as error:
        world.aggregator.aggregate(query(1, contributors=3))
    assert error.value.code == "run.insufficient-members"
    assert set(world.lost) == {"bob", "cat"}


def test_two_make_no_sum() -> None:
    world = World(names=("ann", "bob"), minimum=2)
    with pytest.raises(PolicyError) as error:
        world.aggregator.aggregate(query())
    assert error.value.code == "sum.too-few"


@pytest.mark.parametrize("garbage", [b"", b"\xff\xff", b"\x0a\x00", b"\x22\x03abc"])
def test_what_does_not_check_costs_the_member_its_place(garbage: bytes) -> None:
    world = World()
    world.change = lambda member, data: garbage if member == "bob" else data
    assert world.aggregator.aggregate(query()).values[0] == 13.0
    assert world.lost["bob"] in {"protocol.malformed", "protocol.unexpected-step"}


def test_cancelling_is_heard() -> None:
    world = World()
    world.cancelled = True
    with pytest.raises(TrainingError) as error:
        world.aggregator.aggregate(query())
    assert error.value.code == "run.cancelled"
    assert not any(values.asked for values in world.values.values())


def test_a_question_is_answered_once_in_a_run_for_the_same_work() -> None:
    world = World()
    world.aggregator.aggregate(query())
    with pytest.raises(TrainingError):
        world.aggregator.aggregate(query())
    assert set(world.lost.values()) == {"sum.repeated"}
    assert all(len(values.asked) == 1 for values in world.values.values())


def test_a_question_about_other_work_is_refused() -> None:
    world = World()
    world.aggregator._work = Work(work_digest("train", b"other"), "trained", 1, 4)
    with pytest.raises(TrainingError):
        world.aggregator.aggregate(query())
    assert set(world.lost.values()) == {"sum.foreign"}
    assert not any(values.asked for values in world.values.values())
