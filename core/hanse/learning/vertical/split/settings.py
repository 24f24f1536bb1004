"""What a run of a split network does; without a defence of the labels there is none."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from hanse.crypto import canonical_json, sha256_hex
from hanse.policies.agreement.vertical import LARGEST_EPSILON, SMALLEST_EPSILON
from hanse.policies.fields import Document


class LabelNoise(Document):
    """Bottoms are trained towards labels of which each was flipped once, at random.

    Attributes:
        kind: ``label_noise``.
        epsilon: Of randomised response, per person and run: the gradients of all epochs together are made of
            the same flipped labels, so that epochs add nothing.
    """

    kind: Literal["label_noise"] = "label_noise"
    epsilon: Annotated[float, Field(ge=SMALLEST_EPSILON, le=LARGEST_EPSILON)]


class FrozenBottoms(Document):
    """Bottoms keep their random weights: nothing about labels goes to a feature holder.

    Attributes:
        kind: ``frozen``.
    """

    kind: Literal["frozen"] = "frozen"


Defence: TypeAlias = Annotated[LabelNoise | FrozenBottoms, Field(discriminator="kind")]


class SplitSettings(Document):
    """Part of what the parties agree on.

    Attributes:
        defence: Of the labels against the feature holders; there is no default and no way without.
        hidden: Width of the hidden layer of each bottom and of the top.
        embedding: Numbers per person that a feature holder sends.
        epochs: Passes in which bottoms are trained; of no effect with frozen bottoms.
        batch: People per message.
        learning_rate: Of Adam, in the joint passes.
        top_epochs: Passes in which the label holder then fits its own half, alone, to the true labels.
        top_learning_rate: Of Adam, in those.
        weight_decay: Pulls the label holder's half towards zero in those.
    """

    defence: Defence
    hidden: Annotated[int, Field(ge=1, le=1024)] = 64
    embedding: Annotated[int, Field(ge=1, le=256)] = 32
    epochs: Annotated[int, Field(ge=1, le=1000)] = 12
    batch: Annotated[int, Field(ge=16, le=65_536)] = 256
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.003
    top_epochs: Annotated[int, Field(ge=1, le=1000)] = 12
    top_learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.003
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4

    @property
    def joint_epochs(self) -> int:
        """Passes in which gradients go to feature holders."""
        return 0 if isinstance(self.defence, FrozenBottoms) else self.epochs

    @property
    def digest(self) -> str:
        """What both sides compare."""
        return sha256_hex(canonical_json(self.model_dump()))
