"""The real data sets that some benchmarks need, in the folder that ``HANSE_DATA`` names."""

import csv
import gzip
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def data_sets() -> Path | None:
    """The folder of the sets; None, with a line that says so, if there is none."""
    named = os.environ.get("HANSE_DATA")
    if named is None:
        print("HANSE_DATA does not name the folder of the data sets: nothing is measured")
        return None
    return Path(named)


def split_column(folder: Path, name: str) -> NDArray[np.int64]:
    """A column of a set's ``split.csv.gz``, such as the fold of every row."""
    with gzip.open(folder / "split.csv.gz", "rt", newline="") as lines:
        return np.array([int(row[name]) for row in csv.DictReader(lines)])
