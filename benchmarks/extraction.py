"""How well does a caller copy the model from what it is answered, and do scores mean probabilities?

The caller asks about so many people, in the form that the agreement lets scores have, and fits a model of its
own: linear on log-odds of what it is told, and boosted trees; the better of the two counts. It *chooses*
rows (a value of every column at random, from the public dictionary), or names people *by id*: then the rows
are whoever there is, and of their columns it knows all or a quarter, the first ones of the dictionary. Judged
on a fold that nobody has: rank correlation of its scores with the model's, and how many of the model's
highest tenth are in its own.

Calibration is fitted on one fold that nobody trained on, and its error measured on another.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from common import Figure, finish, parse_options
from hanse.learning import Transform
from hanse.learning.evaluation import FINE, measure
from hanse.learning.evaluation.calibration import decile_thresholds, fit_calibration
from hanse.learning.metrics import score_histogram
from hanse.learning.predictor import sigmoid
from hanse.policies import Column
from hanse.scoring.forms import banded, decile_of, flagged, listed, rounded
from horizontal_parts.trees import TreesArm
from real_data import DataSet, Fold, data_sets, read

SETS: Final = ("bank_full", "default_credit")
QUERIES: Final = (66, 256, 1024, 4096)
BATCH: Final = 100  # of a list: its highest ten
TOP: Final = 10
BAR: Final = 0.6
"""Rank correlation that somebody by id, with a quarter of the columns, stays below: what its columns tell."""

Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[np.generic]]
Model = Callable[[Columns], Floats]
"""Log-odds of rows."""


def logistic(fold: Fold) -> Model:
    """A logistic model over the public cells, on all rows in one place."""
    transform = Transform.fit(fold.data.columns, None, 0)
    model = LogisticRegression(C=1.0, max_iter=300)
    model.fit(transform.apply(fold.data.rows.take(fold.train).columns), fold.labels(fold.train))

    def logits(columns: Columns) -> Floats:
        found: Floats = model.decision_function(transform.apply(columns))
        return found

    return logits


def trees(fold: Fold) -> Model:
    """Boosted trees as the product grows them."""
    grown = TreesArm(fold).pooled_trees
    return lambda columns: grown.raw(grown.description.binning.encode(dict(columns)))[:, 0]


def chosen(columns: tuple[Column, ...], rows: int, rng: np.random.Generator) -> Columns:
    """Rows as a caller makes them up: a public cell of every column, each alike."""
    made: dict[str, NDArray[np.generic]] = {}
    for column in columns:
        if column.kind == "categorical":
            made[column.name] = rng.choice(np.array(column.categories, dtype=object), rows)
        else:
            ends = [column.edges[0] - 1.0, *column.edges, column.edges[-1] + 1.0]
            places = rng.integers(len(ends) - 1, size=rows)
            made[column.name] = np.array([(ends[p] + ends[p + 1]) / 2 for p in places])
    return made


def answers(form: str, scores: Floats, deciles: tuple[float, ...]) -> Floats:
    """What the caller is told of each row, as log-odds that it takes it for, or 0 and 1."""
    if form == "score":
        return _logit(rounded(scores, 2))
    if form == "band":
        return _logit((banded(scores) - 0.5) / 10)
    if form == "decile":
        return _logit((decile_of(scores, deciles) - 0.5) / 10)
    if form == "flag":
        return flagged(scores, deciles[-1])
    batches = np.array_split(scores, max(1, len(scores) // BATCH))
    return np.concatenate([np.nan_to_num(listed(batch, TOP)) for batch in batches])


def copy(known: Floats, told: Floats) -> list[Callable[[Floats], Floats]]:
    """Models fitted to what was told: a linear one, and boosted trees where there is enough to split."""
    if told.min() == told.max():
        return []
    if set(np.unique(told)) <= {0.0, 1.0}:
        linear = LogisticRegression(C=10.0, max_iter=300).fit(known, told)
        fitted: list[Callable[[Floats], Floats]] = [linear.decision_function]
    else:
        fitted = [Ridge(alpha=0.1).fit(known, told).predict]
    if len(told) >= QUERIES[1]:
        fitted.append(
            HistGradientBoostingRegressor(max_iter=100, min_samples_leaf=10).fit(known, told).predict
        )
    return fitted


def agreement(copied: Floats, true: Floats) -> tuple[float, float]:
    """Rank correlation, and how many of the highest tenth are the same."""
    correlation = float(np.corrcoef(rankdata(copied), rankdata(true))[0, 1])
    tenth = max(1, len(true) // 10)
    same = np.intersect1d(np.argsort(-copied)[:tenth], np.argsort(-true)[:tenth])
    return (0.0 if np.isnan(correlation) else correlation), len(same) / tenth


def drill(name: str, data: DataSet, kind: str, model: Model, queries: tuple[int, ...]) -> list[Figure]:
    """What every way of asking achieves."""
    rng = np.random.default_rng(7)
    test, others = np.flatnonzero(data.fold == 0), np.flatnonzero(data.fold != 0)
    transform = Transform.fit(data.columns, None, 0)
    true = model(data.rows.take(test).columns)
    judged = transform.apply(data.rows.take(test).columns).astype(np.float64)
    held = score_histogram(sigmoid(true), np.zeros(len(true), dtype=np.float32), tuple(FINE.edges.tolist()))
    deciles = decile_thresholds(held, FINE, 1)
    quarter = {column.name for column in data.columns[: max(1, len(data.columns) // 4)]}
    own = np.array(
        [
            any(feature in column.features for column in transform.columns if column.name in quarter)
            for feature in range(transform.n_features)
        ]
    )
    every = np.ones(transform.n_features, dtype=np.bool_)
    figures = []
    for number in queries:
        people = data.rows.take(rng.choice(others, number, replace=False)).columns
        ways = {
            "chosen rows": (chosen(data.columns, number, rng), every),
            "by id, all columns known": (people, every),
            "by id, a quarter known": (people, own),
        }
        for way, (rows, seen) in ways.items():
            known = transform.apply(rows).astype(np.float64)[:, seen]
            scores = sigmoid(model(rows))
            for form in ("score", "band", "decile", "flag", "list"):
                reached = max(
                    (
                        agreement(fit(judged[:, seen]), true)
                        for fit in copy(known, answers(form, scores, deciles))
                    ),
                    default=(0.0, 0.0),
                )
                barred = way == "by id, a quarter known" and form in ("band", "decile")
                label = f"{name}, {kind}, {way}, {form}, {number}"
                figures += [
                    Figure(f"{label}: rank correlation", reached[0], "", BAR if barred else None),
                    Figure(f"{label}: of the highest tenth", reached[1], ""),
                ]
    return figures


def calibration(name: str, data: DataSet, kind: str, make: Callable[[Fold], Model]) -> list[Figure]:
    """Error over ten parts, before and after."""
    without = DataSet(data.name, data.columns, data.rows, np.where(data.fold == 1, 0, data.fold), data.kind)
    model = make(Fold(without, 0))
    edges = tuple(FINE.edges.tolist())

    def of(fold: int) -> tuple[Floats, NDArray[np.float32]]:
        rows = np.flatnonzero(data.fold == fold)
        return sigmoid(model(data.rows.take(rows).columns)), data.rows.labels[rows].astype(np.float32)

    fitted = fit_calibration(score_histogram(*of(1), edges), FINE, 10)
    scores, labels = of(0)
    figures = []
    for when, seen in (("as trained", scores), ("calibrated", fitted.apply(scores) if fitted else scores)):
        found = measure(score_histogram(seen, labels, edges), FINE)
        figures += [
            Figure(f"{name}, {kind}, {when}: calibration error", found.calibration_error, ""),
            Figure(f"{name}, {kind}, {when}: log-loss", found.log_loss, "nats"),
        ]
    return figures


def main() -> int:
    """Measures, prints, writes; 1 when a bar is missed."""
    options = parse_options(__doc__ or "", parts=("extraction", "calibration"), sets=SETS)
    folder = data_sets()
    if folder is None:
        return 0
    kinds = {"logistic": logistic} if options.quick else {"logistic": logistic, "trees": trees}
    figures: list[Figure] = []
    for name in options.sets[: 1 if options.quick else None]:
        data = read(folder / name)
        for kind, make in kinds.items():
            if "extraction" in options.parts:
                model = make(Fold(data, 0))
                figures += drill(name, data, kind, model, QUERIES[:2] if options.quick else QUERIES)
            if "calibration" in options.parts:
                figures += calibration(name, data, kind, make)
    return finish("Copying a model from its answers", figures, options)


def _logit(scores: Floats) -> Floats:
    inside = np.clip(scores, 0.005, 0.995)
    found: Floats = np.log(inside) - np.log1p(-inside)
    return found


if __name__ == "__main__":
    sys.exit(main())
