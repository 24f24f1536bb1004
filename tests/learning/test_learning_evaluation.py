"""Figures from sums over members against scikit-learn on the pooled scores, and what stays hidden."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as oracle
from tests.learning.conftest import make_training

from hanse.aggregation import InProcessAggregator, Query
from hanse.enforcement.simulation import simulated_examples
from hanse.errors import HanseError, ProtocolError
from hanse.learning import Predictor, SecureRandom, parameter_count
from hanse.learning.counting import encoding
from hanse.learning.evaluation import (
    COARSE,
    FINE,
    EvaluationContributor,
    Held,
    Judged,
    Plan,
    ScoreGrid,
    evaluate,
    measure,
    own_view,
)
from hanse.learning.evaluation.groups import merge_small
from hanse.learning.evaluation.measures import ties
from hanse.learning.evaluation.questions import (
    GROUP_SCORES,
    GROUP_SIZES,
    SCORES,
    Question,
    read,
)
from hanse.learning.metrics import ScoreHistogram
from hanse.policies import Label

Floats = NDArray[np.float64]
PLAN = Plan(("bought", "churned"), {"spent": 500.0}, 20, {"region": 5})


def draw(rng: np.random.Generator, rows: int) -> Judged:
    """Scores that are calibrated, and labels."""
    scores = 1 / (1 + np.exp(-rng.normal(-2, 1.5, rows)))
    return Judged(scores, (rng.random(rows) < scores).astype(np.float64))


def make_held(rng: np.random.Generator, rows: int) -> Held:
    churned = draw(rng, rows)
    churned.true[rng.random(rows) < 0.3] = np.nan
    share = np.clip(rng.gamma(1, 0.1, rows), 1e-3, 0.9)
    spent = np.where(rng.random(rows) < 0.4, np.clip(share * rng.gamma(2, 0.5, rows), 0, 1), 0.0)
    regions = rng.choice(5, rows, p=[0.4, 0.3, 0.25, 0.045, 0.005])
    return Held(
        {"bought": draw(rng, rows), "churned": churned},
        {"spent": Judged(0.4 * share, spent)},
        {"region": (regions, 5)},
    )


@pytest.fixture(scope="module")
def held() -> Mapping[str, Held]:
    rng = np.random.default_rng(5)
    return {"north": make_held(rng, 900), "south": make_held(rng, 1400), "west": make_held(rng, 300)}


def pool(held: Mapping[str, Held], label: str) -> tuple[Floats, Floats]:
    known = [member.labels[label].known() for member in held.values()]
    return np.concatenate([k.predicted for k in known]), np.concatenate([k.true for k in known])


def asked_of(held: Mapping[str, Held]) -> InProcessAggregator:
    return InProcessAggregator({name: EvaluationContributor(own) for name, own in held.items()})


@pytest.mark.parametrize("label", ["bought", "churned"])
def test_figures_of_labels_are_those_of_scikit_learn(held: Mapping[str, Held], label: str) -> None:
    scores, labels = pool(held, label)
    ours = evaluate(asked_of(held), PLAN).labels[label]
    histogram = Judged(scores, labels).histogram(FINE)
    assert (ours.rows, ours.positives) == (len(labels), labels.sum())
    assert ours.auc == pytest.approx(oracle.roc_auc_score(labels, scores), abs=ties(histogram))
    assert ties(histogram) < 0.01
    # By at most half a bin, for the loss changes by at most one per unit of the logit; 4/27 for Brier's.
    assert ours.log_loss == pytest.approx(oracle.log_loss(labels, scores), abs=FINE.width / 2)
    assert ours.brier == pytest.approx(oracle.brier_score_loss(labels, scores), abs=4 / 27 * FINE.width)
    assert ours.pr_auc == pytest.approx(oracle.average_precision_score(labels, scores), abs=0.005)


def test_deciles_are_those_of_sorted_scores(held: Mapping[str, Held]) -> None:
    scores, labels = pool(held, "bought")
    ours = evaluate(asked_of(held), PLAN).labels["bought"]
    order = np.argsort(-scores)
    rows = len(labels) // 10
    for number, part in enumerate(ours.deciles):
        chosen = order[number * rows : (number + 1) * rows]
        assert part.rows == pytest.approx(rows)
        assert part.expected == pytest.approx(scores[chosen].mean(), abs=0.01)
        assert part.observed == pytest.approx(labels[chosen].mean(), abs=0.02)
        assert part.lift == pytest.approx(labels[chosen].mean() / labels.mean(), abs=0.15)
    assert ours.deciles[-1].gain == pytest.approx(1.0)
    gaps = [abs(labels[p].mean() - scores[p].mean()) for p in np.array_split(order, 10)]
    assert ours.calibration_error == pytest.approx(np.mean(gaps), abs=0.01)


def test_figures_of_amounts_are_those_of_scikit_learn(held: Mapping[str, Held]) -> None:
    predicted, true = (
        500 * np.concatenate([getattr(member.amounts["spent"], what) for member in held.values()])
        for what in ("predicted", "true")
    )
    ours = evaluate(asked_of(held), PLAN).amounts["spent"]
    assert ours is not None
    assert ours.rmse == pytest.approx(oracle.root_mean_squared_error(true, predicted), rel=1e-6)
    assert ours.mae == pytest.approx(oracle.mean_absolute_error(true, predicted), rel=1e-6)
    assert ours.r2 == pytest.approx(oracle.r2_score(true, predicted), abs=1e-6)
    assert ours.mean == pytest.approx(true.mean(), rel=1e-6)
    top = np.argsort(-predicted)[: len(true) // 10]
    assert ours.deciles[0].expected == pytest.approx(predicted[top].mean(), rel=0.03)
    assert ours.deciles[0].observed == pytest.approx(true[top].mean(), rel=0.1)


def test_members_sum_to_the_pooled_figures_exactly(held: Mapping[str, Held]) -> None:
    scores, labels = pool(held, "bought")
    federated = evaluate(asked_of(held), PLAN).labels["bought"]
    assert federated == measure(Judged(scores, labels).histogram(FINE), FINE, 0.0, PLAN.minimum_rows)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    truth = oracle.roc_auc_score(*reversed(draw(rng, 200_000)))
    inside = 0
    for _ in range(200):
        interval = measure(draw(rng, 400).histogram(FINE), FINE).auc_interval
        assert interval is not None
        inside += interval.low <= truth <= interval.high
    # Binomial(200, .95): three standard deviations are 9.
    assert 181 <= inside <= 199


def test_noise_widens_the_interval_and_is_covered_by_it() -> None:
    """Counts below zero stay: cut at zero, the mean area would be off by more than is allowed here."""
    rng, random = np.random.default_rng(3), SecureRandom(bytes(range(32)))
    scores, labels = draw(rng, 4000)
    exact = Judged(scores, labels).histogram(COARSE)
    truth = measure(exact, COARSE)
    assert truth.auc is not None
    assert truth.auc_interval is not None
    std, inside, areas, widths = 8.0, 0, [], []
    for _ in range(200):
        noisy = ScoreHistogram(*(counts + std * random.normal(COARSE.bins) for counts in exact))
        found = measure(noisy, COARSE, std)
        assert found.auc is not None
        assert found.auc_interval is not None
        areas.append(found.auc)
        widths.append(found.auc_interval.high - found.auc_interval.low)
        inside += found.auc_interval.low <= truth.auc <= found.auc_interval.high
    assert np.mean(areas) == pytest.approx(truth.auc, abs=0.004)
    assert np.mean(widths) > truth.auc_interval.high - truth.auc_interval.low
    # It also allows for drawing the records: 193 of 200 expected, three standard deviations are 8.
    assert inside >= 185


@pytest.mark.parametrize("counts", [np.zeros(20), np.full(20, -1.0), np.eye(20)[3]])
def test_nothing_known_is_none_and_no_error(counts: Floats) -> None:
    found = measure(ScoreHistogram(np.zeros(20), counts), COARSE, 1.0)
    assert found.auc is None
    assert found.auc_interval is None
    assert found.pr_auc is None
    assert found.deciles == ()


@given(st.lists(st.tuples(st.floats(-50, 200), st.floats(-50, 200)), min_size=20, max_size=20))
@example([(0.0, 0.0)] * 18 + [(0.0, 1.0), (5e-324, 1e-200)])
def test_any_noise_gives_finite_figures(counts: list[tuple[float, float]]) -> None:
    found = measure(ScoreHistogram(*np.array(counts).T), COARSE, 30.0)
    for value in (found.auc, found.pr_auc, found.log_loss, found.brier, found.calibration_error):
        assert value is None or np.isfinite(value)
    assert all(np.isfinite([part.expected, part.observed, part.lift]).all() for part in found.deciles)


def test_groups_have_the_rates_of_their_records(held: Mapping[str, Held]) -> None:
    comparison = evaluate(asked_of(held), PLAN).groups["region"]
    scores, labels = pool(held, "bought")
    regions = np.concatenate([member.groups["region"][0] for member in held.values()])
    assert (scores >= comparison.threshold).mean() == pytest.approx(0.1, abs=0.01)
    for part in comparison.parts:
        own = np.isin(regions, part.groups)
        assert part.rows == own.sum()
        assert part.selection_rate == pytest.approx((scores[own] >= comparison.threshold).mean())
        chosen = scores[own & (labels == 1)] >= comparison.threshold
        assert part.true_positive_rate == pytest.approx(chosen.mean())
        assert part.auc == pytest.approx(oracle.roc_auc_score(labels[own], scores[own]), abs=0.01)
    assert comparison.selection_ratio is not None
    assert 0 < comparison.selection_ratio <= 1
    assert 0 <= comparison.opportunity_gap < 1


def test_a_small_group_shows_in_no_part_and_in_no_difference(held: Mapping[str, Held]) -> None:
    comparison = evaluate(asked_of(held), PLAN).groups["region"]
    labels = pool(held, "bought")[1]
    regions = np.concatenate([member.groups["region"][0] for member in held.values()])
    assert (regions == 4).sum() < PLAN.minimum_rows
    for part in comparison.parts:
        for label in (0, 1):
            assert (labels[np.isin(regions, part.groups)] == label).sum() >= PLAN.minimum_rows
    # Every record is in a part, so the figures of all records less those of the parts show nobody.
    assert sum(part.rows for part in comparison.parts) == len(labels)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8), st.integers(1, 20)
)
def test_no_part_is_small_or_there_is_one_part(sizes: list[tuple[int, int]], minimum: int) -> None:
    positives, negatives = zip(*sizes, strict=True)
    merged = merge_small(positives, negatives, minimum)
    assert len(merged) == len(sizes)
    assert set(merged) == set(range(max(merged) + 1))
    parts = [
        [sum(counts[g] for g in range(len(sizes)) if merged[g] == part) for counts in (positives, negatives)]
        for part in range(max(merged) + 1)
    ]
    assert len(parts) == 1 or all(min(part) >= minimum for part in parts)


def test_groups_that_leave_nothing_to_compare_are_not_asked_about(held: Mapping[str, Held]) -> None:
    plan = Plan(PLAN.labels, PLAN.amounts, 100_000, PLAN.groups)
    assert evaluate(asked_of(held), plan).groups == {}


def test_a_member_sees_its_own_records_and_sends_nothing(held: Mapping[str, Held]) -> None:
    own = own_view(held["west"], PLAN)
    scores, labels = held["west"].labels["bought"]
    assert own.labels["bought"].auc == pytest.approx(oracle.roc_auc_score(labels, scores), abs=0.01)
    assert own.members == ("own",)


def test_a_question_is_answered_once_and_groups_are_merged_in_one_way(held: Mapping[str, Held]) -> None:
    contributor = EvaluationContributor(held["west"])
    first = Question(GROUP_SCORES, FINE, column="region", merged=(0, 0, 0, 1, 1))
    contributor.contribute(first.query(3))
    for merged in ((0, 0, 0, 1, 1), (0, 0, 1, 1, 1)):
        with pytest.raises(ProtocolError):
            contributor.contribute(Question(GROUP_SCORES, FINE, column="region", merged=merged).query(3))


def test_noise_sees_what_one_record_moves(held: Mapping[str, Held]) -> None:
    seen: list[float] = []

    def noisy(figures: Floats, sensitivity: float) -> Floats:
        seen.append(sensitivity)
        return figures

    evaluate(InProcessAggregator({"a": EvaluationContributor(held["west"], noisy)}), PLAN)
    assert seen[:2] == pytest.approx([6**0.5, 1.0])


def test_one_record_moves_an_answer_by_no_more_than_is_said() -> None:
    question = Question(SCORES, COARSE, PLAN.labels, tuple(PLAN.amounts))
    rng = np.random.default_rng(2)
    for _ in range(50):
        one = {
            "bought": Judged(rng.random(1), rng.integers(0, 2, 1).astype(float)),
            "churned": Judged(rng.random(1), rng.integers(0, 2, 1).astype(float)),
        }
        spent = {"spent": Judged(np.array([1.0]), np.array([rng.choice([0.0, 1.0])]))}
        answer = EvaluationContributor(Held(one, spent)).contribute(question.query(2))
        assert np.linalg.norm(answer) <= question.sensitivity + 1e-9


@pytest.mark.parametrize(
    "query",
    [
        Question(SCORES, FINE, ("bought",), ("spent",)).query(3),
        Question(SCORES, FINE, ("churned", "bought"), ("spent",)).query(3),
        Question(GROUP_SIZES, column="region", merged=tuple(range(4))).query(3),
        Question(GROUP_SIZES, column="town", merged=tuple(range(5))).query(3),
        Query(
            SCORES,
            b'{"amounts":["spent"],"bins":20,"grid":"round","labels":["bought","churned"]}',
            123,
            encoding(3),
        ),
        Query(
            SCORES,
            b'{"amounts":["spent"],"bins":9999,"grid":"squares","labels":["bought","churned"]}',
            3,
            encoding(3),
        ),
        Query(GROUP_SIZES, b'{"column":"region","groups":true}', 2, encoding(3)),
        Query(
            GROUP_SCORES,
            b'{"bins":20,"column":"region","grid":"squares","groups":5,"merged":[0,2,2,2,2]}',
            120,
            encoding(3),
        ),
        Query("model.update", b"{}", 2, encoding(3)),
    ],
)
def test_other_questions_are_refused(held: Mapping[str, Held], query: Query) -> None:
    with pytest.raises(ProtocolError):
        EvaluationContributor(held["west"]).contribute(query)


@given(st.sampled_from([SCORES, GROUP_SIZES, GROUP_SCORES]), st.binary(max_size=60))
def test_random_questions_are_refused(kind: str, body: bytes) -> None:
    with pytest.raises(HanseError):
        read(Query(kind, body, 3, encoding(2)))


@pytest.mark.parametrize("grid", [FINE, COARSE, ScoreGrid("log-odds", 7)])
def test_bins_cover_every_score_once(grid: ScoreGrid) -> None:
    scores = np.concatenate([grid.edges, grid.middles, [0.0, 1.0, 1e-12, 1 - 1e-12]])
    cells = grid.cells(scores)
    assert cells.min() == 0
    assert cells.max() == grid.bins - 1
    assert (grid.cells(grid.middles) == np.arange(grid.bins)).all()
    assert (grid.cells(grid.edges[:-1]) == np.arange(grid.bins)).all()


def test_a_model_with_targets_is_judged_on_all_of_them(rng: np.random.Generator) -> None:
    targets: Any = (
        {"name": "churned", "kind": "label", "positive": "1"},
        {"name": "spent", "kind": "amount", "bound": 500.0},
    )
    training = make_training(targets=targets)
    weights = rng.normal(size=parameter_count(training, 3)).astype(np.float32)
    predictor = Predictor(training, 3, weights)
    x = rng.normal(size=(4, 3)).astype(np.float32)
    nan = np.nan
    labels = np.array([[1, 0, 0, nan], [0, nan, 1, 0.5], [1, 1, nan, nan], [nan, 0, 1, 1]], np.float32)
    held = Held.score(Label(name="bought", positive="1"), training, predictor, simulated_examples(x, labels))
    assert list(held.labels) == ["bought", "churned"]
    np.testing.assert_array_equal(held.labels["bought"].true, labels[:, 0])
    np.testing.assert_array_equal(held.amounts["spent"].true, [0, 0.5, nan, 1])
    np.testing.assert_allclose(500 * held.amounts["spent"].predicted, predictor.targets(x)["spent"])
    plan = Plan.of(Label(name="bought", positive="1"), training, 1, {})
    found = evaluate(InProcessAggregator({"a": EvaluationContributor(held)}), plan)
    assert found.labels["bought"].rows == 3
    assert found.amounts["spent"] is not None
