"""What each party keeps of a split network: how its columns become numbers, and its half's weights.

A part is canonical JSON with safetensors beside it; nothing in them is executed.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, ValidationError

from hanse.crypto import canonical_json
from hanse.errors import ServingError
from hanse.learning.vertical.split.inputs import Inputs
from hanse.learning.vertical.split.networks import (
    LabelHalf,
    bottom,
    decode_state,
    encode_state,
    restore,
    state_of,
)
from hanse.learning.vertical.split.settings import SplitSettings
from hanse.policies.fields import Document, Many


class SplitDescription(Document):
    """What a part's weights mean.

    Attributes:
        settings: The run's.
        inputs: The party's columns as numbers.
        holders: Feature holders whose embeddings a label holder's half takes, in this order; none at a
            feature holder.
    """

    settings: SplitSettings
    inputs: Inputs
    holders: Annotated[Many[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=16)] = ()


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
        try:
            described = SplitDescription.model_validate_json(description)
        except ValidationError as error:
            raise ServingError("model.invalid", "a file is not a part of a split network") from error
        settings, width = described.settings, described.inputs.width
        network: torch.nn.Module = (
            LabelHalf(width, len(described.holders), settings)
            if described.holders
            else bottom(width, settings)
        )
        restore(network, {name: value.astype("f4") for name, value in decode_state(weights).items()})
        return cls(described, network)
