"""The member's half of an evaluation."""

import numpy as np

from hanse.aggregation import Query, Vector
from hanse.errors import ProtocolError
from hanse.learning.evaluation.held import Held, Judged
from hanse.learning.evaluation.questions import SCORES, Question, read
from hanse.learning.release import Release, exact


class EvaluationContributor:
    """Counts a member's scored records.

    It answers each question once. Groups of a column can be merged in one way only: from two ways, the
    difference would show a group that each of them hides.

    Args:
        held: The member's scored records.
        release: What is done to exact figures before they leave.
    """

    def __init__(self, held: Held, release: Release = exact) -> None:
        self._held = held
        self._release = release
        self._answered: set[tuple[str, str]] = set()

    def contribute(self, query: Query) -> Vector:
        """Answers a question of :mod:`hanse.learning.evaluation.questions`.

        Args:
            query: From a coordinator.

        Returns:
            The answer.

        Raises:
            ProtocolError: ``protocol.malformed`` or ``protocol.unexpected-step`` for any other question, or
                one that was answered.
        """
        question = read(query)
        if (question.kind, question.column) in self._answered:
            raise ProtocolError("protocol.unexpected-step", "a question about scores is answered once")
        answer = self._scores(question) if question.kind == SCORES else self._groups(question)
        self._answered.add((question.kind, question.column))
        return self._release(answer, question.sensitivity)

    def _scores(self, question: Question) -> Vector:
        held, grid = self._held, question.grid
        if grid is None or (question.labels, question.amounts) != (tuple(held.labels), tuple(held.amounts)):
            raise ProtocolError("protocol.malformed", "labels and amounts are those of the agreement")
        vectors = [part for judged in held.labels.values() for part in judged.histogram(grid)]
        for judged in held.amounts.values():
            vectors += [*judged.histogram(grid), judged.errors()]
        return np.concatenate(vectors)

    def _groups(self, question: Question) -> Vector:
        codes, groups = self._held.groups.get(question.column, (np.zeros(0, dtype=np.intp), 0))
        if groups == 0 or groups != len(question.merged):
            raise ProtocolError("protocol.malformed", "not the groups of a column of the agreement")
        parts = np.asarray(question.merged)[codes]
        judged = next(iter(self._held.labels.values()))
        if question.grid is None:
            return np.concatenate([_count(judged, parts, question.parts, label) for label in (1.0, 0.0)])
        chosen = (
            Judged(judged.predicted[parts == part], judged.true[parts == part])
            for part in range(question.parts)
        )
        return np.concatenate([each for part in chosen for each in part.histogram(question.grid)])


def _count(judged: Judged, parts: Vector, number: int, label: float) -> Vector:
    return np.bincount(parts[judged.true == label], minlength=number).astype(np.float64)
