"""What a member does in one phase, and how its halves of algorithms are put together for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.aggregation import Contributor, Query, Vector, decode_body
from hanse.api.v1 import round_pb2 as pb
from hanse.audit import Event
from hanse.client.gate import Admitted
from hanse.errors import ProtocolError
from hanse.learning import weights_from_bytes

MODEL: Final = "model."
"""What the kinds of questions about an update begin with."""


@dataclass(frozen=True, slots=True)
class Part:
    """A member's part of a phase.

    Attributes:
        name: The step, as statements name it.
        admitted: Rows that were admitted for it.
        contributor: Answers its questions.
        done: What the member's own log says before the first answer leaves.
    """

    name: str
    admitted: Admitted
    contributor: Contributor
    done: Event


class Logged:
    """Logs once that the step was done, before the first answer leaves; if that fails, none does.

    Args:
        contributor: What answers.
        record: Makes the entry durable.
    """

    def __init__(self, contributor: Contributor, record: Callable[[], object]) -> None:
        self._contributor = contributor
        self._record = record
        self._recorded = False

    def contribute(self, query: Query) -> Vector:
        """Answers.

        Raises:
            AuditError: ``audit.unavailable``.
            HanseError: As the contributor.
        """
        answer = self._contributor.contribute(query)
        if not self._recorded:
            self._record()
            self._recorded = True
        return answer


class Several:
    """Two contributors, told apart by what the kind of a question begins with.

    Args:
        prefix: Of the first one's questions.
        first: Answers those.
        other: Answers all others.
    """

    def __init__(self, prefix: str, first: Contributor, other: Contributor) -> None:
        self._prefix = prefix
        self._first = first
        self._other = other

    def contribute(self, query: Query) -> Vector:
        """Answers.

        Raises:
            HanseError: As the contributor.
        """
        chosen = self._first if query.kind.startswith(self._prefix) else self._other
        return chosen.contribute(query)


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
        own = weights_from_bytes(self._step.weights)
        asked = len(arrays) == 1 and np.array_equal(arrays[0], own)
        if self._answered or not asked or header.get("round") != self._step.round:
            raise ProtocolError(
                "protocol.unexpected-step", "not the round and weights of this phase, or again"
            )
        self._answered = True
        return self._contributor.contribute(query)
