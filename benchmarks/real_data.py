"""The real data sets that some benchmarks need, in the folder that ``HANSE_DATA`` names."""

import csv
import gzip
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hanse.demo.data import Rows, load
from hanse.policies import Column

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class DataSet:
    """One set, with the columns of its public dictionary.

    Attributes:
        name: Of the set.
        columns: What is public about its columns.
        rows: All rows.
        fold: Fold of every row, 0 to 4.
        kind: Kind of customer of every row, 0 to 3: the ``org`` of the set's split.
    """

    name: str
    columns: tuple[Column, ...]
    rows: Rows
    fold: NDArray[np.int64]
    kind: NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """A set with one of its folds kept as test rows, which no member has."""

    data: DataSet
    number: int

    @cached_property
    def train(self) -> Indices:
        """Rows that members have."""
        return np.flatnonzero(self.data.fold != self.number)

    @cached_property
    def test(self) -> Indices:
        """Rows that nobody has."""
        return np.flatnonzero(self.data.fold == self.number)

    def labels(self, rows: Indices) -> NDArray[np.float32]:
        """0 or 1 of some rows."""
        return self.data.rows.labels[rows].astype(np.float32)


def data_sets() -> Path | None:
    """The folder of the sets; None, with a line that says so, if there is none."""
    named = os.environ.get("HANSE_DATA")
    if named is None:
        print("HANSE_DATA does not name the folder of the data sets: nothing is measured")
        return None
    return Path(named)


def read(folder: Path) -> DataSet:
    """Reads a set."""
    data = load(folder)
    with gzip.open(folder / "split.csv.gz", "rt", newline="") as lines:
        split = [(int(row["fold"]), int(row["org"])) for row in csv.DictReader(lines)]
    fold, kind = np.array(split, dtype=np.int64).T
    return DataSet(folder.name, data.dictionary.columns, data.rows, fold, kind)
