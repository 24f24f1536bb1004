"""Federated averaging: the state is the weights, and a round one update from them."""

from typing import Final

import numpy as np

from hanse.aggregation import Contributor, Query, Vector, decode_body
from hanse.api.v1 import round_pb2 as pb
from hanse.client.session import Session
from hanse.enforcement import AdmittedRecords
from hanse.errors import ProtocolError
from hanse.learning import Predictor, Transform, weights_from_bytes
from hanse.learning.shapes import MAX_WEIGHT, check_weights
from hanse.policies import Training

MODEL: Final = "model."
"""What the kinds of questions about an update begin with."""


class Averaging:
    """See :class:`hanse.client.algorithms.Algorithm`."""

    prefix = MODEL

    def predictor(self, training: Training, transform: Transform, state: bytes) -> Predictor:
        """The model of these weights."""
        weights = weights_from_bytes(state)
        check_weights(training, transform.n_features, weights, MAX_WEIGHT, transform.groups)
        return Predictor(training, transform.n_features, weights, transform.groups)

    def learner(
        self, session: Session, step: pb.Train, transform: Transform, records: AdmittedRecords
    ) -> Contributor:
        """Answers with one round's update."""
        return OfWeights(session.update_contributor(transform, records), step)


class OfWeights:
    """Trains one round from the weights of the phase, once, and from no others.

    Args:
        contributor: Answers with an update.
        step: What the phase is about.
    """

    def __init__(self, contributor: Contributor, step: pb.Train) -> None:
        self._contributor = contributor
        self._step = step
        self._answered = False

    def contribute(self, query: Query) -> Vector:
        """Answers.

        Raises:
            ProtocolError: ``protocol.unexpected-step`` for another round or other weights than those of the
                phase, or a second time.
            HanseError: As the contributor.
        """
        header, arrays = decode_body(query.body)
        own = weights_from_bytes(self._step.state)
        asked = len(arrays) == 1 and np.array_equal(arrays[0], own)
        if self._answered or not asked or header.get("round") != self._step.round:
            raise ProtocolError(
                "protocol.unexpected-step", "not the round and weights of this phase, or again"
            )
        self._answered = True
        return self._contributor.contribute(query)
