"""Boosted trees: the state is the trees so far, and a round grows a few more."""

from typing import Final

from hanse.aggregation import Aggregator
from hanse.aggregation.asking import MAX_LENGTH
from hanse.errors import TrainingError
from hanse.learning import Transform
from hanse.learning.boosting import (
    BoostedDescription,
    BoostedTrees,
    BoostingCoordinator,
    TreeColumns,
    agreed_settings,
    decode_trees,
    encode_trees,
)
from hanse.learning.boosting.forest import Forest
from hanse.learning.boosting.splits import CHANNELS
from hanse.policies import Agreement
from hanse.server.algorithms.algorithm import Learned

_BEGINNING: Final = 1


class Boosting:
    """See :class:`hanse.server.algorithms.Algorithm`.

    Args:
        agreement: What the members agreed on.
        transform: The fitted preprocessing.

    Raises:
        TrainingError: ``run.no-features``, ``run.unsupported`` for columns without cells, or for so
            many of them at such a depth that no message can hold the sums of a level.
    """

    def __init__(self, agreement: Agreement, transform: Transform) -> None:
        self._training = training = agreement.training
        self._binning = TreeColumns(transform).binning
        self._settings = agreed_settings(training, training.rounds)
        nodes = 2 ** (self._settings.depth - 1)
        if nodes * self._binning.layout.total * CHANNELS > MAX_LENGTH:
            raise TrainingError("run.unsupported", "trees of so many cells at such a depth")

    @property
    def sums(self) -> int:
        """One for the beginning of a round, and one for each level of its trees."""
        return _BEGINNING + self._training.local_steps * self._settings.depth

    def start(self) -> bytes:
        """No trees, and even odds."""
        settings, binning = self._settings, self._binning
        none = BoostedDescription(settings=settings, binning=binning, base=(0.0,) * settings.labels)
        return encode_trees(BoostedTrees(none, Forest.join([], binning.layout.width)))

    def round(self, members: Aggregator, number: int, state: bytes) -> Learned:
        """Grows the trees of one round."""
        settings = agreed_settings(self._training, number)
        grown = decode_trees(state, settings, self._binning)
        begun = grown if grown.iterations else None
        coordinator = BoostingCoordinator(members, settings, self._binning, begun)
        taught: tuple[str, ...] = members.members
        for progress in coordinator.grow():
            taught = progress.members
        return Learned(encode_trees(coordinator.checkpoint), taught)

    def finished(self, state: bytes) -> bool:
        """When a round has ended early, because there was nothing left to split."""
        return self._trees(state).iterations % self._training.local_steps != 0

    def model_file(self, state: bytes) -> bytes:
        """The trees."""
        return state

    def _trees(self, state: bytes) -> BoostedTrees:
        return decode_trees(state, self._settings, self._binning)
