"""Boosted trees as the product grows them by its default settings, and LightGBM on the same bins."""

import importlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import InProcessAggregator
from hanse.aggregation.queries import Aggregator
from hanse.learning.boosting import (
    Binning,
    BoostedTrees,
    BoostingContributor,
    BoostingCoordinator,
    BoostingSettings,
    encode_trees,
)
from hanse.learning.quantiles import QuantileContributor, federated_quantiles
from real_data import Fold, Indices

SETTINGS: Final = BoostingSettings()
LIGHTGBM_LEAVES: Final = 15
MIN_CELL_ROWS: Final = 50

Scores = NDArray[np.float64]


class TreesArm:
    """Trees on one fold. Numeric columns are cut at quantiles of all members' values together.

    Sums give the same quantiles however rows are divided, so they are computed once; members alone thus get
    better bins than they could find.

    Args:
        fold: The fold.
        settings: Of the engine.
    """

    def __init__(self, fold: Fold, settings: BoostingSettings = SETTINGS) -> None:
        self._fold = fold
        self._settings = settings

    @cached_property
    def binning(self) -> Binning:
        """Columns as small numbers."""
        columns = {column.name: column for column in self._fold.data.columns}
        numeric = [name for name, column in columns.items() if column.kind == "numeric"]
        values = self._fold.data.rows.take(self._fold.train).columns
        contributor = QuantileContributor({name: values[name] for name in numeric})
        found = federated_quantiles(
            InProcessAggregator({"all": contributor}),
            numeric,
            bins=self._settings.max_bins,
            min_rows=MIN_CELL_ROWS,
        )
        return Binning.make(columns, found, self._settings.max_bins)

    @cached_property
    def pooled_trees(self) -> BoostedTrees:
        """Grown on all rows in one place."""
        return self.grow([self._fold.train])

    @property
    def pooled(self) -> Scores:
        """Of the engine on all rows in one place."""
        return self.scores(self.pooled_trees)

    @property
    def rivals(self) -> Mapping[str, Scores]:
        """LightGBM with its own defaults, but as many trees of as many leaves; nothing without it."""
        return self._rivals

    @cached_property
    def _rivals(self) -> Mapping[str, Scores]:
        try:
            library = importlib.import_module("lightgbm")
        except ImportError:
            return {}
        codes = self.binning.encode(self._fold.data.rows.columns).astype(np.int32)
        words = [i for i, column in enumerate(self.binning.columns) if column.kind == "categorical"]
        model = library.LGBMClassifier(
            n_estimators=self._settings.trees,
            learning_rate=self._settings.learning_rate,
            num_leaves=LIGHTGBM_LEAVES,
            n_jobs=1,
            verbose=-1,
        )
        train = self._fold.train
        model.fit(codes[train], self._fold.labels(train), categorical_feature=words)
        return {"LightGBM": model.predict(codes[self._fold.test], raw_score=True)}

    def federated(self, members: Sequence[Indices]) -> Scores:
        """Of the trees that the members grow; says so if they are not the pooled ones to the last byte."""
        trees = self.grow(members)
        if encode_trees(trees) != encode_trees(self.pooled_trees):
            print(f"{self._fold.data.name}, {len(members)} members: not the pooled trees")
        return self.scores(trees)

    def alone(self, rows: Indices) -> list[Scores]:
        """Of the trees of one member's own rows."""
        return [self.scores(self.grow([rows]))]

    def grow(self, members: Sequence[Indices]) -> BoostedTrees:
        """Grows trees over members in this process."""
        contributors = {f"{i:02}": self.contributor(rows) for i, rows in enumerate(members)}
        return self.conduct(InProcessAggregator(contributors))

    def contributor(self, rows: Indices) -> BoostingContributor:
        """A member's half."""
        columns: Mapping[str, NDArray[Any]] = self._fold.data.rows.take(rows).columns
        return BoostingContributor(
            self._settings, self.binning, self.binning.encode(columns), self._fold.labels(rows)
        )

    def conduct(self, aggregator: Aggregator) -> BoostedTrees:
        """The coordinator's half."""
        return BoostingCoordinator(aggregator, self._settings, self.binning).train()

    def scores(self, trees: BoostedTrees) -> Scores:
        """Of the test rows."""
        raw: Scores = trees.raw(self.binning.encode(self._fold.data.rows.take(self._fold.test).columns))
        return raw[:, 0]
