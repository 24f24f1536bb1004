"""The demo's child processes: started, watched, and all gone when the demo ends, however it ends."""

import atexit
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from hanse.demo.interruption import heed, undisturbed
from hanse.errors import TrainingError

READY = "ready"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.05


class Processes:
    """A context manager around processes of the installed ``hanse`` command.

    Args:
        logs: Folder for what the processes print, one file each.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        atexit.register(self.stop)  # should a signal come in before the first line of __exit__
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        atexit.unregister(self.stop)
        if error is None:
            heed()

    def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts ``hanse <arguments>``; :meth:`wait_until_ready` says when it serves."""
        with undisturbed(), self._log(name).open("wb") as output:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "hanse.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment},
                # A session of its own: Ctrl-C reaches the demo, and the demo stops its processes in order.
                start_new_session=True,
            )
        heed()

    def wait_until_ready(self, name: str) -> str:
        """Waits for the line that says that a process serves, and returns it.

        Raises:
            TrainingError: ``run.engine`` when the process ends first or takes too long; the detail has the
                last line that it printed.
        """
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            heed()
            lines = self._log(name).read_text(errors="replace").splitlines()
            for line in lines:
                if line.startswith(READY):
                    return line
            if self._running[name].poll() is not None:
                raise TrainingError("run.engine", f"{name} ended: {lines[-1] if lines else 'without a word'}")
            time.sleep(POLL_S)
        raise TrainingError(
            "run.engine", f"{name} was not ready within {START_TIMEOUT_S:.0f} s; see {self._log(name)}"
        )

    def pid(self, name: str) -> int:
        """Process id, for those who want to look at or kill it."""
        return self._running[name].pid

    def signal(self, name: str, number: int) -> None:
        """Sends a process a signal."""
        self._running[name].send_signal(number)

    def kill(self, name: str) -> None:
        """Kills a process at once, as a power cut would."""
        self._running[name].kill()
        self._running[name].wait()

    def stop(self) -> None:
        """Ends every process: asked first, then killed; a signal does not cut it short."""
        with undisturbed():
            for process in self._running.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            deadline_s = time.monotonic() + STOP_TIMEOUT_S
            for process in self._running.values():
                try:
                    process.wait(max(0.0, deadline_s - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.txt"
