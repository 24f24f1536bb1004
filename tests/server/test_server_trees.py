"""Boosted trees in phases, over nodes and sessions in one process: what they come to, and what is refused."""

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.conftest import PLAIN
from tests.server.test_server_phases import left, listen, own_entries
from tests.server.test_server_resuming import survive
from typing_extensions import override

from hanse.aggregation import InProcessAggregator, Query
from hanse.api.v1 import round_pb2 as pb
from hanse.client.algorithms import boosting
from hanse.errors import PolicyError, ProtocolError, ServingError
from hanse.learning import Transform
from hanse.learning.boosting import (
    BoostingContributor,
    BoostingCoordinator,
    TreeColumns,
    agreed_settings,
    decode_trees,
    encode_trees,
    open_trees,
)
from hanse.policies import Training, Trees
from hanse.server.algorithms.boosting import Boosting as ServerBoosting

TRAINING = Training.model_validate(
    {
        "model": "trees",
        "hidden": [],
        "rounds": 2,
        "local_steps": 2,
        "sample_rate": 1.0,
        "learning_rate": 0.3,
        "clip_norm": 1.0,
        "max_update_norm": 1.0,
        "round_timeout_s": 30,
        "holdout_fraction": 0.2,
        "trees": {"depth": 3, "min_rows": 20, "l2": 10.0},
    }
)


@pytest.fixture
def trees(federation: Callable[..., Any]) -> Callable[..., Any]:
    """Four members under an agreement to grow trees."""
    return lambda: federation(4, None, training=TRAINING, columns=PLAIN)


class Rows:
    """Remembers what members learn from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.learned: list[tuple[Any, Any]] = []
        rows = self.learned

        class Recording(BoostingContributor):
            def __init__(self, settings: Any, binning: Any, codes: Any, labels: Any, **more: Any) -> None:
                rows.append((codes, labels))
                super().__init__(settings, binning, codes, labels, **more)

        monkeypatch.setattr(boosting, "BoostingContributor", Recording)


def pooled(transform: Transform, rows: list[tuple[Any, Any]]) -> bytes:
    settings, binning = agreed_settings(TRAINING, TRAINING.rounds), TreeColumns(transform).binning
    codes, labels = (np.concatenate(part) for part in zip(*rows, strict=True))
    member = BoostingContributor(settings, binning, codes, labels)
    return encode_trees(BoostingCoordinator(InProcessAggregator({"all": member}), settings, binning).train())


def test_trees_of_a_run_are_those_of_all_rows_in_one_place(
    trees: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = trees()
    rows = Rows(monkeypatch)
    heard = listen(monkeypatch)
    rounds, record = local.rounds(local.transport())
    outcome = rounds.conduct()
    rounds.finish("propensity@1", "0" * 64, "")

    assert left(record) == {}
    assert outcome.model_file == pooled(outcome.transform, rows.learned[:4])
    assert outcome.metrics.auc is not None
    assert outcome.metrics.auc > 0.6
    kinds = Counter(one.query.kind.partition("/")[2] for one in heard)
    levels = TRAINING.rounds * TRAINING.local_steps * 3
    assert kinds == {
        "preprocessing.cells": 4,
        "tree.start": 8,
        "tree.level": 4 * levels,
        "evaluation.scores": 12,
    }
    steps = [entry.type.value for entry in own_entries(local, "media")]
    assert steps[-10:] == [
        *("budget.planned", "round.admitted", "run.prepared"),
        *("round.admitted", "round.trained") * 2,
        *("round.admitted", "run.evaluated", "run.finished"),
    ]


@pytest.mark.slow
def test_who_vanishes_within_a_tree_is_lost_and_three_go_on(
    trees: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = trees()
    asked = Counter[str]()

    def vanish(member: str, kind: str) -> None:
        asked[member] += kind == "tree.level"
        if member == "media" and asked[member] == 5:  # the second tree, below its root
            raise PolicyError("policy.cohort", "gone", rule="P15")

    listen(monkeypatch, vanish)
    rounds, record = local.rounds(local.transport())
    outcome = rounds.conduct()
    assert left(record) == {"media": "policy.cohort"}
    assert outcome.members == tuple(sorted(set(local.nodes) - {"media"}))
    predictor = open_trees(TRAINING, outcome.transform, outcome.model_file)
    sizes = predictor.trees.forest.sizes().tolist()
    assert len(sizes) == 4
    # That tree ends where its sums would have been asked for again, without one of their members.
    assert sizes[1] == 3
    assert min(sizes[0], *sizes[2:]) > 3
    assert asked["brand"] == 3 + 2 + 6


@pytest.mark.slow
def test_a_round_that_was_interrupted_goes_on_with_its_next_level(
    trees: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = trees()
    rows = Rows(monkeypatch)
    heard = listen(monkeypatch)
    outcome, record = survive(local, monkeypatch, "find", 12)
    assert left(record) == {}
    assert outcome.model_file == pooled(outcome.transform, rows.learned[:4])
    asked = Counter((one.member, one.query.kind, one.query.body) for one in heard)
    assert set(asked.values()) == {1}


def test_a_question_of_which_nothing_came_is_answered_as_before() -> None:
    member = Member()
    learner = member.learner(1, boosting_start())
    heard: list[Any] = []

    class Asking(InProcessAggregator):
        @override
        def aggregate(self, query: Query) -> Any:
            first = super().aggregate(query)
            np.testing.assert_array_equal(super().aggregate(query).values, first.values)
            heard.append(query)
            return first

    settings = agreed_settings(TRAINING, 1)
    BoostingCoordinator(Asking({"a": learner}), settings, COLUMNS.binning).train()
    with pytest.raises(ProtocolError):
        learner.contribute(heard[-2])


TRANSFORM = Transform.fit(PLAIN, None, 0.0)
COLUMNS = TreeColumns(TRANSFORM)


class Member:
    """A session with rows and nothing else."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        codes = rng.integers(0, 2, (400, TRANSFORM.n_features)).astype(np.float32)
        labels = (codes[:, :6].sum(axis=1) + rng.normal(size=400) > 3).astype(np.float32)
        agreement = SimpleNamespace(training=TRAINING)
        self.signed = SimpleNamespace(agreement=agreement)
        self.under_way = None
        self.exact_examples: Any = lambda *_: SimpleNamespace(features=codes, labels=labels)

    def learner(self, number: int, state: bytes) -> Any:
        self.under_way = None
        step = pb.Train(round=number, state=state)
        return boosting.Boosting().learner(self, step, TRANSFORM, None)  # type: ignore[arg-type]

    def grow(self, rounds: int) -> bytes:
        """Trees of rounds, asked for by a coordinator that keeps the agreement."""
        settings = agreed_settings(TRAINING, rounds)
        member = BoostingContributor(settings, COLUMNS.binning, *self.rows())
        return encode_trees(
            BoostingCoordinator(InProcessAggregator({"a": member}), settings, COLUMNS.binning).train()
        )

    def rows(self) -> tuple[Any, Any]:
        examples = self.exact_examples()
        return COLUMNS.codes(examples.features), examples.labels


def test_a_round_begins_with_all_trees_of_the_rounds_before_and_no_others() -> None:
    member = Member()
    grown = [boosting_start(), member.grow(1), member.grow(2)]
    for number in (1, 2, 3):
        for rounds, state in enumerate(grown):
            if rounds == number - 1:
                member.learner(number, state)
                continue
            with pytest.raises((ProtocolError, ServingError)):
                member.learner(number, state)
    deeper = TRAINING.model_copy(update={"trees": Trees(depth=4, min_rows=1, l2=0.0)})
    settings = agreed_settings(deeper, 1)
    contributor = BoostingContributor(settings, COLUMNS.binning, *member.rows())
    other = BoostingCoordinator(InProcessAggregator({"a": contributor}), settings, COLUMNS.binning).train()
    with pytest.raises(ServingError):
        member.learner(2, encode_trees(other))


def test_a_member_answers_for_the_trees_of_its_round_alone() -> None:
    member = Member()
    start = decode_trees(member.grow(1), agreed_settings(TRAINING, 1), COLUMNS.binning)
    # A coordinator that goes on for longer than the round, and one that begins anew.
    for settings, begun in ((agreed_settings(TRAINING, 3), start), (agreed_settings(TRAINING, 2), None)):
        asked = InProcessAggregator({"a": member.learner(2, encode_trees(start))})
        with pytest.raises((PolicyError, ProtocolError)):
            BoostingCoordinator(asked, settings, COLUMNS.binning, begun).train()


def boosting_start() -> bytes:
    agreement: Any = SimpleNamespace(training=TRAINING)
    return ServerBoosting(agreement, TRANSFORM).start()
