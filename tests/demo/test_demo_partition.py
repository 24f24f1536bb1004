from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.demo.data import DemoData, Rows, load
from hanse.demo.dictionaries import BUNDLED
from hanse.demo.partition import MAXIMUM_MEMBERS, MINIMUM_ROWS, partition
from hanse.errors import ConfigurationError


def made_up(sizes: list[int]) -> DemoData:
    """Groups of the given sizes, rows shuffled; column "row" numbers them."""
    rng = np.random.default_rng(1)
    n_rows = sum(sizes)
    groups = np.repeat(np.array([f"g{number}" for number in range(len(sizes))], dtype=object), sizes)
    return DemoData(
        dictionary=BUNDLED,
        rows=Rows(MappingProxyType({"row": np.arange(n_rows)}), rng.random(n_rows) < 0.3),
        groups=rng.permutation(groups),
        test=rng.random(n_rows) < 0.2,
    )


def assert_is_partition(data: DemoData, members: int) -> None:
    parts = partition(data, members)
    assert len(parts) == members
    assert len({part.name for part in parts}) == len({part.organisation for part in parts}) == members
    assert parts[0].name == "brand"
    for kind, mask in (("rows", ~data.test), ("test", data.test)):
        found = np.concatenate([getattr(part, kind).columns["row"] for part in parts])
        assert sorted(found.tolist()) == np.flatnonzero(mask).tolist()
    for part in parts:
        assert len(part.rows) >= MINIMUM_ROWS
        labels = data.rows.labels[part.rows.columns["row"].astype(np.intp)]
        assert np.array_equal(labels, part.rows.labels)
        assert set(data.groups[part.rows.columns["row"].astype(np.intp)]) <= set(part.groups)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4000), min_size=1, max_size=12), st.integers(2, 12))
def test_partition_is_a_partition(sizes: list[int], members: int) -> None:
    data = made_up(sizes)
    if np.count_nonzero(~data.test) >= 1.5 * members * MINIMUM_ROWS:
        assert_is_partition(data, members)
    elif np.count_nonzero(~data.test) < members * MINIMUM_ROWS:
        with pytest.raises(ConfigurationError, match="too few"):
            partition(data, members)


@pytest.mark.parametrize("members", [2, 3, 4, 10])
def test_bundled_set_is_divided(members: int) -> None:
    parts = partition(load(), members)
    assert sum(len(part.rows) + len(part.test) for part in parts) == 4521


def test_whole_groups_stay_together_where_they_can() -> None:
    groups = [part.groups for part in partition(load(), 4)]
    assert sum(len(names) for names in groups) == 12
    assert len({name for names in groups for name in names}) == 12


def test_the_largest_group_is_cut_only_when_there_are_too_few() -> None:
    parts = partition(made_up([3000, 1000]), 3)
    assert sorted(part.groups for part in parts) == [("g0",), ("g0",), ("g1",)]


def test_members_differ_in_kind() -> None:
    rates = [part.rows.labels.mean() for part in partition(load(), 4)]
    assert max(rates) - min(rates) > 0.04


@pytest.mark.parametrize("members", [-1, 0, 1, MAXIMUM_MEMBERS + 1])
def test_an_impossible_number_of_members_is_refused(members: int) -> None:
    with pytest.raises(ConfigurationError, match=f"2 to {MAXIMUM_MEMBERS} members, not {members}"):
        partition(load(), members)


def test_too_many_members_for_the_rows_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="too few for 40 members"):
        partition(load(), 40)


def test_a_member_of_one_class_is_refused() -> None:
    data = made_up([2000, 2000])
    one_class = Rows(data.rows.columns, data.groups == "g0")
    with pytest.raises(ConfigurationError, match="one class"):
        partition(DemoData(BUNDLED, one_class, data.groups, data.test), 2)


def test_forty_members_have_names() -> None:
    assert_is_partition(made_up([30_000]), 45)
