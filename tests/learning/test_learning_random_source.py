"""Noise has the right distribution, is never the same twice, and has no state that a fork would repeat."""

import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scipy import stats

from hanse.learning import SecureRandom, add_gaussian_noise

KEY = bytes(range(32))


def test_two_sources_never_agree_and_one_never_repeats() -> None:
    source, other = SecureRandom(), SecureRandom()
    draws = [source.normal(100), source.normal(100), other.normal(100)]
    assert np.unique(np.concatenate(draws)).size == 300


def test_normal_numbers_are_standard_normal() -> None:
    draws = SecureRandom(KEY).normal(200_000)
    assert stats.kstest(draws, "norm").pvalue > 0.001
    assert draws.std() == pytest.approx(1, abs=0.01)
    assert stats.kurtosis(draws) == pytest.approx(0, abs=0.05)


def test_uniform_numbers_are_the_cipher_stream_in_the_unit_interval() -> None:
    stream = Cipher(algorithms.AES256(KEY), modes.CTR(bytes(16))).encryptor().update(bytes(80))
    expected = [int.from_bytes(stream[i : i + 8], "little") / 2**64 for i in range(0, 80, 8)]
    assert SecureRandom(KEY).uniform(10) == pytest.approx(expected, abs=1e-15)
    draws = SecureRandom(KEY).uniform(100_000)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > 0.001


def test_noise_on_counts_has_the_stated_deviation() -> None:
    counts = np.full(50_000, 7.0)
    noised = add_gaussian_noise(counts, 3.0, SecureRandom(KEY))
    assert noised.mean() == pytest.approx(7, abs=0.1)
    assert noised.std() == pytest.approx(3, abs=0.05)
    assert (counts == 7).all()


def test_a_forked_child_has_noise_of_its_own() -> None:
    source = SecureRandom()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, source.uniform(4).tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    of_child = np.frombuffer(os.read(reading, 32))
    assert not np.isin(source.uniform(4), of_child).any()
