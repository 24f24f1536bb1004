"""What several calls ask of one member at about the same time becomes one question.

The first call is not held up: its question goes at once. What comes in the window after it waits for the end
of the window and goes together; so nobody waits longer than the window, and who is alone does not wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Generic, TypeVar

WINDOW_S: Final = 0.001
_Answer = TypeVar("_Answer")


class Gathering(Generic[_Answer]):
    """See the module docstring. Lives on one event loop.

    Args:
        ask: Asks about people, by a time of the loop's clock; gives the answer of each.
        most: Most people in one question.
        window_s: See the module docstring.
    """

    def __init__(
        self,
        ask: Callable[[tuple[int, ...], float], Awaitable[Mapping[int, _Answer]]],
        most: int,
        window_s: float = WINDOW_S,
    ) -> None:
        self._ask = ask
        self._most = most
        self._window_s = window_s
        self._next_at = 0.0
        self._open: _Batch[_Answer] | None = None
        self._running: set[asyncio.Task[None]] = set()

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
        batch = self._open
        if batch is None or len(batch.places | set(places)) > self._most:
            batch = self._begin()
        batch.places.update(places)
        batch.until = max(batch.until, until)
        # One caller's end is not the others': the question goes on without it.
        async with asyncio.timeout_at(until):
            return await asyncio.shield(batch.answer)

    def _begin(self) -> "_Batch[_Answer]":
        loop = asyncio.get_running_loop()
        batch = self._open = _Batch(loop.create_future())
        # Nobody may be left to look at it.
        batch.answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        send_at = max(loop.time(), self._next_at)
        self._next_at = send_at + self._window_s
        if send_at <= loop.time():
            loop.call_soon(self._send, batch)
        else:
            loop.call_at(send_at, self._send, batch)
        return batch

    def _send(self, batch: "_Batch[_Answer]") -> None:
        if self._open is batch:
            self._open = None
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, batch: "_Batch[_Answer]") -> None:
        try:
            answer = await self._ask(tuple(sorted(batch.places)), batch.until)
        except Exception as error:  # noqa: BLE001 - raised where the callers wait
            batch.answer.set_exception(error)
        else:
            batch.answer.set_result(answer)


class _Batch(Generic[_Answer]):
    """One question that is being put together."""

    def __init__(self, answer: "asyncio.Future[Mapping[int, _Answer]]") -> None:
        self.places: set[int] = set()
        self.until = 0.0
        self.answer = answer
