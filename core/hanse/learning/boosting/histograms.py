"""A member's sums over its own rows."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.boosting.columns import Codes, Layout
from hanse.learning.boosting.splits import CHANNELS

Floats = NDArray[np.float64]

_BLOCK: Final = 1 << 17  # codes at once: their numbers stay in the processor's cache


def node_sums(
    codes: Codes, layout: Layout, slots: NDArray[np.int64], gradients: Floats, hessians: Floats, n_slots: int
) -> Floats:
    """Sums gradients, hessians and rows per node, column and code.

    Args:
        codes: Of the rows, shape (rows, columns).
        layout: Of the columns.
        slots: Node of each row, counted from 0, shape (rows,).
        gradients: Shape (rows,).
        hessians: Shape (rows,).
        n_slots: Number of nodes.

    Returns:
        Shape (n_slots, layout.total, 3).
    """
    rows, columns = codes.shape
    cells = n_slots * layout.total
    sums = np.zeros((CHANNELS, cells))
    block = max(1, _BLOCK // columns)
    for start in range(0, rows, block):
        part = slice(start, start + block)
        base = slots[part, None] * layout.total + layout.offsets
        cell = (base + codes[part]).ravel()
        sums[0] += np.bincount(cell, np.repeat(gradients[part], columns), cells)
        sums[1] += np.bincount(cell, np.repeat(hessians[part], columns), cells)
        sums[2] += np.bincount(cell, minlength=cells)
    return sums.reshape(CHANNELS, n_slots, layout.total).transpose(1, 2, 0)
