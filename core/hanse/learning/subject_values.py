"""What a site knows of subjects for a model: values by identifier, of the columns that it needs.

A member's data are read by the member's own part of the software (:mod:`hanse.client.features`); the scorer
takes whatever fits :class:`SubjectValues`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from hanse.learning.transform import NO_FEATURE, Transform
from hanse.policies import Column

Values: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""By column, one value per subject: float64, or objects of type ``str``."""


class Found(NamedTuple):
    """What is known of the subjects that were asked about.

    Attributes:
        known: Which of them are in the data, shape ``(subjects,)``.
        values: Their values; NaN or "" for whatever is missing, and for who is not in the data.
    """

    known: npt.NDArray[np.bool_]
    values: Values


class SubjectValues(Protocol):
    """A member's data, as far as a scorer reads them."""

    async def look_up(self, columns: Sequence[Column], subject_ids: Sequence[str]) -> Found:
        """Values of subjects, as they stand now.

        Args:
            columns: Columns of an agreement; no other is read.
            subject_ids: Whose, as the member writes them; all of them admitted.

        Raises:
            ConfigurationError: ``config.bad-data``, ``config.missing-file``.
        """
        ...


def needed(columns: Sequence[Column], transform: Transform) -> tuple[Column, ...]:
    """The columns without which a model cannot score.

    Args:
        columns: Columns of the agreement.
        transform: The model's preprocessing.

    Returns:
        Those of which it has a feature; a column that was too rare for any is not read.
    """
    used = {own.name for own in transform.columns if set(own.features) != {NO_FEATURE}}
    return tuple(column for column in columns if column.name in used)


def missing(column: Column, rows: int) -> npt.NDArray[Any]:
    """Values of a column of which nothing is known, shape ``(rows,)``."""
    return np.full(rows, np.nan) if column.kind == "numeric" else np.full(rows, "", dtype=object)


def spread(columns: Sequence[Column], found: Found, places: npt.NDArray[np.bool_]) -> Values:
    """What was found about some subjects of a call, as values of all of them.

    Args:
        columns: The columns that are wanted; one that was not read is missing everywhere.
        found: What is known of some of the subjects.
        places: Which subjects of the call these are, shape ``(subjects,)``.
    """
    values = {column.name: missing(column, len(places)) for column in columns}
    for name, own in found.values.items():
        values[name][places] = own
    return values


def without(values: Values, hidden: Mapping[str, Sequence[int]]) -> Values:
    """The same values, missing where they are hidden.

    Args:
        values: Values by column.
        hidden: By column, positions of the subjects whose value must not be used.
    """
    changed = dict(values)
    for name, positions in hidden.items():
        if name in changed and positions:
            own = changed[name].copy()
            own[list(positions)] = np.nan if own.dtype.kind == "f" else ""
            changed[name] = own
    return changed
