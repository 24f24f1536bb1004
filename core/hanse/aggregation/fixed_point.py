"""Real numbers as integers of a ring, so that masks hide them perfectly and sums of them are exact."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ProtocolError

RingVector: TypeAlias = NDArray[np.uint32] | NDArray[np.uint64]
_DOUBLE_BITS: Final = 53


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Multiples of 2^-fraction_bits, modulo 2^ring_bits; negative numbers in two's complement.

    Attributes:
        bound: Largest absolute value of one member's element; larger ones are refused, not cut.
        contributors: Of at most so many members the sum is exact; more could wrap around.
        fraction_bits: Binary digits after the point.
        ring_bits: 32 or 64.
    """

    bound: float
    contributors: int
    fraction_bits: int
    ring_bits: int = 32

    def __post_init__(self) -> None:
        if self.ring_bits not in (32, 64) or not 0 <= self.fraction_bits < self.ring_bits:
            raise ProtocolError("protocol.malformed", "a ring has 32 or 64 bits, the fraction fewer")
        if not (np.isfinite(self.bound) and self.bound > 0) or not 1 <= self.contributors <= 1 << 16:
            raise ProtocolError("protocol.malformed", "an encoding has a positive bound and contributors")
        largest = self.contributors * (self.bound * self.scale + 1)
        # Above 2^53 a double skips integers, so the encoding would round a second time.
        if largest >= 2.0 ** min(self.ring_bits - 1, _DOUBLE_BITS):
            raise ProtocolError("protocol.malformed", "the sum of all contributors could leave the ring")

    @property
    def scale(self) -> float:
        """Integers per unit."""
        return 2.0**self.fraction_bits

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of encoded vectors: unsigned, little-endian."""
        return np.dtype(f"<u{self.ring_bits // 8}")

    def zeros(self, length: int) -> RingVector:
        """The sum of no vectors."""
        zeros: RingVector = np.zeros(length, dtype=self.dtype)
        return zeros

    def encode(self, values: NDArray[np.float64]) -> RingVector:
        """Rounds to the nearest multiple; multiples stay as they are.

        Args:
            values: Any shape.

        Returns:
            Ring elements, same shape.

        Raises:
            ProtocolError: ``protocol.malformed`` if a value is not finite or beyond the bound.
        """
        if not (np.abs(values) <= self.bound).all():  # False for NaN
            raise ProtocolError("protocol.malformed", f"a value is not finite, or above {self.bound:g}")
        encoded: RingVector = np.rint(values * self.scale).astype(np.int64).astype(self.dtype)
        return encoded

    def decode(self, total: RingVector) -> NDArray[np.float64]:
        """The real numbers of a sum.

        Args:
            total: Sum of encoded vectors in the ring, any shape.

        Returns:
            Float64, same shape; exact.
        """
        signed = total.astype(self.dtype).view(f"<i{self.ring_bits // 8}")
        values: NDArray[np.float64] = signed.astype(np.float64) / self.scale
        return values
