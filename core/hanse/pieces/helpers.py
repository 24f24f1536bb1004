"""Processes of the same interpreter that sum up pieces, while this one reads, and sums up the others itself.

Python computes on one core at a time, and a hash of 500 bytes is too short for the interpreter to let another
thread run meanwhile. A helper is handed pieces before it has done the ones it has, so that it does not wait;
one that is slow is handed fewer, so that nobody waits for it either.
"""

import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from typing import Final, TypeAlias

from hanse.pieces.process import read_summary, write_piece
from hanse.pieces.summary import Piece, Summary

MAX_HELPERS: Final = 7
MAX_IN_HAND: Final = 4
MAX_PIECE_BYTES: Final = 8 << 20
"""Larger ones, of which there are few, are not handed on: pieces in many hands would take memory."""

Answer: TypeAlias = Future[Summary | None]


class Helper:
    """One process. What it does not answer is None, for the caller to do.

    Args:
        module: What it runs: :mod:`hanse.pieces.process`, or one that does the same and more.

    Raises:
        OSError: If it cannot be started.
    """

    def __init__(self, module: str) -> None:
        # -P: a folder that somebody happens to stand in is no place to import from.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._given: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._awaited: deque[Answer] = deque()
        self._guard = threading.Lock()  # around the end of it
        self._ended = False
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._feed, self._collect)]
        for thread in self._threads:
            thread.start()

    def is_free(self) -> bool:
        """Whether it takes another piece."""
        return not self._ended and len(self._awaited) < MAX_IN_HAND

    def give(self, piece: Piece) -> Answer:
        """Hands it a piece.

        Returns:
            Its summary, once it is known; None if anything is wrong within the piece, or with the process.
        """
        answer: Answer = Future()
        with self._guard:
            if self._ended:
                answer.set_result(None)
                return answer
            self._awaited.append(answer)
        self._given.put(write_piece(piece))
        return answer

    def close(self) -> None:
        """Ends it, whatever it does."""
        self._given.put(None)
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _feed(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it is a pipe
        with suppress(OSError):
            for data in iter(self._given.get, None):
                stdin.write(data)
                stdin.flush()

    def _collect(self) -> None:
        for line in self._process.stdout or ():
            if not self._awaited:
                break  # nobody asked
            self._awaited[0].set_result(read_summary(line))
            self._awaited.popleft()
        with self._guard:
            self._ended = True
        for answer in self._awaited:
            answer.set_result(None)


@contextmanager
def helpers(module: str, count: int) -> Iterator[list[Helper]]:
    """Processes for as long as the block lasts; fewer, or none, where they cannot be started.

    Args:
        module: See :class:`Helper`.
        count: How many.
    """
    with ExitStack() as stack:
        started: list[Helper] = []
        with suppress(OSError):
            for _ in range(count):
                started.append(Helper(module))
                stack.callback(started[-1].close)
        yield started


def idle_cores() -> int:
    """How many cores of this machine this process may use beside its own; :data:`MAX_HELPERS` at most."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(mine - 1, MAX_HELPERS)
