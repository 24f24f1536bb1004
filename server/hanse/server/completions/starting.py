"""Starts coroutines in place: what need not wait for anything is done without a task.

A task begins in the loop's next round. Python 3.12 has eager tasks; this does as much on 3.11.
"""

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import Any

from typing_extensions import override


def start(coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
    """Runs a coroutine until it has to wait.

    Args:
        coroutine: Until then there is no current task for it: ``asyncio.timeout`` comes later or not at all.

    Returns:
        The task that does the rest; None if there is none.

    Raises:
        BaseException: What the coroutine raises before it has to wait.
    """
    context = copy_context()
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration:
        return None
    loop = asyncio.get_running_loop()
    return loop.create_task(_Rest(coroutine, awaited), context=context)


class _Rest(Coroutine[Any, Any, None]):
    """What is left of a coroutine that waits for something.

    Args:
        coroutine: The coroutine.
        awaited: What it waits for.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], awaited: object) -> None:
        self._coroutine = coroutine
        self._awaited: object = awaited
        self._is_told = False

    @override
    def send(self, value: Any, /) -> Any:
        if self._is_told:
            return self._coroutine.send(value)
        self._is_told = True  # the task learns first what is waited for
        awaited, self._awaited = self._awaited, None
        return awaited

    @override
    def throw(self, *error: Any) -> Any:
        self._is_told = True
        return self._coroutine.throw(*error)

    @override
    def close(self) -> None:
        self._coroutine.close()

    @override
    def __await__(self) -> Generator[Any, Any, None]:
        return self._coroutine.__await__()
