"""What the weights of a part of a split network mean; without torch, which a scorer does not load."""

from typing import Annotated, Self

from pydantic import Field, ValidationError

from hanse.errors import ServingError
from hanse.learning.vertical.split.inputs import Inputs
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

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads its file.

        Raises:
            ServingError: ``model.invalid`` if the bytes are none.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ServingError("model.invalid", "a file is not a part of a split network") from error
