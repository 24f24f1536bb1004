"""Processor time per boosted tree: pooled, over 20 members in one process, and scikit-learn's; and bytes.

See README.md in this folder for what is measured and how.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sklearn.ensemble import HistGradientBoostingClassifier

from common import Figure, finish, parse_options
from hanse.aggregation import Aggregate, InProcessAggregator, Query
from horizontal_parts.members import assign
from horizontal_parts.trees import SETTINGS, TreesArm
from real_data import Fold, Indices, data_sets, read

MEMBERS: Final = 20
TREES: Final = 20
TURNS: Final = 3
TIMES_SCIKIT: Final = 10.0


@dataclass
class Counting:
    """An aggregator that counts what one member sends and receives: its ring elements, and the questions."""

    inner: InProcessAggregator
    moved_bytes: int = 0
    queries: int = 0
    members: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """The members are those of the inner one."""
        self.members = self.inner.members

    def aggregate(self, query: Query) -> Aggregate:
        """Counts and asks."""
        self.queries += 1
        self.moved_bytes += len(query.body) + query.length * query.encoding.dtype.itemsize
        return self.inner.aggregate(query)


def main() -> int:
    """Measures, prints, and returns the exit code."""
    options = parse_options(__doc__ or "")
    folder = data_sets()
    figures = list(times(folder, turns=1 if options.quick else TURNS)) if folder else []
    return finish("Time per tree", figures, options)


def times(folder: Path, turns: int) -> Iterator[Figure]:
    """All figures; the arms take turns, so that a busy moment of the machine hits all of them."""
    fold = Fold(read(folder / "default_credit"), 0)
    few = SETTINGS.model_copy(update={"trees": TREES})
    arm = TreesArm(fold, few)
    members = assign(fold.train, fold.data.kind, MEMBERS, "at random", seed=0)
    counting = Counting(
        InProcessAggregator({f"{i:02}": arm.contributor(rows) for i, rows in enumerate(members)})
    )
    arm.conduct(counting)
    arms = {"scikit-learn": scikit(arm, fold), "pooled": growing(arm, [fold.train])}
    arms[f"{MEMBERS} members in one process"] = growing(arm, members)
    tries = [{name: _seconds(work) for name, work in arms.items()} for _ in range(turns)]
    best = {name: min(one[name] for one in tries) for name in arms}
    label = f"default_credit, {len(fold.train)} rows x {len(fold.data.columns)}"
    for name, seconds in best.items():
        yield Figure(f"{label}: {name}, one tree", seconds * 1000 / TREES, "ms")
    ratio = best["pooled"] / best["scikit-learn"]
    yield Figure(f"{label}: pooled against scikit-learn", ratio, "times", TIMES_SCIKIT)
    yield Figure(
        f"{label}: a member sends and receives, one tree", counting.moved_bytes / TREES / 1024, "KiB"
    )
    yield Figure(f"{label}: questions, one tree", counting.queries / TREES, "")


def growing(arm: TreesArm, members: Sequence[Indices]) -> Callable[[], object]:
    """Our engine over members."""
    return lambda: arm.grow(members)


def scikit(arm: TreesArm, fold: Fold) -> Callable[[], object]:
    """scikit-learn's histogram boosting with as many trees of the same depth, on the same bins."""
    codes = arm.binning.encode(fold.data.rows.take(fold.train).columns)
    # What the signature admits is wider than what the stubs say.
    settings: dict[str, Any] = {
        "max_iter": TREES,
        "learning_rate": SETTINGS.learning_rate,
        "max_depth": SETTINGS.depth,
        "max_leaf_nodes": None,
        "early_stopping": False,
        "categorical_features": [column.kind == "categorical" for column in arm.binning.columns],
    }
    model = HistGradientBoostingClassifier(**settings)
    return lambda: model.fit(codes, fold.labels(fold.train))


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    sys.exit(main())
