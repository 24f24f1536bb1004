"""A member's half of a horizontal run: its rows stay here, and it answers with sums over them."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import Query, Vector
from hanse.errors import ConfigurationError, PolicyError, ProtocolError
from hanse.learning.boosting.columns import Binning, Codes, Layout, check_left_codes, sampled_columns
from hanse.learning.boosting.forest import descend
from hanse.learning.boosting.histograms import node_sums
from hanse.learning.boosting.messages import (
    LEVEL,
    MAX_ROWS,
    START,
    Level,
    agreed_digest,
    level_length,
    read_level,
    read_start,
    start_length,
)
from hanse.learning.boosting.model import BoostedTrees
from hanse.learning.boosting.objective import (
    Floats,
    gradients,
    losses,
    prepare_targets,
    quantise,
    row_weights,
)
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.boosting.splits import CHANNELS
from hanse.learning.random_source import SecureRandom

_BAD_DATA: Final = "config.bad-data"
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
        rows = len(self._codes)
        self._targets = _targets(settings, labels, rows)
        self._weights = row_weights(settings, self._targets, _weights(settings, weights, rows))
        self._validation = np.zeros(rows, dtype=np.bool_) if validation is None else validation
        if self._validation.shape != (rows,) or self._validation.dtype != np.bool_ or rows > MAX_ROWS:
            raise ConfigurationError(_BAD_DATA, "not one mark per row, or too many rows")
        self._coins = SecureRandom() if coins is None else coins
        self._raw = np.zeros(self._targets.shape) if start is None else start.raw(self._codes).T.copy()
        self._tree = 0 if start is None else start.iterations
        self._begun = False
        self._last: tuple[tuple[str, bytes, int], Vector] | None = None
        self._due = {(self._tree, 0)}  # iteration and level of the questions that may come next
        self._in_bag = np.zeros(self._targets.shape, dtype=np.bool_)
        self._gradients = self._hessians = np.zeros(self._targets.shape)
        self._tree_of = np.arange(settings.labels)
        self._plant()
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
        return same and np.array_equal(self._targets[0], labels.astype(np.float64))

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
        learns = ~self._validation
        weights = quantise(self._settings, self._weights[:, learns])
        weighted = quantise(self._settings, self._weights * np.nan_to_num(self._targets))[:, learns]
        per_label = np.stack([weights.sum(axis=1), weighted.sum(axis=1)], axis=1)
        return np.concatenate([[learns.sum(), self._validation.sum()], per_label.ravel()])

    def _check(self, level: Level, length: int) -> None:
        """Refuses what is not due, and what is not a step of growing trees as agreed."""
        if not self._begun or (level.tree, level.level) not in self._due:
            raise ProtocolError(_DUE, "this question is not due, or was answered before")
        self._check_splits(level)
        first, made = self._next_node, 2 * len(level.splits.nodes)
        if len(level.values) != (first + made if level.level == 0 else 0):
            raise ProtocolError("protocol.malformed", "not one value for each node of the iteration")
        if not self._may_ask(level):
            raise ProtocolError("protocol.malformed", "nodes that cannot be asked about")
        if length != level_length(self._settings, self._layout_of(level.tree), len(level.asked), level.level):
            raise ProtocolError("protocol.malformed", "an answer would have another length")

    def _may_ask(self, level: Level) -> bool:
        """Whether the nodes are those whose sums a coordinator needs."""
        asked, first = level.asked, self._next_node
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
        splits, first = level.splits, self._next_node
        for label, positions in enumerate(self._positions):
            self._positions[label] = descend(positions, self._codes, splits, first)
        self._tree_of = np.concatenate([self._tree_of, np.repeat(self._tree_of[splits.nodes], 2)])
        self._newest = first, self._next_node
        if level.level == 0:
            self._raw += level.values[self._positions]
            self._plant()
            self._derive()
        self._tree = level.tree
        over = not len(level.asked)
        deeper = level.level + 1 < self._settings.depth
        self._due = set() if over else {(level.tree + 1, 0)}
        self._due |= {(level.tree, level.level + 1)} if deeper and not over else set()

    def _plant(self) -> None:
        """All rows at the roots."""
        labels = np.arange(self._settings.labels)
        self._positions = np.repeat(labels.astype(np.int32)[:, None], len(self._codes), axis=1)
        self._tree_of = labels
        self._newest = 0, len(labels)

    def _derive(self) -> None:
        """Gradients at the scores so far, of the rows that take part in this iteration."""
        settings = self._settings
        self._gradients, self._hessians = gradients(settings, self._raw, self._targets, self._weights)
        learns = ~self._validation
        if settings.subsample < 1:
            learns &= self._coins.uniform(len(learns)) < settings.subsample
        self._in_bag = learns & (self._weights > 0)

    def _sums(self, level: Level) -> Vector:
        layout = self._layout_of(level.tree)
        codes = self._codes
        if layout != self._layout:
            codes = codes[:, self._columns_of(level.tree)]
        sums = np.zeros((len(level.asked), layout.total, CHANNELS))
        for label in np.unique(self._tree_of[level.asked]).tolist():
            mine = np.flatnonzero(self._tree_of[level.asked] == label)
            slot_of = np.full(self._next_node, -1, dtype=np.int64)
            slot_of[level.asked[mine]] = np.arange(len(mine))
            slots = slot_of[self._positions[label]]
            rows = np.flatnonzero((slots >= 0) & self._in_bag[label])
            sums[mine] = node_sums(
                codes[rows],
                layout,
                slots[rows],
                self._gradients[label, rows],
                self._hessians[label, rows],
                len(mine),
            )
        return np.concatenate([sums.ravel(), self._losses(level).ravel()])

    def _losses(self, level: Level) -> Floats:
        """Loss and weight of each label over the rows kept aside, if they are due."""
        settings, kept = self._settings, self._validation
        if level.level or not settings.patience:
            return np.zeros((0, 2))
        weights = self._weights[:, kept]
        each = losses(settings, self._raw[:, kept], self._targets[:, kept], weights)
        return np.stack([each.sum(axis=1), quantise(settings, weights).sum(axis=1)], axis=1)

    @property
    def _next_node(self) -> int:
        return len(self._tree_of)

    def _columns_of(self, tree: int) -> NDArray[np.int64]:
        settings = self._settings
        return sampled_columns(len(self._layout.codes), settings.column_sample, settings.seed, tree)

    def _layout_of(self, tree: int) -> Layout:
        return self._layout.take(self._columns_of(tree))


def _targets(settings: BoostingSettings, labels: NDArray[Any], rows: int) -> Floats:
    """Targets of each label, shape (labels, rows)."""
    values = np.asarray(labels)
    shapes = {(rows, settings.labels)} | ({(rows,)} if settings.labels == 1 else set())
    if values.dtype.kind not in "biuf" or values.shape not in shapes:
        raise ConfigurationError(_BAD_DATA, f"labels are not numbers of shape ({rows}, {settings.labels})")
    numbers = values.astype(np.float64).reshape(rows, settings.labels).T
    known = numbers[~np.isnan(numbers)]
    if settings.objective == "logistic" and not np.isin(known, (0.0, 1.0)).all():
        raise ConfigurationError(_BAD_DATA, "a label is neither 0 nor 1")
    return prepare_targets(settings, numbers)


def _weights(settings: BoostingSettings, weights: NDArray[Any] | None, rows: int) -> Floats:
    if weights is None:
        return np.ones(rows)
    numbers = np.asarray(weights, dtype=np.float64)
    if numbers.shape != (rows,) or not ((numbers >= 0) & (numbers <= settings.max_weight)).all():
        raise ConfigurationError(_BAD_DATA, f"weights are not in [0, {settings.max_weight:g}], one per row")
    return numbers
