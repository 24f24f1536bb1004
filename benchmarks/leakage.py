"""What known attacks learn of labels from what a feature holder sees, for each way of vertical training.

For each set of ``HANSE_DATA`` and each of five folds kept aside, a label holder and a feature holder train
with the columns that the set gives them. Everything that the label holder sends of people is attacked with
the true labels, as the leakage report of a model does. The split network without a defence is made here: the
product has no setting for it.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

import real_data
from common import Figure, finish, parse_options
from hanse.exchange import memory_pair
from hanse.learning.boosting import BoostingSettings
from hanse.learning.metrics import roc_auc
from hanse.learning.vertical import scorecard, trees
from hanse.learning.vertical.leakage import Finding, Recorder, Surface, attack_labels
from hanse.learning.vertical.leakage.cuts import AskedCuts
from hanse.learning.vertical.leakage.split import column_leak, split_report
from hanse.learning.vertical.scorecard.design import own_binning
from hanse.learning.vertical.split.feature_holder import FeatureHolder
from hanse.learning.vertical.split.inputs import Inputs
from hanse.learning.vertical.split.label_holder import LabelHolder, logits_of
from hanse.learning.vertical.split.settings import FrozenBottoms, LabelNoise, SplitSettings
from hanse.policies import PointScale

SETS: Final = ("bank_full", "default_credit")
FOLDS: Final = 5
WAIT_S: Final = 240.0
BAR: Final = 0.55
"""Largest area of any attack where all that is sent is masked."""

FLOOR: Final = 0.99
"""Smallest area of the best attack on a split network without defence: the attacks work."""

EPSILON: Final = 0.2
MIN_ROWS: Final = 50
BINS: Final = 16
CARD: Final = scorecard.ScorecardSettings(scale=PointScale(points=600, odds=1.0, doubling=50))
BOOSTING: Final = BoostingSettings(trees=30, depth=3, learning_rate=0.3, l2=1.0)
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Parties:
    """What two parties have of the people that train, and of those that are kept aside."""

    own: Columns
    other: Columns
    labels: NDArray[np.bool_]
    own_test: Columns
    other_test: Columns
    test_labels: NDArray[np.bool_]

    def area(self, scores: NDArray[Any]) -> float:
        """Of the model, on the people kept aside."""
        return roc_auc(scores.astype(np.float64), self.test_labels.astype(np.float32)) or 0.5


@dataclass
class Result:
    """Of one run.

    Attributes:
        model: Area of the model.
        findings: Of the attacks on what was sent.
        disclosed: Of those on what the agreement lets the feature holder know.
        columns: Share of the feature holder's columns that its embeddings give away.
    """

    model: float
    findings: tuple[Finding, ...]
    disclosed: tuple[Finding, ...] = ()
    columns: float | None = None


class Undefended(LabelHolder):
    """Trains bottoms towards the true labels, which the product refuses."""

    @override
    def _flip(self) -> NDArray[np.bool_]:
        return self._labels


def together(*parts: Callable[[], None]) -> None:
    """Runs the other parties' parts in threads beside this one's, the first."""
    threads = [threading.Thread(target=part) for part in parts[1:]]
    for thread in threads:
        thread.start()
    parts[0]()
    for thread in threads:
        thread.join()


def run_split(parties: Parties, settings: SplitSettings, holder: type[LabelHolder]) -> Result:
    """A split network."""
    mine, theirs = (Inputs.fit(columns, MIN_ROWS) for columns in (parties.own, parties.other))
    here, there = memory_pair("label holder", "feature holder", WAIT_S)
    label_holder = holder(mine.apply(parties.own), parties.labels, settings, b"", {})
    sent = theirs.apply(parties.other)
    feature_holder = FeatureHolder(sent, settings, b"", {})
    scores: list[NDArray[np.float64]] = []

    def conduct() -> None:
        half = label_holder.take_part({"partner": here})
        received = label_holder.receive(here, len(parties.test_labels))
        scores.append(logits_of(half, mine.apply(parties.own_test), [received]))

    def take_part() -> None:
        feature_holder.take_part(there)
        feature_holder.send_embeddings(there, theirs.apply(parties.other_test))

    together(conduct, take_part)
    witnessed = label_holder.witnessed["partner"]
    report = split_report("partner", witnessed, parties.labels, settings, np.random.default_rng(1))
    columns = column_leak(witnessed.embeddings, sent, np.random.default_rng(1))
    return Result(parties.area(scores[0]), report.findings, report.disclosed, columns)


def run_scorecard(parties: Parties) -> Result:
    """A scorecard on secret shares."""
    mine, theirs = (own_binning(columns, BINS, CARD.min_rows) for columns in (parties.own, parties.other))
    here, there = memory_pair("label holder", "partner", WAIT_S)
    (dealer, brand), (dealer_too, partner) = (
        memory_pair("", "brand", WAIT_S),
        memory_pair("", "partner", WAIT_S),
    )
    recorder = Recorder(here, len(parties.labels))
    halves: dict[str, scorecard.HalfCard] = {}
    points: list[NDArray[np.int64]] = []

    def conduct() -> None:
        half = scorecard.train_label_holder(mine, parties.own, parties.labels, CARD, b"", recorder, dealer)
        own = half.score(half.binning.encode(parties.own_test))
        points.append(own + scorecard.receive_points(recorder, len(own)))

    def take_part() -> None:
        halves["partner"] = scorecard.train_feature_holder(
            theirs, parties.other, CARD, b"", there, dealer_too
        )
        scorecard.send_points(halves["partner"], parties.other_test, there)

    together(conduct, take_part, lambda: scorecard.deal(brand, partner, CARD))
    half = halves["partner"]
    own_points = half.score(half.binning.encode(parties.other))[:, None].astype(np.float64)
    known = Surface("its half of the card", own_points, one_hot(parties.other), attacks=("probe",))
    return attacked(parties, parties.area(points[0]), recorder, known)


def run_trees(parties: Parties, settings: BoostingSettings) -> Result:
    """Boosted trees on secret-shared sums."""
    terms = trees.TreesTerms(
        settings=settings, label_holder="brand", feature_holders=("partner",), rows=len(parties.labels)
    )
    mine, theirs = (own_binning(columns, BINS, CARD.min_rows) for columns in (parties.own, parties.other))
    here, there = memory_pair("brand", "partner", WAIT_S)
    (dealer, brand), (dealer_too, partner) = (
        memory_pair("", "brand", WAIT_S),
        memory_pair("", "partner", WAIT_S),
    )
    asked = AskedCuts(here, len(parties.labels))
    recorder = Recorder(asked, len(parties.labels))
    label_holder = trees.LabelHolder(terms, mine, parties.own, parties.labels.astype(np.float32))
    feature_holder = trees.FeatureHolder(terms, theirs, parties.other)
    own_parts: list[trees.LabelPart] = []
    other_parts: list[trees.FeaturePart] = []
    together(
        lambda: own_parts.append(label_holder.train({"partner": recorder}, dealer, os.urandom)),
        lambda: other_parts.append(feature_holder.take_part({"brand": there}, dealer_too, os.urandom)),
        lambda: drop(trees.Dealer(terms).deal({"brand": brand, "partner": partner}, os.urandom)),
    )
    scores = (
        own_parts[0].scores(parties.own_test, {"partner": other_parts[0].sides(parties.other_test)}).ravel()
    )
    cuts = asked.surface()
    if cuts is None:
        raise SystemExit("the trees cut no column of the partner")
    known = replace(cuts, without=one_hot(parties.other))
    return attacked(parties, parties.area(scores), recorder, known)


def attacked(parties: Parties, model: float, recorder: Recorder, known: Surface) -> Result:
    """The attacks on what was sent, and on what the feature holder knows by agreement."""
    rng = np.random.default_rng(1)
    findings = attack_labels(recorder.surfaces(), parties.labels, rng)
    return Result(model, findings, attack_labels([known], parties.labels, rng))


def one_hot(columns: Columns) -> NDArray[np.float64]:
    """A party's own columns, as it could attack labels with them without any run."""
    return Inputs.fit(columns, MIN_ROWS).apply(columns).astype(np.float64)


def drop(result: object) -> None:
    """Forgets a result."""
    del result


def read_parties(folder: Path, fold: int) -> Parties:
    """The columns of a set as its specification divides them."""
    data = real_data.read(folder)
    spec = json.loads((folder / "spec.json").read_bytes())
    train, test = np.flatnonzero(data.fold != fold), np.flatnonzero(data.fold == fold)

    def taken(key: str, rows: NDArray[np.intp]) -> Columns:
        return {name: data.rows.columns[name][rows] for name in spec[key] if name in data.rows.columns}

    mine, theirs = "party_a_label_holder", "party_b_partner"
    return Parties(
        taken(mine, train),
        taken(theirs, train),
        data.rows.labels[train],
        taken(mine, test),
        taken(theirs, test),
        data.rows.labels[test],
    )


def modes(*, quick: bool) -> dict[str, Callable[[Parties], Result]]:
    """Ways of training, by name."""
    noise = SplitSettings(defence=LabelNoise(epsilon=EPSILON))
    frozen = SplitSettings(defence=FrozenBottoms())
    boosting = BOOSTING.model_copy(update={"trees": 8}) if quick else BOOSTING
    return {
        "trees": lambda parties: run_trees(parties, boosting),
        "scorecard": run_scorecard,
        "split, frozen": lambda parties: run_split(parties, frozen, LabelHolder),
        f"split, epsilon {EPSILON}": lambda parties: run_split(parties, noise, LabelHolder),
        "split, undefended": lambda parties: run_split(parties, noise, Undefended),
    }


def figures_of(name: str, mode: str, results: list[Result]) -> list[Figure]:
    """What is printed of one way of training on one set."""
    undefended = mode.endswith("undefended")
    masked = mode in {"trees", "scorecard"}
    title = f"{name}, {mode}"
    figures = [Figure(f"{title}: model", float(np.mean([one.model for one in results])), "AUC")]
    if undefended:
        best = min(max(one.leaked for one in result.findings) for result in results)
        figures.append(Figure(f"{title}: best attack, least of the runs", best, "AUC", floor=FLOOR))
    elif results[0].findings:
        worst = max((one for result in results for one in result.findings), key=lambda one: one.leaked)
        # Label noise hides the label of a person, and not what the model knows of people like this one, which
        # is above the default maximum: there is no bar, because such a model is not released by default.
        bar = BAR if masked else None
        figures.append(
            Figure(f"{title}: {worst.attack} on {worst.seen}, worst of all", worst.leaked, "AUC", bar)
        )
        told_apart = [one.given for result in results for one in result.findings if one.given is not None]
        if told_apart:
            alike = f"{title}: worst among people of whom columns say the same"
            figures.append(Figure(alike, max(told_apart), "AUC"))
    for number in range(len(results[0].disclosed)):
        found = [result.disclosed[number] for result in results]
        title_of = f"{title}: {found[0].attack} on {found[0].seen}"
        figures.append(Figure(title_of, float(np.mean([one.area for one in found])), "AUC"))
        without = float(np.mean([one.without or 0.5 for one in found]))
        figures.append(Figure(f"{title}: the same on own columns alone", without, "AUC"))
    columns = [result.columns for result in results if result.columns is not None]
    if columns:
        figures.append(Figure(f"{title}: columns recovered", float(np.mean(columns)), "of variance"))
    return figures


def main() -> int:
    """Measures, prints, writes; 1 when a bar is missed."""
    options = parse_options(__doc__ or "")
    torch.set_num_threads(1)
    root = real_data.data_sets()
    if root is None:
        return 0
    figures: list[Figure] = []
    for name in SETS[1:] if options.quick else SETS:
        folds = [read_parties(root / name, fold) for fold in range(1 if options.quick else FOLDS)]
        for mode, run in modes(quick=options.quick).items():
            start = time.process_time()
            figures += figures_of(name, mode, [run(parties) for parties in folds])
            seconds = (time.process_time() - start) / len(folds)
            figures.append(Figure(f"{name}, {mode}: processor time of a run with attacks", seconds, "s"))
    return finish("Leakage of vertical training", figures, options)


if __name__ == "__main__":
    sys.exit(main())
