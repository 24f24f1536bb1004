"""The leakage report of a split network, from what the label holder knows a feature holder has seen."""

import numpy as np
from numpy.typing import NDArray

from hanse.learning.vertical.leakage.attacks import chance_area, recovered_share, told_by_columns
from hanse.learning.vertical.leakage.report import LeakageReport
from hanse.learning.vertical.leakage.surfaces import KNOWN, Surface, attack_labels
from hanse.learning.vertical.split.label_holder import Witnessed
from hanse.learning.vertical.split.settings import LabelNoise, SplitSettings


def split_report(
    party: str,
    witnessed: Witnessed,
    labels: NDArray[np.bool_],
    settings: SplitSettings,
    rng: np.random.Generator,
    columns_recovered: float | None = None,
) -> LeakageReport:
    """Attacks what a feature holder saw.

    Args:
        party: The feature holder.
        witnessed: What it saw and sent.
        labels: The true ones, shape (rows,).
        settings: The run's.
        rng: Chooses known people.
        columns_recovered: What the feature holder found with :func:`column_leak`, if it says so.

    Returns:
        The report.
    """
    defence = settings.defence
    return LeakageReport(
        party=party,
        mode=f"split network, {defence.kind.replace('_', ' ')}",
        rows=len(labels),
        findings=attack_labels(_received(witnessed, labels, rng), labels, rng),
        disclosed=attack_labels(_own_model(witnessed), labels, rng),
        label_epsilon=defence.epsilon if isinstance(defence, LabelNoise) else None,
        columns_recovered=columns_recovered,
        known=KNOWN,
        chance=chance_area(labels, KNOWN),
    )


def column_leak(sent: NDArray[np.float32], columns: NDArray[np.float32], rng: np.random.Generator) -> float:
    """What the label holder could recover of a feature holder's columns; run by the latter, who has them.

    Args:
        sent: Embeddings that it sent, shape (rows, embedding).
        columns: Its columns, shape (rows, columns).
        rng: Chooses people whose columns the attacker knows.

    Returns:
        As :func:`hanse.learning.vertical.leakage.attacks.recovered_share`.
    """
    return recovered_share(sent.astype(np.float64), columns.astype(np.float64), KNOWN, rng)


def _received(
    witnessed: Witnessed, labels: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Surface, ...]:
    seen = witnessed.seen
    if not seen.epochs:
        return ()  # frozen bottoms: nothing was received
    columns = told_by_columns(witnessed.embeddings.astype(np.float64), labels, rng)
    return (
        Surface("gradients of one epoch", seen.first.astype(np.float64), given=columns),
        Surface(
            f"gradients averaged over {seen.epochs} epochs", seen.total.astype(np.float64), given=columns
        ),
    )


def _own_model(witnessed: Witnessed) -> tuple[Surface, ...]:
    """Whoever has a trained bottom can complete it with a few labels.

    Embeddings of the first epoch are nearly what the party had without the run.
    """
    if not witnessed.seen.epochs:
        return ()
    after, before = (
        values.astype(np.float64) for values in (witnessed.embeddings, witnessed.seen.embeddings)
    )
    return (Surface("its own trained bottom", after, before, attacks=("spectral", "probe")),)
