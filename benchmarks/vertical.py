"""Boosted trees over two parties' columns and a dealer, each a process of its own, beside their rivals.

See README.md in this folder for what is measured and how.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from common import Figure, Options, finish, parse_options
from hanse.learning.boosting import BoostingSettings
from hanse.learning.vertical.trees.homomorphic.scheme import SecretKey, require_library
from real_data import data_sets
from vertical_parts.parties import Outcome, run
from vertical_parts.rivals import alone_and_fused, area, plain, xgboost
from vertical_parts.tables import FEATURE, LABEL, MadeTable, RealTable

QUALITY, SPEED, GROWTH, LARGE, HOMOMORPHIC = "quality", "speed", "growth", "large", "homomorphic"
POINTS: Final = "points"
SETS: Final = ("default_credit", "bank_full", "adult", "telco")
FOLDS, QUICK_FOLDS = (0, 1, 2), (0,)
SETTINGS: Final = BoostingSettings()
QUICK_TREES: Final = 15
SPEED_SETTINGS: Final = BoostingSettings(trees=100, depth=3, max_bins=32)

CPU_S_PER_TREE: Final = 0.5
ENCRYPTED_CPU_S_PER_TREE: Final = 8.0
ENCRYPTED_TREES, QUICK_ENCRYPTED_TREES = 5, 2
KEYS, QUICK_KEYS = 10, 2
KEY_BITS: Final = 2048
TURNS: Final = 3
QUICK_POINT_TREES: Final = 45
TIMES_PLAIN: Final = 10.0
SHORT_OF_RIVAL: Final = 0.002
GAIN: Final = 0.9
LARGE_MIB: Final = 4096.0

GROWTH_TREES: Final = 10
GROWING: Final[dict[str, Sequence[int]]] = {
    "rows": (6_000, 12_000, 24_000, 48_000, 96_000),
    "columns": (5, 10, 20, 40),
    "depth": (2, 3, 4, 5, 6),
}
GROWTH_BASE: Final = {"rows": 24_000, "columns": 10, "depth": 3}


def quality(folder: Path, options: Options) -> Iterator[Figure]:
    """Areas under the ROC curve, means over folds, and of the differences the worst fold."""
    settings = SETTINGS.model_copy(update={"trees": QUICK_TREES} if options.quick else {})
    for name in ("telco",) if options.quick else options.sets:
        numbers = QUICK_FOLDS if options.quick else FOLDS
        tables = [RealTable(folder / name, settings, number) for number in numbers]
        yield from _areas(name, tables, with_bars=not options.quick)


def _areas(name: str, tables: Sequence[RealTable], *, with_bars: bool) -> Iterator[Figure]:
    found: dict[str, list[float]] = {}
    for table in tables:
        alone, fused = alone_and_fused(table)
        joint = run(lambda table=table: table, table.rows)  # type: ignore[misc]
        arms = {
            "label holder alone": alone,
            "late fusion": fused,
            "joint": joint.scores,
            "pooled": plain(table, LABEL, FEATURE).scores,
            "XGBoost": xgboost(table),
        }
        for arm, scores in arms.items():
            found.setdefault(arm, []).append(np.nan if scores is None else area(table, scores))
    mean = {arm: float(np.mean(areas)) for arm, areas in found.items()}
    for arm, value in mean.items():
        yield Figure(f"{name}: {arm}", None if np.isnan(value) else value, "AUC")
    short = -SHORT_OF_RIVAL if with_bars else None
    for rival in ("XGBoost", "late fusion"):
        differences = np.subtract(found["joint"], found[rival])
        measured = not np.isnan(mean[rival])
        label = f"{name}: joint less {rival}"
        yield Figure(label, float(differences.mean()) if measured else None, "AUC", floor=short)
        yield Figure(f"{label}, worst fold", float(differences.min()) if measured else None, "AUC")
    apart = float(np.abs(np.subtract(found["joint"], found["pooled"])).max())
    yield Figure(f"{name}: joint and pooled, furthest apart on a fold", apart, "AUC")
    gain = (mean["joint"] - mean["label holder alone"]) / (mean["pooled"] - mean["label holder alone"])
    yield Figure(f"{name}: part of the pooled gain", gain, "ratio", floor=GAIN if with_bars else None)


def speed(folder: Path, options: Options) -> Iterator[Figure]:
    """What a tree takes, next to the same engine in one place, before and after."""
    settings = SPEED_SETTINGS.model_copy(update={"trees": QUICK_TREES} if options.quick else {})
    table = RealTable(folder / "default_credit", settings)
    plain(table, LABEL, FEATURE)  # reads the data
    before = plain(table, LABEL, FEATURE)
    joint = run(lambda: table, table.rows)
    after = plain(table, LABEL, FEATURE)
    label = f"default_credit, {table.rows} rows, depth {settings.depth}, {settings.max_bins} bins"
    yield from _costs(label, joint)
    ratio = 2 * joint.seconds / (before.seconds + after.seconds)
    yield Figure(f"{label}: three processes against one, clock", ratio, "times", TIMES_PLAIN)
    times = joint.cpu_s_per_tree * joint.trees * 2 / (before.cpu_s + after.cpu_s)
    yield Figure(f"{label}: three processes against one, processor", times, "times")


def homomorphic(folder: Path, options: Options) -> Iterator[Figure]:
    """What a tree takes without a dealer, and whether its scores are those of the engine in one place.

    The key, of which a run makes one, is stated apart: how long two primes are looked for is chance.
    """
    trees = QUICK_ENCRYPTED_TREES if options.quick else ENCRYPTED_TREES
    settings = SPEED_SETTINGS.model_copy(update={"trees": trees})
    table = RealTable(folder / "default_credit", settings)
    encrypted = run(lambda: table, table.rows, KEY_BITS)
    masked = run(lambda: table, table.rows)
    label = f"default_credit, {table.rows} rows, depth {settings.depth}, {KEY_BITS} bits"
    yield from _costs(label, encrypted, ENCRYPTED_CPU_S_PER_TREE)
    yield Figure(f"{label}: each tree after the first, {LABEL}", encrypted.later_cpu_s, "CPU-s")
    keys = [_key_cpu_s() for _ in range(QUICK_KEYS if options.quick else KEYS)]
    yield Figure(f"a key of {KEY_BITS} bits, mean of {len(keys)}", float(np.mean(keys)), "CPU-s")
    yield Figure(f"a key of {KEY_BITS} bits, longest of {len(keys)}", max(keys), "CPU-s")
    difference = float(np.abs(encrypted.scores - masked.scores).max())
    yield Figure(f"{label}: largest difference of a score from that with a dealer", difference, "", 0.0)


def points(folder: Path, options: Options) -> Iterator[Figure]:
    """What it costs to keep how far a run has come, by turns with runs that keep nothing."""
    settings = SPEED_SETTINGS.model_copy(update={"trees": QUICK_POINT_TREES} if options.quick else {})
    table = RealTable(folder / "default_credit", settings)
    turns = [run(lambda: table, table.rows, points=kept) for kept in (False, True) * TURNS]
    label = f"default_credit, {table.rows} rows, depth {settings.depth}"
    without, kept = (float(np.median([one.cpu_s_per_tree for one in turns[start::2]])) for start in (0, 1))
    yield Figure(f"{label}: one tree, nothing kept", without, "CPU-s")
    yield Figure(f"{label}: one tree, with points", kept, "CPU-s", CPU_S_PER_TREE)
    clocks = [float(np.median([one.seconds for one in turns[start::2]])) for start in (0, 1)]
    yield Figure(f"{label}: points, on the clock", clocks[1] / clocks[0], "times")
    same = max(float(np.abs(one.scores - turns[0].scores).max()) for one in turns)
    yield Figure(f"{label}: largest difference of a score", same, "", 0.0)


def _key_cpu_s() -> float:
    require_library()  # so that its threads are not in the first figure
    begun_s = time.process_time()
    SecretKey(KEY_BITS)
    return time.process_time() - begun_s


def _costs(label: str, outcome: Outcome, most_cpu_s: float = CPU_S_PER_TREE) -> Iterator[Figure]:
    yield Figure(f"{label}: one tree, all parties", outcome.cpu_s_per_tree, "CPU-s", most_cpu_s)
    for party, cost in outcome.costs.items():
        yield Figure(f"{label}: one tree, {party}", cost.cpu_s / outcome.trees, "CPU-s")
        yield Figure(f"{label}: {party} sends for {outcome.trees} trees", cost.sent_mib, "MiB")
        yield Figure(f"{label}: {party}, most memory", cost.peak_mib, "MiB")
    yield Figure(f"{label}: until the first tree", outcome.first_tree_s, "s")


def growth(options: Options) -> Iterator[Figure]:
    """Processor time and bytes of a tree, as one size grows; half of the columns are the label holder's."""
    for axis, sizes in GROWING.items():
        for size in sizes[:2] if options.quick else sizes:
            chosen = {**GROWTH_BASE, axis: size}
            settings = BoostingSettings(trees=GROWTH_TREES, depth=chosen["depth"], max_bins=32)
            table = MadeTable(chosen["rows"], chosen["columns"], chosen["columns"], settings)
            outcome = run(partial(lambda table: table, table), table.rows)
            label = f"a tree, {size:,} {axis}"
            yield Figure(f"{label}: processor time", outcome.cpu_s_per_tree, "CPU-s")
            yield Figure(f"{label}: sent", outcome.sent_mib_per_tree, "MiB")


def large() -> Iterator[Figure]:
    """500,000 rows, 25 columns at each party, a hundred trees of depth 5."""
    settings = BoostingSettings(trees=100, depth=5, max_bins=32)
    table = MadeTable(500_000, 25, 25, settings)
    outcome = run(lambda: table, table.rows)
    label = "500,000 rows x 50, depth 5"
    yield Figure(f"{label}: {outcome.trees} trees", outcome.seconds, "s")
    for party, cost in outcome.costs.items():
        yield Figure(f"{label}: {party}, most memory", cost.peak_mib, "MiB", LARGE_MIB)
        yield Figure(f"{label}: one tree, {party}", cost.cpu_s / outcome.trees, "CPU-s")
        yield Figure(f"{label}: {party} sends", cost.sent_mib, "MiB")


def measure(options: Options) -> Iterator[Figure]:
    """The parts that were asked for."""
    folder = data_sets() if {QUALITY, SPEED, HOMOMORPHIC, POINTS} & set(options.parts) else None
    if SPEED in options.parts and folder:
        yield from speed(folder, options)
    if HOMOMORPHIC in options.parts and folder:
        yield from homomorphic(folder, options)
    if POINTS in options.parts and folder:
        yield from points(folder, options)
    if QUALITY in options.parts and folder:
        yield from quality(folder, options)
    if GROWTH in options.parts:
        yield from growth(options)
    if LARGE in options.parts:
        yield from large()


def main() -> int:
    """Measures, prints, and returns the exit code."""
    options = parse_options(__doc__ or "", (QUALITY, SPEED, GROWTH), SETS, (LARGE, HOMOMORPHIC, POINTS))
    console = Console(highlight=False)
    figures = []
    for figure in measure(options):
        value = "not measured" if figure.value is None else f"{figure.value:.4g} {figure.unit}"
        console.print(f"{figure.name}: {value}", soft_wrap=True)
        figures.append(figure)
    return finish("Boosted trees over columns of two parties, and a dealer", figures, options)


if __name__ == "__main__":
    sys.exit(main())
