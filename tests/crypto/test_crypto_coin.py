"""Coins that parties toss together: bound before they are shown, and random if one of them is."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.crypto import COIN_BYTES, Toss
from hanse.errors import ProtocolError

TOSS = Toss("test", b"run")
COIN = bytes(range(COIN_BYTES))


def test_a_coin_is_what_its_party_was_bound_to() -> None:
    TOSS.check("brand", COIN, TOSS.commitment("brand", COIN), "brand")
    for toss, party, coin in (
        (Toss("another", b"run"), "brand", COIN),
        (Toss("test", b"later"), "brand", COIN),
        (TOSS, "insurer", COIN),
        (TOSS, "brand", COIN[::-1]),
    ):
        with pytest.raises(ProtocolError, match="insurer: its coin is not the one"):
            toss.check(party, coin, TOSS.commitment("brand", COIN), "insurer")


def test_the_form_is_fixed() -> None:
    def part(data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + data

    said = b"hanse coin v1 commitment\0" + b"".join(map(part, (b"test", b"run", b"brand", COIN)))
    assert TOSS.commitment("brand", COIN) == hashlib.sha256(said).digest()


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_other_coins_give_another_joint_one(some: list[bytes], others: list[bytes]) -> None:
    assert (TOSS.joint(some) == TOSS.joint(others)) == (some == others)
