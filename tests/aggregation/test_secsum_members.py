"""What the coordinator refuses of members, and what one sum of theirs says of another."""

import hashlib

import numpy as np
import pytest
from tests.aggregation.secure_sums import (
    QUESTION,
    Federation,
    edited,
    prepared,
    refused,
    staged,
    zeros,
)

from hanse.aggregation import CoordinatorEpoch
from hanse.api.v1 import aggregation_pb2 as pb


def test_a_member_cannot_speak_for_another_or_twice_or_late() -> None:
    stage = staged(Federation(4))
    advertisement = stage.members["m0"].open(stage.terms.opening())
    with refused("sum.foreign", "m1"):
        stage.coordinator.take_advertisement("m1", advertisement)
    stage.coordinator.take_advertisement("m0", advertisement)
    with refused("protocol.replayed", "m0"):
        stage.coordinator.take_advertisement("m0", advertisement)
    with refused("protocol.unexpected-step"):
        stage.coordinator.take_advertisement("x", advertisement)

    stage = prepared(size=4)
    state = stage.gather(silent=["m3"])
    with refused("protocol.replayed", "m0"):
        state.take_input("m0", b"")
    state.close_inputs()
    with refused("protocol.unexpected-step", "m3"):
        state.take_input("m3", b"")


def test_vectors_and_shares_of_another_length_are_refused() -> None:
    stage = prepared()
    state = stage.coordinator.sum(0, QUESTION, zeros())
    with refused("protocol.malformed", "m0"):
        state.take_input("m0", stage.members["m0"].mask(0, QUESTION, np.zeros(3, "<u4")))
    state = stage.gather(1, question=b"another")
    for name, certificate in stage.confirm(state).items():
        data = stage.members[name].reveal(certificate)
        with refused("protocol.malformed", name):
            state.take_reveal(name, edited(data, pb.SumReveal, lambda m: setattr(m, "shares", b"")))


@pytest.mark.parametrize("silent", [(), ("m2",)])
def test_shares_that_are_not_genuine_are_noticed(silent: tuple[str, ...]) -> None:
    stage = prepared()
    state = stage.gather(silent=silent)
    for name, certificate in stage.confirm(state).items():
        data = stage.members[name].reveal(certificate)
        if name == "m1":
            shares = bytearray(pb.SumReveal.FromString(data).shares)
            shares[2 * 33 + 20] ^= 1
            data = edited(data, pb.SumReveal, lambda m, s=bytes(shares): setattr(m, "shares", s))
        state.take_reveal(name, data)
    with refused("sum.bad-share", "m2"):
        state.total()


def test_a_sum_is_begun_once() -> None:
    stage = prepared(sums=1)
    stage.gather()
    with refused("sum.repeated"):
        stage.coordinator.sum(0, QUESTION, zeros())
    with refused("sum.foreign"):
        stage.coordinator.sum(1, QUESTION, zeros())
    with refused("protocol.unexpected-step"):
        CoordinatorEpoch(stage.terms).sum(0, QUESTION, zeros())


def test_what_one_sum_reveals_opens_no_other() -> None:
    """All that is revealed of a sum is 33 bytes for each pair of members, and every sum has its own."""
    stage = prepared(sums=2)
    reveals = []
    for number, question in enumerate((QUESTION, hashlib.sha256(b"another").digest())):
        state = stage.gather(number, question=question)
        certificates = stage.confirm(state)
        reveals.append(
            {
                name: pb.SumReveal.FromString(stage.members[name].reveal(made)).shares
                for name, made in certificates.items()
            }
        )
    pieces = [
        shares[at : at + 33]
        for revealed in reveals
        for shares in revealed.values()
        for at in range(0, 165, 33)
    ]
    assert len(pieces) == len(set(pieces)) == 2 * 5 * 5
