"""Federated quantiles: as numpy's, as one member's, and no answer to a coordinator that asks for more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanse.aggregation import FixedPoint, InProcessAggregator, Query, encode_body
from hanse.errors import HanseError, ProtocolError
from hanse.learning.quantiles import KIND, QuantileContributor, federated_quantiles, key_values, sort_keys

ENCODING = FixedPoint(bound=1e6, contributors=3, fraction_bits=0, ring_bits=64)


def aggregator(parts: list[NDArray[np.float64]]) -> InProcessAggregator:
    return InProcessAggregator({f"m{i}": QuantileContributor({"x": part}) for i, part in enumerate(parts)})


@pytest.mark.parametrize("shape", ["normal", "heavy tail", "years", "zeros", "missing"])
def test_bins_hold_equal_shares(shape: str) -> None:
    rng = np.random.default_rng(3)
    x = {
        "normal": rng.normal(size=8000),
        "heavy tail": np.exp(3 * rng.normal(size=8000)),
        "years": rng.integers(1960, 2027, 8000).astype(float),
        "zeros": np.where(rng.random(8000) < 0.6, 0.0, rng.gamma(1, 1000, 8000)),
        "missing": np.where(rng.random(8000) < 0.3, np.nan, rng.normal(size=8000)),
    }[shape]
    found = federated_quantiles(aggregator(np.array_split(x, 7)), ["x"], bins=16)["x"]
    assert found.counts.sum() == np.isfinite(x).sum()
    edges = found.edges(16)
    assert len(edges) <= 15
    shares = np.histogram(x[np.isfinite(x)], [-np.inf, *edges, np.inf])[0] / np.isfinite(x).sum()
    common = np.unique(x[np.isfinite(x)], return_counts=True)[1].max() / np.isfinite(x).sum()
    assert shares.max() <= max(1.6 / 16, common + 0.01)
    assert len(edges) >= (8 if shape == "zeros" else 14)
    for share in (0.1, 0.5, 0.9):
        below = (x[np.isfinite(x)] < found.quantile(share)).mean()
        assert below <= share <= below + max(1 / 32, common + 0.01)


@settings(max_examples=30)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=60), st.integers(1, 5))
def test_members_count_as_one(values: list[float], members: int) -> None:
    x = np.array(values)
    pooled = federated_quantiles(aggregator([x]), ["x"], bins=4)["x"]
    parted = federated_quantiles(aggregator(np.array_split(x, members)), ["x"], bins=4)["x"]
    np.testing.assert_array_equal(pooled.lower, parted.lower)
    np.testing.assert_array_equal(pooled.counts, parted.counts)
    assert list(pooled.edges(4)) == sorted(set(pooled.edges(4)))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_keys_sort_as_values(values: list[float]) -> None:
    x = np.array(values)
    np.testing.assert_array_equal(key_values(sort_keys(x)), x)
    np.testing.assert_array_equal(np.sort(sort_keys(x)), sort_keys(np.sort(x)))


def test_bounds_hold_values_back() -> None:
    contributor = QuantileContributor({"x": np.array([-5.0, 1.0, 2.0, 1e30])}, {"x": (0.0, 10.0)})
    found = federated_quantiles(InProcessAggregator({"a": contributor}), ["x"], bins=64)["x"]
    assert found.lower.tolist() == [0.0, 1.0, 2.0, 10.0]


def test_few_rows_are_not_divided() -> None:
    rng = np.random.default_rng(0)
    found = federated_quantiles(aggregator([rng.random(400)]), ["x"], bins=1000, min_rows=50)["x"]
    assert len(found.counts) < 200  # of 400 rows, each with a value of its own


def test_no_values_have_no_quantile() -> None:
    found = federated_quantiles(aggregator([np.full(3, np.nan)]), ["x"], bins=4)["x"]
    assert found.edges(4) == ()
    with pytest.raises(HanseError, match=r"config\.bad-data"):
        found.quantile(0.5)


def ask(
    step: int, column: list[int], first: list[int], length: int, names: tuple[str, ...] = ("x",)
) -> Query:
    body = encode_body(
        {"columns": names, "step": step}, np.array(column, dtype=np.uint16), np.array(first, dtype=np.uint32)
    )
    return Query(KIND, body, length, ENCODING)


@pytest.mark.parametrize(
    "query",
    [
        ask(0, [0], [0], 511),
        ask(0, [1], [0], 512),
        ask(0, [0, 0], [0, 0], 1024),
        ask(0, [0], [1], 512),
        ask(0, [], [], 0),
        ask(1, [0], [0], 64),
        ask(5, [0], [0], 64),
        ask(-1, [0], [0], 64),
        ask(0, [0], [0], 512, ("y",)),
        ask(0, [0], [0], 512, ("x", "x")),
        Query("tree.level", ask(0, [0], [0], 512).body, 512, ENCODING),
        Query(KIND, encode_body({"columns": ["x"], "step": 0}, np.zeros(1), np.zeros(1)), 512, ENCODING),
        Query(KIND, encode_body({"columns": ["x"], "step": True}), 512, ENCODING),
        Query(KIND, b"", 512, ENCODING),
    ],
)
def test_other_questions_are_refused(query: Query) -> None:
    with pytest.raises(ProtocolError):
        QuantileContributor({"x": np.arange(5.0)}).contribute(query)


def test_a_cell_is_divided_once_and_only_within_what_was_divided() -> None:
    contributor = QuantileContributor({"x": np.arange(5.0)})
    contributor.contribute(ask(0, [0], [0], 512))
    with pytest.raises(ProtocolError):
        contributor.contribute(ask(0, [0], [0], 512))
    contributor.contribute(ask(1, [0], [1 << 23], 64))
    with pytest.raises(ProtocolError):
        contributor.contribute(ask(2, [0], [2 << 23], 64))


@given(st.binary(max_size=60), st.integers(0, 600))
def test_bytes_from_anywhere_are_refused(body: bytes, length: int) -> None:
    with pytest.raises(ProtocolError):
        QuantileContributor({"x": np.arange(5.0)}).contribute(Query(KIND, body, length, ENCODING))
