"""Private gradient sums: the state is weights, the levels of the noise and the noisy number of records."""

from typing import Final

from hanse.aggregation import Contributor
from hanse.api.v1 import round_pb2 as pb
from hanse.client.session import Session
from hanse.client.shared_budget import Remembered, gradients
from hanse.enforcement import AdmittedRecords
from hanse.errors import PolicyError
from hanse.learning import Predictor, Transform
from hanse.learning.shared_run import PrivateState, SharedRun
from hanse.policies import Agreement, Training

SGD: Final = "sgd."
"""What the kinds of its questions begin with."""


class PrivateSgd:
    """See :class:`hanse.client.algorithms.Algorithm`.

    Args:
        agreement: Of the run.
    """

    prefix = SGD

    def __init__(self, agreement: Agreement) -> None:
        self._run = SharedRun(agreement)

    def predictor(self, training: Training, transform: Transform, state: bytes) -> Predictor:
        """The model of the state's weights."""
        # Which cells have a feature is not for data to say, so the coordinator does not say it either.
        if transform != self._run.transform:
            raise PolicyError("policy.column", "with a budget every agreed cell has a feature", rule="P13")
        weights = PrivateState.from_bytes(state, self._run).weights
        return Predictor(training, transform.n_features, weights, transform.groups)

    def learner(
        self, session: Session, step: pb.Train, transform: Transform, records: AdmittedRecords
    ) -> Contributor:
        """Answers with the gradient sums of one round."""
        examples = records.examples(transform.apply)
        budget = session.shared_budget
        steps = gradients(budget, examples, session.random, self._run.steps(step.round))
        return Remembered(steps, budget.memory, records.subject_set_root)
