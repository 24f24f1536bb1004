"""Without a dealer: the same trees from encrypted sums, and nothing foreign decrypted unchecked."""

import numpy as np
import pytest
from tests.boosting.boosting_data import make_table
from tests.vertical.trees_run import OWN, conduct, make_run, pooled

from hanse.errors import ConfigurationError, PolicyError, ProtocolError

pytest.importorskip("heu", reason="the extra homomorphic (sf-heu) is not installed")

from hanse.learning.vertical.trees.homomorphic.scheme import PublicKey, SecretKey


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
