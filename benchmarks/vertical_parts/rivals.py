"""What a vertical model is compared with: its own engine with columns in one place, and XGBoost."""

import importlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from hanse.learning.boosting import Binning
from hanse.learning.boosting.columns import Codes
from hanse.learning.vertical.trees import LabelHolder, TreesTerms
from vertical_parts.tables import FEATURE, LABEL, RealTable, Table

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plain:
    """The engine with everything in one place.

    Attributes:
        scores: Log-odds of the rows to test by.
        seconds: On the clock.
        cpu_s: Processor time.
    """

    scores: Scores
    seconds: float
    cpu_s: float


def area(table: Table, scores: Scores) -> float:
    """Under the ROC curve, of the rows to test by."""
    return float(roc_auc_score(table.test_labels, scores))


def plain(table: Table, *parties: str) -> Plain:
    """The engine on the columns of some parties, in this process.

    Args:
        table: The columns.
        parties: Whose columns.
    """
    columns = {name: values for party in parties for name, values in table.columns(party).items()}
    binning = Binning(columns=tuple(one for party in parties for one in table.binning(party).columns))
    labels = table.labels
    terms = TreesTerms(settings=table.settings, label_holder=LABEL, feature_holders=(), rows=len(labels))
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    part = LabelHolder(terms, binning, columns, labels).train({}, None, bytes)
    seconds, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    tests = {name: values for party in parties for name, values in table.tests(party).items()}
    return Plain(part.raw(tests, {})[:, 0], seconds, cpu_s)


def xgboost(table: RealTable) -> Scores | None:
    """XGBoost on the same bins with the same settings; None where it is not installed."""
    try:
        library = importlib.import_module("xgboost")
    except ImportError:
        return None
    settings, binning = table.settings, table.arm.binning
    kinds = ["q" if column.kind == "numeric" else "c" for column in binning.columns]
    columns = table.fold.data.rows.columns
    codes = _with_missing(binning, binning.encode(columns))
    given: dict[str, Any] = {
        "objective": "binary:logistic",
        "max_depth": settings.depth,
        "eta": settings.learning_rate,
        "lambda": settings.l2,
        "min_child_weight": settings.min_child_weight,
        "max_bin": settings.max_bins,
        "tree_method": "hist",
        "nthread": 1,
    }
    fold = table.fold
    data = [
        library.DMatrix(codes[rows], label, feature_types=kinds, enable_categorical=True)
        for rows, label in ((fold.train, table.labels), (fold.test, table.test_labels))
    ]
    model = library.train(given, data[0], settings.trees)
    scores: Scores = model.predict(data[1], output_margin=True)
    return scores


def _with_missing(binning: Binning, codes: Codes) -> NDArray[np.float32]:
    last = np.array(binning.layout.codes) - 1
    return np.where(codes == last, np.nan, codes).astype(np.float32)


def alone_and_fused(table: Table) -> tuple[Scores, Scores]:
    """The label holder alone, and the sum of both parties' log-odds, each trained alone on the labels."""
    own, other = plain(table, LABEL).scores, plain(table, FEATURE).scores
    return own, own + other
