"""What the benchmarks share: flags, figures with bars, what is printed and written, child processes."""

import argparse
import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

STOP_TIMEOUT_S = 5.0
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Options:
    """The flags that every benchmark takes.

    Attributes:
        json_path: File for the figures; None for none.
        quick: Measure less, in under 50 seconds.
        parts: Of a benchmark that has several, those to measure.
        sets: Of a benchmark over several data sets, those to measure on.
    """

    json_path: Path | None
    quick: bool
    parts: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: What was measured.
        value: The figure; None when it was not measured this time.
        unit: Its unit.
        bar: Largest value that passes; None for a figure without a bar.
        floor: Smallest value that passes; None for a figure without one.
    """

    name: str
    value: float | None
    unit: str
    bar: float | None = None
    floor: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it was measured and is above its bar, or below its floor."""
        if self.value is None:
            return False
        return (self.bar is not None and self.value > self.bar) or (
            self.floor is not None and self.value < self.floor
        )


def parse_options(
    description: str,
    parts: Sequence[str] = (),
    sets: Sequence[str] = (),
    only_named: Sequence[str] = (),
) -> Options:
    """Reads the command line; ``--part`` and ``--sets`` where there are several of them.

    Args:
        description: For ``--help``.
        parts: Of the benchmark.
        sets: Data sets that it can be run on.
        only_named: More parts, which are measured only when they are named.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="measure less, in under 50 seconds")
    if parts:
        every_part = [*parts, *only_named]
        parser.add_argument("--part", choices=every_part, action="append", help="only this; may be repeated")
    if sets:
        parser.add_argument("--sets", choices=sets, nargs="+", help="only on these data sets")
    given = parser.parse_args()
    chosen = (tuple(getattr(given, name, None) or every) for name, every in (("part", parts), ("sets", sets)))
    return Options(given.json, given.quick, *chosen)


def finish(title: str, figures: Sequence[Figure], options: Options) -> int:
    """Prints the figures, writes them where ``--json`` says, and returns the exit code, 1 for a miss."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in ("figure", "value", "unit", "at least", "at most", ""):
        table.add_column(column)
    for figure in figures:
        table.add_row(
            figure.name,
            _number(figure.value),
            figure.unit,
            _number(figure.floor, none=""),
            _number(figure.bar, none=""),
            _verdict(figure),
        )
    Console(highlight=False).print(table)
    if options.json_path is not None:
        document = {"figures": [asdict(figure) for figure in figures], "machine": machine()}
        options.json_path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return int(any(figure.missed for figure in figures))


def _number(value: float | None, none: str = "not measured") -> str:
    return none if value is None else f"{value:.4g}"


def _verdict(figure: Figure) -> str:
    if (figure.bar is None and figure.floor is None) or figure.value is None:
        return ""
    return "[red]missed[/]" if figure.missed else "[green]met[/]"


def machine() -> dict[str, object]:
    """The size of this machine, and how busy it is."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }


@dataclass(slots=True)
class Children:
    """Child processes, each in a process group of its own, with their output in files.

    Attributes:
        logs: Folder for what they print.
    """

    logs: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts a command; its output goes to ``<name>.txt``."""
        with (self.logs / f"{name}.txt").open("wb") as output:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def pid(self, name: str) -> int:
        """The process of a child."""
        return self._running[name].pid

    def end(self, name: str, number: int = signal.SIGTERM) -> None:
        """Ends one child by a signal, and waits until it is gone."""
        process = self._running.pop(name)
        process.send_signal(number)
        process.wait()

    def check(self) -> None:
        """Ends the benchmark when a child has ended: there is nothing to measure any more."""
        for name, process in self._running.items():
            if process.poll() is not None:
                text = (self.logs / f"{name}.txt").read_text(errors="replace")
                sys.exit(f"{name} ended with exit code {process.returncode}:\n{text[-2000:]}")

    def stop(self) -> None:
        """Ends every child and whatever the children started; returns when all of them are gone."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        for process in self._running.values():
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _reap_orphans()


@contextmanager
def children(logs: Path) -> Iterator[Children]:
    """Child processes that are all gone afterwards, however the block ends."""
    _adopt_orphans()
    signal.signal(signal.SIGTERM, _exit)
    logs.mkdir(parents=True, exist_ok=True)
    started = Children(logs)
    try:
        yield started
    finally:
        started.stop()


def _exit(number: int, frame: FrameType | None) -> None:
    """Turns a signal into an exception, so that ``finally`` blocks run."""
    del frame
    sys.exit(128 + number)


def _adopt_orphans() -> None:
    """Linux: what children leave behind becomes a child of this process instead of one of init."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap_orphans() -> None:
    """Kills and reaps this process's remaining children; killing one may hand us its own."""
    while orphans := _own_children():
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _own_children() -> list[int]:
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []
