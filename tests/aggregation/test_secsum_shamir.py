"""Shamir's shares: known answers, any threshold of them gives the secret, fewer fit every secret."""

from contextlib import suppress
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.aggregation.secure_sums import drawn_from

from hanse.aggregation.shamir import PRIME, SHARE_BYTES, combine, split
from hanse.errors import ProtocolError

SECRETS = st.binary(min_size=32, max_size=32)


def coefficients(*values: int) -> bytes:
    return b"".join(value.to_bytes(48, "big") for value in values)


def test_known_polynomial() -> None:
    # 7 + 5 x + 3 x^2 at 1, 2, 3, 4.
    drawn = coefficients(3, 5)
    shares = split((7).to_bytes(32, "big"), 3, 4, lambda length: drawn if length == 96 else b"")
    assert [int.from_bytes(share, "big") for share in shares] == [15, 29, 49, 75]
    assert {len(share) for share in shares} == {SHARE_BYTES}


def test_coefficients_are_reduced_from_more_bits_than_the_prime_has() -> None:
    shares = split(bytes(32), 2, 1, lambda _: coefficients(PRIME + 9))
    assert int.from_bytes(shares[0], "big") == 9


def test_the_field_is_the_one_that_is_documented() -> None:
    assert PRIME == 2**256 + 297
    assert all(pow(base, PRIME - 1, PRIME) == 1 for base in (2, 3, 5, 7, 11, 13))
    assert not any(pow(3, 2**256 + k - 1, 2**256 + k) == 1 for k in range(1, 297, 2))


@given(SECRETS, st.integers(1, 7), st.integers(0, 3), st.data())
def test_any_threshold_of_shares_gives_the_secret(
    secret: bytes, threshold: int, spare: int, data: st.DataObject
) -> None:
    shares = split(secret, threshold, threshold + spare, drawn_from("any"))
    numbers = data.draw(st.permutations(range(1, threshold + spare + 1)))[:threshold]
    assert combine({number: shares[number - 1] for number in numbers}) == secret


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, (PRIME - 1 - 297).to_bytes(32, "big")])
def test_extreme_secrets(secret: bytes) -> None:
    shares = split(secret, 4, 6, drawn_from("extreme"))
    for chosen in combinations(range(6), 4):
        assert combine({place + 1: shares[place] for place in chosen}) == secret


@given(SECRETS, SECRETS)
def test_fewer_shares_fit_every_secret(secret: bytes, other: bytes) -> None:
    """With one share missing there is, for each secret, exactly one last share that would complete it."""
    shares = split(secret, 3, 3, drawn_from("fewer"))
    # The share at 3 of the polynomial through (0, other), (1, s1), (2, s2): Lagrange with weights 1, -3, 3.
    one, two = (int.from_bytes(share, "big") for share in shares[:2])
    last = (int.from_bytes(other, "big") - 3 * one + 3 * two) % PRIME
    assert combine({1: shares[0], 2: shares[1], 3: last.to_bytes(33, "big")}) == other


@given(st.binary(max_size=40))
def test_reading_shares_is_total(share: bytes) -> None:
    with suppress(ProtocolError):
        assert len(combine({1: share, 2: share})) == 32


def test_a_wrong_share_gives_another_secret() -> None:
    shares = split(bytes(32), 3, 3, drawn_from("wrong"))
    wrong = (int.from_bytes(shares[2], "big") + 1).to_bytes(33, "big")
    assert combine({1: shares[0], 2: shares[1], 3: wrong}) != bytes(32)
