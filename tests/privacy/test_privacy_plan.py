"""A run's plan keeps both kinds of records within the budget, and no more noise than that."""

import math

import pytest

from hanse.errors import PrivacyError
from hanse.policies import Privacy, Training
from hanse.privacy import GaussianRelease, PrivacyEvent, PrivacyPlan, Spent, epsilon, make_plan

BUDGET = 2.0


def training(**changes: object) -> Training:
    values = {
        "model": "logistic",
        "hidden": (),
        "rounds": 10,
        "local_steps": 30,
        "sample_rate": 0.2,
        "learning_rate": 1.0,
        "clip_norm": 1.0,
        "max_update_norm": 10.0,
        "round_timeout_s": 60,
        "holdout_fraction": 0.2,
    }
    return Training.model_validate(values | changes)


def privacy(budget: float) -> Privacy:
    return Privacy(unit="record", adjacency="add-or-remove-one", epsilon=budget, delta=1e-5)


@pytest.fixture(scope="module")
def plan() -> PrivacyPlan:
    return make_plan(training(), privacy(BUDGET), 16)


def test_both_parts_use_the_budget_and_never_exceed_it(plan: PrivacyPlan) -> None:
    assert plan.epsilon == max(plan.training_epsilon, plan.holdout_epsilon)
    for part, events in (
        (plan.training_epsilon, plan.training_events),
        (plan.holdout_epsilon, plan.holdout_events),
    ):
        assert 0.99 * BUDGET <= part <= BUDGET
        assert part == epsilon(events, plan.delta)


def test_what_the_rounds_spend_is_what_was_planned(plan: PrivacyPlan) -> None:
    spent: list[PrivacyEvent] = [plan.counts, *(plan.training_steps(30) for _ in range(10))]
    assert epsilon(spent, plan.delta) == plan.training_epsilon
    assert epsilon([plan.histogram()] * 11, plan.delta) == plan.holdout_epsilon


def test_the_count_is_a_fifth_of_the_budget_and_its_noise_that_of_one_row_in_every_column(
    plan: PrivacyPlan,
) -> None:
    assert epsilon([plan.counts], plan.delta) == pytest.approx(0.2 * BUDGET, abs=2e-3)
    assert plan.count_noise_std == pytest.approx(plan.counts.noise_multiplier * math.sqrt(16))


def test_a_histogram_has_sensitivity_one(plan: PrivacyPlan) -> None:
    assert plan.histogram() == GaussianRelease(plan.histogram_noise_std, 1)


def test_a_second_run_has_what_the_first_one_left(plan: PrivacyPlan) -> None:
    steps, histograms = plan.training_steps(150), [plan.histogram()] * 6
    spent = Spent((plan.counts, steps), tuple(histograms))
    second = make_plan(training(), privacy(BUDGET), 16, spent)
    assert second.training.noise_multiplier > plan.training.noise_multiplier
    assert second.histogram_noise_std > plan.histogram_noise_std
    for events in ([*spent.training, *second.training_events], [*spent.holdout, *second.holdout_events]):
        assert 0.98 * BUDGET <= epsilon(events, plan.delta) <= BUDGET


def test_a_run_is_refused_when_next_to_nothing_is_left(plan: PrivacyPlan) -> None:
    for spent in (Spent(training=plan.training_events), Spent(holdout=plan.holdout_events)):
        with pytest.raises(PrivacyError) as caught:
            make_plan(training(), privacy(BUDGET), 16, spent)
        assert caught.value.code == "privacy.exhausted"


def test_a_budget_that_no_noise_meets_is_refused() -> None:
    with pytest.raises(PrivacyError) as caught:
        make_plan(training(), privacy(1e-9), 4)
    assert caught.value.code == "privacy.exhausted"
