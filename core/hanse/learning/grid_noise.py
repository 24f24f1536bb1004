"""Gaussian noise for a sum over members, added by them in shares, on a grid that the ring can carry.

Every member rounds its part of a sum to multiples of 2^-f and adds discrete Gaussian noise on the same grid,
of a variance of which any *honest shares* many make up the whole (the distributed discrete Gaussian: Kairouz,
Liu and Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure Aggregation",
ICML 2021; with Skellam noise: Agarwal, Kairouz and Liu, "The Skellam Mechanism for Differentially Private
Federated Learning", NeurIPS 2021). Whoever sees the sum, and knows the shares of everybody else, still faces
the noise of the honest ones. With one honest share, every member adds the whole noise: then no sum is needed.

**Why the released sum costs no more than a Gaussian release of the stated noise multiplier z.** In units
of the grid:

1. *Sensitivity.* Let D be the sensitivity of the exact sum in L2 norm. Two rounded vectors of length d are
   further apart than the exact ones by at most sqrt(d), half a unit for each of both in every element
   (for values that are whole already: 0). Cutting elements to an interval moves no two points apart. Sums in
   double precision are off by less than 2^-20 D. So it is at most D' = (1 + 2^-20) D + sqrt(d).
2. *The noise of the honest.* It is discrete Gaussian of variance at least S² up to a factor 1 ± 1e-76 in
   every probability: the sum of such numbers is one again (:mod:`hanse.learning.integer_noise`, with K = 1).
   What the others add is known at worst, and shifts the result by a constant.
3. *Reduction to the Gaussian mechanism.* Let q be the vector of integers, s = 3 and S² = S'² + s². Take
   x from N(q, S'²), then y from the discrete Gaussian of parameter s around x, whose probability of k is
   exp(-(k - x)² / 2 s²) / theta(x, s). As theta is within 1 ± 1e-76 of a constant, the density of y at k is
   within that factor the integral of exp(-(x - q)² / 2 S'²) exp(-(k - x)² / 2 s²), that is, of
   exp(-(k - q)² / 2 S²): it is what steps 1 and 2 release. The second draw does not know q. So, up to that
   factor in every element, the release is a Gaussian release of deviation S' to which something is done
   afterwards, and that costs nothing. This holds for every q, so also for mixtures over q: Poisson sampling
   of the records may be accounted as that of the Gaussian mechanism, with every composition that follows.
4. So S² = z² D'² + s² gives what a Gaussian mechanism with noise multiplier z gives. The factors: with d
   elements and T releases exp(± 1e-75 d T), which no figure of an accountant shows.

The variant with Skellam noise has no such reduction, and would have to be accounted by its own Rényi bound.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import FixedPoint
from hanse.errors import PrivacyError
from hanse.learning.integer_noise import MAX_SIGMA, SMOOTH_SIGMA, DiscreteGaussian, reach
from hanse.learning.random_source import SecureRandom

ARITHMETIC: Final = 2.0**-20
"""Share of the sensitivity that is set aside for sums in double precision."""

_ROUNDING_SHARE: Final = 2.0**-7
_MIN_SHARE_SIGMA: Final = 2 * SMOOTH_SIGMA
_MAX_FRACTION_BITS: Final = 40
_RING_32_LIMIT: Final = 2.0**31


@dataclass(frozen=True)
class GridNoise:
    """The noise of one release, and the share of each member.

    Attributes:
        noise_multiplier: Of the Gaussian mechanism that the release costs at most as much as.
        sensitivity: How far one record moves the exact sum, in L2 norm.
        length: Elements of the sum.
        honest_shares: Shares that make up the whole noise: members in a sum, less those who may collude with
            the reader of the sum, less those who may drop out. 1: every member adds the whole noise.
        whole: Whether the values are whole numbers, so that rounding does not move them.

    Raises:
        PrivacyError: ``privacy.unsupported`` for noise that is none, or more than integers can carry.
    """

    noise_multiplier: float
    sensitivity: float
    length: int
    honest_shares: int
    whole: bool = False

    def __post_init__(self) -> None:
        positive = min(self.noise_multiplier, self.sensitivity)
        if not (positive > 0 and math.isfinite(self.noise_multiplier * self.sensitivity)):
            raise PrivacyError("privacy.unsupported", "noise needs a multiplier and a sensitivity above 0")
        if self.length < 1 or self.honest_shares < 1 or self.share_sigma > MAX_SIGMA:
            raise PrivacyError("privacy.unsupported", "noise of no member, for no element, or too much")

    @cached_property
    def fraction_bits(self) -> int:
        """The grid: multiples of 2^-fraction_bits, fine enough that rounding adds under 1 % of the noise."""
        for bits in range(_MAX_FRACTION_BITS):
            units = self.sensitivity * 2.0**bits
            fine = self.whole or math.sqrt(self.length) <= _ROUNDING_SHARE * units
            if fine and self._share_sigma(bits) >= _MIN_SHARE_SIGMA:
                return bits
        return _MAX_FRACTION_BITS

    @cached_property
    def share_sigma(self) -> float:
        """Parameter of each member's integer noise, in units of the grid."""
        return self._share_sigma(self.fraction_bits)

    def share_std(self) -> float:
        """Standard deviation of each member's noise, in the unit of the values."""
        return self.share_sigma / 2.0**self.fraction_bits

    def _share_sigma(self, fraction_bits: int) -> float:
        sensitivity = self.sensitivity * 2.0**fraction_bits * (1 + ARITHMETIC)
        if not self.whole:
            sensitivity += math.sqrt(self.length)
        return math.hypot(self.noise_multiplier * sensitivity, SMOOTH_SIGMA) / math.sqrt(self.honest_shares)

    def source(self, random: SecureRandom) -> "NoiseSource":
        """One member's source of its shares.

        Args:
            random: Secret bits, of the operating system.
        """
        return NoiseSource(self, DiscreteGaussian(self.share_sigma, random))

    def encoding(self, bound: float, members: int) -> FixedPoint:
        """How the noised parts of a sum become ring elements.

        Args:
            bound: Largest absolute value of an element of one member's part, before the noise.
            members: Most members in the sum.

        Returns:
            An encoding that carries every noised part, in the smaller ring if it fits there.

        Raises:
            ProtocolError: ``protocol.malformed`` if no ring is large enough.
        """
        largest = bound + self.reach
        units = members * (largest * 2.0**self.fraction_bits + 1)
        return FixedPoint(largest, members, self.fraction_bits, 32 if units < _RING_32_LIMIT else 64)

    @cached_property
    def reach(self) -> float:
        """Largest absolute value of one share; hardly ever drawn, but possible."""
        return reach(self.share_sigma) / 2.0**self.fraction_bits


class NoiseSource:
    """Adds one member's share of the noise; see :class:`GridNoise`.

    Args:
        noise: The noise of one release.
        integers: Numbers of its share.
    """

    def __init__(self, noise: GridNoise, integers: DiscreteGaussian) -> None:
        self._scale = 2.0**noise.fraction_bits
        self._integers = integers

    def add_to(self, values: NDArray[np.float64], bound: float = math.inf) -> NDArray[np.float64]:
        """Cuts, rounds and noises one part of a sum, for one release.

        Args:
            values: The part, finite, of the noise's length.
            bound: Elements are cut to this absolute value.

        Returns:
            Multiples of 2^-fraction_bits.
        """
        units = values * self._scale
        if bound < math.inf:
            np.clip(units, -bound * self._scale, bound * self._scale, out=units)
        np.rint(units, out=units)
        units += self._integers.draw(len(values))
        units *= 1 / self._scale  # exact, as a power of two is, and thrice as fast as dividing
        return units
