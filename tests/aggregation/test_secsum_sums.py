"""Sums of real numbers over the whole protocol in one process."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.aggregation.secure_sums import drawn_from

from hanse.aggregation import FixedPoint, InProcessAggregator, LocalAggregator, Phase, Query, Vector
from hanse.errors import HanseError, PolicyError, ProtocolError, TrainingError

ENCODING = FixedPoint(bound=100.0, contributors=10, fraction_bits=16)


class Noisy:
    """A member with numbers of its own for every question."""

    def __init__(self, number: int) -> None:
        self._number = number

    def contribute(self, query: Query) -> Vector:
        seed = [self._number, *query.body]
        return np.random.default_rng(seed).uniform(-query.encoding.bound, query.encoding.bound, query.length)


class Refusing:
    def contribute(self, query: Query) -> Vector:
        raise PolicyError("policy.denied", query.kind)


class Short:
    def contribute(self, query: Query) -> Vector:
        return np.zeros(query.length - 1)


def members(size: int) -> dict[str, Noisy]:
    return {f"member-{number}": Noisy(number) for number in range(size)}


def query(number: int, length: int = 5, encoding: FixedPoint = ENCODING) -> Query:
    return Query("test", b"%d" % number, length, encoding)


@pytest.mark.parametrize("size", [3, 4, 7])
@pytest.mark.parametrize("ring_bits", [32, 64])
def test_secure_and_plain_sums_are_equal(size: int, ring_bits: int) -> None:
    encoding = FixedPoint(bound=50.0, contributors=8, fraction_bits=20, ring_bits=ring_bits)
    secure, plain = LocalAggregator(members(size), sums=2), InProcessAggregator(members(size))
    for number, length in enumerate([1, 3, 1000]):
        asked = query(number, length, encoding)
        given_sum, expected = secure.aggregate(asked), plain.aggregate(asked)
        assert (given_sum.values == expected.values).all()
        assert given_sum.members == expected.members == secure.members


def test_a_long_vector() -> None:
    asked = query(0, 300_001)
    expected = InProcessAggregator(members(3)).aggregate(asked)
    assert (LocalAggregator(members(3)).aggregate(asked).values == expected.values).all()


def test_who_vanishes_leaves_the_run() -> None:
    gone = {("member-1", 1, Phase.INPUT), ("member-5", 3, Phase.REVEAL)}
    secure = LocalAggregator(members(7), sums=3, absent=lambda m, s, p: (m, s, p) in gone)
    counts = []
    for number in range(6):
        result = secure.aggregate(query(number))
        expected = InProcessAggregator({m: n for m, n in members(7).items() if m in result.members})
        assert (result.values == expected.aggregate(query(number)).values).all()
        counts.append((len(result.members), len(secure.members)))
    # Whoever vanishes after its input is in the sum, and not in the next.
    assert counts == [(7, 7), (6, 6), (6, 6), (6, 5), (5, 5), (5, 5)]


def test_who_vanishes_while_an_epoch_is_prepared_leaves_the_run() -> None:
    gone = {("member-0", 0, Phase.SHARE), ("member-3", 2, Phase.ADVERTISE)}
    secure = LocalAggregator(members(7), sums=2, absent=lambda m, s, p: (m, s, p) in gone)
    assert [len(secure.aggregate(query(number)).members) for number in range(4)] == [6, 6, 5, 5]


def test_who_refuses_leaves_the_run_and_says_why() -> None:
    secure = LocalAggregator({**members(4), "careful": Refusing(), "short": Short()})
    with pytest.raises(TrainingError, match=r"run\.insufficient-members"):
        secure.aggregate(query(0))
    assert {m: error.code for m, error in secure.refusals.items()} == {
        "careful": "policy.denied",
        "short": "protocol.malformed",
    }
    assert secure.members == tuple(members(4))


def test_a_question_is_asked_once() -> None:
    secure = LocalAggregator(members(3))
    secure.aggregate(query(0))
    with pytest.raises(ProtocolError, match=r"sum\.repeated"):
        secure.aggregate(query(0))
    secure.aggregate(query(0, length=6))


def test_too_few_members_end_the_run_and_cannot_go_on() -> None:
    secure = LocalAggregator(members(3), absent=lambda m, s, _: (m, s) == ("member-2", 1))
    secure.aggregate(query(0))
    for number in (1, 2):
        with pytest.raises(TrainingError, match=r"run\.insufficient-members"):
            secure.aggregate(query(number))


def test_two_members_make_no_sum() -> None:
    with pytest.raises(PolicyError, match=r"sum\.too-few"):
        LocalAggregator(members(2))


def test_an_encoding_for_fewer_members_is_refused() -> None:
    secure = LocalAggregator(members(4))
    with pytest.raises(TrainingError):
        secure.aggregate(query(0, encoding=FixedPoint(bound=1.0, contributors=3, fraction_bits=8)))
    assert {error.code for error in secure.refusals.values()} == {"protocol.malformed"}


def test_sums_are_the_same_whatever_the_secrets_are() -> None:
    totals = [
        LocalAggregator(members(4), entropy=drawn_from(seed)).aggregate(query(0)).values for seed in "ab"
    ]
    assert (totals[0] == totals[1]).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20),
    st.sampled_from([32, 64]),
    st.integers(0, 20),
)
def test_encoding_is_that_of_single_numbers(values: list[float], ring_bits: int, fraction_bits: int) -> None:
    encoding = FixedPoint(bound=900.0, contributors=2, fraction_bits=fraction_bits, ring_bits=ring_bits)
    if all(abs(value) <= 900.0 for value in values):
        expected = [round(value * 2**fraction_bits) % 2**ring_bits for value in values]
        assert encoding.encode(np.array(values, dtype=np.float64)).tolist() == expected
    else:
        with pytest.raises(HanseError, match=r"protocol\.malformed"):
            encoding.encode(np.array(values))


@pytest.mark.parametrize("at", [0, 8191, 8192, 20_000])
def test_a_value_out_of_bounds_is_found_in_every_block(at: int) -> None:
    for wrong in (np.nan, np.inf, -np.inf, 100.1, -100.1):
        values = np.zeros(20_001)
        values[at] = wrong
        with pytest.raises(HanseError, match=r"protocol\.malformed"):
            ENCODING.encode(values)
    ramp = np.linspace(-100, 100, 20_001)
    assert (np.abs(ENCODING.decode(ENCODING.encode(ramp)) - ramp) <= 2.0**-17).all()
    square = ramp[:20_000].reshape(100, 200)[:, ::2]
    assert ENCODING.encode(square).shape == (100, 100)
