"""The engine's questions, answered from own rows and from shares of sums over the columns of others."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.boosting.columns import Codes, Layout
from hanse.learning.boosting.engine import Answer, Beginning, Question
from hanse.learning.boosting.forest import LEAF, Forest, Splits
from hanse.learning.boosting.objective import Floats, loss_unit, sum_units
from hanse.learning.boosting.rows import Rows
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.boosting.splits import CHANNELS
from hanse.learning.vertical.trees.masks import Masks, Taken
from hanse.learning.vertical.trees.remote import Remote

Integers = NDArray[np.int64]

_MESSAGE_BYTES: Final = 8 << 20


class SharedSums:
    """See :class:`hanse.learning.boosting.engine.Sums`.

    Args:
        settings: Of the engine, with gradients that no sum overflows.
        layout: Of own columns.
        codes: Of own columns, shape (rows, columns).
        rows: Labels, scores and nodes.
        remotes: Feature holders.
        masks: None if there is no feature holder.
        members: All parties' names.
    """

    def __init__(
        self,
        settings: BoostingSettings,
        layout: Layout,
        codes: Codes,
        rows: Rows,
        remotes: Sequence[Remote],
        masks: Masks | None,
        members: tuple[str, ...],
    ) -> None:
        self._settings = settings
        self._own = layout
        self._codes = codes
        self._rows = rows
        self._remotes = tuple(remotes)
        self._masks = masks
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
        if self._masks is None or not len(asked):
            own = self._rows.sums(self._codes, self._own, asked)
            others = np.zeros((len(asked), self.layout.total - self._own.total, CHANNELS))
            return np.concatenate([own, others], axis=1)
        secret = self._rows.columns(asked).reshape(-1, self._rows.count)
        totals = secret.sum(axis=1, dtype=np.int64)
        sums = np.zeros((len(secret), self.layout.total - self._own.total))
        own_sums = np.zeros((len(asked), self._own.total, CHANNELS))
        for part, taken in self._taken(self._masks, len(secret)):
            masked = secret[part].view(np.uint32) - taken.columns
            for remote in self._remotes:
                remote.ask(masked)
            if not part.start:  # while the others are at work
                own_sums = self._rows.sums(self._codes, self._own, asked)
            heard = [
                remote.hear(share, totals[part])
                for remote, share in zip(self._remotes, taken.shares, strict=True)
            ]
            sums[part] = np.concatenate(heard, axis=1)
        by_node = sums.reshape(len(asked), CHANNELS, -1).transpose(0, 2, 1)
        steps = np.array([2.0**self._settings.gradient_bits] * 2 + [1.0])
        return np.concatenate([own_sums, by_node / steps], axis=1)

    def _taken(self, masks: Masks, count: int) -> Iterator[tuple[slice, Taken]]:
        """Masks for so many columns, in parts that fit into a message, with where they go."""
        most = max(CHANNELS, _MESSAGE_BYTES // (4 * self._rows.count) // CHANNELS * CHANNELS)
        start = 0
        while start < count:
            taken = masks.take(min(most, count - start))
            yield slice(start, start + len(taken.columns)), taken
            start += len(taken.columns)

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
