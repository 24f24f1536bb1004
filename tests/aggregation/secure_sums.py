"""A few members and a coordinator that can be made to say anything."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from google.protobuf.message import Message

from hanse.aggregation import AgreedTerms, CoordinatorEpoch, CoordinatorSum, MemberEpoch, SumHistory, SumTerms
from hanse.aggregation.fixed_point import RingVector
from hanse.aggregation.local import Absent, LocalEpoch
from hanse.crypto import SigningKey
from hanse.errors import HanseError

Entropy = Callable[[int], bytes]
AGREEMENT = "a" * 64
QUESTION = hashlib.sha256(b"what is asked").digest()


def drawn_from(seed: str) -> Entropy:
    """A source that gives the same bytes in every test run, and never the same twice in one."""
    count = iter(range(1 << 62))

    def entropy(length: int) -> bytes:
        return hashlib.shake_256(f"{seed} {next(count)}".encode()).digest(length)

    return entropy


@dataclass
class Federation:
    """Members with their keys and memories, and what they agree on.

    Attributes:
        size: Number of members, m0, m1, ...
        minimum: The agreement's.
        entropy: Where everybody's secrets come from.
    """

    size: int
    minimum: int = 3
    entropy: Entropy = os.urandom
    run: str = "run-1"
    agreement: str = AGREEMENT
    keys: dict[str, SigningKey] = field(init=False)
    histories: dict[str, SumHistory] = field(init=False)

    def __post_init__(self) -> None:
        names = [f"m{number}" for number in range(self.size)]
        self.keys = {name: SigningKey(name, hashlib.sha256(name.encode()).digest()) for name in names}
        self.histories = {name: SumHistory() for name in names}

    @property
    def names(self) -> list[str]:
        return list(self.keys)

    def terms(self, sums: int = 1, epoch: int = 1) -> SumTerms:
        roster = {name: key.verifier for name, key in self.keys.items()}
        return SumTerms(self.agreement, self.run, epoch, "marketing", roster, self.minimum, sums)

    def agreed(self, left: Sequence[str] = ()) -> AgreedTerms:
        members = {name: key.verifier for name, key in self.keys.items()}
        return AgreedTerms(self.agreement, self.run, "marketing", members, self.minimum, frozenset(left))

    def member(self, name: str, left: Sequence[str] = ()) -> MemberEpoch:
        return MemberEpoch(self.agreed(left), self.keys[name], name, self.histories[name], self.entropy)

    def members(self) -> dict[str, MemberEpoch]:
        return {name: self.member(name) for name in self.keys}

    def local(self, terms: SumTerms, absent: Absent = lambda _m, _s, _p: False) -> LocalEpoch:
        return LocalEpoch(terms, self.members(), absent)

    def inputs(self, length: int = 3, ring_bits: int = 32) -> dict[str, RingVector]:
        source = np.random.default_rng(self.size)
        dtype = np.dtype(f"<u{ring_bits // 8}")
        drawn = source.integers(0, 1 << ring_bits, (self.size, length), dtype=dtype.type, endpoint=False)
        return {name: row.astype(dtype) for name, row in zip(self.keys, drawn, strict=True)}


@dataclass
class Stage:
    """An epoch in the middle of which a test takes the coordinator's part."""

    federation: Federation
    terms: SumTerms
    members: dict[str, MemberEpoch]
    coordinator: CoordinatorEpoch

    def advertise(self) -> dict[str, bytes]:
        for name, member in self.members.items():
            self.coordinator.take_advertisement(name, member.open(self.terms.opening()))
        return self.coordinator.close_advertisements()

    def share(self) -> dict[str, bytes]:
        for name, shown in self.advertise().items():
            self.coordinator.take_shares(name, self.members[name].advertised(shown))
        return self.coordinator.close_shares()

    def prepare(self) -> None:
        for name, sealed in self.share().items():
            self.members[name].shared(sealed)

    def gather(
        self, number: int = 0, silent: Sequence[str] = (), question: bytes = QUESTION
    ) -> CoordinatorSum:
        """A sum for which everybody but the silent has sent an input, all zero."""
        state = self.coordinator.sum(number, question, np.zeros(2, "<u4"))
        for name, member in self.members.items():
            masked = member.mask(number, question, np.zeros(2, "<u4"))
            if name not in silent:
                state.take_input(name, masked)
        return state

    def confirm(self, state: CoordinatorSum) -> dict[str, bytes]:
        for name, message in state.close_inputs().items():
            state.take_confirmation(name, self.members[name].survivors(message))
        return state.certify()

    def finish(self, state: CoordinatorSum) -> tuple[RingVector, tuple[str, ...]]:
        for name, message in self.confirm(state).items():
            state.take_reveal(name, self.members[name].reveal(message))
        return state.total()


def staged(federation: Federation, sums: int = 1, epoch: int = 1) -> Stage:
    """A new epoch of a federation."""
    terms = federation.terms(sums, epoch)
    return Stage(federation, terms, federation.members(), CoordinatorEpoch(terms))


@contextmanager
def refused(code: str, *named: str) -> Iterator[None]:
    with pytest.raises(HanseError) as caught:
        yield
    assert caught.value.code == code, caught.value
    for name in named:
        assert name in caught.value.detail


def zeros() -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.zeros(2, "<u4")


def prepared(size: int = 5, sums: int = 2, minimum: int = 3) -> Stage:
    stage = staged(Federation(size, minimum), sums)
    stage.prepare()
    return stage


def edited(data: bytes, kind: type[Message], change: Callable[..., object]) -> bytes:
    message = kind.FromString(data)
    change(message)
    result: bytes = message.SerializeToString()
    return result


def certified(size: int = 5, silent: tuple[str, ...] = ()) -> tuple[Stage, dict[str, bytes]]:
    stage = prepared(size)
    return stage, stage.confirm(stage.gather(silent=silent))
