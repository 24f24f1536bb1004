"""What an append, a proof and its check cost in logs of ten thousand entries and more."""

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console

import audit_log
from common import Figure, Options
from hanse.audit import AuditLog, LogReader, check_inclusion, inclusion_proof, root_at

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK_SIZES = (10_000, 100_000)
T = TypeVar("T")
FILL_BATCH = 1_000
ROUNDS = 7
APPENDS = 100
PROOFS = 500
SPREAD = 1.3
"""How much more than the ratio of the logarithms a cost may grow: a database's own tree gains a level, and
pages of a log that is larger than the processor's caches come from memory."""


def figures(folder: Path, options: Options) -> list[Figure]:
    """Makes a log of each size, then measures them by turns: a cost may grow as the logarithm of the size.

    By turns, because a machine that is shared is slower at one moment than at another.
    """
    sizes = QUICK_SIZES if options.quick else SIZES
    logs = {size: _grown(folder / f"{size}.db", size) for size in sizes}
    rounds = [{size: _costs(logs[size], folder / f"{size}.db") for size in sizes} for _ in range(ROUNDS)]
    bar = math.log2(sizes[-1]) / math.log2(sizes[0]) * SPREAD
    found = []
    for what in rounds[0][sizes[0]]:
        costs = {size: statistics.median(turn[size][what] for turn in rounds) for size in sizes}
        ratio = statistics.median(turn[sizes[-1]][what] / turn[sizes[0]][what] for turn in rounds)
        found += _growth(what, costs, ratio, bar)
    return found


def _grown(path: Path, size: int) -> AuditLog:
    """A log of that many entries."""
    log = audit_log.new_log(path)
    audit_log.fill(log, size, FILL_BATCH)
    Console(highlight=False).print(f"{size:,} entries written")
    return log


def _costs(log: AuditLog, path: Path) -> dict[str, float]:
    """Microseconds of each kind of work at the log's present size, medians: of the clock, or of a core."""
    size = log.size
    with LogReader.open(path) as reader:
        root = root_at(size, reader.hashes)
        chosen = [number * 7919 % size for number in range(PROOFS)]
        leaves = [next(iter(reader.leaves(index, index + 1))) for index in chosen]
        make = lambda number: inclusion_proof(chosen[number], size, reader.hashes)  # noqa: E731
        proofs, make_us = _median(make, PROOFS, time.process_time)
    check = lambda number: check_inclusion(leaves[number], chosen[number], size, root, proofs[number])  # noqa: E731
    _, check_us = _median(check, PROOFS, time.process_time)
    _, append_us = _median(lambda _: log.append(audit_log.EVENT), APPENDS, time.perf_counter)
    return {
        "durable append of one entry": append_us,
        "inclusion proof made": make_us,
        "inclusion proof checked": check_us,
    }


def _median(work: Callable[[int], T], times: int, clock_s: Callable[[], float]) -> tuple[list[T], float]:
    """What the calls returned, and the median of their times in microseconds."""
    results, taken = [], []
    for number in range(times):
        started = clock_s()
        results.append(work(number))
        taken.append(clock_s() - started)
    return results, statistics.median(taken) * 1e6


def _growth(what: str, costs: dict[int, float], ratio: float, bar: float) -> list[Figure]:
    """The cost at each size, and how much more the largest costs than the smallest."""
    sizes = sorted(costs)
    each = [Figure(f"{what}, {size:,} entries", costs[size], "µs") for size in sizes]
    return [*each, Figure(f"{what}, {sizes[-1]:,} next to {sizes[0]:,} entries", ratio, "times", bar)]
