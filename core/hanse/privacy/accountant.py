"""Epsilon of a list of releases, by composed privacy loss distributions.

The distributions are those of Google's ``dp-accounting`` (Doroshenko et al., "Connect the Dots: Tighter
Discrete Approximations of Privacy Loss Distributions", PETS 2022), on a pessimistic grid: every epsilon given
here is an upper bound, for the unit *record* and the adjacency *add or remove one record*. For the adjacency
*replace one record* the same mechanisms have about twice the epsilon.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import comb
from typing import Final

from dp_accounting.pld.privacy_loss_distribution import (
    PrivacyLossDistribution,
    from_gaussian_mechanism,
    from_mixture_gaussian_mechanism,
    identity,
)

from hanse.errors import PrivacyError
from hanse.privacy.events import MAX_NOISE_MULTIPLIER, GaussianRelease, PrivacyEvent, merge_events

# 0.001 adds under 0.001 to an epsilon of 3 over 500 steps, and takes 0.05 s where the library's default, a
# grid ten times finer, takes 0.5 s.
GRID: Final = 1e-3
MAX_EPSILON: Final = 100.0

_MAX_EXPECTED_LOSS: Final = 1_000.0
_CALIBRATION_TOLERANCE: Final = 1e-3
_MIN_CALIBRATED_NOISE: Final = 0.2


def epsilon(events: Sequence[PrivacyEvent], delta: float) -> float:
    """Epsilon that the releases have cost together.

    Args:
        events: The releases, in any order; none cost nothing.
        delta: The delta of the statement, in (0, 1).

    Returns:
        The smallest epsilon on the grid; infinity above :data:`MAX_EPSILON`, where it would protect nobody.

    Raises:
        PrivacyError: ``privacy.unsupported`` if delta is out of range.
    """
    if not 0 < delta < 1:
        raise PrivacyError("privacy.unsupported", "delta is not between 0 and 1")
    return _epsilon(merge_events(events), delta)


def calibrate(
    make_events: Callable[[float], Sequence[PrivacyEvent]], epsilon_budget: float, delta: float
) -> float:
    """The smallest noise multiplier with which the releases stay within a budget.

    Args:
        make_events: Gives the releases for a noise multiplier; their epsilon must fall when it grows.
        epsilon_budget: The budget, above 0.
        delta: The delta of the budget, in (0, 1).

    Returns:
        A noise multiplier whose releases cost at most the budget, at most 0.1 % above the smallest.

    Raises:
        PrivacyError: ``privacy.exhausted`` if no noise is enough.
    """
    # From the middle outwards: with little noise the distributions are wide, and slow.
    high = 1.0
    while epsilon(make_events(high), delta) > epsilon_budget:
        high *= 2
        if high > MAX_NOISE_MULTIPLIER:
            raise PrivacyError("privacy.exhausted", "no amount of noise keeps the run within the budget")
    low = high / 2
    while low > _MIN_CALIBRATED_NOISE and epsilon(make_events(low), delta) <= epsilon_budget:
        low, high = low / 2, low
    while high > low * (1 + _CALIBRATION_TOLERANCE):
        middle = math.sqrt(low * high)
        if epsilon(make_events(middle), delta) > epsilon_budget:
            low = middle
        else:
            high = middle
    return high


def epsilon_of_sums(
    alone: Sequence[PrivacyEvent], shared: Sequence[tuple[PrivacyEvent, int]], delta: float
) -> float:
    """Epsilon of a person with records at several members; see :mod:`hanse.privacy.person`.

    Args:
        alone: Releases of single members, of all members that know the person.
        shared: Sums over members, each with the number of members that have a record of the person in it.
        delta: The delta of the statement, in (0, 1).

    Returns:
        As :func:`epsilon`.

    Raises:
        PrivacyError: ``privacy.unsupported`` if delta is out of range.
    """
    if not 0 < delta < 1:
        raise PrivacyError("privacy.unsupported", "delta is not between 0 and 1")
    return _epsilon(merge_events(alone), delta, tuple(sorted(shared, key=repr)))


@lru_cache(maxsize=1_024)
def _epsilon(
    events: tuple[PrivacyEvent, ...], delta: float, shared: tuple[tuple[PrivacyEvent, int], ...] = ()
) -> float:
    if any(_is_hopeless(event, members) for event, members in (*((event, 1) for event in events), *shared)):
        return math.inf
    composed = identity(value_discretization_interval=GRID)
    for event in events:
        composed = composed.compose(_distribution(event))
    for event, members in shared:
        composed = composed.compose(_distribution_of_members(event, members))
    result = float(composed.get_epsilon_for_delta(delta))
    return result if result <= MAX_EPSILON else math.inf


@lru_cache(maxsize=128)
def _distribution_of_members(event: PrivacyEvent, members: int) -> PrivacyLossDistribution:
    """The privacy loss distribution of a sum that holds a record of one person from each of the members."""
    if isinstance(event, GaussianRelease):
        return from_gaussian_mechanism(
            event.noise_multiplier / (members * math.sqrt(event.count)), value_discretization_interval=GRID
        )
    rate = event.sample_rate
    chances = [
        comb(members, present) * rate**present * (1 - rate) ** (members - present)
        for present in range(members + 1)
    ]
    possible = [(float(present), chance) for present, chance in enumerate(chances) if chance > 0]
    return from_mixture_gaussian_mechanism(
        event.noise_multiplier,
        [present for present, _ in possible],
        [chance for _, chance in possible],
        value_discretization_interval=GRID,
    ).self_compose(event.steps)


@lru_cache(maxsize=128)
def _distribution(event: PrivacyEvent) -> PrivacyLossDistribution:
    """The privacy loss distribution of one event."""
    if isinstance(event, GaussianRelease):
        # The composition of Gaussians is a Gaussian, exactly.
        return from_gaussian_mechanism(
            event.noise_multiplier / math.sqrt(event.count), value_discretization_interval=GRID
        )
    return from_gaussian_mechanism(
        event.noise_multiplier, sampling_prob=event.sample_rate, value_discretization_interval=GRID
    ).self_compose(event.steps)


def _is_hopeless(event: PrivacyEvent, members: int = 1) -> bool:
    """Whether the loss is so large that its distribution would fill the memory.

    Bounds the expected loss by that of the Gaussian times the sample rate (convexity of the KL divergence).
    """
    noise = event.noise_multiplier / members
    if isinstance(event, GaussianRelease):
        expected = event.count / (2 * noise**2)
    else:
        expected = event.sample_rate * event.steps / (2 * noise**2)
    return expected > _MAX_EXPECTED_LOSS
