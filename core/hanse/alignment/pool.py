"""Processes that do the group operations, which are nearly all of the work.

``cryptography`` holds Python's lock while it multiplies, so threads would not help. The processes are started
anew, not forked: a node has threads and connections that a fork would copy.
"""

import queue
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import IO, Final, Self

from hanse.alignment.worker import Job, compute, read_result, write_job
from hanse.errors import ProtocolError, TrainingError

BLOCK: Final = 4096
"""Values of one job: some 0.2 s of work, and what a message holds."""

_STOP_TIMEOUT_S: Final = 5.0


class GroupPool:
    """Does jobs in so many processes, or in the caller's own. To be used in a ``with`` statement.

    Args:
        processes: How many to start; 0 computes where it is asked, which is best for a few thousand values.
    """

    def __init__(self, processes: int) -> None:
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._started = [_start() for _ in range(processes)]
        for process in self._started:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(max(1, processes), "alignment")
        self.processes = processes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, job: Job, key: bytes, context: bytes, values: bytes) -> Future[bytes | None]:
        """Begins a job; the result is that of :func:`hanse.alignment.worker.compute`, None for no point."""
        if self._started:
            return self._threads.submit(self._elsewhere, job, key, context, values)
        done: Future[bytes | None] = Future()
        try:
            done.set_result(compute(job, key, context, values))
        except ValueError:
            done.set_result(None)
        return done

    def run(
        self, job: Job, key: bytes, context: bytes, blocks: Iterable[bytes], origin: str
    ) -> Iterator[bytes]:
        """Does one job with many blocks, a few at a time, and gives the results in order.

        Args:
            job: As in :meth:`submit`.
            key: Likewise.
            context: Likewise.
            blocks: Values, block by block; taken as results are.
            origin: Whose values they are.

        Raises:
            ProtocolError: ``protocol.malformed`` if one is no point.
            TrainingError: ``alignment.worker`` if a process ended.
        """
        coming = iter(blocks)
        begun = [
            self.submit(job, key, context, block) for block in islice(coming, 2 * max(1, self.processes))
        ]
        while begun:
            made = take(begun.pop(0), origin)
            begun += [self.submit(job, key, context, block) for block in islice(coming, 1)]
            yield made

    def _elsewhere(self, job: Job, key: bytes, context: bytes, values: bytes) -> bytes | None:
        process = self._idle.get()
        try:
            to, back = _pipes(process)
            write_job(to, job, key, context, values)
            return read_result(back)
        except (OSError, EOFError, ValueError) as error:
            raise TrainingError(
                "alignment.worker", "a process that computes for the alignment ended"
            ) from error
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """Ends the processes; what they have begun is lost."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._started:
            process.kill()  # they hold nothing that could be left half-done
        self._threads.shutdown(wait=True)
        for process in self._started:
            process.wait(_STOP_TIMEOUT_S)
            for pipe in _pipes(process):
                with suppress(OSError):
                    pipe.close()


def take(begun: Future[bytes | None], origin: str) -> bytes:
    """Waits for a job.

    Args:
        begun: What :meth:`GroupPool.submit` returned.
        origin: Whose values they are.

    Raises:
        ProtocolError: ``protocol.malformed`` if one is no point.
        TrainingError: ``alignment.worker`` if its process ended.
    """
    made = begun.result()
    if made is None:
        raise ProtocolError("protocol.malformed", f"a value from {origin} is no point of the group")
    return made


def _start() -> subprocess.Popen[bytes]:
    # -P: whoever may write to the working directory must not choose the modules.
    command = [sys.executable, "-P", "-m", "hanse.alignment.worker"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise TrainingError("alignment.worker", "a process has no pipes")
    return process.stdin, process.stdout
