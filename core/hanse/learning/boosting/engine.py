"""Gradient boosting from sums alone: the engine never sees a row.

Trees grow level by level. One question per level gives the sums of gradients, hessians and rows per code, for
the smaller child of every node that was split; its sibling's are what is left of the parent's. The same
engine serves horizontal runs, where each member has rows of its own and the sums are added up over members,
and runs in which parties hold columns of the same rows: who answers is behind :class:`Sums`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError
from hanse.learning.boosting.columns import Layout, sampled_columns
from hanse.learning.boosting.forest import Forest, GrowingTrees, Splits
from hanse.learning.boosting.objective import base_score
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.boosting.splits import best_splits, leaf_values

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is known before the first tree.

    Attributes:
        rows: To learn from.
        validation_rows: Kept aside for early stopping.
        means: Weighted mean of each label's targets, in [0, 1], shape (labels,).
    """

    rows: int
    validation_rows: int
    means: Floats


@dataclass(frozen=True, slots=True)
class Question:
    """What the engine has decided, and what it needs to know next.

    Attributes:
        tree: Iteration, from 0.
        level: Of the nodes that are asked about; 0 for the roots of the iteration.
        columns: Columns that this iteration may split on, increasing.
        splits: Those decided since the last question: of the level above, or at level 0 the last ones of the
            iteration before.
        values: At level 0, what each node of the iteration before adds to the raw scores of the rows that
            have ended in it; for the first question the base scores. Empty otherwise.
        asked: Nodes whose sums are wanted, increasing; none at level 0 if only losses are.
    """

    tree: int
    level: int
    columns: Integers
    splits: Splits
    values: Floats
    asked: Integers


@dataclass(frozen=True, slots=True)
class Answer:
    """Sums over all rows.

    Attributes:
        histograms: Gradients, hessians and rows per code, shape (asked, codes of the columns, 3).
        losses: At level 0 with ``patience``, of each label the summed loss of the validation rows and their
            summed weight, for the scores after ``tree`` iterations; shape (labels, 2), else (0, 2).
        members: Who is in the sums.
    """

    histograms: Floats
    losses: Floats
    members: tuple[str, ...]


class Sums(Protocol):
    """Whoever has the rows, or asks those who have them.

    An implementation moves rows to the children itself: a question names the splits, and the engine never
    learns who is where. Numbers must be exact sums of quantised ones, so that a sibling's are what is left.
    """

    def begin(self) -> Beginning:
        """The first question of a run."""
        ...

    def answer(self, question: Question) -> Answer:
        """Asks for sums; questions come in order, each once."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is.

    Attributes:
        iterations: Done so far.
        loss: Validation loss per unit of weight, added up over the labels, after all but the last
            iteration: nats, or squares of the label's unit; None without early stopping.
        members: In the sums of the last iteration.
    """

    iterations: int
    loss: float | None
    members: tuple[str, ...]


@dataclass(slots=True)
class EarlyStopping:
    """Watches the validation loss.

    Args:
        patience: Iterations without improvement; 0 watches nothing.
    """

    patience: int
    best: int | None = field(default=None, init=False)
    """Iterations of the best model; None before the first loss."""
    loss: float | None = field(default=None, init=False)
    """The last loss."""
    _best_loss: float = field(default=np.inf, init=False)
    _members: tuple[str, ...] = field(default=(), init=False)

    def is_over(self, iterations: int, answer: Answer) -> bool:
        """Takes note of a loss.

        Args:
            iterations: Of the model that has it.
            answer: With losses.

        Returns:
            Whether to stop.
        """
        if not self.patience:
            return False
        weights = np.maximum(answer.losses[:, 1], np.finfo(np.float64).tiny)
        self.loss = float((answer.losses[:, 0] / weights).sum())
        # Losses of other people cannot be compared.
        if self.loss < self._best_loss or answer.members != self._members:
            self.best, self._best_loss, self._members = iterations, self.loss, answer.members
        return iterations - (self.best or 0) >= self.patience


class Engine:
    """Grows trees.

    Args:
        sums: Access to sums over the rows.
        layout: Of the columns.
        settings: The run's.
        start: Trees of the same run to go on from; who has the rows has to start from them too.
        base: Their base scores; None to begin.
    """

    def __init__(
        self,
        sums: Sums,
        layout: Layout,
        settings: BoostingSettings,
        start: Forest | None = None,
        base: Sequence[float] | None = None,
    ) -> None:
        self._sums = sums
        self._layout = layout
        self._settings = settings
        self._parts = [] if start is None else [start]
        self._iterations = 0 if start is None else len(start) // settings.labels
        self._stopping = EarlyStopping(settings.patience)
        self.base: tuple[float, ...] = () if base is None else tuple(base)
        # What those who have the rows do not know yet.
        self._unsent = Splits.none(layout.width)
        self._values = np.zeros(settings.labels)

    @property
    def grown(self) -> Forest:
        """All trees so far."""
        return Forest.join(self._parts, self._layout.width)

    @property
    def forest(self) -> Forest:
        """The trees so far that have the smallest validation loss; all of them without early stopping."""
        best = self._stopping.best
        return self.grown if best is None else self.grown.head(best * self._settings.labels)

    def grow(self) -> Iterator[Progress]:
        """Grows one iteration after the other, until there are enough or early stopping says so.

        Yields:
            After each iteration.

        Raises:
            ConfigurationError: ``config.bad-data`` if there are no rows to learn from, or to stop by.
            HanseError: As :class:`Sums`.
        """
        begun = self._sums.begin()
        if not begun.rows or (self._settings.patience and not begun.validation_rows):
            raise ConfigurationError("config.bad-data", "no member has rows to learn from, or to stop by")
        if not self.base:
            self.base = tuple(base_score(self._settings, mean) for mean in begun.means.tolist())
            self._values = np.array(self.base)
        for tree in range(self._iterations, self._settings.trees):
            roots = self._ask(tree, 0, self._unsent, np.arange(self._settings.labels))
            if self._stopping.is_over(tree, roots):
                return
            grows = self._grow_iteration(tree, roots)
            yield Progress(self._iterations, self._stopping.loss, roots.members)
            if not grows:
                break
        if self._settings.patience:
            nobody = np.zeros(0, dtype=np.int64)
            self._stopping.is_over(self._iterations, self._ask(self._iterations, 0, self._unsent, nobody))

    def _ask(self, tree: int, level: int, splits: Splits, asked: Integers) -> Answer:
        values = self._values if level == 0 else np.zeros(0)
        return self._sums.answer(Question(tree, level, self._columns(tree), splits, values, asked))

    def _columns(self, tree: int) -> Integers:
        settings = self._settings
        return sampled_columns(len(self._layout.codes), settings.column_sample, settings.seed, tree)

    def _grow_iteration(self, tree: int, roots: Answer) -> bool:
        """Grows one tree for each label; False if no further one can be different."""
        growing = GrowingTrees(self._settings.labels)
        self._unsent = self._grow_levels(tree, roots, growing)
        self._values = leaf_values(growing.sums, self._settings)
        self._parts.append(growing.finish(self._values, self._layout.width))
        self._iterations = tree + 1
        return bool(growing.levels) or min(self._settings.subsample, self._settings.column_sample) < 1

    def _grow_levels(self, tree: int, roots: Answer, growing: GrowingTrees) -> Splits:
        """Splits down to the leaves; returns the splits that nobody else knows yet."""
        layout = self._layout.take(self._columns(tree))
        nodes, histograms = np.arange(self._settings.labels), roots.histograms
        growing.sums[:] = histograms[:, : layout.codes[0]].sum(axis=1)
        for level in range(1, self._settings.depth + 1):
            splits, left_sums, parents = self._choose(tree, nodes, histograms, layout)
            if not len(splits.nodes):
                break
            children = growing.split(splits, left_sums)
            worth = self._can_split(growing, children) | self._can_split(growing, children + 1)
            if level == self._settings.depth or not worth.any():
                return splits
            smaller = children + (growing.sums[children, 2] > growing.sums[children + 1, 2])
            answer = self._ask(tree, level, splits, smaller[worth])
            if answer.members != roots.members:
                break  # without the rows of one who has left, what remains of a parent is no sibling
            nodes, histograms = _both(children[worth], smaller[worth], answer.histograms, parents[worth])
            usable = self._can_split(growing, nodes)
            nodes, histograms = nodes[usable], histograms[usable]
        return Splits.none(self._layout.width)

    def _choose(
        self, tree: int, nodes: Integers, histograms: Floats, layout: Layout
    ) -> tuple[Splits, Floats, Floats]:
        """The splits of a level that are worth it, the sums of their left children, and their histograms."""
        best = best_splits(histograms, layout, self._settings)
        worth = best.gains > 0
        left = np.zeros((int(worth.sum()), self._layout.width), dtype=np.bool_)
        left[:, : layout.width] = best.left[worth]
        splits = Splits(nodes[worth], self._columns(tree)[best.columns[worth]], left)
        return splits, best.left_sums[worth], histograms[worth]

    def _can_split(self, growing: GrowingTrees, nodes: Integers) -> NDArray[np.bool_]:
        """Whether nodes have enough for two children."""
        sums = growing.sums[nodes]
        enough: NDArray[np.bool_] = sums[:, 2] >= 2 * self._settings.min_rows
        return enough & (sums[:, 1] >= 2 * self._settings.min_child_weight)


def _both(left: Integers, smaller: Integers, asked: Floats, parents: Floats) -> tuple[Integers, Floats]:
    """Both children of each pair, in order, with their histograms."""
    larger = parents - asked
    is_left = (smaller == left)[:, None, None]
    pairs = np.stack([np.where(is_left, asked, larger), np.where(is_left, larger, asked)], axis=1)
    return np.stack([left, left + 1], axis=1).ravel(), pairs.reshape(-1, *asked.shape[1:])
