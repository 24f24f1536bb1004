"""A split network served: feature holders say embeddings, the label holder has the top; in numpy.

A scorer does not load torch. The halves are those of :mod:`hanse.learning.vertical.split.networks`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ServingError
from hanse.learning.vertical.own_model import logistic
from hanse.learning.vertical.serving.forms import Embeddings, Rows
from hanse.learning.vertical.serving.halves import Columns, file_of
from hanse.learning.vertical.serving.own import PART, open_alone
from hanse.learning.vertical.split.description import SplitDescription
from hanse.learning.vertical.split.states import decode_state

WEIGHTS: Final = "part.safetensors"

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layers:
    """Two layers, a hyperbolic tangent behind the first.

    Attributes:
        first: Weights, shape (hidden, inputs), and biases, shape (hidden,).
        second: Likewise, of as many as come out.
    """

    first: tuple[Floats32, Floats32]
    second: tuple[Floats32, Floats32]

    def apply(self, values: Floats32) -> Floats32:
        """What comes out, shape (rows, outputs), of values, shape (rows, inputs)."""
        (w1, b1), (w2, b2) = self.first, self.second
        out: Floats32 = np.tanh(values @ w1.T + b1) @ w2.T + b2
        return out


@dataclass(frozen=True, slots=True)
class SplitFeature:
    """See :class:`hanse.learning.vertical.serving.halves.FeatureHalf`.

    Attributes:
        description: What the weights mean.
        bottom: From own columns to embeddings.
    """

    description: SplitDescription
    bottom: Layers

    @property
    def form(self) -> Embeddings:
        """See the protocol."""
        return Embeddings(self.description.settings.embedding)

    @property
    def columns(self) -> tuple[str, ...]:
        """All that the bottom takes."""
        return tuple(column.name for column in self.description.inputs.columns)

    def answers(self, columns: Columns, people: int) -> Rows:
        """See the protocol."""
        return self.form.write(np.tanh(self.bottom.apply(_inputs(self.description, columns, people))))


@dataclass(frozen=True, slots=True)
class SplitLabel:
    """See :class:`hanse.learning.vertical.serving.halves.LabelHalf`.

    Attributes:
        description: What the weights mean.
        bottom: From own columns to embeddings.
        top: From all embeddings, own ones first, to log-odds.
    """

    description: SplitDescription
    bottom: Layers
    top: Layers

    @property
    def asks(self) -> Mapping[str, Embeddings]:
        """All."""
        form = Embeddings(self.description.settings.embedding)
        return dict.fromkeys(self.description.holders, form)

    def scores(self, columns: Columns, answers: Mapping[str, Rows]) -> NDArray[np.float64]:
        """See the protocol."""
        people = len(next(iter(answers.values())))
        own = np.tanh(self.bottom.apply(_inputs(self.description, columns, people)))
        received = [form.read(answers[name]) for name, form in self.asks.items()]
        logits = self.top.apply(np.concatenate([own, *received], axis=1))
        return logistic(logits[:, 0].astype(np.float64))


def _inputs(description: SplitDescription, columns: Columns, people: int) -> Floats32:
    inputs = description.inputs
    return inputs.apply_to_one(columns) if people == 1 else inputs.apply(columns)


def open_feature(files: Mapping[str, bytes]) -> SplitFeature:
    """Reads a feature holder's part.

    Raises:
        ServingError: ``model.invalid``.
    """
    described, state = _read(files)
    settings = described.settings
    bottom = _layers(state, "", (described.inputs.width, settings.hidden, settings.embedding))
    return SplitFeature(described, _whole(bottom, state, 1))


def open_label(files: Mapping[str, bytes]) -> SplitLabel:
    """Reads a label holder's part.

    Raises:
        ServingError: ``model.invalid``.
    """
    described, state = _read(files)
    settings = described.settings
    if not described.holders:
        raise ServingError("model.invalid", "a label holder's half takes nobody's embeddings")
    bottom = _layers(state, "bottom.", (described.inputs.width, settings.hidden, settings.embedding))
    joined = settings.embedding * (1 + len(described.holders))
    top = _layers(state, "top.", (joined, settings.hidden, 1))
    return SplitLabel(described, bottom, _whole(top, state, 2))


def _read(files: Mapping[str, bytes]) -> tuple[SplitDescription, dict[str, NDArray[np.generic]]]:
    return SplitDescription.decode(file_of(files, PART)), decode_state(file_of(files, WEIGHTS))


def _layers(state: Mapping[str, NDArray[np.generic]], prefix: str, widths: tuple[int, int, int]) -> Layers:
    """Two layers of a state, whose second one is the third module."""
    inputs, hidden, outputs = widths
    return Layers(_layer(state, f"{prefix}0", inputs, hidden), _layer(state, f"{prefix}2", hidden, outputs))


def _layer(
    state: Mapping[str, NDArray[np.generic]], name: str, inputs: int, outputs: int
) -> tuple[Floats32, Floats32]:
    found = [state.get(f"{name}.{part}") for part in ("weight", "bias")]
    shapes = [None if one is None else one.shape for one in found]
    weight, bias = (np.zeros(0, np.float32) if one is None else one.astype(np.float32) for one in found)
    if shapes != [(outputs, inputs), (outputs,)] or not (
        np.isfinite(weight).all() and np.isfinite(bias).all()
    ):
        raise ServingError("model.invalid", "the parameters do not fit the network")
    return weight, bias


def _whole(layers: Layers, state: Mapping[str, NDArray[np.generic]], networks: int) -> Layers:
    """The layers, of a state that has nothing else."""
    if len(state) != 4 * networks:  # weights and biases of two layers each
        raise ServingError("model.invalid", "the parameters do not fit the network")
    return layers


__all__ = ["SplitFeature", "SplitLabel", "open_alone", "open_feature", "open_label"]
