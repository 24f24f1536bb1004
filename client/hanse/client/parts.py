"""What a member does in one phase, and how its halves of algorithms are put together for it."""

from collections.abc import Callable
from dataclasses import dataclass

from hanse.aggregation import Contributor, Query, Vector
from hanse.audit import Event
from hanse.client.gate import Admitted


@dataclass(frozen=True, slots=True)
class Part:
    """A member's part of a phase.

    Attributes:
        name: The step, as statements name it.
        admitted: Rows that were admitted for it.
        contributor: Answers its questions.
        done: Makes what the member's own log says before the first answer leaves, when it is about to.
    """

    name: str
    admitted: Admitted
    contributor: Contributor
    done: Callable[[], Event]


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
