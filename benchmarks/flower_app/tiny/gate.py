"""Lets the benchmark start each round of each arm when it is its turn, and learn how long it took.

Files in a folder, because the stock server app runs in a process that Flower starts.
"""

import time
from collections.abc import Callable
from pathlib import Path

POLL_S = 0.01


class Gate:
    """The benchmark's and the arm's side of one arm's gate.

    Args:
        folder: Existing folder that both sides know.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, number: int) -> None:
        """Benchmark: lets round ``number`` start."""
        (self._folder / f"{number}.open").touch()

    def wait_until_open(self, number: int) -> None:
        """Arm: returns when round ``number`` may start."""
        while not (self._folder / f"{number}.open").exists():
            time.sleep(POLL_S)

    def report(self, number: int, seconds: float) -> None:
        """Arm: says how long round ``number`` took."""
        partial = self._folder / f"{number}.partial"
        partial.write_text(repr(seconds))
        partial.rename(self._folder / f"{number}.took")

    def wait_for_report(self, number: int, check: Callable[[], None]) -> float:
        """Benchmark: returns the seconds that round ``number`` took; ``check`` is called while waiting."""
        path = self._folder / f"{number}.took"
        while not path.exists():
            check()
            time.sleep(POLL_S)
        return float(path.read_text())
