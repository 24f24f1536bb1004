"""How well does a caller copy the model from what it is answered, and do scores mean probabilities?

The caller asks about so many people, in the form that the agreement lets scores have, and fits models of its
own: linear on log-odds of what it is told, and boosted trees; the better of the two counts. It *chooses*
rows (a value of every column at random, from the public dictionary), or names people *by id*: then the rows
are whoever there is, and of their columns it knows all, a quarter (the first ones of the dictionary), or the
quarter that tells most of the model. At most it asks about everybody there is: the default quota is more
than that. Judged on a fold that nobody has: rank correlation of its scores with the
model's, and how many of the model's highest tenth are in its own.

The default form of a draft has a bar: what is documented of it (``hanse.scoring.extraction``).

Calibration is fitted on one fold that nobody trained on, and its error measured on another.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common import Figure, finish, parse_options
from copying.attack import FORMS, Knowledge, Seen, agreement, answers, chosen, copies, weightiest
from copying.models import MODELS, Columns, Floats, Model
from hanse.client.drafting import DAILY_QUOTA, DEFAULT_FORM
from hanse.learning import Transform
from hanse.learning.evaluation import FINE, measure
from hanse.learning.evaluation.calibration import decile_thresholds, fit_calibration
from hanse.learning.metrics import score_histogram
from hanse.learning.predictor import sigmoid
from hanse.scoring.extraction import DOCUMENTED
from real_data import DataSet, Fold, data_sets, read

SETS: Final = ("bank_full", "default_credit")
QUERIES: Final = (66, 256, 1024, 4096, DAILY_QUOTA)
CHOSEN: Final = "chosen rows"
EVERY: Final = "by id, all columns known"
WEIGHTIEST: Final = "by id, the weightiest quarter known"


@dataclass(frozen=True, slots=True)
class Asking:
    """One way of asking.

    Attributes:
        name: In words.
        rows: What is asked about.
        known: What the caller knows of the rows.
        judged: The same of the rows that nobody has.
    """

    name: str
    rows: Columns
    known: Seen
    judged: Seen


class Drill:
    """Copies one model.

    Args:
        data: The set.
        model: Trained on all folds of it but the first.
    """

    def __init__(self, data: DataSet, model: Model) -> None:
        self._data, self._model = data, model
        self._rng = np.random.default_rng(7)
        self._others = np.flatnonzero(data.fold != 0)
        self._transform = Transform.fit(data.columns, None, 0)
        self._test = data.rows.take(np.flatnonzero(data.fold == 0)).columns
        self._true = model(self._test)
        self._deciles = _deciles(self._true)
        self._knowledge = self._some()

    def ways(self, number: int) -> Iterator[Asking]:
        """Ways of asking so many times; by id, of everybody at most once."""
        number = min(number, len(self._others))
        every = Knowledge(CHOSEN, frozenset(column.name for column in self._data.columns))
        yield self._asking(every, chosen(self._data.columns, number, self._rng))
        people = self._data.rows.take(self._rng.choice(self._others, number, replace=False)).columns
        for knowledge in self._knowledge:
            yield self._asking(knowledge, people)

    def reached(self, asking: Asking, form: str) -> tuple[float, float]:
        """Rank correlation of the best copy, and its share of the highest tenth."""
        told = answers(form, sigmoid(self._model(asking.rows)), self._deciles)
        found = (agreement(each, self._true) for each in copies(asking.known, told, asking.judged))
        return max(found, default=(0.0, 0.0))

    def _some(self) -> list[Knowledge]:
        """What a caller may know of people whom it names."""
        names = [column.name for column in self._data.columns]
        quarter = max(1, len(names) // 4)
        best = weightiest(self._transform, self._test, self._true)[:quarter]
        some = {EVERY: names, "by id, a quarter known": names[:quarter], WEIGHTIEST: best}
        return [Knowledge(name, frozenset(columns)) for name, columns in some.items()]

    def _asking(self, knowledge: Knowledge, rows: Columns) -> Asking:
        known, judged = (knowledge.of(self._transform, of) for of in (rows, self._test))
        return Asking(knowledge.name, rows, known, judged)


def drill(name: str, data: DataSet, kind: str, model: Model, queries: tuple[int, ...]) -> list[Figure]:
    """What every way of asking achieves; the default has a bar."""
    one, figures = Drill(data, model), []
    for number in queries:
        for asking in one.ways(number):
            for form in FORMS:
                correlation, tenth = one.reached(asking, form)
                default = asking.name == WEIGHTIEST and form == DEFAULT_FORM["output"]
                label = f"{name}, {kind}, {asking.name}, {form}, {number}"
                figures += [
                    Figure(f"{label}: rank correlation", correlation, "", DOCUMENTED if default else None),
                    Figure(f"{label}: of the highest tenth", tenth, ""),
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
    kinds: Mapping[str, Callable[[Fold], Model]] = MODELS
    if options.quick:
        kinds = {"logistic": MODELS["logistic"]}
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


def _deciles(logits: Floats) -> tuple[float, ...]:
    none = np.zeros(len(logits), dtype=np.float32)
    held = score_histogram(sigmoid(logits), none, tuple(FINE.edges.tolist()))
    return decile_thresholds(held, FINE, 1)


if __name__ == "__main__":
    sys.exit(main())
