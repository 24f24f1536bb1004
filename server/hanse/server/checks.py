"""What a member's figures must look like before the coordinator computes with them."""

import math
from collections.abc import Sequence

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import Event
from hanse.errors import TrainingError
from hanse.learning import SCORE_EDGES, n_cells
from hanse.learning.shared_run import NoiseLevels
from hanse.policies import RULES, Agreement

MAX_ABSOLUTE = 1e9
HISTOGRAM_BINS = len(SCORE_EDGES) - 1


def check_figures(reply: pb.Reply, agreement: Agreement) -> None:
    """Returns when every figure of the reply has the right shape and range.

    Raises:
        TrainingError: ``run.update-rejected`` naming the figure.
    """
    outcome = reply.WhichOneof("outcome")
    if outcome == "prepared":
        _vector("cell_counts", reply.prepared.cell_counts, sum(map(n_cells, agreement.columns)))
        _number("noise_std", reply.prepared.noise_std)
        _epsilon("planned_epsilon", reply.prepared.planned_epsilon, agreement)
        _rows([reply.prepared.training, reply.prepared.holdout], agreement)
    elif outcome == "trained":
        _histogram(reply.trained.histogram)
        _epsilon("epsilon", reply.trained.epsilon, agreement)
        _rows([reply.trained.training, reply.trained.holdout], agreement)
    elif outcome == "evaluated":
        _histogram(reply.evaluated.histogram)
        _epsilon("epsilon", reply.evaluated.epsilon, agreement)
    elif outcome == "phased":
        _epsilon("epsilon", reply.phased.epsilon, agreement)


def check_stated(reply: pb.Reply, statement: Event | None) -> None:
    """Returns when a result is over the rows that its member has stated in the shared log before (P32).

    Args:
        reply: A result: not a refusal.
        statement: What the member has stated of this step; None if nothing.

    Raises:
        TrainingError: ``run.update-rejected`` (P32).
    """
    if reply.HasField("evaluated"):
        _over_stated(None, reply.evaluated.holdout, statement)
    else:
        result = reply.prepared if reply.HasField("prepared") else reply.trained
        _over_stated(result.training, result.holdout, statement)


def check_ready(ready: pb.Ready, step: str, statement: Event | None, agreement: Agreement) -> None:
    """Returns when a member may take part in a phase.

    Args:
        ready: What it says that it takes part with.
        step: ``prepared``, ``trained`` or ``evaluated``.
        statement: What it has stated of the step; None if nothing.
        agreement: Of the run.

    Raises:
        TrainingError: ``run.update-rejected``, with P32 if it has not stated the same.
        ProtocolError: ``protocol.malformed`` if the noise that it needs is none.
    """
    _rows([ready.training, ready.holdout], agreement)
    _epsilon("planned_epsilon", ready.planned_epsilon, agreement)
    if step == "prepared" and agreement.privacy is not None:
        NoiseLevels(ready.noise.gradients, ready.noise.rows, ready.noise.histograms)
    _over_stated(None if step == "evaluated" else ready.training, ready.holdout, statement)


def _over_stated(training: pb.AdmittedRows | None, holdout: pb.AdmittedRows, statement: Event | None) -> None:
    if statement is None or statement.subject_set_size is None:
        raise TrainingError("run.update-rejected", "a result of which nothing was stated", rule="P32")
    admitted = statement.subject_set_size
    if training is None:
        same = holdout.rows <= admitted  # a part of what was admitted
    else:
        same = training.rows + holdout.rows == admitted == statement.rows_used
    if not same:
        raise TrainingError("run.update-rejected", "a result over other rows than were stated", rule="P32")


def _rows(parts: Sequence[pb.AdmittedRows], agreement: Agreement) -> None:
    """Counts go into the run's record by these names, so they must be rules and columns, and nothing else."""
    for rows in parts:
        if not {*rows.excluded_by_rule, *rows.hidden_by_rule} <= set(RULES):
            raise TrainingError("run.update-rejected", "rows are counted by what is no rule")
        if any(place >= len(agreement.columns) for place in rows.hidden_by_column):
            raise TrainingError("run.update-rejected", "values are counted by what is no column")


def _histogram(histogram: pb.ScoreHistogram) -> None:
    _vector("positives", histogram.positives, HISTOGRAM_BINS)
    _vector("negatives", histogram.negatives, HISTOGRAM_BINS)
    _number("noise_std", histogram.noise_std)


def _vector(name: str, values: Sequence[float], size: int) -> None:
    if len(values) != size:
        raise TrainingError("run.update-rejected", f"{name} has {len(values)} instead of {size} values")
    if not all(math.isfinite(value) and abs(value) < MAX_ABSOLUTE for value in values):
        raise TrainingError("run.update-rejected", f"{name} is not finite")


def _number(name: str, value: float) -> None:
    if not (math.isfinite(value) and 0 <= value < MAX_ABSOLUTE):
        raise TrainingError("run.update-rejected", f"{name} is out of range")


def _epsilon(name: str, value: float, agreement: Agreement) -> None:
    _number(name, value)
    if agreement.privacy is not None and value > agreement.privacy.epsilon:
        raise TrainingError("run.update-rejected", f"{name} is above the agreement's budget", rule="P18")
