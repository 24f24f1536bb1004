"""Late fusion: each party fits a model to its own columns, and the label holder adds the log-odds.

A feature holder has no labels, so somebody has to give it some. Labels in clear are not offered. It is sent
labels under randomised response with a stated epsilon, once: whoever reads them has the area 1 - flip
probability under the ROC curve, and everything else that it does with them is post-processing. From flipped
labels it fits log-odds of its cells with targets whose mean over the coins is the true label. It sends back
one number per person. Two messages, no dealer, no gradients: the cheap mode.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from hanse.crypto import JsonInput, canonical_json, sha256_hex
from hanse.errors import ConfigurationError, ProtocolError, ServingError
from hanse.exchange import PeerChannel
from hanse.learning.boosting.columns import Binning
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.labels import flip_probability, randomised_response
from hanse.learning.vertical.messages import Shape, receive, send
from hanse.learning.vertical.own_model import L2, LARGEST_LOGIT, Columns, Floats, OwnModel, logistic
from hanse.policies.agreement.vertical import LARGEST_EPSILON, SMALLEST_EPSILON
from hanse.policies.fields import Document, Many

_STEPS: Final = 25


class FusionSettings(Document):
    """Part of what the parties agree on.

    Attributes:
        epsilon: Of randomised response on the labels that feature holders are sent, per person and run.
        min_rows: Fewest rows of a cell with log-odds of its own.
        l2: Pulls log-odds towards zero; as many rows that say nothing.
    """

    epsilon: Annotated[float, Field(ge=SMALLEST_EPSILON, le=LARGEST_EPSILON)]
    min_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    l2: Annotated[float, Field(gt=0, le=1e6)] = L2


_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Weights(Document):
    """Weights of log-odds as they are kept, and what reasons compare with."""

    weights: Annotated[Many[_Number], Field(min_length=2, max_length=17)]
    own_averages: Annotated[Many[_Number], Field(min_length=1, max_length=10_000)]
    received_averages: Annotated[Many[_Number], Field(max_length=15)]


@dataclass(frozen=True, slots=True)
class Fusion:
    """The label holder's model, alone and with others.

    Attributes:
        own: On its own columns: also what is left when a partner leaves.
        weights: Of its own log-odds, those of each feature holder, and one; shape (2 + feature holders,).
        averages: Of those trained on: the log-odds of their cells by own column, then what each feature
            holder said; shape (own columns + feature holders,).
    """

    own: OwnModel
    weights: Floats
    averages: Floats

    def encode(self) -> tuple[bytes, bytes]:
        """The own model's file, and that of the weights; equal models give equal bytes."""
        own, received = np.split(self.averages, [self._columns])
        kept = {
            "weights": self.weights.tolist(),
            "own_averages": own.tolist(),
            "received_averages": received.tolist(),
        }
        return self.own.encode(), canonical_json(kept)

    @classmethod
    def decode(cls, own: bytes, weights: bytes) -> "Fusion":
        """Reads the files.

        Raises:
            ServingError: ``model.invalid`` if the bytes are none.
        """
        try:
            kept = _Weights.model_validate_json(weights)
        except ValidationError as error:
            raise ServingError("model.invalid", "a file is not the weights of log-odds") from error
        model = OwnModel.decode(own)
        shape = len(kept.own_averages), len(kept.received_averages)
        if shape != (len(model.binning.columns), len(kept.weights) - 2):
            raise ServingError("model.invalid", "the weights of log-odds do not fit the model")
        return cls(model, np.array(kept.weights), np.array([*kept.own_averages, *kept.received_averages]))

    def logits(self, columns: Columns, received: list[Floats]) -> Floats:
        """Log-odds of people.

        Args:
            columns: Of the label holder.
            received: Theirs, of the feature holders in the order of training, shape (rows,) each.
        """
        added: Floats = _stacked(self.own.logits(columns), received) @ self.weights
        return added

    def logits_of_one(self, columns: Columns, received: list[float]) -> Floats:
        """As :meth:`logits`, of a single row; shape (1,)."""
        added: Floats = np.array([[self.own.logit_of_one(columns), *received, 1.0]]) @ self.weights
        return added

    def parts(self, columns: Columns, received: list[Floats]) -> tuple[Floats, float]:
        """What each own column, then each feature holder adds to log-odds.

        Args:
            columns: As :meth:`logits`.
            received: As :meth:`logits`.

        Returns:
            Against the average of those trained on, shape (rows, own columns + feature holders), and the
            log-odds of that average. Added up they are the log-odds, unless own ones were cut off at
            :data:`LARGEST_LOGIT`.
        """
        said = np.column_stack([self.own.by_column(columns), *received])
        first, *others, constant = self.weights
        weights = np.array([first] * self._columns + others)
        average = float(self.averages @ weights + first * self.own.base + constant)
        return (said - self.averages) * weights, average

    @property
    def _columns(self) -> int:
        """How many own ones there are."""
        return len(self.own.binning.columns)


def fuse_label_holder(
    binning: Binning,
    columns: Columns,
    labels: NDArray[np.bool_],
    feature_holders: Mapping[str, PeerChannel],
    settings: FusionSettings,
    root: bytes,
    random: SecureRandom,
) -> Fusion:
    """The label holder's part.

    Args:
        binning: How its columns are cut into cells; nobody else sees it.
        columns: Of the aligned people, in their common order, by name.
        labels: Shape (rows,).
        feature_holders: The other parties. All are sent the same flipped labels: two that put theirs
            together know no more than one.
        settings: The run's.
        root: Of the alignment.
        random: The coins; they stay secret.

    Returns:
        The model.

    Raises:
        ConfigurationError: ``config.bad-data`` if labels are not yes or no.
        ProtocolError: Naming the party whose answer is malformed.
    """
    if labels.dtype != np.bool_ or labels.ndim != 1:
        raise ConfigurationError("config.bad-data", "a label is yes or no, one for each person")
    own = OwnModel.fit(binning, columns, labels.astype(np.float64), settings.min_rows, settings.l2)
    flipped = randomised_response(labels, settings.epsilon, random)
    for peer in feature_holders.values():
        send(peer, "labels", 0, flipped.astype(np.uint8), more=_about(settings, root))
    received = [receive_logits(peer, len(labels)) for peer in feature_holders.values()]
    said = np.column_stack([own.by_column(columns), *received])
    return Fusion(own, _added(_stacked(own.logits(columns), received), labels), said.mean(axis=0))


def fuse_feature_holder(
    binning: Binning, columns: Columns, label_holder: PeerChannel, settings: FusionSettings, root: bytes
) -> OwnModel:
    """A feature holder's part: fits its model to flipped labels and sends its log-odds of everybody.

    Raises:
        ProtocolError: ``protocol.malformed`` if there is not a label for each person, or the label holder
            means other people, their other order, or other settings.
    """
    rows = len(next(iter(columns.values()), ()))
    about, (flipped,) = receive(label_holder, "labels", 0, Shape("u1", (rows,), 1.0))
    if about != _about(settings, root):
        raise ProtocolError(
            "protocol.malformed",
            f"{label_holder.peer} comes with other settings, other people or another order",
        )
    flip = flip_probability(settings.epsilon)
    targets = (flipped - flip) / (1 - 2 * flip)
    model = OwnModel.fit(binning, columns, targets, settings.min_rows, settings.l2)
    send_logits(model, columns, label_holder)
    return model


def _about(settings: FusionSettings, root: bytes) -> dict[str, JsonInput]:
    """What both sides compare."""
    return {"settings": sha256_hex(canonical_json(settings.model_dump())), "root": root.hex()}


def send_logits(model: OwnModel, columns: Columns, label_holder: PeerChannel) -> None:
    """A feature holder sends its log-odds of people, also to score them."""
    send(label_holder, "logits", 0, model.logits(columns))


def receive_logits(feature_holder: PeerChannel, rows: int) -> Floats:
    """What :func:`send_logits` sent for so many people, shape (rows,)."""
    logits: Floats = receive(feature_holder, "logits", 0, Shape("f8", (rows,), LARGEST_LOGIT))[1][0]
    return logits


def _stacked(own: Floats, received: list[Floats]) -> Floats:
    return np.column_stack([own, *received, np.ones(len(own))])


def _added(logits: Floats, labels: NDArray[np.bool_]) -> Floats:
    """Weights with which log-odds are added: each model is too sure, or not sure enough, by a factor."""
    weights = np.zeros(logits.shape[1])
    for _ in range(_STEPS):
        fitted = logistic(logits @ weights)
        bend = (logits * np.maximum(fitted * (1 - fitted), 1e-3)[:, None]).T @ logits
        bend += 1e-6 * np.eye(len(weights))
        weights -= np.linalg.solve(bend, logits.T @ (fitted - labels))
    return weights
