"""The best split of each node, from sums of gradients, hessians and rows alone.

For a node with sums (G, H), a split into (G_L, H_L) and (G_R, H_R) improves the objective by
``(G_L^2 / (H_L + l2) + G_R^2 / (H_R + l2) - G^2 / (H + l2)) / 2`` (XGBoost, equation 7). Missing values of a
column with an order are tried on either side. The codes of a column without an order are sorted by
``G / (H + smoothing)`` and cut once, which without regularisation finds the best of all subsets (Fisher, "On
Grouping for Maximum Homogeneity", 1958).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.boosting.columns import Layout, prefix_codes
from hanse.learning.boosting.settings import BoostingSettings

Floats = NDArray[np.float64]

CHANNELS: Final = 3
"""Sums per code: gradients, hessians, rows."""

_ROUNDING: Final = 1e-9  # smaller gains are rounding errors
_FLATTEST: Final = 1e-3
_BLOCK: Final = 1 << 19  # elements of a temporary array


@dataclass(frozen=True, slots=True)
class BestSplits:
    """The best split of each node.

    Attributes:
        gains: Improvement less ``min_gain``; not above zero where no split is worth it, shape (nodes,).
        columns: Column in the layout, shape (nodes,).
        left: Codes that go left, shape (nodes, width).
        left_sums: Sums of the left child, shape (nodes, 3).
        sums: Sums of the node, shape (nodes, 3).
    """

    gains: Floats
    columns: NDArray[np.int64]
    left: NDArray[np.bool_]
    left_sums: Floats
    sums: Floats


def best_splits(histograms: Floats, layout: Layout, settings: BoostingSettings) -> BestSplits:
    """Finds the best split of each node.

    Args:
        histograms: Sums per code, shape (nodes, layout.total, 3).
        layout: Of the columns.
        settings: The run's.

    Returns:
        One for each node, one at least.
    """
    block = max(1, _BLOCK // (len(layout.codes) * layout.width))
    parts = [
        _best(histograms[start : start + block], layout, settings)
        for start in range(0, len(histograms), block)
    ]
    if len(parts) == 1:
        return parts[0]
    return BestSplits(
        np.concatenate([part.gains for part in parts]),
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.left for part in parts]),
        np.concatenate([part.left_sums for part in parts]),
        np.concatenate([part.sums for part in parts]),
    )


def leaf_values(sums: Floats, settings: BoostingSettings) -> Floats:
    """What a leaf adds to the raw score of its rows (XGBoost, equation 5, times the learning rate).

    Args:
        sums: Of the leaves, shape (leaves, 3).
        settings: The run's.
    """
    return -settings.learning_rate * sums[:, 0] / _curvature(sums[:, 1], settings.l2)


def _best(histograms: Floats, layout: Layout, settings: BoostingSettings) -> BestSplits:
    nodes = np.arange(len(histograms))
    per_code = _per_column(histograms, layout)
    orders = _orders(per_code, layout, settings.category_smoothing)
    left = np.cumsum(np.take_along_axis(per_code[:, None], orders[None], axis=-1), axis=-1)
    totals = left[..., -1:]
    gains = _gains(left, totals, layout, settings)
    way, column, cut = _largest(gains)
    left_sums = left[:, way, nodes, column, cut].T
    sums = totals[:, 0, :, 0, 0].T
    codes = np.zeros((len(nodes), layout.width), dtype=np.bool_)
    np.put_along_axis(codes, orders[way, nodes, column], np.arange(layout.width) <= cut[:, None], axis=1)
    unseen = per_code[2, nodes, column] == 0
    codes = _place_unseen(codes, unseen, 2 * left_sums[:, 2] >= sums[:, 2], column, layout)
    return BestSplits(gains[way, nodes, column, cut], column, codes, left_sums, sums)


def _per_column(histograms: Floats, layout: Layout) -> Floats:
    """Sums with an axis for columns and one for codes, shape (3, nodes, columns, width); zero beyond."""
    inside = np.arange(layout.width) < np.array(layout.codes)[:, None]
    spread = np.zeros((CHANNELS, len(histograms), *inside.shape))
    spread[:, :, inside] = histograms.transpose(2, 0, 1)
    return spread


def _orders(per_code: Floats, layout: Layout, smoothing: float) -> NDArray[np.int64]:
    """The orders in which codes are cut, shape (orders, nodes, columns, width).

    The first has missing values last. The second, which is left out where none is missing, has them first;
    a column without an order is the same in both.
    """
    _, nodes, columns, width = per_code.shape
    last = np.array(layout.codes) - 1
    ordered = np.array(layout.ordered)
    codes = np.arange(width)
    some_missing = bool((per_code[2][:, ordered, last[ordered]] > 0).any())
    orders = np.broadcast_to(codes, (1 + some_missing, nodes, columns, width)).copy()
    if some_missing:
        turned = np.where(codes <= last[:, None], (codes - 1) % (last[:, None] + 1), codes)
        orders[1] = np.where(ordered[:, None], turned, codes)
    if not ordered.all():
        slopes, curves, rows = per_code[:, :, ~ordered]
        ratios = np.where(rows > 0, slopes / _curvature(curves, smoothing), np.inf)
        orders[:, :, ~ordered] = np.argsort(ratios, axis=-1, kind="stable")
    return orders


def _gains(left: Floats, totals: Floats, layout: Layout, settings: BoostingSettings) -> Floats:
    """Improvement of every cut, shape (orders, nodes, columns, width); minus infinity where forbidden."""
    right = totals - left
    l2 = settings.l2 + np.where(np.array(layout.ordered), 0.0, settings.category_l2)[:, None]
    gains: Floats = 0.5 * (
        left[0] ** 2 / _curvature(left[1], l2)
        + right[0] ** 2 / _curvature(right[1], l2)
        - totals[0] ** 2 / _curvature(totals[1], settings.l2)
    )
    allowed = np.minimum(left[2], right[2]) >= settings.min_rows
    allowed &= np.minimum(left[1], right[1]) >= settings.min_child_weight
    return np.where(allowed, gains - settings.min_gain - _ROUNDING, -np.inf)


def _curvature(hessians: Floats, l2: float | Floats) -> Floats:
    """Hessians with regularisation; never zero, for sums of rounded ones can be."""
    return np.maximum(hessians + l2, _FLATTEST)


def _largest(gains: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Order, column and cut of each node's largest gain; the first one of equals."""
    nodes = gains.shape[1]
    by_node = gains.transpose(1, 0, 2, 3)
    best = by_node.reshape(nodes, -1).argmax(axis=1)
    way, column, cut = np.unravel_index(best, by_node.shape[1:])
    return way, column, cut


def _place_unseen(
    codes: NDArray[np.bool_],
    unseen: NDArray[np.bool_],
    left_is_heavier: NDArray[np.bool_],
    column: NDArray[np.int64],
    layout: Layout,
) -> NDArray[np.bool_]:
    """Sends what the node has no row of to the child with more rows, unless its order says where it goes."""
    inside = np.arange(layout.width) < np.array(layout.codes)[column, None]
    free = unseen & ~prefix_codes(layout)[column]
    return np.where(free, left_is_heavier[:, None], codes) & inside
