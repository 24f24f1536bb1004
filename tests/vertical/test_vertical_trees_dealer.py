"""A dealer whose numbers do not fit together is found out, and no party keeps anything."""

import numpy as np
import pytest
from tests.boosting.boosting_data import make_table
from tests.vertical.trees_run import LABEL, conduct, make_run
from typing_extensions import override

from hanse.errors import HanseError
from hanse.exchange.peers import PeerChannel
from hanse.learning.vertical.trees import Dealer
from hanse.learning.vertical.trees.dealing import combined, fits, label_columns, mask_seed
from hanse.learning.vertical.trees.ring import Ring, multiply_random

WRONG = np.uint32(12_345)
TOP = np.uint32(1 << 31)


class TwoWrongBins(Dealer):
    """Moves something from one bin of a column to another one, so that the column still adds up."""

    error = WRONG

    @override
    def _share(self, columns: Ring, seed: bytes, share: Ring) -> Ring:
        good = super()._share(columns, seed, share)
        if len(columns) == self._terms.batch:
            good[0, :1] += self.error
            good[0, 1:2] -= self.error
        return good


class TwoTopBits(TwoWrongBins):
    """The error that one random combination misses half of the time, and that adds up."""

    error = TOP


class OneWrongBin(Dealer):
    """One wrong number."""

    @override
    def _share(self, columns: Ring, seed: bytes, share: Ring) -> Ring:
        good = super()._share(columns, seed, share)
        good[-1, -1:] += WRONG
        return good


class OnlyTheCheck(OneWrongBin):
    """Wrong only in what is dealt to find it out."""

    @override
    def _share(self, columns: Ring, seed: bytes, share: Ring) -> Ring:
        wrong = super()._share(columns, seed, share)
        return (
            wrong if len(columns) == self._terms.combinations else Dealer._share(self, columns, seed, share)
        )


class OtherSeed(Dealer):
    """Tells the label holder another seed than it deals for."""

    @override
    def _serve(self, label: PeerChannel) -> int:
        self._label_seed = bytes(32)
        return super()._serve(label)


@pytest.mark.parametrize("dealer", [TwoWrongBins, TwoTopBits, OneWrongBin, OnlyTheCheck, OtherSeed])
def test_a_cheating_dealer_is_found_out(dealer: type[Dealer]) -> None:
    table = make_table(np.random.default_rng(9), 200)
    run = conduct(make_run(table, dealer=dealer))
    codes = {name: error.code for name, error in run.errors.items() if isinstance(error, HanseError)}
    assert codes[LABEL] in {"vertical.dealing", "vertical.sums"}
    assert "insurer" in codes
    assert not run.parts
    if dealer in {TwoWrongBins, OnlyTheCheck}:  # nothing but the check can see them
        assert codes[LABEL] == codes["insurer"] == "vertical.dealing"


def test_combinations_catch_the_highest_bit_about_half_of_the_time_each() -> None:
    seed, coins = bytes(32), 400
    columns = label_columns(seed, 0, 6, 50)
    share = multiply_random(columns, mask_seed(seed), 3)
    wrong = share.copy()
    wrong[2, 1] ^= TOP
    passed = 0
    for number in range(coins):
        coin = number.to_bytes(32, "big")
        proof = combined(coin, 0, 1, columns)
        assert fits(proof, seed, combined(coin, 0, 1, share))
        passed += fits(proof, seed, combined(coin, 0, 1, wrong))
    # A fair coin of 400 tosses is outside of this with a probability of 6e-7.
    assert abs(passed / coins - 0.5) < 0.125
