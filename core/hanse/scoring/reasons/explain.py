"""Reasons of scores, as a scorer answers them."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.artifact import LoadedModel
from hanse.policies import Agreement
from hanse.scoring.reasons.attribution import Attribution, attribute
from hanse.scoring.reasons.reason import Reasons, chosen

REASONS: Final = 4
"""Reasons of a score unless a caller asks for fewer: as many as a person reads."""

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def explain(
    model: LoadedModel,
    features: NDArray[np.float32],
    k: int = REASONS,
    visible: Collection[str] | None = None,
    descriptions: Mapping[str, str] = _NOTHING,
) -> tuple[Reasons, ...]:
    """Says which columns made scores what they are.

    Args:
        model: The model version that scored.
        features: Transformed rows, shape (rows, features).
        k: Most reasons of a row.
        visible: Columns that the caller may see, from :func:`visible_columns`; None for all.
        descriptions: Agreed descriptions by column.

    Returns:
        One for each row.

    Raises:
        ServingError: ``scoring.bad-input`` if the rows do not have the model's width.
    """
    parts = attribute(model, features)
    return _chosen(parts, k, parts.columns if visible is None else visible, descriptions)


def say(parts: Attribution, agreement: Agreement, member: str) -> tuple[Reasons, ...]:
    """Says which columns made scores what they are, to callers of a member's scorer.

    Args:
        parts: What columns add.
        agreement: The agreement.
        member: Name of the member that scores.

    Returns:
        One for each row.
    """
    words = {column.name: column.description for column in agreement.columns if column.description}
    return _chosen(parts, REASONS, visible_columns(agreement, member), words)


def _chosen(
    parts: Attribution, k: int, visible: Collection[str], descriptions: Mapping[str, str]
) -> tuple[Reasons, ...]:
    return tuple(
        Reasons(chosen(parts.columns, row, k, visible, descriptions), parts.reference, parts.method)
        for row in parts.values
    )


def visible_columns(agreement: Agreement, member: str) -> tuple[str, ...]:
    """Columns that callers of a member's scorer may be told of.

    Args:
        agreement: The agreement.
        member: Name of the member that scores.

    Returns:
        The member's own columns. Where members have different columns of the same people, another member's
        are not among them, whatever of them goes into the model.
    """
    return tuple(column.name for column in agreement.as_held_by(member).columns)
