"""Ctrl-C and SIGTERM end the demo, wherever they come in.

Python raises KeyboardInterrupt between any two instructions of the main thread. If that is in a callback of
the garbage collector, in a destructor or in a library that goes on after any error, the exception is gone and
nobody knows. Here the signal is remembered as well, and what waits looks at it with :func:`heed`.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A context manager: in its block both signals raise KeyboardInterrupt and are remembered.

    The signal handler of the process is the one place where it is kept, so that :func:`heed` finds it. Out of
    the main thread, where no handler can be set, it changes nothing; neither do signals that are ignored.
    """

    def __init__(self) -> None:
        self.told = False
        self.undisturbed = 0
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        del number, frame
        self.told = True
        self.heed()

    def heed(self) -> None:
        """See :func:`heed`."""
        if self.told and not self.undisturbed:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        if error is None:
            self.heed()


def heed() -> None:
    """Raises KeyboardInterrupt if this process was told to end, though an earlier one may be lost."""
    current = _current()
    if current is not None:
        current.heed()


@contextmanager
def undisturbed() -> Iterator[None]:
    """In the block signals are remembered only: who leaves it calls :func:`heed`."""
    current = _current()
    if current is None:
        yield
        return
    current.undisturbed += 1
    try:
        yield
    finally:
        current.undisturbed -= 1


def _current() -> Interruption | None:
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if isinstance(handler, Interruption):
            return handler
    return None
