"""Real numbers as integers of a ring, so that masks hide them perfectly and sums of them are exact."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ProtocolError

RingVector: TypeAlias = NDArray[np.uint32] | NDArray[np.uint64]
_DOUBLE_BITS: Final = 53
_BLOCK: Final = 1 << 13


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
        flat = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
        encoded = np.empty(flat.shape, dtype=f"<i{self.ring_bits // 8}")
        rounded = np.empty(min(_BLOCK, len(flat)))
        # In blocks, so that what is between the passes stays in the processor's cache: thrice as fast.
        for start in range(0, len(flat), _BLOCK):
            block = flat[start : start + _BLOCK]
            if not max(block.max(), -block.min()) <= self.bound:  # False for NaN
                raise ProtocolError("protocol.malformed", f"a value is not finite, or above {self.bound:g}")
            np.rint(np.multiply(block, self.scale, out=rounded[: len(block)]), out=rounded[: len(block)])
            encoded[start : start + _BLOCK] = rounded[: len(block)]
        ring: RingVector = encoded.view(self.dtype).reshape(values.shape)
        return ring

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
