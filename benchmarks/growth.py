"""How time and memory grow with rows, members and parameters, on made-up data, in one process.

See README.md in this folder for what is measured and how.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final, NoReturn

from common import Figure, finish, parse_options
from growth_work import FEATURES, Cost, Size, measured

LOGISTIC: Final = FEATURES + 1
STRAIGHT: Final = 1.5
"""How much faster than the size time may grow from the second largest size to the largest. A secure sum of
more members grows with their square: each of them masks against each."""


@dataclass(frozen=True)
class Sweep:
    """One size that grows while the others stay.

    Attributes:
        axis: What grows.
        works: What is measured.
        sizes: Of each run.
    """

    axis: str
    works: tuple[str, ...]
    sizes: tuple[tuple[int, Size], ...]


def sweeps(*, quick: bool) -> tuple[Sweep, ...]:
    """All of them; the secure sum has three members at least."""
    rows = (10_000, 30_000, 100_000) if quick else (10_000, 30_000, 100_000, 300_000, 1_000_000)
    members = (3, 6, 12) if quick else (3, 6, 12, 25, 50, 100)
    parameters = (1_000, 10_000, 100_000) if quick else (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    return (
        Sweep(
            "rows a member",
            ("round of averaging", "private step", "tree"),
            tuple((count, Size(3, count, LOGISTIC)) for count in rows),
        ),
        Sweep(
            "members",
            ("round of averaging", "private step", "tree", "secure sum"),
            tuple((count, Size(count, 1_000, LOGISTIC)) for count in members),
        ),
        Sweep(
            "parameters",
            ("round of averaging", "private step", "secure sum"),
            tuple((count, Size(3, 256, count)) for count in parameters),
        ),
    )


def main() -> int:
    """Measures, prints, and returns the exit code."""
    options = parse_options(__doc__ or "")
    figures: list[Figure] = []
    for sweep in sweeps(quick=options.quick):
        for work in sweep.works:
            for figure in grown(sweep, work):
                print(f"{figure.name}: {figure.value}", file=sys.stderr)  # the table comes much later
                figures.append(figure)
    return finish("Growth", figures, options)


def grown(sweep: Sweep, work: str) -> Iterator[Figure]:
    """The cost at each size, and whether it grows faster than the size."""
    costs = [(count, cost_of(work, size)) for count, size in sweep.sizes]
    for count, cost in costs:
        yield Figure(f"{work}, {count:,} {sweep.axis}: processor time", cost.seconds * 1000, "ms")
        yield Figure(f"{work}, {count:,} {sweep.axis}: memory", cost.mebibytes, "MiB")
    (before, less), (last, more) = costs[-2:]
    faster = (more.seconds / less.seconds) / (last / before)
    squared = (work, sweep.axis) == ("secure sum", "members")
    name = f"{work}, {sweep.axis}: time grows, over size grows, at the end"
    yield Figure(name, faster, "times", None if squared else STRAIGHT)


def cost_of(work: str, size: Size) -> Cost:
    """Measured in a forked process, whose memory nobody else has used, and in which all is imported.

    This process never computes, so it has no threads whose locks a fork would keep.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _report(work, size, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        told = file.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"{work}, {size}: the process ended with {status}")
    return Cost(**json.loads(told))


def _report(work: str, size: Size, writing: int) -> NoReturn:
    """What the forked process does."""
    code = 1
    try:
        with os.fdopen(writing, "w", encoding="utf-8") as file:
            json.dump(asdict(measured(work, size)), file)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
