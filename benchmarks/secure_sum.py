"""Secure sums between real processes over the exchange, beside the same vectors in clear.

See README.md in this folder for what is compared and how.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from common import Figure, Options, children, finish, parse_options
from sums.coordinator import Sums, make_identities, serving
from sums.wire import Setting, query, values

LONG, LONG_MEMBERS, LONG_SUMS, LONG_TURNS, QUICK_TURNS = 1_000_000, 20, 32, 8, 4
SHORT, SHORT_MEMBERS, SHORT_SUMS = (1_000, 10_000), 5, 64
BAR, SHORT_BAR = 1.5, 3.0
MS = 1000.0

Vector = NDArray[np.float64]


@contextmanager
def federation(folder: Path, size: int, length: int, sums: int) -> Iterator[Sums]:
    """A coordinator in this process, and each member in one of its own."""
    folder.mkdir()
    members = [f"member-{number:02}" for number in range(size)]
    roster = make_identities(folder, members)
    script = Path(__file__).parent / "sums" / "members.py"
    with children(folder / "output") as started, serving(folder, members) as (address, exchange):
        for member in members:
            path = folder / f"{member}.json"
            Setting(address, str(folder), roster, [member], length).save(path)
            started.start(member, [sys.executable, str(script), str(path)], {"OMP_NUM_THREADS": "1"})
        made = Sums(exchange, roster, length, sums)
        made.member_seconds()  # all are there
        yield made


def exact(members: Sequence[str], length: int, size: int) -> Vector:
    """What the sum of some members must be."""
    encoding = query(0, length, size).encoding
    total = encoding.zeros(length)
    for member in members:
        total += encoding.encode(values(member, length))
    return encoding.decode(total)


def timed(make: Callable[[], Vector | None], expected: Vector | None = None) -> float:
    """Seconds that something takes; a sum must be exact."""
    started = time.perf_counter()
    total = make()
    taken = time.perf_counter() - started
    if expected is not None and (total is None or not np.array_equal(total, expected)):
        raise SystemExit("a sum is not exact")
    return taken


@dataclass(frozen=True, slots=True)
class Cost:
    """What one sum takes, in seconds.

    Attributes:
        seconds: From question to total.
        coordinator: Processor time of the coordinator.
        members: Processor time of all members.
    """

    seconds: float
    coordinator: float
    members: float

    def plus(self, other: "Cost", part: float) -> "Cost":
        """This, and a part of something else."""
        return Cost(
            self.seconds + part * other.seconds,
            self.coordinator + part * other.coordinator,
            self.members + part * other.members,
        )


def cost(sums: Sums, make: Callable[[], Vector | None], expected: Vector | None = None) -> Cost:
    """Makes one sum, or prepares an epoch."""
    members, coordinator = sums.member_seconds(), time.process_time()
    seconds = timed(make, expected)
    coordinator = time.process_time() - coordinator
    return Cost(seconds, coordinator, sums.member_seconds() - members)


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each."""
    return Cost(
        statistics.median(each.seconds for each in costs),
        statistics.median(each.coordinator for each in costs),
        statistics.median(each.members for each in costs),
    )


def long_vectors(folder: Path, options: Options) -> list[Figure]:
    """1e6 elements, 20 members, by turns: in clear, in secret, the same with drop-outs."""
    with federation(folder, LONG_MEMBERS, LONG, LONG_SUMS) as sums:
        gone, late = sums.members[3:4], sums.members[11:12]
        left = [member for member in sums.members if member not in gone]
        whole, part = (exact(members, LONG, LONG_MEMBERS) for members in (sums.members, left))
        arms: dict[str, tuple[Callable[[], Vector], Vector]] = {
            "clear": (sums.in_clear, whole),
            "secret": (sums.in_secret, whole),
            "clear, one missing": (lambda: sums.in_clear(gone), part),
            "secret, drop-outs": (lambda: sums.in_secret(gone, late), part),
        }
        for make, expected in arms.values():
            timed(make, expected)
        preparing = cost(sums, sums.prepare)
        taken: dict[str, list[Cost]] = {name: [] for name in arms}
        for turn in range(QUICK_TURNS if options.quick else LONG_TURNS):
            for name, (make, expected) in sorted(arms.items(), reverse=turn % 2 == 1):
                taken[name].append(cost(sums, make, expected))
    return long_figures({name: median(costs) for name, costs in taken.items()}, preparing)


def long_figures(costs: dict[str, Cost], preparing: Cost) -> list[Figure]:
    """The figures of long vectors; a secure sum carries its part of the epoch's preparation."""
    clear, missing = costs["clear"], costs["clear, one missing"]
    whole, part = (costs[name].plus(preparing, 1 / LONG_SUMS) for name in ("secret", "secret, drop-outs"))
    return [
        Figure("coordinator's processor time in clear", clear.coordinator * MS, "ms"),
        Figure("coordinator's processor time, secure", whole.coordinator * MS, "ms"),
        Figure("a member's processor time in clear", clear.members / LONG_MEMBERS * MS, "ms"),
        Figure("a member's processor time, secure", whole.members / LONG_MEMBERS * MS, "ms"),
        Figure("everybody's processor time, secure / clear", processors(whole) / processors(clear), "ratio"),
        Figure("20 x 1e6 in clear", clear.seconds * MS, "ms"),
        Figure("20 x 1e6 secure", whole.seconds * MS, "ms"),
        Figure("of that preparation, a 32nd of an epoch's", preparing.seconds / LONG_SUMS * MS, "ms"),
        Figure("secure / clear", whole.seconds / clear.seconds, "ratio", BAR),
        Figure("19 x 1e6 in clear", missing.seconds * MS, "ms"),
        Figure("secure, one of 20 gone before its input, one before its reveal", part.seconds * MS, "ms"),
        Figure("everybody's processor time with drop-outs", processors(part) / processors(missing), "ratio"),
        Figure("secure / clear with drop-outs", part.seconds / missing.seconds, "ratio", BAR),
    ]


def processors(spent: Cost) -> float:
    """Processor time of all processes, in seconds."""
    return spent.coordinator + spent.members


def short_vectors(folder: Path, length: int, options: Options) -> list[Figure]:
    """Latency of one sum of five members."""
    with federation(folder, SHORT_MEMBERS, length, SHORT_SUMS) as sums:
        whole = exact(sums.members, length, SHORT_MEMBERS)
        sums.prepare()
        preparing = timed(sums.prepare) / SHORT_SUMS
        clear, secret = [], []
        for _ in range(SHORT_SUMS // 2 if options.quick else SHORT_SUMS):
            clear.append(timed(sums.in_clear, whole))
            secret.append(timed(sums.in_secret, whole))
    medians = statistics.median(clear), statistics.median(secret)
    bar = SHORT_BAR if length == SHORT[0] else None
    return [
        Figure(f"5 x {length} in clear, median", medians[0] * MS, "ms"),
        Figure(f"5 x {length} secure, median", medians[1] * MS, "ms"),
        Figure(f"5 x {length}, secure / clear", medians[1] / medians[0], "ratio", bar),
        Figure(f"5 x {length} secure, 9 of 10 within", statistics.quantiles(secret, n=10)[-1] * MS, "ms"),
        Figure("beside it preparation, a 64th of an epoch's", preparing * MS, "ms"),
    ]


def main() -> int:
    """Measures, and returns the exit code."""
    options = parse_options(__doc__ or "")
    with tempfile.TemporaryDirectory(prefix="hanse-sums-") as name:
        figures = long_vectors(Path(name) / "long", options)
        for length in SHORT:
            figures += short_vectors(Path(name) / f"short-{length}", length, options)
    Console(highlight=False).print(f"load average {os.getloadavg()[0]:.1f}")
    return finish("Secure sums over the exchange, mutual TLS, one machine", figures, options)


if __name__ == "__main__":
    raise SystemExit(main())
