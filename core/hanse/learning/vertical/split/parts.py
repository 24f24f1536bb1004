"""What each party keeps of a split network: how its columns become numbers, and its half's weights.

A part is canonical JSON with safetensors beside it; nothing in them is executed.
"""

from dataclasses import dataclass

import torch

from hanse.crypto import canonical_json
from hanse.learning.vertical.split.description import SplitDescription
from hanse.learning.vertical.split.networks import (
    LabelHalf,
    bottom,
    restore,
    state_of,
)
from hanse.learning.vertical.split.states import decode_state, encode_state


@dataclass(frozen=True, slots=True)
class SplitPart:
    """A party's part.

    Attributes:
        description: What it means.
        network: A :class:`LabelHalf`, or a feature holder's bottom.
    """

    description: SplitDescription
    network: torch.nn.Module

    def encode(self) -> tuple[bytes, bytes]:
        """Description and weights as files."""
        return canonical_json(self.description.model_dump(mode="json")), encode_state(state_of(self.network))

    @classmethod
    def decode(cls, description: bytes, weights: bytes) -> "SplitPart":
        """Reads the files.

        Raises:
            ServingError: ``model.invalid`` if the bytes are none, or do not fit each other.
        """
        described = SplitDescription.decode(description)
        settings, width = described.settings, described.inputs.width
        network: torch.nn.Module = (
            LabelHalf(width, len(described.holders), settings)
            if described.holders
            else bottom(width, settings)
        )
        restore(network, {name: value.astype("f4") for name, value in decode_state(weights).items()})
        return cls(described, network)
