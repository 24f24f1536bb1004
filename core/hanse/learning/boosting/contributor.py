"""A member's half of a horizontal run: its rows stay here, and it answers with sums over them."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import Query, Vector
from hanse.errors import PolicyError, ProtocolError
from hanse.learning.boosting.columns import Binning, Codes, Layout, check_left_codes, sampled_columns
from hanse.learning.boosting.messages import (
    LEVEL,
    START,
    Level,
    agreed_digest,
    level_length,
    read_level,
    read_start,
    start_length,
)
from hanse.learning.boosting.model import BoostedTrees
from hanse.learning.boosting.rows import Rows
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.random_source import SecureRandom

_DUE: Final = "protocol.unexpected-step"


class BoostingContributor:
    """Keeps scores and nodes of its rows, checks every question, and answers each once.

    A question that was answered is not answered in another way: the difference between two sums of the same
    question, one of them without a member, would be that member's own. The last one may come again if nothing
    came of it; whether something did is known where sums are made (:class:`hanse.aggregation.SumHistory`).

    Args:
        settings: The agreement's, not the coordinator's.
        binning: The columns, as agreed.
        codes: Of the rows; see :class:`hanse.learning.boosting.columns.Binning`. Shape (rows, columns).
        labels: Shape (rows,) or (rows, labels): 0 and 1, or numbers; NaN where unknown.
        weights: Of the rows; None for 1 each.
        validation: Which rows are kept aside for early stopping; None for none.
        coins: For row sampling; None for new ones.
        start: The checkpoint of this run to go on from; None to begin.

    Raises:
        ConfigurationError: ``config.bad-data`` if the data is not as described.
    """

    def __init__(
        self,
        settings: BoostingSettings,
        binning: Binning,
        codes: Codes,
        labels: NDArray[Any],
        *,
        weights: NDArray[Any] | None = None,
        validation: NDArray[np.bool_] | None = None,
        coins: SecureRandom | None = None,
        start: BoostedTrees | None = None,
    ) -> None:
        self._settings = settings
        self._digest = agreed_digest(settings, binning)
        self._layout = binning.layout
        self._codes = codes
        self._rows = Rows(settings, labels, len(codes), weights=weights, validation=validation, coins=coins)
        if start is not None:
            self._rows.raw[:] = start.raw(codes).T
        self._tree = 0 if start is None else start.iterations
        self._begun = False
        self._last: tuple[tuple[str, bytes, int], Vector] | None = None
        self._due = {(self._tree, 0)}  # iteration and level of the questions that may come next
        self._newest = 0, 0  # before the first iteration there is nothing to split

    def contribute(self, query: Query) -> Vector:
        """Answers a question of :class:`hanse.learning.boosting.coordinator.BoostingCoordinator`.

        Args:
            query: Anything in it may be wrong.

        Returns:
            Sums over this member's rows.

        Raises:
            ProtocolError: If the question is malformed, not due, or was answered before.
            PolicyError: ``policy.denied`` if it is not for what was agreed.
        """
        if query.encoding.fraction_bits != self._settings.gradient_bits:
            raise PolicyError("policy.denied", "gradients of another precision than was agreed")
        asked = (query.kind, query.body, query.length)
        if self._last is None or self._last[0] != asked:
            self._last = asked, self._answer(query)
        return self._last[1].copy()

    def learns_from(self, codes: Codes, labels: NDArray[Any]) -> bool:
        """Whether these are the rows that it was given."""
        same = np.array_equal(self._codes, codes)
        return same and np.array_equal(self._rows.targets[0], labels.astype(np.float64))

    def _answer(self, query: Query) -> Vector:
        if query.kind == START:
            return self._begin(query)
        if query.kind != LEVEL:
            raise ProtocolError(_DUE, "not a question about trees")
        level = read_level(query, self._layout.width)
        self._check(level, query.length)
        self._apply(level)
        return self._sums(level)

    def _begin(self, query: Query) -> Vector:
        digest, tree = read_start(query)
        if digest != self._digest:
            raise PolicyError(
                "policy.denied", "the coordinator's settings or columns are not the agreed ones"
            )
        if self._begun or tree != self._tree:
            raise ProtocolError(_DUE, "this run has begun, or goes on from another tree")
        if query.length != start_length(self._settings):
            raise ProtocolError("protocol.malformed", "an answer would have another length")
        self._begun = True
        learning, kept, per_label = self._rows.begin()
        return np.concatenate([[learning, kept], per_label.ravel()])

    def _check(self, level: Level, length: int) -> None:
        """Refuses what is not due, and what is not a step of growing trees as agreed."""
        if not self._begun or (level.tree, level.level) not in self._due:
            raise ProtocolError(_DUE, "this question is not due, or was answered before")
        self._check_splits(level)
        first, made = self._rows.nodes, 2 * len(level.splits.nodes)
        if len(level.values) != (first + made if level.level == 0 else 0):
            raise ProtocolError("protocol.malformed", "not one value for each node of the iteration")
        if not self._may_ask(level):
            raise ProtocolError("protocol.malformed", "nodes that cannot be asked about")
        if length != level_length(self._settings, self._layout_of(level.tree), len(level.asked), level.level):
            raise ProtocolError("protocol.malformed", "an answer would have another length")

    def _may_ask(self, level: Level) -> bool:
        """Whether the nodes are those whose sums a coordinator needs."""
        asked, first = level.asked, self._rows.nodes
        if level.level == 0:
            ends = self._settings.patience > 0 and not len(asked)
            begins = np.array_equal(asked, np.arange(self._settings.labels))
            return ends or (begins and level.tree < self._settings.trees)
        if not len(asked) or asked[0] < first or asked[-1] >= first + 2 * len(level.splits.nodes):
            return False
        # One child of a pair at most: the other one's sums are what is left of their parent's.
        return bool((np.diff((asked - first) // 2) > 0).all())

    def _check_splits(self, level: Level) -> None:
        splits = level.splits
        grown = level.tree if level.level else level.tree - 1  # the iteration that they belong to
        lowest, end = self._newest
        increasing = bool((np.diff(splits.nodes) > 0).all())
        fits = increasing and bool(((splits.nodes >= lowest) & (splits.nodes < end)).all())
        fits = fits and set(splits.columns.tolist()) <= set(self._columns_of(grown).tolist())
        if not fits or not check_left_codes(self._layout, splits.columns, splits.left):
            raise ProtocolError("protocol.malformed", "splits that cannot be made")

    def _apply(self, level: Level) -> None:
        """Moves rows to the children; at the roots, adds the leaves' values and begins the iteration."""
        first = self._rows.nodes
        self._rows.move(self._codes, level.splits)
        self._newest = first, self._rows.nodes
        if level.level == 0:
            self._rows.next_iteration(level.values)
            self._newest = 0, self._rows.nodes
        self._tree = level.tree
        over = not len(level.asked)
        deeper = level.level + 1 < self._settings.depth
        self._due = set() if over else {(level.tree + 1, 0)}
        self._due |= {(level.tree, level.level + 1)} if deeper and not over else set()

    def _sums(self, level: Level) -> Vector:
        layout = self._layout_of(level.tree)
        codes = self._codes
        if layout != self._layout:
            codes = codes[:, self._columns_of(level.tree)]
        sums = self._rows.sums(codes, layout, level.asked)
        due = level.level == 0 and self._settings.patience > 0
        losses = self._rows.losses() if due else np.zeros((0, 2))
        return np.concatenate([sums.ravel(), losses.ravel()])

    def _columns_of(self, tree: int) -> NDArray[np.int64]:
        settings = self._settings
        return sampled_columns(len(self._layout.codes), settings.column_sample, settings.seed, tree)

    def _layout_of(self, tree: int) -> Layout:
        return self._layout.take(self._columns_of(tree))
