"""Exact sums for every pattern of drop-outs; where too few are left, an error with a name."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations, product
from math import prod

import numpy as np
import pytest
from tests.aggregation.secure_sums import Federation, drawn_from

from hanse.aggregation import Phase, SumTerms
from hanse.aggregation.local import PREPARING, LocalEpoch
from hanse.errors import TrainingError

Pattern = dict[str, Phase]
PREPARATION = (Phase.ADVERTISE, Phase.SHARE)
IN_A_SUM = (Phase.INPUT, Phase.CONFIRM, Phase.REVEAL)


def test_thresholds() -> None:
    thresholds = [Federation(size).terms().threshold for size in range(3, 11)]
    assert thresholds == [3, 3, 4, 5, 5, 6, 7, 7]
    assert all(3 * threshold > 2 * size for size, threshold in enumerate(thresholds, start=3))


def patterns(names: list[str], phases: tuple[Phase, ...], most: int) -> Iterator[Pattern]:
    """Every way in which up to so many of the members vanish in any of the phases."""
    for count in range(most + 1):
        for gone in combinations(names, count):
            for when in product(phases, repeat=count):
                yield dict(zip(gone, when, strict=True))


def check_epoch(federation: Federation, epoch: int, preparation: Pattern, sums: list[Pattern]) -> None:
    """One epoch with one pattern while it is prepared; each of its sums has a pattern of its own.

    Who vanishes from one sum is back in the next.
    """

    def absent(member: str, number: int, phase: Phase) -> bool:
        return (preparation if number == PREPARING else sums[number]).get(member) is phase

    few = len(federation.names) - len(preparation) < federation.terms().required
    terms = federation.terms(1 if few else len(sums), epoch)
    local = federation.local(terms, absent)
    if few:
        with pytest.raises(TrainingError, match=r"run\.insufficient-members"):
            local.prepare()
        return
    assert set(local.prepare()) == set(federation.names) - set(preparation)
    for number, pattern in enumerate(sums):
        check_sum(federation, local, terms, number, pattern)
    assert local.refusals == {}


def check_sum(
    federation: Federation,
    local: LocalEpoch,
    terms: SumTerms,
    number: int,
    pattern: Pattern,
) -> None:
    inputs = federation.inputs()
    question = f"{terms.epoch} {number}".encode()
    present = [member for member in local.sharers if member in federation.names]
    survivors = tuple(member for member in present if pattern.get(member) is not Phase.INPUT)

    def answer(member: str) -> bytes:
        return local.members[member].mask(number, question, inputs[member].copy())

    def make() -> None:
        total, whose = local.sum(number, question, np.zeros(3, "<u4"), answer)
        assert whose == survivors
        expected = np.zeros(3, "<u4")
        for member in survivors:
            expected += inputs[member]
        assert (total == expected).all()

    vanished = sum(member in pattern for member in present)
    if len(survivors) < terms.required or len(present) - vanished < terms.threshold:
        with pytest.raises(TrainingError, match=r"run\.insufficient-members"):
            make()
    else:
        make()


def exact(names: list[str], threshold: int) -> dict[tuple[tuple[str, Phase], ...], list[Pattern]]:
    """All patterns that leave enough members, by what happens while the epoch is prepared."""
    found: dict[tuple[tuple[str, Phase], ...], list[Pattern]] = defaultdict(list)
    for pattern in patterns(names, PREPARATION + IN_A_SUM, len(names) - threshold):
        before = tuple((member, phase) for member, phase in pattern.items() if phase in PREPARATION)
        found[before].append({member: phase for member, phase in pattern.items() if phase in IN_A_SUM})
    return found


@pytest.mark.parametrize(
    ("size", "count"),
    [(3, 1), (4, 21), (5, 26), (6, 31), pytest.param(7, 561, marks=pytest.mark.slow)],
)
def test_every_pattern_that_leaves_enough_members_gives_the_exact_sum(size: int, count: int) -> None:
    federation = Federation(size, entropy=drawn_from("exact"))
    groups = exact(federation.names, federation.terms().threshold)
    assert sum(len(sums) for sums in groups.values()) == count
    for epoch, (preparation, sums) in enumerate(groups.items(), start=1):
        check_epoch(federation, epoch, dict(preparation), sums)


@pytest.mark.parametrize(("size", "count"), [(3, 215), pytest.param(4, 1275, marks=pytest.mark.slow)])
def test_every_pattern_that_leaves_too_few_ends_in_a_named_error(size: int, count: int) -> None:
    federation = Federation(size, entropy=drawn_from("few"))
    threshold = federation.terms().threshold
    found: dict[tuple[tuple[str, Phase], ...], list[Pattern]] = defaultdict(list)
    for pattern in patterns(federation.names, PREPARATION + IN_A_SUM, size):
        if size - len(pattern) < threshold:
            before = tuple((member, phase) for member, phase in pattern.items() if phase in PREPARATION)
            found[before].append({member: phase for member, phase in pattern.items() if phase in IN_A_SUM})
    assert sum(len(sums) for sums in found.values()) == count
    for epoch, (preparation, sums) in enumerate(found.items(), start=1):
        check_epoch(federation, epoch, dict(preparation), sums)


@pytest.mark.parametrize(
    "size", [5, pytest.param(6, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)]
)
def test_every_kind_of_pattern_that_leaves_too_few_ends_in_a_named_error(size: int) -> None:
    """For each number of members that vanish in each phase, one choice of the members.

    The protocol tells members apart by their order only, which the exact sums have gone through.
    """
    federation = Federation(size, entropy=drawn_from("kinds"))
    threshold = federation.terms().threshold
    names = federation.names
    found: dict[tuple[tuple[str, Phase], ...], list[Pattern]] = defaultdict(list)
    for counts in product(range(size + 1), repeat=5):
        if size - threshold < sum(counts) <= size:
            phases = zip(PREPARATION + IN_A_SUM, counts, strict=True)
            when = [phase for phase, count in phases for _ in range(count)]
            start = prod(count + 1 for count in counts[2:]) % size
            early = dict(zip(names, when[: sum(counts[:2])], strict=False))
            rest = [name for name in names[start:] + names[:start] if name not in early]
            found[tuple(early.items())].append(dict(zip(rest, when[len(early) :], strict=False)))
    for epoch, (preparation, sums) in enumerate(found.items(), start=1):
        check_epoch(federation, epoch, dict(preparation), sums)


def test_the_minimum_of_the_agreement_counts_where_it_is_above_the_threshold() -> None:
    federation = Federation(4, minimum=4)
    check_epoch(federation, 1, {}, [{}, {"m1": Phase.INPUT}, {"m2": Phase.REVEAL}])
    check_epoch(federation, 2, {"m3": Phase.SHARE}, [{}])
