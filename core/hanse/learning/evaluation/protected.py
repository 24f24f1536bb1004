"""Which groups of people an agreement has compared: the public cells of its protected columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.learning.transform import cells_of, n_cells
from hanse.policies import Agreement, Column


def protected_columns(agreement: Agreement) -> tuple[str, ...]:
    """Names of the protected columns, in the order of the agreement."""
    return tuple(column.name for column in _protected(agreement))


def group_sizes(agreement: Agreement) -> dict[str, int]:
    """Number of groups by protected column: its public cells, and one of who is in none of them."""
    return {column.name: n_cells(column) for column in _protected(agreement)}


def groups_of(
    agreement: Agreement, columns: Mapping[str, NDArray[Any]]
) -> dict[str, tuple[NDArray[np.intp], int]]:
    """The group of each record, as :class:`hanse.learning.evaluation.Held` takes them.

    Args:
        agreement: Names the protected columns.
        columns: Values of records by column; a value that its person hides is missing, and in the last group.

    Returns:
        Group of each record and number of groups, by protected column.
    """
    return {
        column.name: (cells_of(column, columns[column.name]), n_cells(column))
        for column in _protected(agreement)
    }


def _protected(agreement: Agreement) -> list[Column]:
    return [column for column in agreement.columns if column.protected]
