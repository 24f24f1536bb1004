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
APPENDS = 300
PROOFS = 2_000
SPREAD = 1.3
"""How much more than the ratio of the logarithms a cost may grow: a database's own tree gains a level, and
pages of a log that is larger than the processor's caches come from memory."""


def figures(folder: Path, options: Options) -> list[Figure]:
    """Lets one log grow and measures at each size; a cost may grow as the logarithm of the size does."""
    sizes = QUICK_SIZES if options.quick else SIZES
    path = folder / "growing.db"
    log = audit_log.new_log(path)
    found: dict[str, dict[int, float]] = {}
    for size in sizes:
        audit_log.fill(log, size - log.size, FILL_BATCH)
        for what, cost in _costs(log, path).items():
            found.setdefault(what, {})[size] = cost
        Console(highlight=False).print(f"{size:,} entries measured")
    bar = math.log2(sizes[-1]) / math.log2(sizes[0]) * SPREAD
    return [figure for what, costs in found.items() for figure in _growth(what, costs, bar)]


def _costs(log: AuditLog, path: Path) -> dict[str, float]:
    """Microseconds of each kind of work at the log's present size, medians."""
    size = log.size
    with LogReader.open(path) as reader:
        root = root_at(size, reader.hashes)
        chosen = [number * 7919 % size for number in range(PROOFS)]
        leaves = [next(iter(reader.leaves(index, index + 1))) for index in chosen]
        proofs, make_us = _median(lambda number: inclusion_proof(chosen[number], size, reader.hashes), PROOFS)
    _, check_us = _median(
        lambda number: check_inclusion(leaves[number], chosen[number], size, root, proofs[number]), PROOFS
    )
    _, append_us = _median(lambda _: log.append(audit_log.EVENT), APPENDS)
    return {
        "durable append of one entry": append_us,
        "inclusion proof made": make_us,
        "inclusion proof checked": check_us,
    }


def _median(work: Callable[[int], T], times: int) -> tuple[list[T], float]:
    """What the calls returned, and the median of their times in microseconds."""
    results, taken = [], []
    for number in range(times):
        started = time.perf_counter()
        results.append(work(number))
        taken.append(time.perf_counter() - started)
    return results, statistics.median(taken) * 1e6


def _growth(what: str, costs: dict[int, float], bar: float) -> list[Figure]:
    """The cost at each size, and how much more the largest costs than the smallest."""
    sizes = sorted(costs)
    each = [Figure(f"{what}, {size:,} entries", costs[size], "µs") for size in sizes]
    ratio = costs[sizes[-1]] / costs[sizes[0]]
    return [*each, Figure(f"{what}, {sizes[-1]:,} next to {sizes[0]:,} entries", ratio, "times", bar)]
