"""What each column adds to the log-odds of a score, compared with a reference person.

The parts of a row add up to its log-odds less those of the reference, for every kind of model:

* ``points`` and ``linear``: a weight times how far the feature is from the reference's; exact.
* ``shapley``: of boosted trees, the Shapley values of the game in which columns that are not in a coalition
  take the reference's distribution, column by column; exact (:mod:`hanse.scoring.reasons.trees`).
* ``integrated-gradients``: of networks (Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep
  Networks", ICML 2017), along the straight line from the reference; adds up to 1e-6.

These figures are the site's own: added up they are the score, whatever form the agreement lets it have.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from hanse.errors import ServingError
from hanse.learning.artifact import LoadedModel
from hanse.learning.boosting.predictor import TreesPredictor
from hanse.learning.predictor import Predictor
from hanse.learning.transform import NO_FEATURE, Transform
from hanse.scoring.reasons.gradients import integrated
from hanse.scoring.reasons.reference import Reference, reference_of
from hanse.scoring.reasons.trees import TreeGame

FloatArray: TypeAlias = NDArray[np.float64]
Method: TypeAlias = Literal["points", "linear", "shapley", "integrated-gradients"]

_ROWS_AND_FEATURES = 2
_MODELS_KEPT = 8


@dataclass(frozen=True, slots=True)
class Attribution:
    """What columns add.

    Attributes:
        columns: Their names, in the order of the agreement.
        values: What each adds to the log-odds of each row, shape (rows, columns).
        reference_logit: Log-odds that the rows are compared with.
        reference: Whose they are; see :class:`hanse.scoring.reasons.reason.Reasons`.
        method: How the parts were computed.
    """

    columns: tuple[str, ...]
    values: FloatArray
    reference_logit: float
    reference: Literal["average", "neutral"]
    method: Method


def attribute(model: LoadedModel, features: NDArray[np.float32]) -> Attribution:
    """Computes what each column adds to the log-odds of rows.

    Args:
        model: The model version that scores them.
        features: Transformed rows, shape (rows, features).

    Returns:
        The parts.

    Raises:
        ServingError: ``scoring.bad-input`` if the rows do not have the model's width, ``model.invalid`` for
            a model that is neither layers nor trees.
    """
    if features.ndim != _ROWS_AND_FEATURES or features.shape[1] != model.transform.n_features:
        raise ServingError("scoring.bad-input", "the rows do not have the model's width")
    return _prepared(_Model(model)).parts(features)


class _Model:
    """A model as the key of what was prepared for it: versions are told apart by their digests."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    @override
    def __hash__(self) -> int:
        return hash(self.model.digest)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Model) and other.model.digest == self.model.digest


@lru_cache(maxsize=_MODELS_KEPT)
def _prepared(key: _Model) -> "_Prepared":
    return _Prepared(key.model)


class _Prepared:
    """What does not depend on the rows."""

    def __init__(self, model: LoadedModel) -> None:
        self._predictor = model.predictor
        self._training = model.manifest.training
        self._columns = tuple(column.name for column in model.transform.columns)
        self._owners = _owners(model.transform)
        self._reference: Reference = reference_of(model.manifest)
        self._game = (
            TreeGame(model.predictor, self._reference.row, self._columns)
            if isinstance(model.predictor, TreesPredictor)
            else None
        )

    def parts(self, features: NDArray[np.float32]) -> Attribution:
        values, base, method = self._parts(features)
        return Attribution(self._columns, values, base, self._reference.kind, method)

    def _parts(self, features: NDArray[np.float32]) -> tuple[FloatArray, float, Method]:
        if self._game is not None:
            return self._game.values(features), self._game.reference_logit, "shapley"
        if not isinstance(self._predictor, Predictor):
            raise ServingError("model.invalid", "reasons are of layers and of trees")
        by_feature = integrated(
            self._predictor, self._reference.row, features, exact=not self._training.hidden
        )
        values = np.zeros((len(features), len(self._columns)))
        for number in range(len(self._columns)):
            values[:, number] = by_feature[:, self._owners == number].sum(axis=1)
        base = float(self._predictor.logits(self._reference.row[None, :])[0])
        return values, base, self._method

    @property
    def _method(self) -> Method:
        if self._training.hidden:
            return "integrated-gradients"
        return "linear" if self._training.scale is None else "points"


def _owners(transform: Transform) -> NDArray[np.intp]:
    """Number of the column of each feature, shape (features,)."""
    owners = np.zeros(transform.n_features, dtype=np.intp)
    for number, column in enumerate(transform.columns):
        owners[sorted(set(column.features) - {NO_FEATURE})] = number
    return owners
