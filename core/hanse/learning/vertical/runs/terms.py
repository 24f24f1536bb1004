"""What an agreement and its aligned rows mean to vertical trees: the same at members and coordinator."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import TrainingError
from hanse.learning.boosting.agreed import agreed_settings
from hanse.learning.boosting.columns import BinnedColumn, Binning
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
    )


def own_binning(columns: Sequence[Column], values: Mapping[str, NDArray[Any]]) -> Binning:
    """Where trees may cut a member's columns: at public edges, or at quantiles of its own values.

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
