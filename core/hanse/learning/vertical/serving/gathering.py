"""What several calls ask of one member at about the same time becomes one question.

The first call is not held up: its question goes at once. What comes in the window after it waits for the end
of the window and goes together; so nobody waits longer than the window, and who is alone does not wait.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final, Generic, TypeAlias, TypeVar

WINDOW_S: Final = 0.001
_Answer = TypeVar("_Answer")
Told: TypeAlias = Callable[[Mapping[int, _Answer] | Exception], None]


class Gathering(Generic[_Answer]):
    """See the module docstring. Lives on one event loop.

    Args:
        ask: Asks about people, by a time of the loop's clock; calls what it is given once, in the loop, with
            the answer of each or with why there is none.
        most: Most people in one question.
        window_s: See the module docstring.
    """

    def __init__(
        self,
        ask: Callable[[tuple[int, ...], float, Told[_Answer]], None],
        most: int,
        window_s: float = WINDOW_S,
    ) -> None:
        self._ask = ask
        self._most = most
        self._window_s = window_s
        self._next_at = 0.0
        self._open: _Batch[_Answer] | None = None

    async def answers(self, places: Collection[int], until: float) -> Mapping[int, _Answer]:
        """Asks about people, together with others who ask now.

        Args:
            places: Whom; at most as many as fit into one question.
            until: When the caller stops waiting, by the loop's clock.

        Returns:
            Answers, of these people and maybe others.

        Raises:
            TimeoutError: Nothing came in time.
            HanseError: As ``ask``.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Mapping[int, _Answer]] = loop.create_future()
        self._join(frozenset(places), until, waiting)
        # One caller's end is not the others': the question goes on without it.
        late = loop.call_at(until, _tell, waiting, TimeoutError())
        try:
            return await waiting
        finally:
            late.cancel()

    def _join(
        self, places: Collection[int], until: float, waiting: "asyncio.Future[Mapping[int, _Answer]]"
    ) -> None:
        batch = self._open
        is_new = batch is None or len(batch.places | set(places)) > self._most
        if batch is None or is_new:
            batch = self._open = _Batch()
        batch.places.update(places)
        batch.until = max(batch.until, until)
        batch.waiting.append(waiting)
        if is_new:
            self._send_in_time(batch)

    def _send_in_time(self, batch: "_Batch[_Answer]") -> None:
        loop = asyncio.get_running_loop()
        send_at = max(loop.time(), self._next_at)
        self._next_at = send_at + self._window_s
        if send_at <= loop.time():
            self._send(batch)
        else:
            loop.call_at(send_at, self._send, batch)

    def _send(self, batch: "_Batch[_Answer]") -> None:
        if self._open is batch:
            self._open = None
        try:
            self._ask(tuple(sorted(batch.places)), batch.until, batch.tell)
        except Exception as error:  # noqa: BLE001 - raised where the callers wait
            batch.tell(error)


class _Batch(Generic[_Answer]):
    """One question that is being put together."""

    def __init__(self) -> None:
        self.places: set[int] = set()
        self.until = 0.0
        self.waiting: list[asyncio.Future[Mapping[int, _Answer]]] = []

    def tell(self, answer: Mapping[int, _Answer] | Exception) -> None:
        """Everybody who still waits learns the answer."""
        for waiting in self.waiting:
            _tell(waiting, answer)


def _tell(
    waiting: "asyncio.Future[Mapping[int, _Answer]]", answer: Mapping[int, _Answer] | Exception
) -> None:
    if waiting.done():
        return
    if isinstance(answer, Exception):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)
