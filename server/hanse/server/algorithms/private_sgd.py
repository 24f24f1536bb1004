"""Private gradient sums over the members: one sum a step, ``local_steps`` of them in a round."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.aggregation import Aggregator
from hanse.crypto import sha256_hex
from hanse.errors import TrainingError
from hanse.learning import encode_weights, initial_weights
from hanse.learning.private import PrivateSgdCoordinator
from hanse.learning.shared_run import NoiseLevels, PrivateState, SharedRun
from hanse.policies import Agreement
from hanse.server.algorithms.algorithm import Learned

MOST_SUMS: Final = 64
"""Sums that an epoch prepares at most; a longer round goes on in the next epoch."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the members have settled before the first round.

    Attributes:
        levels: Of the noise.
        rows: The noisy number of training records of all of them.
    """

    levels: NoiseLevels
    rows: float


class PrivateSgd:
    """See :class:`hanse.server.algorithms.Algorithm`.

    Args:
        agreement: What the members agreed on.
        run: Name of the run.
        opening: The noise of the run and the noisy number of records, of its preparation; only :meth:`start`
            asks for it.
    """

    def __init__(self, agreement: Agreement, run: str, opening: Opening | None = None) -> None:
        self._training = agreement.training
        self._shared = SharedRun(agreement)
        self._run = run
        self._opening = opening

    @property
    def sums(self) -> int:
        """See :class:`hanse.server.algorithms.Algorithm`."""
        return min(self._training.local_steps, MOST_SUMS)

    def start(self) -> bytes:
        """The weights of a model that knows nothing; of a network, drawn from the run's public name.

        Raises:
            TrainingError: ``run.unprepared`` without an opening.
        """
        if self._opening is None:
            raise TrainingError("run.unprepared", "the members have not agreed on the noise")
        rng = np.random.default_rng(int(sha256_hex(self._run.encode())[:16], 16))
        transform = self._shared.transform
        weights = initial_weights(self._training, transform.n_features, rng, transform.groups)
        return PrivateState(self._opening.levels, self._opening.rows, weights).to_bytes()

    def round(self, members: Aggregator, number: int, state: bytes) -> Learned:
        """Takes the steps of a round; each follows one noisy sum."""
        before = self._read(state)
        run = self._shared.private(before.levels)
        coordinator = PrivateSgdCoordinator(members, run, before.weights, before.rows)
        weights = coordinator.train(self._shared.steps(number))
        return Learned(PrivateState(before.levels, before.rows, weights).to_bytes(), tuple(members.members))

    def finished(self, state: bytes) -> bool:
        """Never before the last round."""
        del state
        return False

    def model_file(self, state: bytes) -> bytes:
        """The weights."""
        return encode_weights(self._read(state).weights)

    def _read(self, state: bytes) -> PrivateState:
        return PrivateState.from_bytes(state, self._shared)
