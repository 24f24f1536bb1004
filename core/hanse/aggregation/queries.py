"""What a coordinator asks of all members at once, and all that it learns: the sum of their answers.

An algorithm over many members has two halves. The coordinator's half asks a :class:`Query`; each member's
half, a :class:`Contributor`, answers with a vector; the :class:`Aggregator` between them gives the sum. The
halves know nothing of how it is made: over secure aggregation between processes
(Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning", CCS 2017), or in
one process by :class:`InProcessAggregator`, with the same rounding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.fixed_point import FixedPoint
from hanse.errors import ProtocolError

Vector: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Query:
    """A question to every member.

    Attributes:
        kind: What is asked, e.g. ``tree.histogram``; a contributor refuses what it does not know.
        body: Its parameters, canonical JSON or protobuf. Public to all members.
        length: Number of elements of every answer.
        encoding: How an answer becomes integers, which add up without rounding.
    """

    kind: str
    body: bytes
    length: int
    encoding: FixedPoint


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The sum of the answers.

    Attributes:
        values: Shape (length,).
        members: Whose answers are in it, sorted. Those that are missing have left the run.
    """

    values: Vector
    members: tuple[str, ...]


class Contributor(Protocol):
    """A member's half of an algorithm."""

    def contribute(self, query: Query) -> Vector:
        """Answers a query.

        Args:
            query: What the coordinator asks; anything in it may be wrong.

        Returns:
            Finite values within the bound of the query's encoding, shape (length,).

        Raises:
            HanseError: The member refuses, and leaves the run.
        """
        ...


class Aggregator(Protocol):
    """The coordinator's access to the members."""

    @property
    def members(self) -> tuple[str, ...]:
        """Who is still in the run, sorted."""
        ...

    def aggregate(self, query: Query) -> Aggregate:
        """Asks all members that are in the run.

        Args:
            query: What to ask.

        Returns:
            The sum of the answers of those who answered.

        Raises:
            TrainingError: ``run.insufficient-members`` if too few members are left.
        """
        ...


class InProcessAggregator:
    """Adds the answers of contributors in this process; nothing is hidden from it.

    Args:
        contributors: By member.
    """

    def __init__(self, contributors: Mapping[str, Contributor]) -> None:
        self._contributors = dict(sorted(contributors.items()))

    @property
    def members(self) -> tuple[str, ...]:
        """See :class:`Aggregator`."""
        return tuple(self._contributors)

    def aggregate(self, query: Query) -> Aggregate:
        """See :class:`Aggregator`; a refusal is raised as it is."""
        total = query.encoding.zeros(query.length)
        for member, contributor in self._contributors.items():
            answer = contributor.contribute(query)
            if answer.shape != (query.length,):
                raise ProtocolError("protocol.malformed", f"{member}: an answer of another length")
            total += query.encoding.encode(answer)
        return Aggregate(query.encoding.decode(total), self.members)
