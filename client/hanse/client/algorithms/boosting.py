"""Boosted trees: the state is the trees so far, and a round grows the next ones from sums."""

from typing import Final

import numpy as np

from hanse.aggregation import Contributor, work_digest
from hanse.api.v1 import round_pb2 as pb
from hanse.client.session import Session
from hanse.enforcement import AdmittedRecords
from hanse.errors import ProtocolError, TrainingError
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

        A round that was interrupted goes on with the next question: from two answers about one level, one of
        them without a member, that member's own sums would follow.

        Raises:
            ProtocolError: ``protocol.unexpected-step`` if these are not all trees of the rounds before.
            TrainingError: ``run.interrupted`` if the records are no longer those before an interruption.
        """
        training = session.signed.agreement.training
        columns = TreeColumns(transform)
        settings = agreed_settings(training, step.round)
        grown = decode_trees(step.state, settings, columns.binning)
        if grown.iterations != (step.round - 1) * training.local_steps:
            raise ProtocolError("protocol.unexpected-step", "not all trees of the rounds before, or more")
        examples = session.exact_examples(transform, records)
        codes, labels = columns.codes(examples.features), examples.labels.astype(np.float64)
        work = work_digest("train", step.SerializeToString(deterministic=True))
        if session.under_way is not None and session.under_way[0] == work:
            contributor = session.under_way[1]
            if not (isinstance(contributor, BoostingContributor) and contributor.learns_from(codes, labels)):
                raise TrainingError("run.interrupted", "other records than before the interruption")
            return contributor
        start = grown if grown.iterations else None
        contributor = BoostingContributor(settings, columns.binning, codes, labels, start=start)
        session.under_way = (work, contributor)
        return contributor
