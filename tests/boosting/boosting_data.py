"""Made-up rows, and runs over them in one process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import InProcessAggregator
from hanse.learning.boosting import (
    BinnedColumn,
    Binning,
    BoostedTrees,
    BoostingContributor,
    BoostingCoordinator,
    BoostingSettings,
)

BINNING = Binning(
    columns=(
        BinnedColumn(name="amount", kind="numeric", edges=(-1.0, -0.3, 0.0, 0.4, 1.0)),
        BinnedColumn(name="region", kind="categorical", categories=("a", "b", "c", "d", "e")),
        BinnedColumn(name="visits", kind="numeric", edges=(1.0, 2.0, 3.0)),
    )
)


@dataclass(frozen=True)
class Table:
    """Rows of one holder."""

    columns: dict[str, NDArray[Any]]
    labels: NDArray[np.float64]
    weights: NDArray[np.float64]
    validation: NDArray[np.bool_]

    def take(self, index: NDArray[Any]) -> "Table":
        return replace(
            self,
            columns={name: values[index] for name, values in self.columns.items()},
            labels=self.labels[index],
            weights=self.weights[index],
            validation=self.validation[index],
        )


def make_table(rng: np.random.Generator, rows: int, labels: int = 1, number: bool = False) -> Table:
    """Rows with missing values, words that no dictionary has, unknown labels and unequal weights."""
    amount = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
    region = rng.choice(np.array(["a", "b", "c", "d", "e", "?"], dtype=object), rows)
    visits = rng.integers(0, 5, rows).astype(float)
    signal = np.nan_to_num(amount, nan=1.5) + np.isin(region, ["b", "e"]) - 0.5 * (visits > 2)
    noisy = signal[:, None] + rng.normal(size=(rows, labels)) + np.arange(labels)
    values = 100 * noisy if number else (noisy > 0.5).astype(float)
    values[rng.random((rows, labels)) < 0.05] = np.nan
    return Table(
        {"amount": amount, "region": region, "visits": visits},
        values,
        np.round(rng.uniform(0.2, 1, rows), 2),
        rng.random(rows) < 0.25,
    )


def contributors(
    settings: BoostingSettings, tables: Sequence[Table], start: BoostedTrees | None = None
) -> dict[str, BoostingContributor]:
    return {
        f"member-{number:02}": BoostingContributor(
            settings,
            BINNING,
            BINNING.encode(table.columns),
            table.labels,
            weights=table.weights,
            validation=table.validation,
            start=start,
        )
        for number, table in enumerate(tables)
    }


def train(settings: BoostingSettings, tables: Sequence[Table]) -> BoostedTrees:
    aggregator = InProcessAggregator(contributors(settings, tables))
    return BoostingCoordinator(aggregator, settings, BINNING).train()
