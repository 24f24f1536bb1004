"""The result is exactly that of comparing the tables in the open."""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.alignment.aligning import Table, align, make_rules

from hanse.alignment.taking_part import Alignment

Row = tuple[str | None, str | None]


def in_the_open(tables: Sequence[Sequence[Row]]) -> set[tuple[int, ...]]:
    """Which rows belong together, by the rule of the agreement: a kind after the other, what is left."""
    people: set[tuple[int, ...]] = set()
    for kind in range(2):
        places = []
        for at, table in enumerate(tables):
            times = Counter(row[kind] for row in table)
            taken = {rows[at] for rows in people}
            places.append(
                {
                    row[kind]: number
                    for number, row in enumerate(table)
                    if row[kind] is not None and times[row[kind]] == 1 and number not in taken
                }
            )
        common = set.intersection(*(set(place) for place in places))
        people |= {tuple(place[one] for place in places) for one in common}
    return people


def columns(table: Sequence[Row]) -> Table:
    return {"email": [row[0] for row in table], "phone": [row[1] for row in table]}


persons = st.tuples(
    st.one_of(st.none(), st.integers(0, 9).map(lambda number: f"p{number}@shop.test")),
    st.one_of(st.none(), st.integers(0, 9).map(lambda number: f"+49170000000{number}")),
)
# Two rows that all members have for certain: enough in common, and of every kind something usable.
SURE: list[Row] = [("sure@shop.test", "+491600000000"), ("safe@shop.test", "+491600000001")]
tables = st.lists(persons, max_size=12).map(lambda rows: [*rows, *SURE])


@given(st.lists(tables, min_size=2, max_size=4))
@settings(max_examples=25, deadline=None)
def test_people_are_found_as_in_the_open(given_tables: list[list[Row]]) -> None:
    names = ("brand", "insurer", "media", "shop")[: len(given_tables)]
    done = align(
        {name: columns(table) for name, table in zip(names, given_tables, strict=True)}, make_rules()
    )
    results = [done[name] for name in names]
    assert all(isinstance(result, Alignment) for result in results), results
    rows = [result.rows.tolist() for result in results if isinstance(result, Alignment)]
    assert set(zip(*rows, strict=True)) == in_the_open(given_tables)
    assert len({result.root for result in results if isinstance(result, Alignment)}) == 1


def test_a_row_is_matched_by_the_first_kind_only() -> None:
    brand = [("one@shop.test", "+491700000001"), ("two@shop.test", "+491700000002"), *SURE]
    insurer = [("one@shop.test", "+491700000002"), ("new@shop.test", "+491700000001"), *SURE]
    done = align({"brand": columns(brand), "insurer": columns(insurer)}, make_rules())
    ours, theirs = done["brand"], done["insurer"]
    assert isinstance(ours, Alignment)
    assert isinstance(theirs, Alignment)
    # The telephone numbers of the first two contradict the addresses: nobody is paired twice.
    assert set(zip(ours.rows.tolist(), theirs.rows.tolist(), strict=True)) == {(0, 0), (2, 2), (3, 3)}
    assert ours.found == {"email": 3, "phone": 0}


def test_writings_of_one_identifier_meet_in_processes_of_their_own() -> None:
    brand = {"email": [" Anna@Shop.test", "BO@shop.test", None], "phone": [None, None, "0170/123 45 67"]}
    insurer = {"email": ["bo@shop.test", "anna@shop.test", None], "phone": [None, None, "+49 (0)170 1234567"]}
    done = align({"brand": brand, "insurer": insurer}, make_rules(), processes=1)
    ours, theirs = done["brand"], done["insurer"]
    assert isinstance(ours, Alignment)
    assert isinstance(theirs, Alignment)
    assert set(zip(ours.rows.tolist(), theirs.rows.tolist(), strict=True)) == {(0, 1), (1, 0), (2, 2)}
    assert ours.commitments == theirs.commitments
    assert ours.sizes == {"insurer": (16, 16)}  # filled up: two addresses and one number do not show


def test_the_common_order_is_random() -> None:
    table = {"code": [str(number) for number in range(4)]}
    seen = set()
    for _ in range(20):
        done = align({"brand": table, "insurer": table}, make_rules(["code"]))["brand"]
        assert isinstance(done, Alignment)
        seen.add(tuple(done.rows.tolist()))
    assert seen <= set(permutations(range(4)))
    assert len(seen) > 5  # of 24; five or fewer in twenty draws: once in 10^9


@pytest.mark.parametrize("names", [("brand", "insurer"), ("brand", "insurer", "media")])
def test_a_thousand_rows_and_half_in_common(names: Sequence[str]) -> None:
    given_tables = {
        name: {"code": [f"c{number}" for number in range(at * 250, at * 250 + 1000)]}
        for at, name in enumerate(names)
    }
    done = align(given_tables, make_rules(["code"], minimum=500))
    found = []
    for name in names:
        result = done[name]
        assert isinstance(result, Alignment)
        found.append([given_tables[name]["code"][row] for row in result.rows])
    assert all(one == found[0] for one in found)
    assert set(found[0]) == set.intersection(*(set(table["code"]) for table in given_tables.values()))
