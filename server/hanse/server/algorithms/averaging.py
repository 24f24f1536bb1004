"""Federated averaging: the state is the weights, one flat vector."""

import numpy as np

from hanse.aggregation import Aggregator
from hanse.crypto import sha256_hex
from hanse.learning import Transform, encode_weights, initial_weights, weights_from_bytes, weights_to_bytes
from hanse.learning.federated import average
from hanse.policies import Agreement
from hanse.server.algorithms.algorithm import Learned


class Averaging:
    """See :class:`hanse.server.algorithms.Algorithm`.

    Args:
        agreement: What the members agreed on.
        transform: The fitted preprocessing.
        run: Name of the run.
    """

    sums = 1

    def __init__(self, agreement: Agreement, transform: Transform, run: str) -> None:
        self._training = agreement.training
        self._transform = transform
        self._run = run

    def start(self) -> bytes:
        """The weights of a model that knows nothing; of a network, drawn from the run's public name."""
        # No secret, and the same for all to check.
        rng = np.random.default_rng(int(sha256_hex(self._run.encode())[:16], 16))
        transform = self._transform
        return weights_to_bytes(initial_weights(self._training, transform.n_features, rng, transform.groups))

    def round(self, members: Aggregator, number: int, state: bytes) -> Learned:
        """Adds the mean of the members' updates."""
        done = average(members, self._training, weights_from_bytes(state), number)
        return Learned(weights_to_bytes(done.weights), done.members)

    def finished(self, state: bytes) -> bool:
        """Never before the last round."""
        del state
        return False

    def model_file(self, state: bytes) -> bytes:
        """The weights."""
        return encode_weights(weights_from_bytes(state))
