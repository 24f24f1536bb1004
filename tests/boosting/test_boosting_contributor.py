"""A member answers the questions that are due, each once, and nothing else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.boosting.boosting_data import BINNING, contributors, make_table

from hanse.aggregation import Aggregate, FixedPoint, InProcessAggregator, Query, decode_body, encode_body
from hanse.errors import ConfigurationError, HanseError, PolicyError, ProtocolError
from hanse.learning.boosting import (
    BinnedColumn,
    Binning,
    BoostingContributor,
    BoostingCoordinator,
    BoostingSettings,
)
from hanse.learning.boosting.columns import sampled_columns
from hanse.learning.boosting.messages import LEVEL, MAX_ROWS, START, make_encoding

SETTINGS = BoostingSettings(trees=3, depth=3, min_rows=5, column_sample=0.6, patience=9, category_l2=0)
NOT_SAMPLED = sorted({0, 1, 2} - set(sampled_columns(3, 0.6, SETTINGS.seed, 0).tolist()))
TABLE = make_table(np.random.default_rng(0), 300)


def member() -> BoostingContributor:
    return contributors(SETTINGS, [TABLE])["member-00"]


class Recording:
    """Keeps the questions of a run."""

    def __init__(self) -> None:
        self._inner = InProcessAggregator({"a": member()})
        self.queries: list[Query] = []

    @property
    def members(self) -> tuple[str, ...]:
        return self._inner.members

    def aggregate(self, query: Query) -> Aggregate:
        self.queries.append(query)
        return self._inner.aggregate(query)


@pytest.fixture(scope="module")
def queries() -> list[Query]:
    """Begin, up to three levels of three trees, and the last loss."""
    recording = Recording()
    BoostingCoordinator(recording, SETTINGS, BINNING).train()
    assert [query.kind for query in recording.queries] == [START] + [LEVEL] * (len(recording.queries) - 1)
    levels = [decode_body(query.body)[0]["level"] for query in recording.queries[1:]]
    assert levels[:4] == [0, 1, 2, 0]
    assert levels[-1] == 0
    return recording.queries


def after(queries: list[Query], count: int) -> BoostingContributor:
    fresh = member()
    for query in queries[:count]:
        fresh.contribute(query)
    return fresh


def test_every_question_is_answered_once_and_in_order(queries: list[Query]) -> None:
    for count in range(len(queries) + 1):
        for other, query in enumerate(queries):
            if other not in (count, count - 1):  # the last one is answered as it was
                with pytest.raises(ProtocolError, match=r"unexpected-step|malformed"):
                    after(queries, count).contribute(query)


def changed(query: Query, header: dict[str, Any] | None = None, **arrays: Any) -> Query:
    """The query with some of its parameters replaced."""
    names = ("nodes", "columns", "left", "asked", "values")
    read_header, read = decode_body(query.body)
    parts = [np.asarray(arrays.get(name, part), part.dtype) for name, part in zip(names, read, strict=True)]
    return replace(query, body=encode_body(read_header | (header or {}), *parts))


def test_a_refused_question_changes_nothing(queries: list[Query]) -> None:
    fresh = after(queries, 3)
    with pytest.raises(ProtocolError):
        fresh.contribute(changed(queries[3], asked=[0]))
    untouched = after(queries, 3)
    for query in queries[3:]:
        np.testing.assert_array_equal(fresh.contribute(query), untouched.contribute(query))


@pytest.mark.parametrize(
    "arrays",
    [
        {"nodes": [9]},
        {"nodes": [1]},
        {"columns": NOT_SAMPLED},
        {"columns": [40]},
        {"asked": [1, 2]},  # both children: one of them is what is left
        {"asked": [0]},
        {"asked": [3]},
        {"asked": []},
        {"values": [1.0]},
    ],
)
def test_a_step_that_cannot_be_is_refused(queries: list[Query], arrays: dict[str, Any]) -> None:
    _, (nodes, columns, _, asked, _) = decode_body(queries[2].body)
    assert (nodes.tolist(), len(asked)) == ([0], 1)
    assert columns.tolist() != NOT_SAMPLED
    with pytest.raises(ProtocolError):
        after(queries, 2).contribute(changed(queries[2], **arrays))


def test_only_one_child_of_a_pair_is_told(queries: list[Query]) -> None:
    query = changed(queries[2], asked=[1, 2])
    with pytest.raises(ProtocolError, match="cannot be asked"):
        after(queries, 2).contribute(replace(query, length=2 * query.length))


def test_another_length_or_precision_is_refused(queries: list[Query]) -> None:
    for count in (0, 1, 2):
        with pytest.raises(ProtocolError, match="length"):
            after(queries, count).contribute(replace(queries[count], length=queries[count].length + 1))
        coarse = FixedPoint(1e4, 1, SETTINGS.gradient_bits - 1, 64)
        with pytest.raises(PolicyError, match="precision"):
            after(queries, count).contribute(replace(queries[count], encoding=coarse))


def test_other_settings_or_columns_are_refused(queries: list[Query]) -> None:
    other_settings = SETTINGS.model_copy(update={"depth": 4})
    other_columns = Binning(columns=(BinnedColumn(name="amount", kind="numeric", edges=(0.0,)),))
    for chosen, binning in ((other_settings, BINNING), (SETTINGS, other_columns)):
        with pytest.raises(PolicyError, match="agreed"):
            BoostingContributor(chosen, binning, binning.encode(TABLE.columns), TABLE.labels).contribute(
                queries[0]
            )
    with pytest.raises(ProtocolError):
        member().contribute(replace(queries[0], kind="noise"))


@settings(max_examples=40)
@given(st.binary(max_size=80), st.sampled_from([START, LEVEL]), st.integers(0, 2))
def test_bytes_from_anywhere_are_refused(queries: list[Query], body: bytes, kind: str, count: int) -> None:
    with pytest.raises(HanseError):
        after(queries, count).contribute(replace(queries[count], kind=kind, body=body))


@settings(max_examples=40)
@given(st.data())
def test_changed_questions_are_refused_or_answered(queries: list[Query], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 3))
    body = bytearray(queries[count].body)
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        answer = after(queries, count).contribute(replace(queries[count], body=bytes(body)))
    except HanseError:
        return
    assert answer.shape == (queries[count].length,)
    queries[count].encoding.encode(answer)


@pytest.mark.parametrize(
    ("labels", "changes"),
    [
        (TABLE.labels + 0.5, {}),
        (TABLE.labels[:-1], {}),
        (np.repeat(TABLE.labels, 2, axis=1), {}),
        (TABLE.labels.astype(str), {}),
        (TABLE.labels, {"weights": np.full(300, 1.5)}),
        (TABLE.labels, {"weights": np.full(300, -0.5)}),
        (TABLE.labels, {"weights": np.full(300, np.nan)}),
        (TABLE.labels, {"weights": np.ones(3)}),
        (TABLE.labels, {"validation": np.zeros(3, dtype=np.bool_)}),
        (TABLE.labels, {"validation": np.zeros(300)}),
    ],
)
def test_data_that_is_not_as_described_is_refused(labels: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.bad-data"):
        BoostingContributor(SETTINGS, BINNING, BINNING.encode(TABLE.columns), labels, **changes)


def test_the_ring_is_wide_enough() -> None:
    assert make_encoding(SETTINGS, 1000, 5).ring_bits == 32
    assert make_encoding(SETTINGS, 6554, 5).ring_bits == 64
    assert make_encoding(SETTINGS, MAX_ROWS, 1000).ring_bits == 64
    with pytest.raises(ConfigurationError, match="gradient_bits"):
        make_encoding(SETTINGS, 1 << 36, 1000)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.sampled_from([8, 16, 20]), st.floats(0.001, 1000), st.floats(0.001, 1000))
def test_the_largest_sums_fit(rows: int, bits: int, weight: float, positive_weight: float) -> None:
    """Rows that are all of one kind, with the largest weights, reach the bound and not more."""
    chosen = BoostingSettings(
        trees=2, gradient_bits=bits, max_weight=weight, positive_weight=positive_weight, min_rows=1
    )
    columns = {name: values[:rows] for name, values in TABLE.columns.items()}
    data = BoostingContributor(
        chosen, BINNING, BINNING.encode(columns), np.ones(rows), weights=np.full(rows, weight)
    )
    trained = BoostingCoordinator(InProcessAggregator({"a": data}), chosen, BINNING).train()
    assert np.isfinite(trained.scores(columns)).all()
