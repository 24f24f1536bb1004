"""Names that are looked up by the thousand are those of a set, whatever comes and goes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from typing_extensions import override

from hanse.server.scoring import names as names_module
from hanse.server.scoring.layouts import Alike, Layouts, subjects_of
from hanse.server.scoring.names import Names

LENGTHS = (1, 8, 17, 65)
some = st.lists(st.integers(0, 20), min_size=1, max_size=40)


def name(number: int, length: int) -> bytes:
    """Names that differ anywhere, and one of zeros alone."""
    return (
        number.to_bytes(1, "little").rjust(length, b"\0")
        if number % 2
        else bytes([number]).ljust(length, b"\0")
    )


def array(numbers: list[int], length: int) -> Any:
    return np.array([np.void(name(number, length)) for number in numbers], dtype=f"V{length}")


class Kept(RuleBasedStateMachine):
    """Names beside a set of the same."""

    def __init__(self) -> None:
        super().__init__()
        self.names = Names()
        self.expected: set[bytes] = set()

    @rule(numbers=some, length=st.sampled_from(LENGTHS))
    def add(self, numbers: list[int], length: int) -> None:
        for number in numbers:
            self.names.add(name(number, length))
            self.expected.add(name(number, length))

    @rule(numbers=some, length=st.sampled_from(LENGTHS))
    def discard(self, numbers: list[int], length: int) -> None:
        for number in numbers:
            self.names.discard(name(number, length))
            self.expected.discard(name(number, length))

    @rule()
    def clear(self) -> None:
        self.names.clear()
        self.expected.clear()

    @rule(numbers=some, length=st.sampled_from(LENGTHS))
    def ask(self, numbers: list[int], length: int) -> None:
        asked = {name(number, length) for number in numbers}
        found = self.names.count_if_all(array(numbers, length))
        assert found == (len(asked) if asked <= self.expected else 0)

    @invariant()
    def all_are_there(self) -> None:
        assert len(self.names) == len(self.expected)
        for length in LENGTHS:
            for number in range(21):
                is_there = name(number, length) in self.expected
                assert (name(number, length) in self.names) == is_there
                assert bool(self.names.count_if_all(array([number], length))) == is_there


class Crowded(Kept):
    """A table so small that names have each other's places, and some have none."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(names_module, "_LEAST_BITS", 4)
        self.patch.setattr(names_module, "_PLACES", 2)
        self.patch.setattr(names_module._Table, "_first", lambda _, rows: np.zeros(len(rows), dtype=np.intp))

    @override
    def teardown(self) -> None:
        self.patch.undo()


for machine in (Kept, Crowded):
    machine.TestCase.settings = settings(max_examples=12, stateful_step_count=10, deadline=None)
test_names_are_those_of_a_set = Kept.TestCase
test_names_are_those_of_a_set_where_places_are_few = Crowded.TestCase


def test_many_names_come_and_go() -> None:
    rng = np.random.default_rng(8)
    kept, numbers = Names(), rng.choice(10**8, 20_000, replace=False)
    ids = np.array([np.void(f"customer-{number:09d}".encode()) for number in numbers], dtype="V18")
    for each in ids[:15_000].tolist():
        kept.add(each)
    for start in range(0, 15_000, 1000):
        assert kept.count_if_all(ids[start : start + 1000]) == 1000
    twice = np.concatenate([ids[:500], ids[:500]])
    assert kept.count_if_all(twice) == 500
    for place in rng.integers(0, 15_000, 200).tolist():
        kept.discard(ids[place].tobytes())
        assert not kept.count_if_all(ids[max(0, place - 50) : place + 50])
        kept.add(ids[place].tobytes())
        assert kept.count_if_all(ids[place : place + 50]) == min(50, 15_000 - place)
    for start in range(0, 15_000, 700):
        assert not kept.count_if_all(
            np.concatenate([ids[start : start + 700], ids[15_000 + start // 700 :][:1]])
        )
    kept.clear()
    assert not kept.count_if_all(ids[:1])


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 200), st.integers(1, 20), st.integers(0, 199))
def test_many_subjects_are_read_as_few_are(rows: int, length: int, wrong: int) -> None:
    ids = [name(number % 41, length) for number in range(rows)]
    raw = b"".join(length.to_bytes(4, "little") + each for each in ids)
    layout: Any = Layouts.__new__(Layouts)
    layout.rows, layout.subject_length = rows, length.to_bytes(4, "little")
    layout.subject_type = np.dtype([("length", "<u4"), ("name", f"V{length}")])
    found = subjects_of(Alike(layout, b"", raw, b""))
    assert found is not None
    assert {bytes(each) for each in found} == set(ids)
    place = wrong % rows * (4 + length)
    altered = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
    assert subjects_of(Alike(layout, b"", altered, b"")) is None
