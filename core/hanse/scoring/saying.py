"""The form that an agreement lets scores have, applied to those of one model version."""

from typing import Final

import numpy as np
import numpy.typing as npt

from hanse.errors import ServingError
from hanse.policies import Scoring
from hanse.scoring.forms import DECILES, FloatArray, banded, decile_of, flagged, listed, rounded, segmented


def minimised(
    scores: FloatArray,
    terms: Scoring,
    deciles: tuple[float, ...] = (),
    values: FloatArray | None = None,
) -> npt.NDArray[np.float32]:
    """Scores in the form that the agreement lets leave.

    Args:
        scores: Probabilities in [0, 1] of the admitted subjects of a call, shape (rows,).
        terms: The agreement's terms of scoring.
        deciles: Of the model version; only deciles need them.
        values: What each is worth, shape (rows,); only segments need them.

    Returns:
        What each form says is in :mod:`hanse.scoring.forms`.

    Raises:
        ServingError: ``model.invalid`` if the form needs what is not there; :func:`require_form` says so
            when a model version is loaded.
    """
    return _said(scores, terms, deciles, values).astype(np.float32)


def segment_names(numbers: npt.NDArray[np.float32], terms: Scoring) -> list[str]:
    """Names of segments.

    Args:
        numbers: From :func:`minimised`.
        terms: The agreement's terms of scoring.

    Returns:
        One for each number; empty where there is none, or the agreement has no segments.
    """
    if terms.segments is None:
        return [""] * len(numbers)
    names: Final = terms.segments.names
    return ["" if np.isnan(number) else names[int(number) - 1] for number in numbers.tolist()]


def require_form(terms: Scoring, deciles: tuple[float, ...]) -> None:
    """Refuses a model version that cannot say its scores in the agreed form.

    Args:
        terms: The agreement's terms of scoring.
        deciles: Of the model version.

    Raises:
        ServingError: ``model.invalid``.
    """
    if terms.output == "decile" and len(deciles) != DECILES - 1:
        raise ServingError(
            "model.invalid",
            "the agreement lets deciles leave, and this model version does not say where they begin; give "
            "them when it is promoted (--deciles), train it again, or agree on another form",
        )


def _said(
    scores: FloatArray, terms: Scoring, deciles: tuple[float, ...], values: FloatArray | None
) -> FloatArray:
    match terms.output:
        case "band":
            return banded(scores, terms.edges)
        case "decile":
            require_form(terms, deciles)
            return decile_of(scores, deciles)
        case "flag" if terms.threshold is not None:
            return flagged(scores, terms.threshold)
        case "list" if terms.top is not None:
            return listed(scores, terms.top)
        case "segment" if terms.segments is not None and values is not None:
            return segmented(scores, values, terms.segments.score_from, terms.segments.value_from)
        case "score":
            return rounded(scores, terms.decimals)
        case _:
            raise ServingError("model.invalid", "what the agreed form of scores needs is not there")
