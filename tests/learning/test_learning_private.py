"""DP-SGD through sums over members: what is released, by whom it is refused, and that it learns."""

from collections.abc import Callable

import numpy as np
import pytest
from tests.learning.conftest import make_rows, make_training

from hanse.aggregation import FixedPoint, InProcessAggregator, Query
from hanse.aggregation.body import encode_body
from hanse.enforcement.simulation import simulated_examples
from hanse.errors import HanseError, PrivacyError, ProtocolError, TrainingError
from hanse.learning import (
    PrivateSchedule,
    SecureRandom,
    initial_weights,
    recommend_honest_shares,
    recommend_private,
    roc_auc,
)
from hanse.learning.grid_noise import GridNoise
from hanse.learning.private import (
    GRADIENT_KIND,
    ROWS_KIND,
    NoisyContributor,
    PrivateRun,
    PrivateSgdCoordinator,
)
from hanse.learning.private_gradients import PrivateGradientContributor

FEATURES = 12


def make_run(members: int = 4, honest_shares: int = 3, **changes: float) -> PrivateRun:
    values = {"steps": 60, "sample_rate": 0.2, "clip_norm": 2.0, "learning_rate": 4.0} | changes
    noise = values.pop("noise_multiplier", 1.0)
    return PrivateRun(
        training=make_training(),
        n_features=FEATURES,
        schedule=PrivateSchedule(**values),  # type: ignore[arg-type] # steps is an int
        noise_multiplier=noise,
        rows_noise_multiplier=20.0,
        members=members,
        honest_shares=honest_shares,
    )


def member(
    run: PrivateRun,
    rows: int = 500,
    seed: int = 0,
    charge: Callable[[str], None] = lambda _: None,
    random: SecureRandom | None = None,
) -> PrivateGradientContributor:
    """With noise that is the same in every run of the tests, unless it is given."""
    x, y = make_rows(np.random.default_rng(seed), rows, FEATURES)
    noise = SecureRandom(bytes([seed]) * 32) if random is None else random
    return PrivateGradientContributor(run, simulated_examples(x, y), charge, noise)


def gradient_query(run: PrivateRun, step: object = 0, bound: float = 1e4) -> Query:
    body = encode_body({"step": step}, np.zeros(run.size, np.float32))  # type: ignore[dict-item]
    return Query(GRADIENT_KIND, body, run.size, run.gradient_noise.encoding(bound, run.members))


def test_a_run_over_members_learns_and_counts() -> None:
    run = make_run()
    members = {f"m{seed}": member(run, seed=seed) for seed in range(4)}
    coordinator = PrivateSgdCoordinator(
        InProcessAggregator(members), run, initial_weights(run.training, FEATURES, np.random.default_rng(0))
    )
    weights = coordinator.train()
    x, y = make_rows(np.random.default_rng(99), 2_000, FEATURES)
    exact = roc_auc((x @ weights[:-1]).astype(np.float64), y)
    assert exact is not None
    assert exact > 0.75
    assert coordinator.rows == pytest.approx(2_000, abs=150)
    assert coordinator.rows != 2_000


@pytest.mark.parametrize("honest_shares", [1, 3])
def test_the_sum_has_the_noise_that_is_accounted(honest_shares: int) -> None:
    run = make_run(honest_shares=honest_shares, steps=100, noise_multiplier=5.0, sample_rate=1e-9)
    members = {f"m{seed}": member(run, rows=1, seed=seed) for seed in range(4)}
    aggregator = InProcessAggregator(members)
    sums = [aggregator.aggregate(gradient_query(run, step)).values for step in range(100)]
    # Four shares, each of a whole divided by the square root of the honest ones; nobody was sampled.
    expected = 5.0 * 2.0 * np.sqrt(4 / honest_shares)
    assert np.std(sums) == pytest.approx(expected, rel=0.09)
    assert np.abs(np.corrcoef(sums[0], sums[1])[0, 1]) < 0.9


def test_answers_are_on_the_grid_and_differ_every_time() -> None:
    run = make_run()
    answers = [member(run, seed=7, random=SecureRandom()).contribute(gradient_query(run)) for _ in range(2)]
    scale = 2.0**run.gradient_noise.fraction_bits
    for answer in answers:
        assert (answer * scale == np.rint(answer * scale)).all()
    assert (answers[0] != answers[1]).any()


def test_a_step_is_answered_once_and_charged_before_it_leaves() -> None:
    charged: list[str] = []
    run = make_run(steps=3)
    one = member(run, charge=charged.append)
    one.contribute(gradient_query(run, 1))
    for step in (1, 0, 3, -1, None, True, "2"):
        with pytest.raises(ProtocolError):
            one.contribute(gradient_query(run, step))
    one.contribute(gradient_query(run, 2))
    assert charged == [GRADIENT_KIND] * 2


def test_nothing_leaves_when_the_charge_is_refused() -> None:
    def refuse(_: str) -> None:
        raise PrivacyError("privacy.exhausted", "nothing is left")

    run = make_run()
    with pytest.raises(PrivacyError):
        member(run, charge=refuse).contribute(gradient_query(run))


def test_records_are_counted_once() -> None:
    run = make_run()
    one = member(run)
    query = Query(ROWS_KIND, encode_body({}), 1, run.rows_noise.encoding(1e6, 4))
    assert one.contribute(query)[0] == pytest.approx(500, abs=100)
    with pytest.raises(ProtocolError):
        one.contribute(query)


def wrong_queries(run: PrivateRun) -> list[Query]:
    good = gradient_query(run)
    coarse = FixedPoint(1e4, 4, run.gradient_noise.fraction_bits - 1, 64)
    narrow = FixedPoint(1.0, 4, run.gradient_noise.fraction_bits, 64)
    huge = np.full(run.size, 1e30, np.float32)
    return [
        Query("tree.histogram", good.body, good.length, good.encoding),
        Query(GRADIENT_KIND, b"\x00", good.length, good.encoding),
        Query(GRADIENT_KIND, good.body, good.length + 1, good.encoding),
        Query(GRADIENT_KIND, good.body, good.length, coarse),
        Query(GRADIENT_KIND, good.body, good.length, narrow),
        Query(GRADIENT_KIND, encode_body({"step": 0}), good.length, good.encoding),
        Query(GRADIENT_KIND, encode_body({"step": 0}, huge), good.length, good.encoding),
        Query(GRADIENT_KIND, encode_body({"step": 0}, huge.astype("f8") * 0), good.length, good.encoding),
        Query(GRADIENT_KIND, encode_body({"step": 0}, huge[1:] * 0), good.length, good.encoding),
    ]


@pytest.mark.parametrize("number", range(9))
def test_a_query_that_is_wrong_is_refused_before_it_costs(number: int) -> None:
    charged: list[str] = []
    run = make_run()
    one = member(run, charge=charged.append)
    with pytest.raises(ProtocolError):
        one.contribute(wrong_queries(run)[number])
    assert not charged


def test_a_record_that_is_no_record_moves_nothing() -> None:
    run = make_run(noise_multiplier=0.11, sample_rate=1.0)
    x, y = make_rows(np.random.default_rng(0), 50, FEATURES)
    for spoilt in (np.nan, np.inf, 1e9):
        broken = x.copy()
        broken[3, 2] = spoilt
        examples = simulated_examples(np.vstack([x, broken[3:4]]), np.append(y, np.float32(0)))
        answer = PrivateGradientContributor(run, examples, lambda _: None, SecureRandom())
        whole = PrivateGradientContributor(run, simulated_examples(x, y), lambda _: None, SecureRandom())
        moved = answer.contribute(gradient_query(run)) - whole.contribute(gradient_query(run))
        assert np.abs(moved).max() < 6 * np.sqrt(2) * run.gradient_noise.share_std()


def test_noise_is_shared_by_fewer_than_all() -> None:
    for members, honest in ((4, 4), (2, 2), (4, 5), (4, 0)):
        with pytest.raises(PrivacyError):
            make_run(members=members, honest_shares=honest)
    assert [recommend_honest_shares(members) for members in (1, 2, 3, 4, 8, 10, 40)] == [1, 1, 2, 3, 6, 8, 30]


def test_a_sum_with_too_few_shares_is_not_used() -> None:
    run = make_run()
    aggregator = InProcessAggregator({name: member(run) for name in "ab"})
    weights = np.zeros(run.size, np.float32)
    with pytest.raises(TrainingError) as caught:
        PrivateSgdCoordinator(aggregator, run, weights).train()
    assert caught.value.code == "run.insufficient-members"


class Exact:
    """Counts of something, without noise."""

    def contribute(self, query: Query) -> np.ndarray:
        return np.arange(query.length, dtype=np.float64)


def test_any_count_gets_its_noise_and_no_unknown_kind_passes() -> None:
    noise = GridNoise(4.0, 1.0, 2_000, 1, whole=True)
    charged: list[str] = []
    noisy = NoisyContributor(Exact(), {"scores": noise}, charged.append, SecureRandom())
    query = Query("scores", b"", 2_000, noise.encoding(2_000.0, 1))
    found = noisy.contribute(query) - np.arange(2_000)
    # On halves: √((2 · 4)² + 3²) of them, for the argument of grid_noise sets 3 units aside.
    assert noise.fraction_bits == 1
    assert found.std() == pytest.approx(4.27, rel=0.1)
    assert charged == ["scores"]
    with pytest.raises(HanseError):
        noisy.contribute(Query("labels", b"", 2_000, query.encoding))


def test_the_schedule_follows_from_public_figures() -> None:
    small, large = (recommend_private(rows, 100, 1.0) for rows in (2_000, 10_000_000))
    assert small.learning_rate == pytest.approx(0.4)
    assert large.learning_rate == 8.0
    assert (small.sample_rate, large.sample_rate) == (0.1, 0.01)
    assert recommend_private(20_000, 400, 1.0).learning_rate == pytest.approx(2.0)
