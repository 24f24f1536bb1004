"""What an agreement and its aligned rows mean to vertical training: the same at members and coordinator."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.errors import TrainingError
from hanse.learning.boosting.agreed import agreed_settings
from hanse.learning.boosting.columns import BinnedColumn, Binning
from hanse.learning.vertical.fusion import FusionSettings
from hanse.learning.vertical.scorecard.ring import halvings
from hanse.learning.vertical.scorecard.settings import LEAST_RIDGE, MOST_RIDGE, ScorecardSettings
from hanse.learning.vertical.trees.terms import TreesTerms
from hanse.policies import Agreement, Column


def trees_terms(agreement: Agreement, rows: int, root: bytes) -> TreesTerms:
    """The terms of a run's trees.

    Args:
        agreement: Of the run, vertical.
        rows: Common people.
        root: What all members log of them.

    Raises:
        TrainingError: ``run.unsupported`` for an agreement of another kind.
    """
    vertical = agreement.vertical
    if vertical is None:
        raise TrainingError("run.unsupported", "the agreement is not vertical")
    return TreesTerms(
        settings=agreed_settings(agreement.training, agreement.training.rounds),
        label_holder=vertical.label_holder,
        feature_holders=vertical.feature_holders,
        rows=rows,
        context=root.hex(),
        min_bin_rows=vertical.minimum_bin_rows,
        key_bits=vertical.trust.key_bits,
        point_trees=_POINT_TREES if vertical.trust.key_bits is None else _POINT_TREES_ENCRYPTED,
    )


_POINT_TREES: Final = 20
"""A point costs a check of the dealer, about as much as one and a half trees of depth 4."""

_POINT_TREES_ENCRYPTED: Final = 5
"""Without a dealer a tree takes some seconds, and a point checks nothing."""

_PULL: Final = 6
"""The ridge penalty of a scorecard's weights is 2^6, for features with a mean square of 1 to 2, whatever the
number of people: among a few thousand, less of it fits chance."""


def card_settings(agreement: Agreement, people: int) -> ScorecardSettings:
    """What a run's scorecard does.

    Args:
        agreement: Of the run, vertical.
        people: Common people, those held out among them.

    Raises:
        TrainingError: ``run.unsupported`` for an agreement of another kind.
    """
    vertical, scale = agreement.vertical, agreement.training.scale
    if vertical is None or scale is None:
        raise TrainingError("run.unsupported", "the agreement is not about a vertical scorecard")
    taught = int((~last_of_order(people, agreement.training.holdout_fraction)).sum())
    return ScorecardSettings(
        scale=scale,
        min_rows=vertical.minimum_bin_rows,
        iterations=agreement.training.local_steps,
        ridge=min(max(halvings(max(taught, 2)) - _PULL, LEAST_RIDGE), MOST_RIDGE),
    )


def fusion_settings(agreement: Agreement) -> FusionSettings:
    """What a run's late fusion does.

    Args:
        agreement: Of the run, vertical.

    Raises:
        TrainingError: ``run.unsupported`` for an agreement without noise on labels.
    """
    vertical = agreement.vertical
    if vertical is None or vertical.label_defence is None or vertical.label_defence.epsilon is None:
        raise TrainingError("run.unsupported", "the agreement has no noise on labels")
    return FusionSettings(epsilon=vertical.label_defence.epsilon, min_rows=vertical.minimum_bin_rows)


def last_of_order(rows: int, fraction: float) -> NDArray[np.bool_]:
    """Who is held out where everybody who trains has to know it: the last people of the common order.

    The order is that of a hash of identifiers under a key that all members have tossed together
    (:mod:`hanse.alignment.taking_part`), after each was bound to what it entered: nobody could choose who
    is last.

    Args:
        rows: Common people.
        fraction: Share of them that is held out.

    Returns:
        Shape (rows,); at least one is held out, and at least one is not, if there are two.
    """
    kept = min(max(1, round(rows * fraction)), max(0, rows - 1))
    return np.arange(rows) >= rows - kept


def own_binning(columns: Sequence[Column], values: Mapping[str, NDArray[Any]]) -> Binning:
    """The cells of a member's columns: cut at public edges, or at quantiles of its own values.

    Args:
        columns: The member's columns of the agreement.
        values: Of the common people, by column name; NaN for missing.
    """
    return Binning(
        columns=tuple(
            BinnedColumn(
                name=column.name,
                kind=column.kind,
                edges=_edges(column, values[column.name]) if column.kind == "numeric" else (),
                categories=column.categories,
            )
            for column in columns
        )
    )


def _edges(column: Column, values: NDArray[Any]) -> tuple[float, ...]:
    """Public edges as they are; of quantiles, those between the lowest and the highest public value."""
    if column.bins is None:
        return column.edges
    low, high = column.edges
    known = np.clip(values[~np.isnan(values)], low, high)
    if not len(known):
        return ()
    cuts = np.unique(np.quantile(known, np.linspace(0, 1, column.bins + 1)[1:-1], method="inverted_cdf"))
    # A value at an edge belongs above it: an edge at the lowest value would part nothing.
    return tuple(cuts[cuts > known.min()].tolist())
