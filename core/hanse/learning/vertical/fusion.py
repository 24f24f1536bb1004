"""Late fusion: each party fits a model to its own columns, and the label holder adds the log-odds.

A feature holder has no labels, so somebody has to give it some. Labels in clear are not offered. It is sent
labels under randomised response with a stated epsilon, once: whoever reads them has the area 1 - flip
probability under the ROC curve, and everything else that it does with them is post-processing. From flipped
labels it fits log-odds of its cells with targets whose mean over the coins is the true label. It sends back
one number per person. Two messages, no dealer, no gradients: the cheap mode.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hanse.errors import ConfigurationError
from hanse.exchange import PeerChannel
from hanse.learning.boosting.columns import Binning, Codes
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.scorecard.design import own_binning
from hanse.learning.vertical.split.labels import flip_probability, randomised_response
from hanse.learning.vertical.split.messages import Shape, receive, send
from hanse.learning.vertical.split.settings import LARGEST_EPSILON, SMALLEST_EPSILON
from hanse.policies.fields import Document

Columns = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]

_STEPS: Final = 25
_LARGEST_LOGIT: Final = 20.0


class FusionSettings(Document):
    """Part of what the parties agree on.

    Attributes:
        epsilon: Of randomised response on the labels that feature holders are sent, per person and run.
        bins: Most bins of a numeric column, cut at its own party's quantiles.
        min_rows: Fewest rows of a category with log-odds of its own.
        l2: Pulls log-odds towards zero; as many rows that say nothing.
    """

    epsilon: Annotated[float, Field(ge=SMALLEST_EPSILON, le=LARGEST_EPSILON)]
    bins: Annotated[int, Field(ge=2, le=64)] = 16
    min_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    l2: Annotated[float, Field(gt=0, le=1e6)] = 10.0


@dataclass(frozen=True, slots=True)
class OwnModel:
    """Log-odds of a party's cells.

    Attributes:
        binning: Its columns.
        log_odds: Of each cell, shape (cells,).
        base: Added to everybody's.
    """

    binning: Binning
    log_odds: Floats
    base: float

    @classmethod
    def fit(cls, columns: Columns, targets: Floats, settings: FusionSettings) -> "OwnModel":
        """Binned logistic regression by Newton's method.

        Args:
            columns: By name, shape (rows,).
            targets: Shape (rows,); their mean over coins is the label, and they may be outside [0, 1].
            settings: The run's.

        Returns:
            The model.

        Raises:
            ConfigurationError: ``config.bad-data`` if there are not as many targets as rows.
        """
        binning = own_binning(columns, settings.bins, settings.min_rows)
        codes = binning.encode(columns)
        if targets.shape != (len(codes),):
            raise ConfigurationError("config.bad-data", "a target for each person")
        cells = np.column_stack([_cells(binning, codes), np.ones(len(codes))])
        ridge = np.append(np.full(cells.shape[1] - 1, settings.l2), 1e-6)
        weights = np.zeros(cells.shape[1])
        for _ in range(_STEPS):
            fitted = _logistic(cells @ weights)
            slope = cells.T @ (fitted - targets) + ridge * weights
            # Half of the largest curvature at least: noisy targets could otherwise send a step far off.
            bend = (cells * np.maximum(fitted * (1 - fitted), 0.125)[:, None]).T @ cells + np.diag(ridge)
            weights -= np.linalg.solve(bend, slope)
        return cls(binning, weights[:-1], float(weights[-1]))

    def logits(self, columns: Columns) -> Floats:
        """Log-odds of people, shape (rows,), within 20 of zero."""
        at = self.binning.encode(columns).astype(np.int64) + self.binning.layout.offsets
        total = self.log_odds[at].sum(axis=1) + self.base
        logits: Floats = np.clip(total, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        return logits


@dataclass(frozen=True, slots=True)
class Fusion:
    """The label holder's model, alone and with others.

    Attributes:
        own: On its own columns: also what is left when a partner leaves.
        weights: Of its own log-odds, those of each feature holder, and one; shape (2 + feature holders,).
    """

    own: OwnModel
    weights: Floats

    def logits(self, columns: Columns, received: list[Floats]) -> Floats:
        """Log-odds of people.

        Args:
            columns: Of the label holder.
            received: Theirs, of the feature holders in the order of training, shape (rows,) each.
        """
        added: Floats = _stacked(self.own.logits(columns), received) @ self.weights
        return added


def fuse_label_holder(
    columns: Columns,
    labels: NDArray[np.bool_],
    feature_holders: Mapping[str, PeerChannel],
    settings: FusionSettings,
    random: SecureRandom,
) -> Fusion:
    """The label holder's part.

    Args:
        columns: Of the aligned people, in their common order, by name.
        labels: Shape (rows,).
        feature_holders: The other parties. All are sent the same flipped labels: two that put theirs
            together know no more than one.
        settings: The run's.
        random: The coins; they stay secret.

    Returns:
        The model.

    Raises:
        ConfigurationError: ``config.bad-data`` if labels are not yes or no.
        ProtocolError: Naming the party whose answer is malformed.
    """
    if labels.dtype != np.bool_ or labels.ndim != 1:
        raise ConfigurationError("config.bad-data", "a label is yes or no, one for each person")
    own = OwnModel.fit(columns, labels.astype(np.float64), settings)
    flipped = randomised_response(labels, settings.epsilon, random)
    for peer in feature_holders.values():
        send(peer, "labels", 0, flipped.astype(np.uint8))
    received = [receive_logits(peer, len(labels)) for peer in feature_holders.values()]
    return Fusion(own, _added(_stacked(own.logits(columns), received), labels))


def fuse_feature_holder(columns: Columns, label_holder: PeerChannel, settings: FusionSettings) -> OwnModel:
    """A feature holder's part: fits its model to flipped labels and sends its log-odds of everybody.

    Raises:
        ProtocolError: ``protocol.malformed`` if there is not a label for each person.
    """
    rows = len(next(iter(columns.values()), ()))
    _, (flipped,) = receive(label_holder, "labels", 0, Shape("u1", (rows,), 1.0))
    flip = flip_probability(settings.epsilon)
    model = OwnModel.fit(columns, (flipped - flip) / (1 - 2 * flip), settings)
    send_logits(model, columns, label_holder)
    return model


def send_logits(model: OwnModel, columns: Columns, label_holder: PeerChannel) -> None:
    """A feature holder sends its log-odds of people, also to score them."""
    send(label_holder, "logits", 0, model.logits(columns))


def receive_logits(feature_holder: PeerChannel, rows: int) -> Floats:
    """What :func:`send_logits` sent for so many people, shape (rows,)."""
    logits: Floats = receive(feature_holder, "logits", 0, Shape("f8", (rows,), _LARGEST_LOGIT))[1][0]
    return logits


def _cells(binning: Binning, codes: Codes) -> Floats:
    cells = np.zeros((len(codes), binning.layout.total))
    np.put_along_axis(cells, codes.astype(np.int64) + binning.layout.offsets, 1.0, axis=1)
    return cells


def _stacked(own: Floats, received: list[Floats]) -> Floats:
    return np.column_stack([own, *received, np.ones(len(own))])


def _added(logits: Floats, labels: NDArray[np.bool_]) -> Floats:
    """Weights with which log-odds are added: each model is too sure, or not sure enough, by a factor."""
    weights = np.zeros(logits.shape[1])
    for _ in range(_STEPS):
        fitted = _logistic(logits @ weights)
        bend = (logits * np.maximum(fitted * (1 - fitted), 1e-3)[:, None]).T @ logits
        bend += 1e-6 * np.eye(len(weights))
        weights -= np.linalg.solve(bend, logits.T @ (fitted - labels))
    return weights


def _logistic(logits: Floats) -> Floats:
    values: Floats = 1.0 / (1.0 + np.exp(-np.clip(logits, -40.0, 40.0)))
    return values
