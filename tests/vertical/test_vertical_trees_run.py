"""Parties with different columns grow the very trees of one holder of all columns, and score with them."""

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.boosting.boosting_data import Table, make_table
from tests.vertical.trees_run import LABEL, OWN, SETTINGS, Run, conduct, make_run, pooled

from hanse.errors import HanseError, ProtocolError, ServingError
from hanse.exchange.peers import PeerChannel, memory_pair
from hanse.learning.boosting import BoostingSettings
from hanse.learning.boosting.forest import LEAF
from hanse.learning.vertical.trees import (
    FeaturePart,
    LabelHolder,
    LabelPart,
    answer_request,
    request_scores,
)

ROWS = 300
CASES: dict[str, tuple[dict[str, Any], dict[str, list[int]]]] = {
    "one label": ({}, {"insurer": [1, 2]}),
    "stopping, samples": (
        {"trees": 9, "patience": 2, "subsample": 0.7, "column_sample": 0.7},
        {"insurer": [2, 1]},
    ),
    "two labels, two holders": ({"labels": 2, "positive_weight": 3.0}, {"insurer": [1], "media": [2]}),
    "a number": (
        {"objective": "squared", "value_range": (-100.0, 400.0), "depth": 2, "l2": 1.0},
        {"insurer": [2, 1]},
    ),
    "nobody else": ({}, {}),
}


def good_run(table: Table, settings: BoostingSettings, holders: dict[str, list[int]]) -> Run:
    run = conduct(make_run(table, settings, holders))
    assert not run.errors, run.errors
    return run


@pytest.mark.parametrize("name", CASES)
def test_the_trees_are_those_of_one_holder_of_all_columns(name: str) -> None:
    changes, holders = CASES[name]
    settings = SETTINGS.model_copy(update=changes)
    number = settings.objective == "squared"
    table = make_table(np.random.default_rng(6), ROWS, settings.labels, number)
    run = good_run(table, settings, holders)
    reference = pooled(run, table, run.terms.exact)
    part = run.label_part
    assert part.trees.description.base == reference.description.base
    assert np.array_equal(part.trees.forest.value, reference.forest.value)
    assert np.array_equal(part.trees.forest.first, reference.forest.first)
    codes = np.concatenate(_codes(run, table), axis=1)
    sides = {one: run.parts[one].sides(table.columns) for one in holders}
    assert np.array_equal(part.raw(table.columns, sides), reference.raw(codes))
    used = part.trees.forest.column[part.trees.forest.column != LEAF]
    assert (used == 0).any()
    assert (used > 0).any() == bool(holders)
    assert len(part.trees.forest) > settings.labels


def _codes(run: Run, table: Table) -> list[Any]:
    return [OWN.encode(table.columns), *(holder.codes for holder in run.features.values())]


def test_rows_are_scored_in_one_round_trip_by_parts_from_files() -> None:
    table = make_table(np.random.default_rng(7), ROWS)
    run = good_run(table, SETTINGS, {"insurer": [1], "media": [2]})
    label = LabelPart.decode(*run.label_part.encode())
    parts = {name: FeaturePart.decode(run.parts[name].encode()) for name in run.features}
    assert label.encode() == run.label_part.encode()
    rows = np.array([5, 17, 250, 250, 0])
    peers, answered, threads = {}, [], []

    def answer(part: FeaturePart, end: PeerChannel) -> None:
        answered.append(answer_request(part, end, lambda asked: table.take(asked).columns))

    for name, part in parts.items():
        peers[name], end = memory_pair(LABEL, name)
        threads.append(threading.Thread(target=answer, args=(part, end)))
        threads[-1].start()
    found = request_scores(label, peers, rows, table.take(rows).columns)
    for thread in threads:
        thread.join()
    sides = {name: part.sides(table.columns) for name, part in parts.items()}
    assert np.array_equal(found, run.label_part.scores(table.columns, sides)[rows])
    assert answered == [len(rows)] * len(parts)
    assert [channel.sent_messages for channel in peers.values()] == [1, 1]
    with pytest.raises(ServingError):
        label.scores(table.columns, {**sides, "media": sides["media"][:0]})


def test_a_part_of_another_run_does_not_score() -> None:
    table = make_table(np.random.default_rng(7), ROWS)
    run, other = (good_run(table, SETTINGS, {"insurer": [1, 2]}) for _ in range(2))
    peer, end = memory_pair(LABEL, "insurer", timeout_s=0.05)
    with pytest.raises(HanseError, match="said nothing"):
        request_scores(run.label_part, {"insurer": peer}, np.arange(3), table.take(np.arange(3)).columns)
    with pytest.raises(ProtocolError, match="another model"):
        answer_request(other.parts["insurer"], end, lambda rows: table.take(rows).columns)


def test_parties_with_other_rows_or_terms_do_not_begin() -> None:
    table = make_table(np.random.default_rng(8), ROWS)
    run, other = (make_run(table, context=context) for context in ("aa", "bb"))
    run.features = other.features
    assert {error.code for error in conduct(run).errors.values() if isinstance(error, HanseError)} >= {
        "policy.denied"
    }
    with pytest.raises(HanseError, match="aligned rows"):
        LabelHolder(run.terms, *_too_few(table))


def _too_few(table: Table) -> tuple[Any, Any, Any]:
    short = table.take(np.arange(10))
    return OWN, short.columns, short.labels


@given(st.binary(max_size=200))
def test_no_bytes_break_the_readers_of_parts(data: bytes) -> None:
    with pytest.raises(ServingError):
        FeaturePart.decode(data)
    with pytest.raises(ServingError):
        LabelPart.decode(data, data)
