"""Correlated random numbers: what the dealer makes, and what each party makes of its seed.

For one feature holder, U (rows by bins) comes from the feature holder's seed and V (columns by rows, in
batches) from the label holder's. Of each batch the product ``P = V U`` is dealt as ``P = S_F + S_L``: S_F
comes from the feature holder's seed, S_L is sent to the label holder. Each of U, V and S_F is a stream of
its own.

The dealer's numbers are checked before anything that was computed with them is kept. The dealer also deals
columns v0, and shares of ``v0 U``, that are for nothing else. Label holder and feature holder then toss a
coin R, and the feature holder tests ``W U = (R S_L + s_L0) + (R S_F + s_F0)``, where ``W = R V + v0`` and
the sum in the first brackets come from the label holder. W is as random as v0, and therefore says nothing
about V. Were an entry of some share off by ``2^t`` times an odd number, each row of R, which was drawn
afterwards, would hide it with a probability of at most ``2^(t - 32)``. In the worst case, an error in the
highest bit only, that is a half: c rows leave ``2^-c``.

A run is checked several times, each batch once, and each check has a v0 and a coin of its own: a v0 that
served two coins would give R V away. Seeds are of one attempt at a run, and are never written down.
"""

import numpy as np

from hanse.crypto import Toss
from hanse.learning.vertical.trees.ring import Ring, derive, multiply, multiply_random, random_matrix


def label_columns(seed: bytes, batch: int, columns: int, rows: int) -> Ring:
    """V of a batch, shape (columns, rows), from the label holder's seed."""
    return random_matrix(derive(seed, "columns", batch), columns, rows)


def check_columns(seed: bytes, holder: int, check: int, columns: int, rows: int) -> Ring:
    """v0 of a feature holder in a check, shape (columns, rows), from the label holder's seed."""
    return random_matrix(derive(seed, "check columns", holder, check), columns, rows)


def mask_seed(seed: bytes) -> bytes:
    """What makes U, from the feature holder's seed."""
    return derive(seed, "mask")


def feature_share(seed: bytes, batch: int, columns: int, bins: int) -> Ring:
    """S_F of a batch, shape (columns, bins), from the feature holder's seed."""
    return random_matrix(derive(seed, "share", batch), columns, bins)


def check_share(seed: bytes, check: int, columns: int, bins: int) -> Ring:
    """s_F0 of a check, shape (columns, bins), from the feature holder's seed."""
    return random_matrix(derive(seed, "check share", check), columns, bins)


def other_share(columns: Ring, seed: bytes, share: Ring) -> Ring:
    """What is left of the product: S_L, or s_L0.

    Args:
        columns: V, or v0; shape (columns, rows).
        seed: The feature holder's.
        share: S_F, or s_F0; shape (columns, bins).
    """
    product = multiply_random(columns, mask_seed(seed), share.shape[1])
    return np.subtract(product, share, dtype=np.uint32)


def coin_toss(digest: str, check: int) -> Toss:
    """The toss of label holder and feature holder; the label holder alone has to be bound to its half.

    Args:
        digest: Of the terms.
        check: Number of the check, from 0.
    """
    return Toss("check of a dealer", f"{digest} {check}".encode())


def combined(coin: bytes, batch: int, combinations: int, matrix: Ring) -> Ring:
    """R of a batch times V, S_L or S_F of that batch.

    Args:
        coin: The joint one.
        batch: Number of the batch.
        combinations: Rows of R.
        matrix: Shape (columns, anything).
    """
    return multiply(random_matrix(derive(coin, "weights", batch), combinations, len(matrix)), matrix)


def fits(columns: Ring, seed: bytes, share: Ring) -> bool:
    """Whether the combined shares are those of the product, as far as the feature holder can tell.

    Args:
        columns: W, shape (combinations, rows).
        seed: The feature holder's.
        share: The sum of both combined shares, shape (combinations, bins).
    """
    return bool((multiply_random(columns, mask_seed(seed), share.shape[1]) == share).all())
