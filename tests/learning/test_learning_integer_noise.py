"""Integer noise: the distribution, the sums that it is made of, and the shares that it is given in."""

import math
from fractions import Fraction

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hanse.aggregation import FixedPoint
from hanse.errors import PrivacyError
from hanse.learning import SecureRandom
from hanse.learning.grid_noise import ARITHMETIC, GridNoise
from hanse.learning.integer_noise import MAX_SIGMA, SMOOTH_SIGMA, DiscreteGaussian, _alias, _levels, _weights

KEY = bytes(range(32))


def probabilities(sigma: float, reach: int) -> np.ndarray:
    numbers = np.arange(-reach, reach + 1, dtype=np.float64)
    numerators = np.exp(-(numbers**2) / (2 * sigma**2))
    return np.asarray(numerators / numerators.sum())


def test_a_table_gives_every_number_its_probability_to_128_bits() -> None:
    weights = _weights(4.0)
    assert sum(weights) == 1 << 128
    thresholds, aliases = _alias(weights)
    full = 1 << (128 - 14)
    given_to = [0] * len(weights)
    for column, (threshold, alias) in enumerate(zip(thresholds, aliases, strict=True)):
        assert 0 <= threshold < full
        given_to[column] += threshold
        given_to[alias] += full - threshold
    assert given_to == weights
    # Against arithmetic of another kind: the ratio of neighbours is exp(-(2 k + 1) / 2 sigma²).
    middle = len(weights) // 2 - 1
    for k in (0, 1, 5, 20):
        ratio = Fraction(weights[middle + k + 1], weights[middle + k])
        assert float(ratio) == pytest.approx(math.exp(-(2 * k + 1) / 32), rel=1e-14)
    assert weights[middle - 7] == weights[middle + 7]


@pytest.mark.parametrize("sigma", [SMOOTH_SIGMA, 20.0])
def test_draws_of_one_table_have_the_stated_probabilities(sigma: float) -> None:
    size = 200_000
    reach = int(4 * sigma)
    draws = DiscreteGaussian(sigma, SecureRandom(KEY)).draw(size)
    counts = np.bincount(np.clip(draws, -reach - 1, reach + 1) + reach + 1, minlength=2 * reach + 3)[1:-1]
    expected = probabilities(sigma, 8 * reach)[7 * reach : 9 * reach + 1] * size
    assert stats.chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 1e-3


@pytest.mark.parametrize("sigma", [513.0, 4_000.0, 61_441.0, 1e9])
def test_draws_that_are_sums_are_as_wide_as_stated(sigma: float) -> None:
    size = 100_000
    draws = DiscreteGaussian(sigma, SecureRandom(KEY)).draw(size).astype(np.float64)
    assert stats.kstest(draws / sigma, "norm").pvalue > 1e-3
    assert abs((draws**2).mean() / sigma**2 - 1) < 5 * math.sqrt(2 / size)
    # A factor that is too large would leave numbers that never occur.
    assert len(set((draws % 7).tolist())) == 7


@given(st.floats(SMOOTH_SIGMA, MAX_SIGMA))
@settings(max_examples=40)
def test_every_sum_is_smooth(sigma: float) -> None:
    factor, draws = _levels(sigma)
    base = sigma / math.sqrt(sum(float(factor) ** (2 * level) for level in range(draws)))
    assert base <= 512.0 * (1 + 1e-12)
    width = base
    for _ in range(draws - 1):
        assert base * width / math.hypot(base, factor * width) >= SMOOTH_SIGMA
        width = math.hypot(base, factor * width)
    assert width == pytest.approx(sigma)


def test_two_shares_add_up_to_a_discrete_gaussian() -> None:
    share = 2 * SMOOTH_SIGMA
    one = probabilities(share, 200)
    both = np.convolve(one, one)
    expected = probabilities(share * math.sqrt(2), 400)
    middle = slice(400 - 60, 400 + 61)
    assert both[middle] == pytest.approx(expected[middle], rel=1e-10)


def test_draws_follow_the_cipher_stream() -> None:
    sigma, size = 20.0, 50
    stream = Cipher(algorithms.AES256(KEY), modes.CTR(bytes(16))).encryptor().update(bytes(4 * size))
    thresholds, aliases = _alias(_weights(sigma))
    expected = []
    for start in range(0, 4 * size, 4):
        word = int.from_bytes(stream[start : start + 4], "little")
        column, bits = word >> 18, word & (2**18 - 1)
        chosen = column if bits < thresholds[column] >> 96 else aliases[column]
        expected.append(chosen - (2**13 - 1))
    assert DiscreteGaussian(sigma, SecureRandom(KEY)).draw(size).tolist() == expected


def test_sources_of_the_operating_system_never_agree() -> None:
    draws = [DiscreteGaussian(1e6, SecureRandom()).draw(20).tolist() for _ in range(3)]
    assert len({tuple(each) for each in draws}) == 3


@pytest.mark.parametrize("sigma", [0.0, 2.9, math.nan, math.inf])
def test_a_width_that_is_none_is_refused(sigma: float) -> None:
    with pytest.raises(PrivacyError):
        DiscreteGaussian(sigma, SecureRandom())


noises = st.builds(
    GridNoise,
    st.floats(0.2, 200.0),
    st.floats(0.01, 100.0),
    st.integers(1, 100_000),
    st.integers(1, 40),
    whole=st.booleans(),
)


@given(noises)
@settings(max_examples=40)
def test_honest_shares_make_up_noise_for_the_rounded_sensitivity(noise: GridNoise) -> None:
    moved = noise.sensitivity * 2.0**noise.fraction_bits * (1 + ARITHMETIC)
    moved += 0.0 if noise.whole else math.sqrt(noise.length)
    honest = noise.share_sigma**2 * noise.honest_shares
    # What step 3 of the argument leaves for the Gaussian mechanism.
    assert math.sqrt(honest - SMOOTH_SIGMA**2) >= noise.noise_multiplier * moved * (1 - 1e-12)
    assert noise.share_sigma >= 2 * SMOOTH_SIGMA


@given(st.floats(0.5, 100.0), st.floats(0.1, 10.0), st.integers(1, 20_000))
@settings(max_examples=40)
def test_the_grid_costs_next_to_nothing(multiplier: float, sensitivity: float, length: int) -> None:
    noise = GridNoise(multiplier, sensitivity, length, 1)
    assert noise.share_std() == pytest.approx(multiplier * sensitivity, rel=0.03)


def test_noised_parts_add_up_in_the_ring_without_rounding(rng: np.random.Generator) -> None:
    noise = GridNoise(1.5, 2.0, 50, 3)
    source = noise.source(SecureRandom())
    encoding = noise.encoding(100.0, 4)
    parts = [source.add_to(rng.normal(0, 30, 50), bound=100.0) for _ in range(4)]
    total = sum((encoding.encode(part) for part in parts), encoding.zeros(50))
    assert encoding.ring_bits == 32
    assert (encoding.decode(total) == np.sum(parts, axis=0)).all()


def test_a_part_is_cut_and_not_refused() -> None:
    noise = GridNoise(1.5, 2.0, 3, 1)
    noised = noise.source(SecureRandom(KEY)).add_to(np.array([1e9, -1e9, 0.0]), bound=10_000.0)
    assert noised == pytest.approx([10_000, -10_000, 0], abs=20)
    assert isinstance(noise.encoding(10_000.0, 1), FixedPoint)


@pytest.mark.parametrize(
    "wrong", [(0.0, 1.0, 1, 1), (1.0, -1.0, 1, 1), (1.0, 1.0, 0, 1), (1.0, 1.0, 1, 0), (math.inf, 1.0, 1, 1)]
)
def test_noise_that_is_none_is_refused(wrong: tuple[float, float, int, int]) -> None:
    with pytest.raises(PrivacyError):
        GridNoise(*wrong)
