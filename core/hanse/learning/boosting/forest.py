"""Trees as arrays: while they grow, and when they are done.

The trees of one iteration, one for each label, grow together and share one numbering of nodes: the root of
label k is node k, and the i-th split of a level makes nodes ``next + 2 i`` (left) and ``next + 2 i + 1``.
Coordinator and members number alike, so that a question only names nodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.boosting.columns import Codes, Layout, check_left_codes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEAF: Final = -1
"""In :attr:`Forest.column`."""


@dataclass(frozen=True, slots=True)
class Splits:
    """What becomes of some nodes.

    Attributes:
        nodes: Which, increasing, shape (splits,).
        columns: Column of each, shape (splits,).
        left: Codes that go left, shape (splits, width).
    """

    nodes: Integers
    columns: Integers
    left: NDArray[np.bool_]

    @classmethod
    def none(cls, width: int) -> "Splits":
        """No splits."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, np.zeros((0, width), dtype=np.bool_))


def descend(positions: NDArray[np.int32], codes: Codes, splits: Splits, n_nodes: int) -> NDArray[np.int32]:
    """Moves the rows of nodes that are split to their children.

    Args:
        positions: Node of each row, shape (rows,).
        codes: Of the rows, shape (rows, columns).
        splits: Of one level.
        n_nodes: Nodes before the splits, and number of the first child.

    Returns:
        New positions.
    """
    moved = positions.copy()
    if not len(splits.nodes):
        return moved
    split_of = np.full(n_nodes, -1, dtype=np.int32)
    split_of[splits.nodes] = np.arange(len(splits.nodes))
    which = split_of[positions]
    rows = np.flatnonzero(which >= 0)
    which = which[rows]
    code = codes.ravel()[rows * codes.shape[1] + splits.columns[which]]
    goes_left = splits.left.ravel()[which * splits.left.shape[1] + code]
    moved[rows] = n_nodes + 2 * which + ~goes_left
    return moved


@dataclass(slots=True)
class GrowingTrees:
    """The trees of one iteration, from roots to leaves.

    Args:
        labels: Number of trees.
    """

    labels: int
    tree: Integers = field(init=False)
    """Tree of each node."""
    sums: Floats = field(init=False)
    """Sums of each node, shape (nodes, 3)."""
    levels: list[Splits] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.tree = np.arange(self.labels)
        self.sums = np.zeros((self.labels, 3))

    def split(self, splits: Splits, left_sums: Floats) -> Integers:
        """Splits nodes.

        Args:
            splits: Of nodes that are leaves so far.
            left_sums: Sums of the left children, shape (splits, 3).

        Returns:
            The left children; each right one is the next number.
        """
        first = len(self.tree)
        self.levels.append(splits)
        self.tree = np.concatenate([self.tree, np.repeat(self.tree[splits.nodes], 2)])
        right_sums = self.sums[splits.nodes] - left_sums
        children = np.stack([left_sums, right_sums], axis=1).reshape(-1, self.sums.shape[1])
        self.sums = np.concatenate([self.sums, children])
        return first + 2 * np.arange(len(splits.nodes))

    def finish(self, values: Floats, width: int) -> "Forest":
        """The trees as they are now.

        Args:
            values: What each node adds to its rows' scores if it is a leaf, shape (nodes,).
            width: Most codes of a column.

        Returns:
            One tree for each label.
        """
        column = np.full(len(self.tree), LEAF, dtype=np.int16)
        left = np.zeros((len(self.tree), width), dtype=np.bool_)
        for splits in self.levels:
            column[splits.nodes] = splits.columns
            left[splits.nodes] = splits.left
        order = np.argsort(self.tree, kind="stable")
        sizes = np.bincount(self.tree, minlength=self.labels)
        leaf = column == LEAF
        return Forest(
            np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32),
            column[order],
            left[order][~leaf[order]],
            np.where(leaf, values, 0.0)[order],
        )


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees that are done.

    The nodes of a tree are numbered level by level, so that children need no pointers: those of its i-th
    node that is split are nodes ``2 i + 1`` and ``2 i + 2`` of the tree.

    Attributes:
        first: First node of each tree, shape (trees,).
        column: Column that a node is split on, or :data:`LEAF`, shape (nodes,).
        left: Codes that go left, for nodes that are split, in their order, shape (splits, width).
        value: What a leaf adds to the raw score, zero for others, shape (nodes,).
    """

    first: NDArray[np.int32]
    column: NDArray[np.int16]
    left: NDArray[np.bool_]
    value: Floats

    @classmethod
    def empty(cls, width: int) -> "Forest":
        """No trees."""
        left = np.zeros((0, width), dtype=np.bool_)
        return cls(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int16), left, np.zeros(0))

    def __len__(self) -> int:
        """Number of trees."""
        return len(self.first)

    @classmethod
    def join(cls, parts: Sequence["Forest"], width: int) -> "Forest":
        """The trees of all parts, in order."""
        all_parts = [cls.empty(width), *parts]
        starts = np.cumsum([0, *(len(part.column) for part in all_parts[:-1])])
        firsts = [part.first + start for part, start in zip(all_parts, starts.tolist(), strict=True)]
        return cls(
            np.concatenate(firsts).astype(np.int32),
            np.concatenate([part.column for part in all_parts]),
            np.concatenate([part.left for part in all_parts]),
            np.concatenate([part.value for part in all_parts]),
        )

    def head(self, trees: int) -> "Forest":
        """The first trees."""
        if trees >= len(self):
            return self
        nodes = int(self.first[trees])
        splits = int((self.column[:nodes] != LEAF).sum())
        return Forest(self.first[:trees], self.column[:nodes], self.left[:splits], self.value[:nodes])

    def children(self) -> Integers:
        """Left child of each node; a leaf is its own. Shape (nodes,)."""
        split = self.column != LEAF
        before = np.cumsum(split) - split  # splits in front of each node
        start = np.repeat(self.first, self.sizes())
        in_tree = before - before[start]
        return np.where(split, start + 1 + 2 * in_tree, np.arange(len(split)))

    def sizes(self) -> Integers:
        """Nodes of each tree."""
        return np.diff(self.first, append=len(self.column)).astype(np.int64)


def is_sound(forest: Forest, layout: Layout, depth: int) -> bool:
    """Whether arrays from anywhere are trees of at most a depth over the columns of a layout."""
    shapes = forest.first.ndim == forest.column.ndim == forest.value.ndim == 1
    if not shapes or forest.value.shape != forest.column.shape or not np.isfinite(forest.value).all():
        return False
    if not len(forest):
        return not len(forest.column) and forest.left.shape == (0, layout.width)
    if forest.first[0] != 0 or (forest.sizes() < 1).any():
        return False
    split = forest.column != LEAF
    if forest.left.shape != (int(split.sum()), layout.width) or forest.value[split].any():
        return False
    columns = forest.column[split]
    if (columns < 0).any() or (columns >= len(layout.codes)).any():
        return False
    return _is_connected(forest, split, depth) and check_left_codes(layout, columns, forest.left)


def _is_connected(forest: Forest, split: NDArray[np.bool_], depth: int) -> bool:
    """Whether every node but the roots is a child of one before it, and no leaf is too deep."""
    sizes = forest.sizes()
    splits = np.add.reduceat(split.astype(np.int64), forest.first)
    children = forest.children()
    if (sizes != 2 * splits + 1).any() or (children[split] <= np.flatnonzero(split)).any():
        return False
    reached = forest.first.astype(np.int64)
    for _ in range(depth):
        inner = children[reached[split[reached]]]
        reached = np.concatenate([inner, inner + 1])
    return not split[reached].any()
