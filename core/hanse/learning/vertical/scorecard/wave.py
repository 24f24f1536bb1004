"""The logistic function as a sum of five waves, because waves of a masked number need one opening.

With shares of a random ``a`` and of ``sin(k a)`` and ``cos(k a)``, two parties open ``d = x - a`` and have
shares of ``sin(k x) = sin(k d) cos(k a) + cos(k d) sin(k a)``: nothing of x is seen, whatever the number of
waves. (Powers would need a product each; comparisons many rounds.)

The period is 32. On [-8, 8] the function is the logistic one up to .0013; beyond, up to 16 on both sides, it
goes back as it came, so that it keeps the right sign. No logit of the sets that were measured is beyond 10.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.vertical.scorecard.ring import LOGIT_BITS, RESIDUAL_BITS, Ring, encode

WAVES: Final = 5
LARGEST_ERROR: Final = 0.0013
"""On [-8, 8]; a place is known to 2^-11 beside that."""

_PERIOD_BITS: Final = 5
_PLACE_BITS: Final = 16
_SHARE_BITS: Final = 14
_PUBLIC_BITS: Final = RESIDUAL_BITS - _SHARE_BITS
_SAMPLES: Final = 4001


@cache
def coefficients() -> tuple[float, ...]:
    """Of the waves, by least squares on [0, 8]; the function less one half is odd, and even around 8."""
    x = np.linspace(0.0, 8.0, _SAMPLES)
    waves = np.sin(np.outer(x, _orders()) * 2 * np.pi / (1 << _PERIOD_BITS))
    found = np.linalg.lstsq(waves, 1 / (1 + np.exp(-x)) - 0.5, rcond=None)[0]
    return tuple(found.tolist())


def place_share(logits: Ring, *, first: bool) -> NDArray[np.uint16]:
    """A party's share of logits' places in the period, modulo 2^16.

    Low digits of shares can be cut where the modulus is cut too: the sum is right, or one less. On average
    one is missing, which the first party adds.
    """
    cut = (logits >> np.uint64(LOGIT_BITS + _PERIOD_BITS - _PLACE_BITS)).astype(np.uint16)
    return cut + np.uint16(1) if first else cut


def waves_of(places: NDArray[np.uint16]) -> Ring:
    """Sines and cosines that the dealer shares, shape (2 * WAVES, rows)."""
    sines, cosines = _tables(2.0**_SHARE_BITS, (1.0,) * WAVES)
    return np.concatenate([sines[:, places], cosines[:, places]])


def logistic_share(opened: NDArray[np.uint16], shares: Ring) -> Ring:
    """A party's share of the logistic function less one half, of :data:`RESIDUAL_BITS` digits.

    Args:
        opened: Places less the mask, shape (rows,).
        shares: Of :func:`waves_of` the mask, shape (2 * WAVES, rows).
    """
    sines, cosines = _tables(2.0**_PUBLIC_BITS, coefficients())
    total = np.zeros(len(opened), dtype=np.uint64)
    for wave in range(WAVES):
        total += sines[wave][opened] * shares[WAVES + wave] + cosines[wave][opened] * shares[wave]
    return total


def _orders() -> NDArray[np.float64]:
    return np.arange(1, 2 * WAVES, 2).astype(np.float64)


@cache
def _tables(scale: float, weights: tuple[float, ...]) -> tuple[Ring, Ring]:
    turns = np.outer(_orders(), np.arange(1 << _PLACE_BITS)) * (2 * np.pi / (1 << _PLACE_BITS))
    size = scale * np.array(weights)[:, None]
    return encode(size * np.sin(turns), 0), encode(size * np.cos(turns), 0)
