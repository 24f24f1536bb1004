"""What the growth benchmark measures, on made-up data: each function once in a process of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from typing_extensions import override

from hanse.aggregation import Contributor, FixedPoint, InProcessAggregator, LocalAggregator, Query, Vector
from hanse.enforcement import AdmittedExamples
from hanse.enforcement.simulation import simulated_examples
from hanse.learning import Predictor, SecureRandom, initial_weights, parameter_count, recommend_private
from hanse.learning.boosting import (
    BinnedColumn,
    Binning,
    BoostingContributor,
    BoostingCoordinator,
    BoostingSettings,
)
from hanse.learning.federated import average, recommend_federated
from hanse.learning.federated.update import MemberRows, UpdateContributor
from hanse.learning.private import PrivateRun, PrivateSgdCoordinator
from hanse.learning.private_gradients import PrivateGradientContributor
from hanse.learning.training import LocalTrainer
from hanse.policies import Training

FEATURES: Final = 50
COLUMNS: Final = 20
BINS: Final = 64
LEAST_S: Final = 0.5
MOST_TIMES: Final = 5
TREES: Final = 3
SUMS: Final = 2


@dataclass(frozen=True)
class Size:
    """How much there is.

    Attributes:
        members: All in one process, one after the other.
        rows: Of each member.
        parameters: Of the model, roughly; elements of a sum. Trees have none.
    """

    members: int
    rows: int
    parameters: int


@dataclass(frozen=True)
class Cost:
    """What it took.

    Attributes:
        seconds: Processor time of all members and the coordinator, for one round, step, tree or sum.
        mebibytes: Most memory beyond what the process had before there was data; None where the system does
            not tell.
    """

    seconds: float
    mebibytes: float | None


def measured(name: str, size: Size) -> Cost:
    """Runs one kind of work in this process."""
    torch.set_num_threads(1)
    before = _status("VmRSS")
    seconds = WORK[name](size)
    most = _status("VmHWM")
    return Cost(seconds, None if before is None or most is None else (most - before) / 1024)


def _status(key: str) -> int | None:
    """KiB, as Linux tells of this process. The most that ``getrusage`` tells would be its parent's, too."""
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), None)


def _best(work: Callable[[int], object], per: int = 1) -> float:
    """Least processor time of a few tries, each told its number."""
    tries: list[float] = []
    while not tries or (sum(tries) < LEAST_S and len(tries) < MOST_TIMES):
        started = time.process_time()
        work(len(tries))
        tries.append(time.process_time() - started)
    return min(tries) / per


def model(parameters: int) -> Training:
    """Logistic, or with two equal hidden layers of so many parameters in all."""
    logistic = recommend_federated("logistic")
    if parameters <= FEATURES + 1:
        return logistic
    # width² + (FEATURES + 3) width + 1 parameters.
    linear = FEATURES + 3
    width = max(1, round((-linear + (linear**2 + 4 * parameters) ** 0.5) / 2))
    return recommend_federated("mlp").model_copy(update={"hidden": (width, width)})


def examples(rows: int, seed: int) -> AdmittedExamples:
    """One-hot cells, a tenth of them set."""
    rng = np.random.default_rng(seed)
    features = (rng.random((rows, FEATURES), dtype=np.float32) < 0.1).astype(np.float32)  # noqa: PLR2004
    return simulated_examples(features, rng.integers(0, 2, rows).astype(np.float32))


def averaging_round(size: Size) -> float:
    """One round: a step of each member on all its rows, and the sum of the updates."""
    training = model(size.parameters)

    def contributor(number: int) -> UpdateContributor:
        trainer = LocalTrainer(training, FEATURES, None, SecureRandom())
        rows = MemberRows(examples(size.rows, number))
        return UpdateContributor(
            training, trainer, rows, lambda weights: Predictor(training, FEATURES, weights)
        )

    aggregator = InProcessAggregator({f"{number:03}": contributor(number) for number in range(size.members)})
    start = initial_weights(training, FEATURES, np.random.default_rng(0))
    return _best(lambda number: average(aggregator, training, start, number + 1))


def private_step(size: Size) -> float:
    """One step with privacy, noise in shares."""
    training = model(size.parameters)
    parameters = parameter_count(training, FEATURES)
    run = PrivateRun(
        training=training,
        n_features=FEATURES,
        schedule=recommend_private(size.members * size.rows, parameters, 1.0),
        noise_multiplier=5.0,
        rows_noise_multiplier=50.0,
        members=size.members,
        honest_shares=1 if size.members < 3 else size.members - 1,  # noqa: PLR2004 - two members share no noise
    )
    contributors = {
        f"{number:03}": PrivateGradientContributor(
            run, examples(size.rows, number), lambda _kind: None, SecureRandom()
        )
        for number in range(size.members)
    }
    start = initial_weights(training, FEATURES, np.random.default_rng(0))
    coordinator = PrivateSgdCoordinator(InProcessAggregator(contributors), run, start)
    coordinator.take_step(0)  # counts the rows first, and makes tables
    return _best(lambda number: coordinator.take_step(number + 1))


def one_tree(size: Size) -> float:
    """One tree of depth 4 over numeric columns."""
    settings = BoostingSettings(trees=TREES)
    edges = tuple(np.linspace(-2, 2, BINS - 1).tolist())
    binning = Binning(
        columns=tuple(BinnedColumn(name=f"c{i}", kind="numeric", edges=edges) for i in range(COLUMNS))
    )

    def contributor(number: int) -> BoostingContributor:
        rng = np.random.default_rng(number)
        columns = {f"c{i}": rng.standard_normal(size.rows) for i in range(COLUMNS)}
        labels = (columns["c0"] + columns["c1"] + rng.standard_normal(size.rows) > 0).astype(np.float64)
        return BoostingContributor(settings, binning, binning.encode(columns), labels)

    aggregator = InProcessAggregator({f"{number:03}": contributor(number) for number in range(size.members)})
    started = time.process_time()
    BoostingCoordinator(aggregator, settings, binning).train()
    return (time.process_time() - started) / TREES


class _Same(Contributor):
    """Answers with the same vector."""

    def __init__(self, length: int) -> None:
        self._vector = np.linspace(-1, 1, length)

    @override
    def contribute(self, query: Query) -> Vector:
        """See the interface."""
        return self._vector


def secure_sum(size: Size) -> float:
    """One secure sum of a vector of each member, with its part of keys and shares."""
    encoding = FixedPoint(1.0, size.members, 16, 32)
    contributors = {f"{number:03}": _Same(size.parameters) for number in range(size.members)}
    aggregator = LocalAggregator(contributors, sums=SUMS)

    def both(number: int) -> None:
        for part in range(SUMS):
            aggregator.aggregate(Query("test", bytes([number, part]), size.parameters, encoding))

    return _best(both, SUMS)


WORK: Final[dict[str, Callable[[Size], float]]] = {
    "round of averaging": averaging_round,
    "private step": private_step,
    "tree": one_tree,
    "secure sum": secure_sum,
}
