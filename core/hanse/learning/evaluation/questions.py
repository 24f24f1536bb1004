"""What is asked of a member in an evaluation.

``evaluation.scores``, header ``{"amounts": […], "bins": n, "grid": kind, "labels": […]}``: per label the
counts of positives and of negatives per bin; per amount two such vectors of shares, and the sums of squared
errors, of absolute errors and of squared truths.

``evaluation.group-sizes``, header ``{"column": name, "groups": g}``: positives, then negatives of the first
label per group.

``evaluation.group-scores``, header as of both, with ``"merged"``, the part that each group is in: per part
the counts of positives and of negatives per bin.

Bodies are canonical JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hanse.aggregation import Query
from hanse.crypto import JsonValue, canonical_json, parse_canonical_json
from hanse.errors import ProtocolError
from hanse.learning.counting import encoding
from hanse.learning.evaluation.grid import ScoreGrid

SCORES: Final = "evaluation.scores"
GROUP_SIZES: Final = "evaluation.group-sizes"
GROUP_SCORES: Final = "evaluation.group-scores"

ERRORS: Final = 3
"""Sums beside the histogram of an amount."""

_MAX_CONTRIBUTORS: Final = 1 << 8
_MAX_GROUPS: Final = 1 << 12


@dataclass(frozen=True, slots=True)
class Question:
    """A query that was read.

    Attributes:
        kind: One of the three.
        grid: Bins; None for group sizes.
        labels: Names of the labels, for scores.
        amounts: Names of the amounts, for scores.
        column: Column of the groups; empty for scores.
        merged: Part that each group is in; for group sizes, every group is one.
    """

    kind: str
    grid: ScoreGrid | None = None
    labels: tuple[str, ...] = ()
    amounts: tuple[str, ...] = ()
    column: str = ""
    merged: tuple[int, ...] = ()

    @property
    def parts(self) -> int:
        """Groups that are told apart."""
        return max(self.merged, default=-1) + 1

    @property
    def length(self) -> int:
        """Numbers of the answer."""
        bins = self.grid.bins if self.grid else 1
        histograms = len(self.labels) + len(self.amounts) + self.parts
        return 2 * bins * histograms + ERRORS * len(self.amounts)

    @property
    def sensitivity(self) -> float:
        """Most that one record moves the answer, L2: one per label or group, two per amount."""
        groups = 1 if self.column else 0
        return float((len(self.labels) + 4 * len(self.amounts) + groups) ** 0.5)

    def query(self, contributors: int) -> Query:
        """The query, for at most so many members."""
        header: dict[str, JsonValue] = {}
        if self.grid is not None:
            header |= {"grid": self.grid.kind, "bins": self.grid.bins}
        if self.kind == SCORES:
            header |= {"labels": list(self.labels), "amounts": list(self.amounts)}
        else:
            header |= {"column": self.column, "groups": len(self.merged)}
        if self.kind == GROUP_SCORES:
            header |= {"merged": list(self.merged)}
        return Query(self.kind, canonical_json(header), self.length, encoding(contributors))


def read(query: Query) -> Question:
    """Reads what :meth:`Question.query` wrote, and nothing else.

    Args:
        query: From a coordinator.

    Raises:
        ProtocolError: ``protocol.malformed``, or ``protocol.unexpected-step`` for another kind.
    """
    header = parse_canonical_json(query.body)
    match query.kind, header:
        case str(kind), {"labels": list(labels), "amounts": list(amounts), "grid": grid, "bins": bins} if (
            kind == SCORES
        ):
            question = Question(kind, _grid(grid, bins), labels=_names(labels), amounts=_names(amounts))
        case str(kind), {"column": str(column), "groups": groups} if kind == GROUP_SIZES:
            question = Question(kind, column=column, merged=tuple(range(_whole(groups))))
        case str(kind), {"column": str(column), "merged": list(merged), "grid": grid, "bins": bins} if (
            kind == GROUP_SCORES
        ):
            question = Question(kind, _grid(grid, bins), column=column, merged=_merged(merged))
        case _:
            raise ProtocolError("protocol.unexpected-step", "not a question about scores")
    contributors = query.encoding.contributors
    if contributors > _MAX_CONTRIBUTORS or question.query(contributors) != query:
        raise ProtocolError("protocol.malformed", "a question about scores has another form")
    return question


def _grid(kind: JsonValue, bins: JsonValue) -> ScoreGrid:
    if kind not in ("log-odds", "squares"):
        raise ProtocolError("protocol.malformed", "bins of an unknown kind")
    return ScoreGrid("squares" if kind == "squares" else "log-odds", _whole(bins))


def _names(names: Sequence[JsonValue]) -> tuple[str, ...]:
    texts = tuple(name for name in names if isinstance(name, str))
    if len(texts) != len(names) or len(set(texts)) != len(texts):
        raise ProtocolError("protocol.malformed", "names are texts, each once")
    return texts


def _merged(parts: Sequence[JsonValue]) -> tuple[int, ...]:
    numbers = tuple(_whole(part) for part in parts)
    if set(numbers) != set(range(len(set(numbers)))) or not numbers:
        raise ProtocolError("protocol.malformed", "the parts of merged groups are numbered from 0")
    return numbers


def _whole(value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_GROUPS:
        raise ProtocolError("protocol.malformed", "not a number of bins or groups")
    return value
