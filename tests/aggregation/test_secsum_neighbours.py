"""Masks between some pairs hide as much as masks between all, as long as the promise's assumptions hold."""

from collections.abc import Collection, Mapping
from itertools import combinations

import numpy as np
import pytest
from tests.aggregation.secure_sums import Federation, drawn_from

from hanse.aggregation import Phase
from hanse.aggregation.member_sum import Session
from hanse.aggregation.neighbours import neighbours


def names(count: int) -> list[str]:
    return [f"m{number:03}" for number in range(count)]


def together(pairs: Mapping[str, Collection[str]], taken: Collection[str] = ()) -> bool:
    """Whether those who are not taken away hang together."""
    left = set(pairs) - set(taken)
    reached, rim = set[str](), {min(left)}
    while rim:
        reached |= rim
        rim = {peer for member in rim for peer in pairs[member]} & left - reached
    return reached == left


@pytest.mark.parametrize("count", range(3, 12))
def test_whoever_is_taken_away_the_others_hang_together(count: int) -> None:
    """Any choice of fewer than ``apart`` members, for every such number."""
    for apart in range(2, count):
        pairs = neighbours(names(count), apart)
        assert all(member in pairs[peer] for member in pairs for peer in pairs[member])
        assert all(member not in pairs[member] for member in pairs)
        assert {len(peers) for peers in pairs.values()} == {min(apart + apart * count % 2, count - 1)}
        assert all(together(pairs, taken) for taken in combinations(pairs, apart - 1))


@pytest.mark.parametrize(("count", "apart"), [(9, 6), (10, 7), (11, 6)])
def test_one_more_can_be_too_many(count: int, apart: int) -> None:
    pairs = neighbours(names(count), apart)
    assert not all(together(pairs, taken) for taken in combinations(pairs, apart))


def test_twenty_members_share_masks_with_fourteen() -> None:
    pairs = session(20, 0).neighbours()
    assert {len(peers) for peers in pairs.values()} == {14}
    source = np.random.default_rng(20)
    assert all(together(pairs, source.permutation(list(pairs))[:13]) for _ in range(2_000))
    # The places where a circle is thinnest: two arcs of its fourteen nearest.
    circle = list(pairs)
    for first, second in combinations(range(20), 2):
        cut = {circle[(start + step) % 20] for start in (first, second) for step in range(7)}
        assert together(pairs, sorted(cut)[:13])


@pytest.mark.parametrize("size", range(3, 13))
def test_accomplices_and_vanished_together_do_not_part_the_others(size: int) -> None:
    """As many accomplices as the promise allows, and as many who vanish, before they share or later."""
    terms = Federation(size).terms()
    accomplices, may_vanish = 2 * terms.threshold - size - 1, size - terms.threshold
    for early in range(may_vanish + 1):
        pairs = session(size, early).neighbours()
        gone = accomplices + may_vanish - early
        if gone < len(pairs):
            assert all(together(pairs, taken) for taken in combinations(pairs, gone))


def session(size: int, early: int) -> Session:
    """Some of so many members have vanished before they shared."""
    terms = Federation(size).terms()
    return Session(terms, bytes(32), tuple(sorted(terms.roster)[early:]))


@pytest.mark.parametrize(("size", "gone"), [(8, 2), (10, 3), (13, 4), (20, 6)])
def test_sums_without_some_of_the_pairs_are_exact(size: int, gone: int) -> None:
    """Some vanish before their input, one after its confirmation, in every place of the circle."""
    federation = Federation(size, entropy=drawn_from("pairs"))
    inputs, circle = federation.inputs(), federation.names
    missing = [{circle[(start + 2 * step) % size] for step in range(gone - 1)} for start in range(size)]

    def absent(member: str, number: int, phase: Phase) -> bool:
        if number < 0:
            return False
        late = next(name for name in circle[number:] + circle if name not in missing[number])
        return member in missing[number] if phase is Phase.INPUT else phase is Phase.REVEAL and member == late

    local = federation.local(federation.terms(size), absent)
    local.prepare()
    for number in range(size):
        question = f"{number}".encode()

        def answer(member: str, number: int = number, question: bytes = question) -> bytes:
            return local.members[member].mask(number, question, inputs[member].copy())

        total, survivors = local.sum(number, question, np.zeros(3, "<u4"), answer)
        assert set(survivors) == set(circle) - missing[number]
        expected = sum((inputs[member] for member in survivors), np.zeros(3, "<u4"))
        assert (total == expected).all()
    assert local.refusals == {}
