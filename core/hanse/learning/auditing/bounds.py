"""Lower bounds on epsilon from how well an attacker tells canaries that were used from those that were not.

Two bounds, of unequal standing:

* :func:`one_run_bound` is a theorem (Steinke, Nasr and Jagielski, "Privacy Auditing with One (1) Training
  Run", NeurIPS 2023, theorem 5.2): if the procedure is (epsilon, delta)-private, it exceeds epsilon with at
  most the stated probability, whatever the procedure is. It is loose: one run bounds few guesses.
* :func:`fitted_bound` is a test statistic. It takes the procedure for a Gaussian mechanism (Dong, Roth and
  Su, "Gaussian Differential Privacy", JRSS B 2022) and reads its parameter from the area under the
  attacker's ROC curve, whose error is that of DeLong et al. (Biometrics 1988). For many steps of DP-SGD that
  is nearly so (their theorem 5.1); for another procedure it may be wrong in either direction.

Both are for canaries that are added or left out, each by a fair coin of its own.
"""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError
from hanse.learning.metrics import auc_from_histogram, auc_standard_error

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

GUESSED_SHARES: Final = (0.1, 0.3, 1.0)
"""Shares of the canaries that are guessed about, the most telling first; fixed before any score is seen."""

MAX_EPSILON: Final = 50.0
"""Above it a bound says nothing that matters, and stays here."""

_NORMAL: Final = NormalDist()
_HALVINGS: Final = 40  # to 50 * 2^-40


class Area(NamedTuple):
    """Area under the attacker's ROC curve, .5 for an attacker who knows nothing, and its standard error."""

    value: float
    standard_error: float


def area(scores: FloatArray, included: BoolArray) -> Area:
    """How well scores tell what was included from what was not.

    Args:
        scores: Shape (canaries,); larger where the attacker thinks it was included.
        included: Whether it was, shape (canaries,).

    Returns:
        The area; ties count one half.

    Raises:
        ConfigurationError: ``config.invalid`` if all or none were included.
    """
    values, ranks = np.unique(scores, return_inverse=True)
    positives, negatives = (
        np.bincount(ranks[chosen], minlength=len(values)).astype(np.float64)
        for chosen in (included, ~included)
    )
    value = auc_from_histogram(positives, negatives)
    error = auc_standard_error(positives, negatives, 0.0)
    if value is None or error is None:
        raise ConfigurationError("config.invalid", "an audit needs canaries of both kinds")
    return Area(value, error)


def fitted_bound(scores: FloatArray, included: BoolArray, delta: float, significance: float) -> float:
    """Epsilon of the Gaussian mechanism that would show an area this large: a statistic, not a theorem.

    Args:
        scores: As for :func:`area`.
        included: As for :func:`area`.
        delta: Delta of the claim.
        significance: Probability that the bound exceeds the truth, if the procedure is Gaussian and the area
            is normal around its mean; in (0, .5]. At .5 this is the estimate itself.

    Returns:
        The lower bound, 0 to :data:`MAX_EPSILON`.

    Raises:
        ConfigurationError: As :func:`area`.
    """
    found = area(scores, included)
    low = found.value - _NORMAL.inv_cdf(1 - significance) * found.standard_error
    # Perfect separation has no error of its own; no more is claimed than its number of canaries can show.
    fewest = min(np.count_nonzero(included), np.count_nonzero(~included))
    low = min(low, 1 - 1 / fewest)
    if low <= 0.5:  # noqa: PLR2004 - the attacker who knows nothing
        return 0.0
    return epsilon_of_gaussian(math.sqrt(2) * _NORMAL.inv_cdf(low), delta)


def epsilon_of_gaussian(mu: float, delta: float) -> float:
    """Epsilon of a Gaussian mechanism (Dong, Roth and Su, corollary 2.13).

    Args:
        mu: Sensitivity divided by the standard deviation of the noise, at least 0.
        delta: In (0, 1).

    Returns:
        The smallest epsilon that goes with delta, 0 to :data:`MAX_EPSILON`.
    """

    def spent(epsilon: float) -> float:
        """Delta at this epsilon."""
        return _below(mu / 2 - epsilon / mu) - math.exp(epsilon) * _below(-mu / 2 - epsilon / mu)

    if mu <= 0 or spent(0.0) <= delta:
        return 0.0
    low, high = 0.0, MAX_EPSILON
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle) > delta else (low, middle)
    return high


def _below(z: float) -> float:
    """The standard normal distribution function; exact in the lower tail, where the library's rounds to 0."""
    return math.erfc(-z / math.sqrt(2)) / 2


def one_run_bound(scores: FloatArray, included: BoolArray, delta: float, significance: float) -> float:
    """Epsilon that the procedure has at least, by theorem.

    The attacker takes the largest scores for included and the smallest for left out, as many of each, and
    makes no guess about the rest. Several numbers of guesses are tried and share the significance.

    Args:
        scores: As for :func:`area`.
        included: As for :func:`area`; each by a fair coin of its own.
        delta: Delta of the claim.
        significance: Probability that the bound exceeds the truth, in (0, 1).

    Returns:
        The lower bound, 0 to :data:`MAX_EPSILON`.
    """
    order = np.argsort(scores, kind="stable")
    each = significance / len(GUESSED_SHARES)
    best = 0.0
    for share in GUESSED_SHARES:
        half = round(share * len(order) / 2)
        correct = int(np.count_nonzero(included[order[-half:]]) + np.count_nonzero(~included[order[:half]]))
        best = max(best, refuted_epsilon(len(order), 2 * half, correct, delta, each))
    return best


def refuted_epsilon(canaries: int, guesses: int, correct: int, delta: float, significance: float) -> float:
    """The largest epsilon that so many correct guesses refute.

    Args:
        canaries: How many there are.
        guesses: About how many a guess was made.
        correct: How many guesses were right.
        delta: Delta of the claim.
        significance: As for :func:`one_run_bound`.

    Returns:
        0 if not even epsilon 0 is refuted; at most :data:`MAX_EPSILON`.
    """
    if _p_value(canaries, guesses, correct, 0.0, delta) > significance:
        return 0.0
    low, high = 0.0, MAX_EPSILON
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        refuted = _p_value(canaries, guesses, correct, middle, delta) <= significance
        low, high = (middle, high) if refuted else (low, middle)
    return low


def _p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Probability of as many correct guesses if the claim holds, at most (theorem 5.2 and algorithm 1)."""
    tail = _upper_tail(guesses, epsilon)
    beta = float(tail[correct])
    if correct == 0:
        return 1.0
    fewer = np.arange(1, correct + 1)
    alpha = float(np.max((tail[correct - fewer] - beta) / fewer))
    return min(1.0, beta + 2 * canaries * delta * max(0.0, alpha))


def _upper_tail(trials: int, epsilon: float) -> FloatArray:
    """P[X >= k] for k = 0 … trials, X binomial, each guess right with probability e^epsilon/(1+e^epsilon)."""
    k = np.arange(trials + 1)
    log_right, log_wrong = -math.log1p(math.exp(-epsilon)), -epsilon - math.log1p(math.exp(-epsilon))
    probabilities = np.exp(_log_choose(trials) + k * log_right + (trials - k) * log_wrong)
    tail: FloatArray = np.minimum(1.0, np.cumsum(probabilities[::-1])[::-1])
    return tail


@lru_cache(maxsize=16)
def _log_choose(trials: int) -> FloatArray:
    """Logarithms of the binomial coefficients."""
    log_factorial = np.array([math.lgamma(k + 1) for k in range(trials + 1)])
    coefficients: FloatArray = log_factorial[-1] - log_factorial - log_factorial[::-1]
    return coefficients
