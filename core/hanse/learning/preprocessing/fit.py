"""The coordinator's half of preprocessing: asks for sums, and decides what has a feature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import Aggregator
from hanse.learning.preprocessing.questions import ask_cells, ask_moments, ask_spread
from hanse.learning.quantiles import federated_quantiles
from hanse.learning.transform import ColumnFeatures, Scale, Transform, n_cells, public_cells, rare_below
from hanse.policies import Cohort, Column

_SMALLEST_STD: Final = 1e-6
"""As a share of the distance of the bounds: a column that hardly varies is not blown up."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What preprocessing gave.

    Attributes:
        transform: Rows to features; part of the model version.
        cell_counts: Rows per cell over all members, with whatever noise they carry.
        members: Whose rows are in it.
    """

    transform: Transform
    cell_counts: NDArray[np.float64]
    members: tuple[str, ...]


def fit(aggregator: Aggregator, columns: Sequence[Column], cohort: Cohort, noise_std: float = 0.0) -> Fitted:
    """Learns what the agreement lets be learned.

    Args:
        aggregator: Access to the members' :class:`PreprocessingContributor`.
        columns: Columns of the agreement.
        cohort: Its ``suppress_below`` is the fewest rows of a feature, its ``minimum_members`` the fewest
            members that have a category with a feature of its own.
        noise_std: Standard deviation of the noise in every summed figure; 0 without noise.

    Returns:
        The transform.

    Raises:
        TrainingError: ``run.no-features`` if everything is rare; otherwise as the aggregator.
    """
    minimum = rare_below(cohort.suppress_below, [noise_std])
    edges = _edges(aggregator, columns, int(minimum))
    scales = _scales(aggregator, columns)
    cells = tuple(_cells(column, edges, scales) for column in columns)
    total = aggregator.aggregate(ask_cells(cells, len(aggregator.members)))
    counts, members = np.split(total.values, 2)
    # Noise can make a member out of none, so the number of members has to stand out from it as well.
    enough = rare_below(cohort.minimum_members, [noise_std])
    return Fitted(Transform.fit(cells, counts, minimum, members >= enough), counts, total.members)


def _edges(aggregator: Aggregator, columns: Sequence[Column], minimum: int) -> dict[str, tuple[float, ...]]:
    """Bin edges of the columns that are cut at quantiles."""
    bins = {column.name: column.bins or 0 for column in columns if column.transform == "quantiles"}
    if not bins:
        return {}
    found = federated_quantiles(aggregator, list(bins), bins=max(bins.values()), min_rows=minimum)
    bounds = {column.name: column.edges for column in columns}
    edges = {}
    for name, quantiles in found.items():
        low, high = bounds[name]
        inside = sorted({min(max(edge, low), high) for edge in quantiles.edges(bins[name])})
        # A column without two cells of rows is cut once, so that missing values are still told apart.
        edges[name] = tuple(inside) or (low,)
    return edges


def _scales(aggregator: Aggregator, columns: Sequence[Column]) -> dict[str, Scale]:
    """Mean and deviation of the columns that are standardised."""
    bounds = {column.name: column.edges for column in columns if column.transform == "standardised"}
    if not bounds:
        return {}
    names = tuple(bounds)
    moments = aggregator.aggregate(ask_moments(names, len(aggregator.members))).values
    rows = np.maximum(moments[::2], 1.0)
    means = np.clip(moments[1::2] / rows, 0.0, 1.0)
    spread = aggregator.aggregate(ask_spread(names, tuple(means.tolist()), len(aggregator.members))).values
    stds = np.clip(np.sqrt(np.maximum(spread, 0.0) / rows), _SMALLEST_STD, 1.0)
    return {
        name: Scale(
            low=low, high=high, mean=_inside(low + mean * (high - low), low, high), std=std * (high - low)
        )
        for (name, (low, high)), mean, std in zip(bounds.items(), means.tolist(), stds.tolist(), strict=True)
    }


def _cells(column: Column, edges: dict[str, tuple[float, ...]], scales: dict[str, Scale]) -> ColumnFeatures:
    """The cells of a column, each with a feature for now."""
    if column.transform == "one_hot":
        return public_cells(column)
    bare = ColumnFeatures.model_construct(
        name=column.name,
        kind=column.kind,
        edges=edges.get(column.name, ()),
        categories=column.categories,
        scale=scales.get(column.name),
        buckets=(column.bins or 0) if column.transform == "hashed" else 0,
        features=(),
    )
    features = {"features": tuple(range(n_cells(bare)))}
    return ColumnFeatures.model_validate(bare.model_dump() | features)


def _inside(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
