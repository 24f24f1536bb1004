"""Boosted trees: the state is the trees so far, and a round grows the next ones from sums."""

from typing import Final

import numpy as np

from hanse.aggregation import Contributor
from hanse.api.v1 import round_pb2 as pb
from hanse.client.session import Session
from hanse.enforcement import AdmittedRecords
from hanse.errors import ProtocolError
from hanse.learning import Transform
from hanse.learning.boosting import (
    BoostingContributor,
    TreeColumns,
    TreesPredictor,
    agreed_settings,
    decode_trees,
    open_trees,
)
from hanse.policies import Training

TREE: Final = "tree."
"""What the kinds of questions about trees begin with."""


class Boosting:
    """See :class:`hanse.client.algorithms.Algorithm`."""

    prefix = TREE

    def predictor(self, training: Training, transform: Transform, state: bytes) -> TreesPredictor:
        """The model of these trees."""
        return open_trees(training, transform, state)

    def learner(
        self, session: Session, step: pb.Train, transform: Transform, records: AdmittedRecords
    ) -> Contributor:
        """Answers with sums for the trees of one round, which follow those of the rounds before.

        Raises:
            ProtocolError: ``protocol.unexpected-step`` if these are not all trees of the rounds before.
        """
        training = session.signed.agreement.training
        columns = TreeColumns(transform)
        settings = agreed_settings(training, step.round)
        grown = decode_trees(step.state, settings, columns.binning)
        if grown.iterations != (step.round - 1) * training.local_steps:
            raise ProtocolError("protocol.unexpected-step", "not all trees of the rounds before, or more")
        examples = session.exact_examples(transform, records)
        return BoostingContributor(
            settings,
            columns.binning,
            columns.codes(examples.features),
            examples.labels.astype(np.float64),
            start=grown if grown.iterations else None,
        )
