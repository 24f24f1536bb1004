"""A prepared transform gives the features that the transform gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.learning.prepared import PreparedTransform
from hanse.learning.transform import NO_FEATURE, ColumnFeatures, Transform

values = st.sampled_from((-np.inf, -2.0, -1.0, 0.0, 0.5, 1.0, 7.0, np.inf, np.nan))


def column(name: str, edges: tuple[float, ...], first: int, gap: int) -> ColumnFeatures:
    cells = range(len(edges) + 2)
    features = [NO_FEATURE if cell == gap else first + cell - (cell > gap) for cell in cells]
    return ColumnFeatures(name=name, kind="numeric", edges=edges, categories=(), features=tuple(features))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(values, values), min_size=1, max_size=5), st.integers(0, 4), st.booleans())
def test_features_are_the_same(rows: list[tuple[float, float]], gap: int, words: bool) -> None:
    first = column("a", (-1.0, 0.0, 1.0), 0, gap)
    second = column("b", (0.5,), 4, 1)
    columns = [first, second]
    if words:
        columns.append(
            ColumnFeatures(name="w", kind="categorical", edges=(), categories=("x",), features=(6, 7))
        )
    transform = Transform(version=1, n_features=8 if words else 6, columns=tuple(columns))
    a, b = (np.array(each) for each in zip(*rows, strict=True))
    given_values = {"a": a, "b": b, "w": np.array(["x"] * len(rows), dtype=object), "more": a}
    prepared = PreparedTransform(transform)
    expected = transform.apply(given_values)
    np.testing.assert_array_equal(prepared.apply(given_values), expected)
    features, cells = prepared.features, prepared.cells(given_values)
    if words:
        assert features is None
        assert cells is None
        return
    assert features is not None
    assert cells is not None
    one_hot = np.zeros((len(rows), 7), dtype=np.float32)
    one_hot[np.arange(len(rows))[:, None], features[np.arange(2), cells.T]] = 1.0
    np.testing.assert_array_equal(one_hot[:, :-1], expected)


@pytest.mark.parametrize("edges", [3, 64, 65, 400])
def test_many_edges_are_found_as_few_are(edges: int) -> None:
    rng = np.random.default_rng(2)
    cuts = np.sort(rng.normal(size=edges)).tolist()
    columns = (column("a", tuple(cuts), 0, edges + 1), column("b", (0.5,), edges + 1, 1))
    transform = Transform(version=1, n_features=edges + 3, columns=columns)
    a = np.concatenate([rng.normal(size=500), cuts, [np.nan, np.inf, -np.inf]])
    given_values = {"a": a, "b": a[::-1].copy()}
    prepared = PreparedTransform(transform)
    np.testing.assert_array_equal(prepared.apply(given_values), transform.apply(given_values))
