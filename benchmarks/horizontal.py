"""Horizontal learning: models over members beside pooled rows and members alone, without and with privacy.

See README.md in this folder for what is measured and how.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import torch

from common import Figure, Options, finish, parse_options
from horizontal_parts.comparison import Division, Kind, area, compare, figures_of
from horizontal_parts.linear import LinearArm
from horizontal_parts.members import ASSIGNMENTS, assign
from horizontal_parts.private import CENTRAL, LOCAL, MODES, SHARED, Mode, private_scores
from horizontal_parts.processes import over_processes
from horizontal_parts.trees import TreesArm
from real_data import DataSet, Fold, data_sets, read

SETS: Final = ("bank_full", "default_credit", "adult", "telco")
QUICK_SETS: Final = ("adult", "telco")
QUICK_MODELS: Final = "telco"
FOLDS: Final = 5
BAR: Final = Division("by kind", 20)
AT_RANDOM: Final = Division("at random", 20)
GRID: Final = tuple(Division(assignment, members) for assignment in ASSIGNMENTS for members in (4, 10, 40))
SOME_ALONE: Final = 5
FEW_ALONE: Final = 2
ONE_FOLD: Final = 0.005
"""A floor for the mean of all folds is lower by so much for one of them: folds differ by as much."""
KINDS: Final = (
    Kind("logistic", LinearArm, to_pooled=0.005, best=True, to_rival=None, floors={}),
    Kind(
        "trees",
        TreesArm,
        to_pooled=0.003,
        best=False,
        to_rival=0.006,
        floors={"bank_full": 0.797, "default_credit": 0.777, "adult": 0.922, "telco": 0.841},
    ),
)
NETWORKS: Final = tuple(
    Kind(model, partial(LinearArm, model=model), to_pooled=None, best=False, to_rival=None, floors={})
    for model in ("mlp", "wide_and_deep")
)

IN_PROCESSES: Final = (Division("by kind", 4), Division("by kind", 10))
TO_ONE: Final = 0.0005
"""What processes may differ by: sums are exact, so trees differ by nothing; coins of a logistic model do."""

PRIVATE: Final = Division("by kind", 10)
PRIVATE_FLOORS: Final = {
    ("adult", 1.0): 0.911,
    ("bank_full", 1.0): 0.774,
    ("default_credit", 1.0): 0.767,
    ("adult", 3.0): 0.912,
    ("bank_full", 3.0): 0.777,
    ("default_credit", 3.0): 0.772,
}
PAIRS: Final = {("bank_full", 1.0): 20}
"""Seeds by which shared noise is held against all rows in one place, where five would not tell it from the
bar; otherwise as many as there are folds."""
QUICK_EPSILON: Final = 1.0
TO_CENTRAL: Final = 0.002


def main() -> int:
    """Measures, prints, and returns the exit code."""
    torch.set_num_threads(1)
    options = parse_options(__doc__ or "", tuple(PARTS), SETS)
    folder = data_sets()
    figures: list[Figure] = []
    if folder:
        names = [name for name in options.sets if not options.quick or name in QUICK_SETS]
        sets = [read(folder / name) for name in names]
        for figure in chain.from_iterable(PARTS[p](data, options) for p in options.parts for data in sets):
            print(f"{figure.name}: {figure.value:.4f}", file=sys.stderr)  # the table comes much later
            figures.append(figure)
    return finish("Horizontal learning", figures, options)


def models(data: DataSet, options: Options) -> Iterator[Figure]:
    """Without privacy, 20 members: by kind on all folds, at random on one. The bars are here."""
    if options.quick and data.name != QUICK_MODELS:
        return
    for kind in KINDS:
        first = Fold(data, 0)
        arm = kind.make(first)
        everyone = FEW_ALONE if options.quick else BAR.members
        found = [compare(first, arm, BAR, everyone)]
        floor = kind.floors.get(data.name)
        lower = None if floor is None else floor - ONE_FOLD
        if options.quick:
            yield from figures_of(f"{data.name}, {kind.name}, {BAR}, fold 0", found, kind, lower)
            continue
        yield from figures_of(f"{data.name}, {kind.name}, {BAR}, fold 0", found, None, None)
        others = [Fold(data, number) for number in range(1, FOLDS)]
        found += [compare(fold, kind.make(fold), BAR, SOME_ALONE) for fold in others]
        yield from figures_of(f"{data.name}, {kind.name}, {BAR}, {FOLDS} folds", found, kind, floor)
        dealt = compare(first, arm, AT_RANDOM, everyone)
        yield from figures_of(f"{data.name}, {kind.name}, {AT_RANDOM}, fold 0", [dealt], kind, lower)


def grid(data: DataSet, options: Options) -> Iterator[Figure]:
    """Without privacy: other numbers of members, on one fold, without bars."""
    for kind in () if options.quick else KINDS:
        fold = Fold(data, 0)
        arm = kind.make(fold)
        for division in GRID:
            found = compare(fold, arm, division, SOME_ALONE)
            yield from figures_of(f"{data.name}, {kind.name}, {division}, fold 0", [found], None, None)


def networks(data: DataSet, options: Options) -> Iterator[Figure]:
    """The same for networks, which have no bars, in one place of the grid."""
    for kind in () if options.quick else NETWORKS:
        fold = Fold(data, 0)
        found = compare(fold, kind.make(fold), BAR, FEW_ALONE)
        yield from figures_of(f"{data.name}, {kind.name}, {BAR}, fold 0", [found], None, None)


def private(data: DataSet, options: Options) -> Iterator[Figure]:
    """With privacy: mean and spread of five runs for every epsilon, each with a fold of its own.

    What all rows in one place have over shared noise is the mean of more pairs of runs, where it is needed.
    """
    for (name, epsilon), floor in PRIVATE_FLOORS.items():
        if name != data.name or (options.quick and epsilon != QUICK_EPSILON):
            continue
        seeds = range(1 if options.quick else FOLDS)
        modes = (SHARED, CENTRAL) if options.quick else MODES
        pairs = range(1 if options.quick else PAIRS.get((name, epsilon), FOLDS))
        areas = {
            mode: [private_area(data, epsilon, mode, seed) for seed in (seeds if mode == LOCAL else pairs)]
            for mode in modes
        }
        mean = {mode: statistics.fmean(found[: len(seeds)]) for mode, found in areas.items()}
        label = f"{name}, private, {PRIVATE}, epsilon {epsilon:g}"
        yield Figure(
            f"{label}: {SHARED.name}", mean[SHARED], "AUC", floor=floor - (ONE_FOLD if options.quick else 0)
        )
        for mode in modes[1:]:
            yield Figure(f"{label}: {mode.name}", mean[mode], "AUC")
        apart = [one - other for one, other in zip(areas[CENTRAL], areas[SHARED], strict=True)]
        gap = statistics.fmean(apart)
        yield Figure(f"{label}: {CENTRAL.name} minus {SHARED.name}", gap, "AUC", TO_CENTRAL)
        if len(seeds) > 1:
            yield Figure(f"{label}: spread over folds", statistics.stdev(areas[SHARED][: len(seeds)]), "AUC")
            spread = statistics.stdev(apart)
            yield Figure(f"{label}: pairs of runs of the difference", len(pairs), "pairs")
            yield Figure(f"{label}: standard error of the difference", spread / len(pairs) ** 0.5, "AUC")
            # Of one run about another with the same test rows.
            yield Figure(f"{label}: spread of the noise", spread / 2**0.5, "AUC")


def processes(data: DataSet, options: Options) -> Iterator[Figure]:
    """Members with processes of their own, beside the same members in this process, on one fold."""
    if options.quick and data.name != QUICK_MODELS:
        return
    fold = Fold(data, 0)
    for division in IN_PROCESSES[:1] if options.quick else IN_PROCESSES:
        for model in ("trees",) if options.quick else ("logistic", "trees"):
            label = f"{data.name}, {model}, {division} in processes, fold 0"
            with tempfile.TemporaryDirectory(prefix="hanse-horizontal-") as folder:
                source = (data_sets() or Path()) / data.name
                found = over_processes(Path(folder) / model, source, fold, model, division)
            federated, here = area(fold, found.scores), area(fold, found.here)
            yield Figure(f"{label}: federated", federated, "AUC")
            yield Figure(f"{label}: differs from one process by", abs(federated - here), "AUC", TO_ONE)
            yield Figure(f"{label}: training", found.seconds, "s")


def private_area(data: DataSet, epsilon: float, mode: Mode, seed: int) -> float:
    """Of one run; the first five seeds have a fold each, those after them the same folds again."""
    fold = Fold(data, seed % FOLDS)
    members = assign(fold.train, data.kind, PRIVATE.members, PRIVATE.assignment, seed=seed)
    return area(fold, private_scores(fold, members, epsilon, mode, seed=seed))


PARTS: Final[Mapping[str, Callable[[DataSet, Options], Iterator[Figure]]]] = {
    "private": private,
    "models": models,
    "grid": grid,
    "networks": networks,
    "processes": processes,
}
"""Each gives the figures of a set."""


if __name__ == "__main__":
    sys.exit(main())
