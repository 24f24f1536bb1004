"""How the benchmark of horizontal learning deals rows to members."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

PATH = Path(__file__).parents[2] / "benchmarks" / "horizontal_parts" / "members.py"


def load() -> ModuleType:
    """Benchmarks are scripts, and on no path."""
    spec = spec_from_file_location("benchmarked_members", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


dealt = load()


@given(
    st.lists(st.integers(0, 3), min_size=60, max_size=200),
    st.integers(4, 12),
    st.sampled_from(dealt.ASSIGNMENTS),
    st.integers(0, 9),
)
def test_every_row_is_dealt_once(kinds: list[int], members: int, assignment: str, seed: int) -> None:
    kind = np.array([*range(4), *kinds])
    rows = np.flatnonzero(np.arange(len(kind)) % 5 != seed)
    parts = dealt.assign(rows, kind, members, assignment, seed)
    assert len(parts) == members
    assert sorted(np.concatenate(parts).tolist()) == rows.tolist()
    again = dealt.assign(rows, kind, members, assignment, seed)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))


def test_by_kind_gives_each_member_one_kind_and_at_random_all() -> None:
    kind = np.repeat([0, 1, 2, 3], [400, 300, 200, 100])
    by_kind = dealt.assign(np.arange(1000), kind, 10, "by kind", 0)
    assert all(len(set(kind[part])) == 1 for part in by_kind)
    assert [len(part) for part in by_kind] == [100] * 10
    at_random = dealt.assign(np.arange(1000), kind, 10, "at random", 0)
    assert all(set(kind[part]) == {0, 1, 2, 3} for part in at_random)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=6), st.integers(0, 40))
def test_no_kind_could_give_up_a_member_to_even_out(rows: list[int], more: int) -> None:
    shares = dealt.members_per_kind(rows, len(rows) + more)
    assert sum(shares) == len(rows) + more
    assert min(shares) >= 1
    fullest = max(count / share for count, share in zip(rows, shares, strict=True))
    assert all(count / (share - 1) >= fullest for count, share in zip(rows, shares, strict=True) if share > 1)


def test_fewer_members_than_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer members"):
        dealt.members_per_kind([5, 5], 1)
