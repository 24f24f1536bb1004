"""Boosted trees over 20 members: test AUC against pooled rows, LightGBM and members alone; time per tree.

See README.md in this folder for what is measured and how.
"""

import csv
import gzip
import importlib
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from common import Figure, Options, finish, parse_options
from hanse.aggregation import Aggregate, InProcessAggregator, Query
from hanse.learning import roc_auc
from hanse.learning.boosting import (
    BinnedColumn,
    Binning,
    BoostedTrees,
    BoostingContributor,
    BoostingCoordinator,
    BoostingSettings,
    encode_trees,
)
from hanse.learning.quantiles import QuantileContributor, federated_quantiles
from real_data import data_sets, split_column

MEMBERS: Final = 20
FOLDS: Final = 5
FLOORS: Final = {"bank_full": 0.797, "default_credit": 0.777, "adult": 0.922, "telco": 0.841}
ASSIGNMENTS: Final = ("at random", "by kind")
QUICKLY: Final = {"telco": "at random", "default_credit": "by kind"}
"""What is measured over members with ``--quick``."""
TO_POOLED: Final = 0.003
TO_LIGHTGBM: Final = 0.006
TO_ALONE: Final = 0.005
TIMES_SCIKIT: Final = 10.0
SETTINGS: Final = BoostingSettings()

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class DataSet:
    """One data set, with exactly the columns that its specification names."""

    name: str
    columns: dict[str, NDArray[Any]]
    labels: NDArray[np.float64]
    fold: Indices
    kind: Indices

    def rows(self, index: Indices) -> dict[str, NDArray[Any]]:
        """Columns of some rows."""
        return {name: values[index] for name, values in self.columns.items()}


@dataclass(frozen=True)
class InOnePlace:
    """What one fold gives where all rows are in one place."""

    binning: Binning
    trees: BoostedTrees
    area: float
    lightgbm: float | None


@dataclass(frozen=True)
class OverMembers:
    """Areas under the ROC curve on the test rows of all."""

    federated: float
    alone: tuple[float, ...]


class Counting:
    """An aggregator that counts what one member sends and receives, eight bytes an element."""

    def __init__(self, inner: InProcessAggregator) -> None:
        self._inner = inner
        self.sent_bytes = 0
        self.queries = 0

    @property
    def members(self) -> tuple[str, ...]:
        """Of the inner one."""
        return self._inner.members

    def aggregate(self, query: Query) -> Aggregate:
        """Counts and asks."""
        self.queries += 1
        self.sent_bytes += len(query.body) + query.length * query.encoding.dtype.itemsize
        return self._inner.aggregate(query)


def read(folder: Path) -> DataSet:
    """Reads a set: a column is numeric if nearly all of its values are numbers; the others are missing."""
    spec = json.loads((folder / "spec.json").read_text())
    table = _read_csv(folder / f"{spec['name']}.csv.gz")
    return DataSet(
        spec["name"],
        {name: _values(table[name]) for name in spec["party_a_label_holder"] + spec["party_b_partner"]},
        (np.array(table[spec["label"]]) == spec["positive"]).astype(np.float64),
        split_column(folder, "fold"),
        split_column(folder, "org"),
    )


def _read_csv(path: Path) -> dict[str, list[str]]:
    with gzip.open(path, "rt", newline="") as lines:
        header, *records = csv.reader(lines)
    return dict(zip(header, (list(column) for column in zip(*records, strict=True)), strict=True))


def _values(texts: list[str]) -> NDArray[Any]:
    numbers = np.array([_number(text) for text in texts])
    if np.isfinite(numbers).mean() > 0.95:  # noqa: PLR2004 - telco writes eleven numbers as blanks
        return numbers
    return np.array([text.strip() for text in texts], dtype=object)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def divide(data: DataSet, rows: Indices, assignment: str, seed: int) -> list[Indices]:
    """Rows of each member: dealt at random, or five members for each of the four kinds of customers."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(rows)
    if assignment == "at random":
        return np.array_split(shuffled, MEMBERS)
    kinds = [shuffled[data.kind[shuffled] == kind] for kind in range(4)]
    return [part for kind in kinds for part in np.array_split(kind, MEMBERS // len(kinds))]


def make_binning(data: DataSet, members: Sequence[Indices]) -> Binning:
    """Numeric columns cut by federated quantiles of the members, public dictionaries for the others."""
    numeric = [name for name, values in data.columns.items() if values.dtype != object]
    contributors = {
        f"member-{i:02}": QuantileContributor({name: data.columns[name][rows] for name in numeric})
        for i, rows in enumerate(members)
    }
    found = federated_quantiles(
        InProcessAggregator(contributors), numeric, bins=SETTINGS.max_bins, min_rows=50
    )
    columns = {
        name: BinnedColumn(name=name, kind="numeric")
        if name in numeric
        else BinnedColumn(name=name, kind="categorical", categories=tuple(sorted(set(values.tolist()))))
        for name, values in data.columns.items()
    }
    return Binning.make(columns, found, SETTINGS.max_bins)


def boost(
    data: DataSet, members: Sequence[Indices], binning: Binning, settings: BoostingSettings = SETTINGS
) -> tuple[BoostedTrees, Counting]:
    """Trains over members in this process."""
    contributors = {
        f"member-{i:02}": BoostingContributor(settings, binning, data.rows(rows), data.labels[rows])
        for i, rows in enumerate(members)
    }
    aggregator = Counting(InProcessAggregator(contributors))
    return BoostingCoordinator(aggregator, settings, binning).train(), aggregator


def area(data: DataSet, scores: NDArray[np.float64], test: Indices) -> float:
    """Area under the curve on the test rows."""
    found = roc_auc(scores, data.labels[test].astype(np.float32))
    if found is None:
        sys.exit(f"{data.name}: the test rows are of one class")
    return found


def lightgbm(data: DataSet, binning: Binning, train: Indices, test: Indices) -> float | None:
    """LightGBM on pooled rows with its own defaults but as many trees of as many leaves; None without it."""
    try:
        library = importlib.import_module("lightgbm")
    except ImportError:
        return None
    codes = binning.encode(data.columns).astype(np.int32)
    words = [i for i, column in enumerate(binning.columns) if column.kind == "categorical"]
    model = library.LGBMClassifier(
        n_estimators=SETTINGS.trees,
        learning_rate=SETTINGS.learning_rate,
        num_leaves=15,
        n_jobs=1,
        verbose=-1,
    )
    model.fit(codes[train], data.labels[train], categorical_feature=words)
    return area(data, model.predict(codes[test], raw_score=True), test)


def in_one_place(data: DataSet, fold: int) -> InOnePlace:
    """Trains on all rows; the edges are those of members, who find the same however rows are divided."""
    train, test = np.flatnonzero(data.fold != fold), np.flatnonzero(data.fold == fold)
    binning = make_binning(data, divide(data, train, "at random", fold))
    trees, _ = boost(data, [train], binning)
    found = area(data, trees.raw(binning.encode(data.rows(test)))[:, 0], test)
    return InOnePlace(binning, trees, found, lightgbm(data, binning, train, test))


def over_members(
    data: DataSet, fold: int, pooled: InOnePlace, assignment: str, *, quick: bool
) -> OverMembers:
    """Trains over the members, and each of them alone; with ``quick`` every fifth."""
    train, test = np.flatnonzero(data.fold != fold), np.flatnonzero(data.fold == fold)
    members = divide(data, train, assignment, fold)
    codes = pooled.binning.encode(data.rows(test))
    together, _ = boost(data, members, pooled.binning)
    if encode_trees(together.forest) != encode_trees(pooled.trees.forest):
        print(f"{data.name}, {assignment}, fold {fold}: the trees of members differ from the pooled ones")
    alone = (boost(data, [own], pooled.binning)[0].raw(codes) for own in members[:: 5 if quick else 1])
    return OverMembers(
        area(data, together.raw(codes)[:, 0], test), tuple(area(data, raw[:, 0], test) for raw in alone)
    )


def measure(data: DataSet, options: Options) -> Iterator[Figure]:
    """All figures of one set: means over the folds, and the worst member of any fold."""
    folds = range(1 if options.quick else FOLDS)
    pooled = [in_one_place(data, fold) for fold in folds]
    mean = statistics.mean(each.area for each in pooled)
    oracles = [each.lightgbm for each in pooled if each.lightgbm is not None]
    oracle = statistics.mean(oracles) if oracles else None
    # The floors are for means over all folds; one fold alone may be a hard one.
    floor = None if options.quick else FLOORS[data.name]
    yield Figure(f"{data.name}: pooled", mean, "AUC", floor=floor)
    yield Figure(f"{data.name}: LightGBM, pooled", oracle, "AUC")
    for assignment in ASSIGNMENTS:
        if options.quick and QUICKLY.get(data.name) != assignment:
            continue
        name = f"{data.name}, {assignment}"
        found = [over_members(data, fold, pooled[fold], assignment, quick=options.quick) for fold in folds]
        federated = statistics.mean(each.federated for each in found)
        yield Figure(f"{name}: federated", federated, "AUC", floor=floor)
        yield Figure(f"{name}: pooled minus federated", mean - federated, "AUC", TO_POOLED)
        ahead = None if oracle is None else oracle - federated
        yield Figure(f"{name}: LightGBM minus federated", ahead, "AUC", TO_LIGHTGBM)
        alone = [area for each in found for area in each.alone]
        yield Figure(f"{name}: members alone, mean", statistics.mean(alone), "AUC")
        yield Figure(f"{name}: members alone, worst", min(alone), "AUC")
        worst = max(max(each.alone) - each.federated for each in found)
        yield Figure(f"{name}: best member alone minus federated", worst, "AUC", TO_ALONE)


def times(data: DataSet) -> Iterator[Figure]:
    """Processor time per tree, least of three: pooled, over members, and scikit-learn's; and bytes."""
    train = np.flatnonzero(data.fold != 0)
    members = divide(data, train, "at random", 0)
    binning = make_binning(data, members)
    few = SETTINGS.model_copy(update={"trees": 20})
    codes = binning.encode(data.rows(train))
    oracle_settings: dict[str, Any] = {
        "max_iter": few.trees,
        "learning_rate": few.learning_rate,
        "max_depth": few.depth,
        "max_leaf_nodes": None,
        "early_stopping": False,
        "categorical_features": [column.kind == "categorical" for column in binning.columns],
    }
    oracle = HistGradientBoostingClassifier(**oracle_settings)
    pooled_s, together_s, oracle_s = [], [], []
    _, counted = boost(data, members, binning, few)
    for _ in range(3):  # by turns, so that a busy moment of the machine hits all of them
        oracle_s.append(_seconds(lambda: oracle.fit(codes, data.labels[train])))
        pooled_s.append(_seconds(lambda: boost(data, [train], binning, few)))
        together_s.append(_seconds(lambda: boost(data, members, binning, few)))
    title = f"{data.name}, {len(train)} rows x {len(data.columns)}"
    per_tree = 1000 / few.trees
    yield Figure(f"{title}: pooled, one tree", min(pooled_s) * per_tree, "ms")
    yield Figure(f"{title}: {MEMBERS} members in one process, one tree", min(together_s) * per_tree, "ms")
    yield Figure(f"{title}: scikit-learn, one tree", min(oracle_s) * per_tree, "ms")
    yield Figure(
        f"{title}: pooled against scikit-learn", min(pooled_s) / min(oracle_s), "times", TIMES_SCIKIT
    )
    yield Figure(
        f"{title}: a member sends and receives, one tree", counted.sent_bytes / few.trees / 1024, "KiB"
    )
    yield Figure(f"{title}: questions, one tree", counted.queries / few.trees, "")


def _seconds(work: Any) -> float:  # noqa: ANN401 - whatever it returns is not looked at
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> int:
    """Measures, prints, and returns the exit code."""
    options = parse_options(__doc__ or "")
    sets = data_sets()
    figures: list[Figure] = []
    if sets:
        figures += [figure for name in FLOORS for figure in measure(read(sets / name), options)]
        figures += times(read(sets / "default_credit"))
    return finish(f"Boosted trees over {MEMBERS} members, no privacy budget", figures, options)


if __name__ == "__main__":
    sys.exit(main())
