"""What the holder of labels knows of its rows while trees grow: scores, gradients, and the node of each."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError
from hanse.learning.boosting.columns import Codes, Layout
from hanse.learning.boosting.forest import Floats, Integers, Splits, descend
from hanse.learning.boosting.histograms import node_sums
from hanse.learning.boosting.messages import MAX_ROWS
from hanse.learning.boosting.objective import gradients, losses, prepare_targets, quantise, row_weights
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.boosting.splits import CHANNELS
from hanse.learning.random_source import SecureRandom

_BAD_DATA: Final = "config.bad-data"


class Rows:
    """Scores, gradients and nodes of rows; columns are somebody else's.

    Args:
        settings: The run's.
        labels: Shape (rows,) or (rows, labels): 0 and 1, or numbers; NaN where unknown.
        count: Number of rows.
        weights: Of the rows; None for 1 each.
        validation: Which rows are kept aside for early stopping; None for none.
        coins: For row sampling; None for new ones.

    Raises:
        ConfigurationError: ``config.bad-data`` if the data is not as described.
    """

    def __init__(
        self,
        settings: BoostingSettings,
        labels: NDArray[Any],
        count: int,
        *,
        weights: NDArray[Any] | None = None,
        validation: NDArray[np.bool_] | None = None,
        coins: SecureRandom | None = None,
    ) -> None:
        self._settings = settings
        self.count = count
        self.targets = _targets(settings, labels, count)
        self._weights = row_weights(settings, self.targets, _weights(settings, weights, count))
        self._validation = np.zeros(count, dtype=np.bool_) if validation is None else validation
        if self._validation.shape != (count,) or self._validation.dtype != np.bool_ or count > MAX_ROWS:
            raise ConfigurationError(_BAD_DATA, "not one mark per row, or too many rows")
        self._coins = SecureRandom() if coins is None else coins
        self.raw = np.zeros(self.targets.shape)
        """Raw score of each row for each label, shape (labels, rows)."""
        self._in_bag = np.zeros(self.targets.shape, dtype=np.bool_)
        self._gradients = self._hessians = np.zeros(self.targets.shape)
        self._tree_of: Integers = np.arange(settings.labels)
        self._plant()

    @property
    def nodes(self) -> int:
        """Nodes of this iteration so far, and number of the next child."""
        return len(self._tree_of)

    def begin(self) -> tuple[int, int, Floats]:
        """What is known before the first tree.

        Returns:
            Rows to learn from, rows kept aside, and of each label the summed weights and the summed weighted
            targets of the former, shape (labels, 2).
        """
        learns = ~self._validation
        weights = quantise(self._settings, self._weights[:, learns])
        weighted = quantise(self._settings, self._weights * np.nan_to_num(self.targets))[:, learns]
        sums = np.stack([weights.sum(axis=1), weighted.sum(axis=1)], axis=1)
        return int(learns.sum()), int(self._validation.sum()), sums

    def move(self, codes: Codes, splits: Splits) -> None:
        """Moves rows to the children of nodes that are split.

        Args:
            codes: Of the columns that the splits name, shape (rows, columns).
            splits: Of one level.
        """
        first = self.nodes
        for label, positions in enumerate(self._positions):
            self._positions[label] = descend(positions, codes, splits, first)
        self._tree_of = np.concatenate([self._tree_of, np.repeat(self._tree_of[splits.nodes], 2)])

    def next_iteration(self, values: Floats) -> None:
        """Adds the leaves' values to the scores, and puts all rows at new roots with new gradients.

        Args:
            values: Of each node of the iteration that is over.
        """
        self.raw += values[self._positions]
        self._plant()
        settings = self._settings
        self._gradients, self._hessians = gradients(settings, self.raw, self.targets, self._weights)
        learns = ~self._validation
        if settings.subsample < 1:
            learns &= self._coins.uniform(len(learns)) < settings.subsample
        self._in_bag = learns & (self._weights > 0)

    def sums(self, codes: Codes, layout: Layout, asked: Integers) -> Floats:
        """Sums of nodes over the codes of columns, shape (asked, layout.total, 3), in units."""
        sums = np.zeros((len(asked), layout.total, CHANNELS))
        for label, mine, slots in self._slots(asked):
            rows = np.flatnonzero(slots >= 0)
            slopes, curves = self._gradients[label, rows], self._hessians[label, rows]
            sums[mine] = node_sums(codes[rows], layout, slots[rows], slopes, curves, len(mine))
        return sums

    def columns(self, asked: Integers) -> NDArray[np.int32]:
        """Gradients, hessians and ones of nodes as columns, zero outside the node.

        Args:
            asked: Nodes.

        Returns:
            Shape (asked, 3, rows): gradients and hessians as multiples of ``2^-gradient_bits``.
        """
        result = np.zeros((len(asked), CHANNELS, self.count), dtype=np.int32)
        scale = 2.0**self._settings.gradient_bits
        for label, mine, slots in self._slots(asked):
            rows = np.flatnonzero(slots >= 0)
            which = mine[slots[rows]]
            result[which, 0, rows] = self._gradients[label, rows] * scale
            result[which, 1, rows] = self._hessians[label, rows] * scale
            result[which, 2, rows] = 1
        return result

    def losses(self) -> Floats:
        """Loss and weight of each label over the rows kept aside, shape (labels, 2); see ``patience``."""
        kept, weights = self._validation, self._weights[:, self._validation]
        each = losses(self._settings, self.raw[:, kept], self.targets[:, kept], weights)
        return np.stack([each.sum(axis=1), quantise(self._settings, weights).sum(axis=1)], axis=1)

    def _slots(self, asked: Integers) -> list[tuple[int, Integers, Integers]]:
        """Each label, which of the nodes are its tree's, and each row's number among these, or -1."""
        found = []
        for label in np.unique(self._tree_of[asked]).tolist():
            mine = np.flatnonzero(self._tree_of[asked] == label)
            slot_of = np.full(self.nodes, -1, dtype=np.int64)
            slot_of[asked[mine]] = np.arange(len(mine))
            slots = np.where(self._in_bag[label], slot_of[self._positions[label]], -1)
            found.append((label, mine, slots))
        return found

    def _plant(self) -> None:
        """All rows at the roots."""
        labels = np.arange(self._settings.labels)
        self._positions = np.repeat(labels.astype(np.int32)[:, None], self.count, axis=1)
        self._tree_of = labels


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
