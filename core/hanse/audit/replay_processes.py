"""Replays a log from its first entry, a long one with the help of other processes.

This process reads, in one view of the database, and decides. Helpers are handed pieces and say what those add
up to; what does not fit, or is not answered, is summed up here, which also names the first wrong entry.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from hanse.audit.replay import Replay, are_entries
from hanse.audit.store import Rows
from hanse.pieces.helpers import MAX_IN_HAND, MAX_PIECE_BYTES, Answer, Helper, helpers, idle_cores
from hanse.pieces.summary import Piece, sum_up

LONG_ENTRIES: Final = 60_000
"""A shorter log is replayed before helpers would have begun."""

MODULES: Final = {False: "hanse.pieces.process", True: "hanse.audit.detailed_process"}
_TIMEOUT_S: Final = 60.0
_MAX_WAITING: Final = 8 * MAX_IN_HAND

Progress = Callable[[int, int], None]


def replay(rows: Rows, size: int, progress: Progress | None, *, detailed: bool) -> Replay:
    """Replays a log.

    Args:
        rows: Reads it, in one view.
        size: Number of entries in this view.
        progress: Called with the number of entries that were checked, and of all, from time to time.
        detailed: See :class:`~hanse.audit.replay.Replay`.

    Raises:
        AuditError: As :meth:`~hanse.audit.replay.Replay.take`.
    """
    joined = _Joined(rows, size, progress, Replay(detailed))
    count = idle_cores() if size >= LONG_ENTRIES else 0
    with helpers(MODULES[detailed], count) as started:
        for piece in rows.entries(0, size):
            joined.add(piece, _sum_up(piece, started, detailed=detailed))
        joined.join(0)
    return joined.state


def _sum_up(piece: Piece, started: Sequence[Helper], *, detailed: bool) -> Answer:
    """Has a piece summed up by whoever is free."""
    if sum(map(len, piece.data)) <= MAX_PIECE_BYTES:
        for helper in started:
            if helper.is_free():
                return helper.give(piece)
    answer: Answer = Future()
    summary = sum_up(piece)
    answer.set_result(summary if summary is None or not detailed or are_entries(piece) else None)
    return answer


@dataclass(slots=True)
class _Joined:
    """The pieces in order, as soon as they are summed up.

    Attributes:
        rows: Reads those again of which something is to be said.
        size: Number of entries of the log.
        progress: See :func:`replay`.
        state: After the pieces that were joined.
        waiting: First entry, the one after the last, and summary of those that were not.
    """

    rows: Rows
    size: int
    progress: Progress | None
    state: Replay
    waiting: deque[tuple[int, int, Answer]] = field(default_factory=deque)

    def add(self, piece: Piece, answer: Answer) -> None:
        """Adds the next piece."""
        self.waiting.append((piece.first, piece.first + len(piece.data), answer))
        while self.waiting and self.waiting[0][2].done():
            self._join_next()
        self.join(_MAX_WAITING)

    def join(self, rest: int) -> None:
        """Waits until no more than so many pieces wait."""
        while len(self.waiting) > rest:
            self._join_next()

    def _join_next(self) -> None:
        first, end, answer = self.waiting.popleft()
        try:
            summary = answer.result(_TIMEOUT_S)
        except TimeoutError:
            summary = None
        if summary is None or not self.state.extend(summary):
            self.state.take(self.rows.piece(first, end))
        if self.progress is not None:
            self.progress(end, self.size)
