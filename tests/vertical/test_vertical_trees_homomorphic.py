"""Without a dealer: the same trees from encrypted sums, and nothing foreign decrypted unchecked."""

import functools
import operator

import numpy as np
import pytest
from gmpy2 import invert, is_prime, mpz, powmod  # pyright: ignore[reportAttributeAccessIssue] # it has no stubs
from tests.boosting.boosting_data import make_table
from tests.vertical.trees_run import OWN, conduct, make_run, need_homomorphic, pooled

from hanse.errors import ConfigurationError, PolicyError, ProtocolError
from hanse.learning.vertical.trees.homomorphic.scheme import Ciphertexts, PublicKey, SecretKey

need_homomorphic()


@pytest.fixture(scope="module")
def key() -> SecretKey:
    return SecretKey(2048)


@pytest.mark.slow
def test_the_trees_are_those_of_one_holder_of_all_columns() -> None:
    table = make_table(np.random.default_rng(3), 300)
    run = conduct(make_run(table, key_bits=2048))
    assert not run.errors, run.errors
    sides = {name: run.parts[name].sides(table.columns) for name in run.features}
    codes = [OWN.encode(table.columns), *(holder.codes for holder in run.features.values())]
    raw = pooled(run, table, run.terms.exact).raw(np.concatenate(codes, axis=1))
    assert run.label_part.raw(table.columns, sides).tobytes() == raw.tobytes()


def test_sums_and_short_numbers_survive_the_library(key: SecretKey) -> None:
    public = key.public
    sent = public.encrypt(np.arange(218, dtype=object))  # 0xDA, which begins an item too
    assert key.decrypt(public.sums(sent, [[0, 5], [217]]), 8) == [5, 217]
    short = np.zeros((3, public.width), dtype=np.uint8)
    short[:, 0] = 3, 4, 5
    assert np.array_equal(public.sums(short, [[0], [1], [2]]), short)


def test_equal_messages_have_unlike_ciphertexts(key: SecretKey) -> None:
    assert len(np.unique(key.public.zeros(20), axis=0)) == 20


def test_every_ciphertext_has_an_exponent_of_its_own_of_220_even_bits() -> None:
    """Under a base whose order is 2^240 exponents can be read off. Even bits fail once in 2^31."""
    prime = mpz(((1 << 1810) + 642 << 240) + 1)
    assert is_prime(prime)
    base = powmod(3, (prime - 1) >> 240, prime)
    assert powmod(base, 1 << 239, prime) != 1
    (scale,) = _numbers(PublicKey(int(prime), 5, 1).zeros(1))  # that of Montgomery, which the library keeps
    zeros = _numbers(PublicKey(int(prime), 5, int(base)).zeros(40))
    exponents = [_logarithm(zero * invert(scale, prime) % prime, base, prime) for zero in zeros]
    assert len(set(exponents)) == 40
    assert functools.reduce(operator.or_, exponents) == (1 << 220) - 1
    assert functools.reduce(operator.and_, exponents) == 0


def _numbers(ciphertexts: Ciphertexts) -> list[mpz]:
    return [mpz(int.from_bytes(row.tobytes(), "little")) for row in ciphertexts]


def _logarithm(power: mpz, base: mpz, prime: mpz) -> int:
    """The exponent, from the lowest of 240 bits up (Pohlig and Hellman)."""
    found, inverse = 0, invert(base, prime)
    for bit in range(240):
        if powmod(power, 1 << (239 - bit), prime) != 1:
            found |= 1 << bit
            power = power * inverse % prime
        inverse = inverse * inverse % prime
    return found


def test_what_is_no_ciphertext_or_out_of_range_is_refused(key: SecretKey) -> None:
    public = key.public
    for bad in (bytes(public.width), b"\xff" * public.width, b"\x01"):
        with pytest.raises(ProtocolError, match="no ciphertexts"):
            public.sums(np.frombuffer(bad, dtype=np.uint8)[None], [[0]])
    with pytest.raises(ProtocolError, match="out of range"):
        key.decrypt(public.encrypt(np.array([1 << 70], dtype=object)), 70)


def test_short_and_foreign_keys_are_refused(key: SecretKey) -> None:
    with pytest.raises(ConfigurationError):
        SecretKey(1024)
    with pytest.raises(PolicyError):
        PublicKey.decode(key.public.encode(), 3072)
    with pytest.raises(ProtocolError):
        PublicKey.decode(np.full((3, 257), 255, dtype=np.uint8), 2048)
