"""Starts coroutines in place: what need not wait for anything is done without a task.

A task begins in the loop's next round. Python 3.12 has eager tasks; this does as much on 3.11.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from typing_extensions import override

_Result = TypeVar("_Result")


def start(coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
    """Runs a coroutine until it has to wait.

    Args:
        coroutine: Until then there is no current task for it: ``asyncio.timeout`` comes later or not at all.

    Returns:
        The task that does the rest; None if there is none.

    Raises:
        BaseException: What the coroutine raises before it has to wait.
    """
    try:
        return _rest(coroutine)
    except StopIteration:
        return None


def begin(coroutine: Coroutine[Any, Any, _Result]) -> "asyncio.Future[_Result]":
    """Like :func:`start`, of a coroutine whose result is needed.

    Args:
        coroutine: See :func:`start`.

    Returns:
        The task that does the rest, or a future that is done.

    Raises:
        BaseException: What the coroutine raises before it has to wait.
    """
    try:
        return _rest(coroutine)
    except StopIteration as end:
        done: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        done.set_result(end.value)
        return done


def _rest(coroutine: Coroutine[Any, Any, _Result]) -> "asyncio.Task[_Result]":
    """Runs a coroutine until it has to wait; ``StopIteration`` if it never has to."""
    context = copy_context()
    awaited = context.run(coroutine.send, None)
    return asyncio.get_running_loop().create_task(_Rest(coroutine, awaited), context=context)


class Meanwhile(Generator[Any, Any, _Result]):
    """What is awaited instead of a coroutine, to do something as soon as that has to wait.

    Args:
        coroutine: The coroutine.
        do: Is called once, the first time that it has to wait; never if it does not.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, _Result], do: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._do: Callable[[], None] | None = do

    def __await__(self) -> Generator[Any, Any, _Result]:
        return self

    @override
    def send(self, value: Any, /) -> Any:
        awaited = self._coroutine.send(value)
        do, self._do = self._do, None
        if do is not None:
            do()
        return awaited

    @override
    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    @override
    def close(self) -> None:
        self._coroutine.close()


class _Rest(Coroutine[Any, Any, _Result], Generic[_Result]):
    """What is left of a coroutine that waits for something.

    Args:
        coroutine: The coroutine.
        awaited: What it waits for.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, _Result], awaited: object) -> None:
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
    def __await__(self) -> Generator[Any, Any, _Result]:
        return self._coroutine.__await__()
