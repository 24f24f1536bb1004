"""Epsilon against dp-accounting's own accountant and the closed form of the Gaussian mechanism."""

import math
from collections.abc import Sequence

import dp_accounting
import pytest
from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from hanse.errors import PrivacyError
from hanse.privacy import GaussianRelease, PrivacyEvent, SampledGaussian, calibrate, epsilon

DELTA = 1e-5


def library_epsilon(events: Sequence[PrivacyEvent], delta: float = DELTA) -> float:
    """The library's accountant, on a grid that is three times finer than ours."""
    accountant = PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, 3e-4)
    for event in events:
        if isinstance(event, GaussianRelease):
            accountant.compose(dp_event.GaussianDpEvent(event.noise_multiplier), event.count)
        else:
            step = dp_event.PoissonSampledDpEvent(
                event.sample_rate, dp_event.GaussianDpEvent(event.noise_multiplier)
            )
            accountant.compose(step, event.steps)
    return float(accountant.get_epsilon(delta))


def exact_gaussian_epsilon(noise_multiplier: float) -> float:
    """Balle and Wang, "Improving the Gaussian Mechanism for Differential Privacy", ICML 2018, Theorem 8."""
    mu = 1 / noise_multiplier

    def excess(eps: float) -> float:
        return float(norm.cdf(mu / 2 - eps / mu) - math.exp(eps) * norm.cdf(-mu / 2 - eps / mu)) - DELTA

    return float(brentq(excess, 1e-6, 50))  # pyright: ignore[reportArgumentType] # not full_output


@pytest.mark.parametrize(
    "events",
    [
        [SampledGaussian(1.0, 0.01, 1000)],
        [SampledGaussian(4.1, 0.2, 300), GaussianRelease(11.0)],
        [GaussianRelease(5.0, 11)],
    ],
)
def test_epsilon_is_that_of_dp_accounting_and_never_below(events: list[PrivacyEvent]) -> None:
    ours, theirs = epsilon(events, DELTA), library_epsilon(events)
    assert theirs - 1e-9 <= ours <= theirs + 2e-3


@pytest.mark.parametrize("noise_multiplier", [0.8, 2.0, 10.0])
def test_epsilon_of_a_gaussian_is_exact(noise_multiplier: float) -> None:
    assert epsilon([GaussianRelease(noise_multiplier)], DELTA) == pytest.approx(
        exact_gaussian_epsilon(noise_multiplier), abs=2e-3
    )


def test_published_value() -> None:
    # The library's own documentation of DP-SGD accounting tests sigma 1, q .01, 1000 steps at 1e-5: 1.828.
    assert epsilon([SampledGaussian(1.0, 0.01, 1000)], DELTA) == pytest.approx(1.828, abs=2e-3)


def test_rounds_add_up_to_one_run_and_an_accountant_per_round_would_report_less() -> None:
    rounds, steps = 10, 30
    of_a_round = SampledGaussian(1.0, 0.05, steps)
    after_all = epsilon([of_a_round] * rounds, DELTA)
    assert after_all == pytest.approx(library_epsilon([SampledGaussian(1.0, 0.05, rounds * steps)]), abs=2e-3)
    assert epsilon([of_a_round], DELTA) < after_all / 2


def test_nothing_costs_nothing() -> None:
    assert epsilon([], DELTA) == 0


@given(st.lists(st.builds(GaussianRelease, st.floats(1, 9), st.integers(1, 9)), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_a_further_release_never_lowers_epsilon(events: list[PrivacyEvent]) -> None:
    assert epsilon(events, DELTA) >= epsilon(events[1:], DELTA) - 1e-9


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, math.nan])
def test_a_delta_that_is_no_probability_is_refused(delta: float) -> None:
    with pytest.raises(PrivacyError):
        epsilon([], delta)


@pytest.mark.parametrize(
    "event",
    [
        SampledGaussian(0.1, 1.0, 1_000_000),
        GaussianRelease(0.1, 1_000_000),
        SampledGaussian(1.0, 1.0, 200),
    ],
)
def test_an_epsilon_that_protects_nobody_is_infinite(event: PrivacyEvent) -> None:
    assert epsilon([event], DELTA) == math.inf


@pytest.mark.parametrize("budget", [0.3, 3.0])
def test_calibrated_noise_is_enough_and_hardly_more_than_needed(budget: float) -> None:
    def events(noise: float) -> list[PrivacyEvent]:
        return [GaussianRelease(20.0), SampledGaussian(noise, 0.1, 100)]

    noise = calibrate(events, budget, DELTA)
    assert epsilon(events(noise), DELTA) <= budget < epsilon(events(noise * 0.998), DELTA)


def test_no_noise_is_enough_when_something_else_costs_more() -> None:
    with pytest.raises(PrivacyError) as caught:
        calibrate(lambda z: [GaussianRelease(0.5), GaussianRelease(z)], 1.0, DELTA)
    assert caught.value.code == "privacy.exhausted"
