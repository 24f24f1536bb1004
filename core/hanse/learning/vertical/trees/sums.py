"""The engine's questions, answered from own rows and from shares of sums over the columns of others."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hanse.learning.boosting.columns import Codes, Layout
from hanse.learning.boosting.engine import Answer, Beginning, Question
from hanse.learning.boosting.forest import LEAF, Forest, Splits
from hanse.learning.boosting.objective import Floats, loss_unit, sum_units
from hanse.learning.boosting.rows import Rows
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.boosting.splits import CHANNELS
from hanse.learning.vertical.trees.remote import Remote

Integers = NDArray[np.int64]


class Others(Protocol):
    """How sums over the columns of feature holders are asked for."""

    def sums(self, secret: NDArray[np.int32], meanwhile: Callable[[], None]) -> Integers:
        """Asks for sums.

        Args:
            secret: What is added up, three columns for each node; shape (columns, rows).
            meanwhile: Is called once, while the others are at work.

        Returns:
            Shape (columns, codes of all feature holders).

        Raises:
            ProtocolError: ``vertical.sums`` if sums do not add up.
        """
        ...

    def check(self, entropy: Callable[[int], bytes]) -> list[bytes]:
        """Tosses a coin with each feature holder, and lets it check what it has not checked yet.

        Returns:
            The coins.
        """
        ...


class SharedSums:
    """See :class:`hanse.learning.boosting.engine.Sums`.

    Args:
        settings: Of the engine, with gradients that no sum overflows.
        layout: Of own columns.
        codes: Of own columns, shape (rows, columns).
        rows: Labels, scores and nodes.
        remotes: Feature holders.
        others: How they are asked; None if there is none.
        members: All parties' names.
    """

    def __init__(
        self,
        settings: BoostingSettings,
        layout: Layout,
        codes: Codes,
        rows: Rows,
        remotes: Sequence[Remote],
        others: Others | None,
        members: tuple[str, ...],
    ) -> None:
        self._settings = settings
        self._own = layout
        self._codes = codes
        self._rows = rows
        self._remotes = tuple(remotes)
        self._others = others
        self._members = members
        layouts = [layout, *(remote.layout for remote in remotes)]
        self.layout = Layout(
            tuple(count for one in layouts for count in one.codes),
            tuple(ordered for one in layouts for ordered in one.ordered),
        )
        """Of own columns and, behind them, those of each feature holder."""
        self._first = np.cumsum([len(one.codes) for one in layouts])[:-1]  # column of each feature holder

    def begin(self) -> Beginning:
        """See :class:`hanse.learning.boosting.engine.Sums`."""
        learning, kept, sums = self._rows.begin()
        weights = np.maximum(sums[:, 0], np.finfo(np.float64).tiny)
        return Beginning(learning, kept, sums[:, 1] / weights)

    def answer(self, question: Question) -> Answer:
        """See :class:`hanse.learning.boosting.engine.Sums`."""
        self._move(question.splits)
        if question.level == 0:
            self._rows.next_iteration(question.values)
        chosen = np.zeros(len(self.layout.codes), dtype=np.bool_)
        chosen[question.columns] = True
        histograms = self._histograms(question.asked)[:, np.repeat(chosen, self.layout.codes)]
        losses = np.zeros((0, 2))
        if question.level == 0 and self._settings.patience:
            losses = self._rows.losses() * (loss_unit(self._settings), 1.0)
        return Answer(histograms * sum_units(self._settings), losses, self._members)

    def cut_of(self, forest: Forest) -> tuple[dict[tuple[int, bytes], int], list[list[int]]]:
        """Numbers the cuts of others' columns that a forest uses.

        A feature holder has not heard of the last splits yet: those behind which there was nothing to ask.

        Returns:
            Number of each cut among all, by its column and the bytes of its left codes; and of each feature
            holder the cuts that are used, as it has numbered them.
        """
        split = forest.column[forest.column != LEAF].astype(np.int64)
        holders = np.array([self._holder(column) for column in split.tolist()], dtype=np.int64)
        numbers: dict[tuple[int, bytes], int] = {}
        kept = []
        for holder, remote in enumerate(self._remotes):
            mine = np.flatnonzero(holders == holder)
            first = {(int(split[i]), forest.left[i].tobytes()): int(i) for i in mine[::-1]}
            which = list(first.values())
            columns, left = self._local(holder, split[which], forest.left[which])
            kept.append(remote.cuts(columns, left))
            numbers |= {key: len(numbers) + number for number, key in enumerate(first)}
        return numbers, kept

    def _histograms(self, asked: Integers) -> Floats:
        """Shape (asked, layout.total, 3)."""
        if self._others is None or not len(asked):
            own = self._rows.sums(self._codes, self._own, asked)
            others = np.zeros((len(asked), self.layout.total - self._own.total, CHANNELS))
            return np.concatenate([own, others], axis=1)
        own_sums: list[Floats] = []
        secret = self._rows.columns(asked).reshape(-1, self._rows.count)
        sums = self._others.sums(
            secret, lambda: own_sums.append(self._rows.sums(self._codes, self._own, asked))
        )
        by_node = sums.reshape(len(asked), CHANNELS, -1).transpose(0, 2, 1)
        steps = np.array([2.0**self._settings.gradient_bits] * 2 + [1.0])
        return np.concatenate([*own_sums, by_node / steps], axis=1)

    def _move(self, splits: Splits) -> None:
        """Moves rows, with each split's side of every row as a column of two codes."""
        if not len(splits.nodes):
            return
        sides = np.empty((self._rows.count, len(splits.nodes)), dtype=np.uint8)
        holders = np.array([self._holder(column) for column in splits.columns.tolist()])
        for number in np.flatnonzero(holders < 0).tolist():
            goes_left = splits.left[number][self._codes[:, splits.columns[number]]]
            sides[:, number] = ~goes_left
        for holder, remote in enumerate(self._remotes):
            mine = np.flatnonzero(holders == holder)
            if len(mine):
                columns, left = self._local(holder, splits.columns[mine], splits.left[mine])
                sides[:, mine] = np.stack(remote.sides(columns, left), axis=1)
        number_of = np.arange(len(splits.nodes))
        is_left = np.tile([True, False], (len(splits.nodes), 1))
        self._rows.move(sides, Splits(splits.nodes, number_of, is_left))

    def _holder(self, column: int) -> int:
        """Feature holder of a column, or -1."""
        return int(np.searchsorted(self._first, column, side="right")) - 1

    def _local(
        self, holder: int, column: Integers, left: NDArray[np.bool_]
    ) -> tuple[Integers, NDArray[np.bool_]]:
        """A column and codes as a feature holder numbers them."""
        width = self._remotes[holder].layout.width
        return column - int(self._first[holder]), left[..., :width]
