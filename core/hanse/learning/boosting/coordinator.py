"""The coordinator's half of a horizontal run: it grows trees from sums over all members."""

from collections.abc import Iterator

import numpy as np

from hanse.aggregation import Aggregator
from hanse.learning.boosting.columns import Binning
from hanse.learning.boosting.engine import Answer, Beginning, Engine, Progress, Question
from hanse.learning.boosting.forest import Forest
from hanse.learning.boosting.messages import (
    agreed_digest,
    level_query,
    make_encoding,
    start_query,
)
from hanse.learning.boosting.model import BoostedDescription, BoostedTrees
from hanse.learning.boosting.objective import loss_unit, sum_units
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.boosting.splits import CHANNELS


class MemberSums:
    """:class:`hanse.learning.boosting.engine.Sums` over members who each hold rows of their own.

    Args:
        aggregator: Access to the members.
        settings: The run's.
        binning: The columns.
        tree: Iteration that the run begins with.
    """

    def __init__(
        self, aggregator: Aggregator, settings: BoostingSettings, binning: Binning, tree: int = 0
    ) -> None:
        self._aggregator = aggregator
        self._settings = settings
        self._binning = binning
        self._layout = binning.layout
        self._tree = tree
        # Nobody joins later, so no sum ever has more contributors.
        self._contributors = len(aggregator.members)
        self._units = sum_units(settings)
        self._encoding = make_encoding(settings, 1, self._contributors)

    def begin(self) -> Beginning:
        """See :class:`hanse.learning.boosting.engine.Sums`."""
        digest = agreed_digest(self._settings, self._binning)
        query = start_query(digest, self._tree, self._settings, self._contributors)
        sums = self._aggregator.aggregate(query).values
        rows, validation_rows = int(sums[0]), int(sums[1])
        # No member has more rows than all of them together.
        self._encoding = make_encoding(self._settings, rows + validation_rows, self._contributors)
        weights, targets = sums[2:].reshape(-1, 2).T
        means = targets / np.maximum(weights, np.finfo(np.float64).tiny)
        return Beginning(rows, validation_rows, means)

    def answer(self, question: Question) -> Answer:
        """See :class:`hanse.learning.boosting.engine.Sums`."""
        layout = self._layout.take(question.columns)
        aggregate = self._aggregator.aggregate(level_query(question, self._settings, layout, self._encoding))
        asked = len(question.asked)
        split = asked * layout.total * CHANNELS
        histograms = aggregate.values[:split].reshape(asked, layout.total, CHANNELS) * self._units
        losses = aggregate.values[split:].reshape(-1, 2) * (loss_unit(self._settings), 1.0)
        return Answer(histograms, losses, aggregate.members)


class BoostingCoordinator:
    """Grows a model with the members' :class:`hanse.learning.boosting.contributor.BoostingContributor`.

    Args:
        aggregator: Access to the members.
        settings: The run's.
        binning: The columns.
        start: The checkpoint of this run to go on from, after an interruption; members start from it too.
    """

    def __init__(
        self,
        aggregator: Aggregator,
        settings: BoostingSettings,
        binning: Binning,
        start: BoostedTrees | None = None,
    ) -> None:
        self._settings = settings
        self._binning = binning
        done = 0 if start is None else start.iterations
        self._engine = Engine(
            MemberSums(aggregator, settings, binning, done),
            binning.layout,
            settings,
            None if start is None else start.forest,
            None if start is None else start.description.base,
        )

    @property
    def model(self) -> BoostedTrees:
        """The best model so far by early stopping, else all trees. There is one after the first iteration."""
        return self._with(self._engine.forest)

    @property
    def checkpoint(self) -> BoostedTrees:
        """All trees so far, for a run to go on from."""
        return self._with(self._engine.grown)

    def _with(self, forest: Forest) -> BoostedTrees:
        settings, binning = self._settings, self._binning
        description = BoostedDescription(settings=settings, binning=binning, base=self._engine.base)
        return BoostedTrees(description, forest)

    def grow(self) -> Iterator[Progress]:
        """Grows one iteration after the other; see :meth:`hanse.learning.boosting.engine.Engine.grow`."""
        return self._engine.grow()

    def train(self) -> BoostedTrees:
        """Grows the whole model.

        Returns:
            The best one.

        Raises:
            HanseError: As :meth:`grow`.
        """
        for _ in self.grow():
            pass
        return self.model
