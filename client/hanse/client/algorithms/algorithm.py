"""What a way of learning is to a member: a state that it checks, and questions that it answers from it."""

from typing import Protocol

from hanse.aggregation import Contributor
from hanse.api.v1 import round_pb2 as pb
from hanse.client.session import Session
from hanse.enforcement import AdmittedRecords
from hanse.learning import Predicts, Transform
from hanse.policies import Training


class Algorithm(Protocol):
    """The member's half of how a model is learned, in rounds."""

    @property
    def prefix(self) -> str:
        """What the kinds of its questions begin with."""
        ...

    def predictor(self, training: Training, transform: Transform, state: bytes) -> Predicts:
        """The model of a state.

        Args:
            training: What the members agreed on.
            transform: The fitted preprocessing.
            state: From the coordinator; anything in it may be wrong.

        Returns:
            What scores records.

        Raises:
            HanseError: The state is none of this agreement and preprocessing.
        """
        ...

    def learner(
        self, session: Session, step: pb.Train, transform: Transform, records: AdmittedRecords
    ) -> Contributor:
        """Answers the questions of one round, from the state of its step and from no other.

        Args:
            session: The run at this member.
            step: The round, with a state that was checked.
            transform: The fitted preprocessing.
            records: The member's training records.

        Raises:
            HanseError: Its figures are not for this agreement.
        """
        ...
