"""Sums of several nodes in one whole number.

A row's number has three fields for each node: ones, gradients and hessians, the gradients moved up so that
they are not negative. Fields are as wide as the largest sum over all rows, so that none runs into another.
"""

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ProtocolError
from hanse.learning.vertical.trees.terms import TreesTerms


class Lanes:
    """Where fields are.

    Args:
        terms: The run's.
    """

    def __init__(self, terms: TreesTerms) -> None:
        self._rows = terms.rows
        self._step_bits = terms.exact.gradient_bits
        largest = terms.rows << self._step_bits
        ones, slopes, curves = terms.rows.bit_length(), (2 * largest).bit_length(), largest.bit_length()
        self._starts = (0, ones, ones + slopes)
        self._masks = tuple((1 << bits) - 1 for bits in (ones, slopes, curves))
        self.bits = ones + slopes + curves
        """Of one node."""

    def pack(self, secret: NDArray[np.int32]) -> NDArray[np.object_]:
        """A number for each row.

        Args:
            secret: Gradients, hessians and ones of nodes, shape (nodes, 3, rows).
        """
        packed = np.zeros(secret.shape[2], dtype=object)
        for node, channels in enumerate(secret):
            slopes, curves, ones = channels.astype(np.uint64)
            # Modulo 2^64, which the field of no row exceeds.
            raised = slopes + (ones << np.uint64(self._step_bits))
            fields = ones + (raised << np.uint64(self._starts[1])) + (curves << np.uint64(self._starts[2]))
            at = np.flatnonzero(fields)
            packed[at] += fields[at].astype(object) << (node * self.bits)
        return packed

    def unpack(self, numbers: list[int], nodes: int) -> NDArray[np.int64]:
        """Sums of bins, shape (nodes, 3, bins).

        Raises:
            ProtocolError: ``vertical.sums`` for what cannot be a sum of rows.
        """
        lanes = [[number >> (node * self.bits) for number in numbers] for node in range(nodes)]
        fields = np.array(
            [
                [[(number >> start) & mask for number in lane] for lane in lanes]
                for start, mask in zip(self._starts, self._masks, strict=True)
            ],
            dtype=np.int64,
        )
        ones, curves = fields[0], fields[2]
        limit = ones << self._step_bits
        slopes = fields[1] - limit
        if (ones > self._rows).any() or (abs(slopes) > limit).any() or (curves > limit).any():
            raise ProtocolError("vertical.sums", "a sum is out of range")
        return np.stack([slopes, curves, ones], axis=1)
