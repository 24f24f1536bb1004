"""What a caller does with the answers that it gets: it fits models of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from copying.models import Columns, Floats, log_odds
from hanse.learning import Transform
from hanse.learning.transform import NO_FEATURE, cells_of
from hanse.policies import Column
from hanse.scoring.forms import banded, decile_of, flagged, listed, rounded

LISTS: Final = {"list, 10 of 100": 100, "list, 10 of 1,024": 1024}
"""Rows of a call, by the name of the form; a caller decides how many it sends at once."""

TOP: Final = 10
FORMS: Final = ("score", "band", "decile", "flag", *LISTS)
ENOUGH_TO_SPLIT: Final = 256
HALF_A_PERCENT: Final = 0.005


def chosen(columns: tuple[Column, ...], rows: int, rng: np.random.Generator) -> Columns:
    """Rows as a caller makes them up: a public cell of every column, each alike."""
    made: dict[str, Any] = {}
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
        return log_odds(rounded(scores, 2), HALF_A_PERCENT)
    if form == "band":
        return log_odds((banded(scores) - 0.5) / 10)
    if form == "decile":
        return log_odds((decile_of(scores, deciles) - 0.5) / 10)
    if form == "flag":
        return flagged(scores, deciles[-1])
    calls = np.array_split(scores, max(1, len(scores) // LISTS[form]))
    return np.concatenate([np.nan_to_num(listed(call, TOP)) for call in calls])


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller knows of some rows.

    Attributes:
        features: As the public preprocessing has them, shape (rows, known features).
        cells: Number of the cell of each known column, shape (rows, known columns).
    """

    features: Floats
    cells: Floats


def copies(known: Seen, told: Floats, judged: Seen) -> Iterator[Floats]:
    """Scores by models fitted to what was told: a linear one, and trees where there is enough to split.

    Args:
        known: Of the rows that were asked about.
        told: From :func:`answers`.
        judged: Of the rows to score.
    """
    if told.min() == told.max():
        return
    if set(np.unique(told)) <= {0.0, 1.0}:
        linear = LogisticRegression(C=10.0, max_iter=100).fit(known.features, told)
        yield linear.decision_function(judged.features)
    else:
        yield Ridge(alpha=0.1).fit(known.features, told).predict(judged.features)
    if len(told) >= ENOUGH_TO_SPLIT:
        grown = HistGradientBoostingRegressor(max_iter=100, min_samples_leaf=10, random_state=7)
        yield grown.fit(known.cells, told).predict(judged.cells)


def agreement(copied: Floats, true: Floats) -> tuple[float, float]:
    """Rank correlation, and how many of the highest tenth are the same."""
    if copied.min() == copied.max():
        return 0.0, 0.0
    correlation = float(np.corrcoef(rankdata(copied), rankdata(true))[0, 1])
    tenth = max(1, len(true) // 10)
    same = np.intersect1d(np.argsort(-copied)[:tenth], np.argsort(-true)[:tenth])
    return correlation, len(same) / tenth


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Which columns of people a caller knows from elsewhere.

    Attributes:
        name: In words.
        columns: Their names.
    """

    name: str
    columns: frozenset[str]

    def of(self, transform: Transform, rows: Columns) -> Seen:
        """What a caller knows of rows."""
        seen = [column for column in transform.columns if column.name in self.columns]
        features = sorted({feature for column in seen for feature in column.features} - {NO_FEATURE})
        cells = np.stack([cells_of(column, rows[column.name]) for column in seen], axis=1)
        return Seen(transform.apply(rows).astype(np.float64)[:, features], cells.astype(np.float64))


def weightiest(transform: Transform, rows: Columns, logits: Floats) -> list[str]:
    """Columns in the order of how well each of them alone tells the model's log-odds on some rows."""
    told = {}
    for column in transform.columns:
        own = Knowledge(column.name, frozenset({column.name})).of(transform, rows).features
        rest = logits - Ridge(alpha=1.0).fit(own, logits).predict(own)
        told[column.name] = float(np.var(rest))
    return sorted(told, key=lambda name: told[name])
