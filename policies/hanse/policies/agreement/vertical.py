"""A vertical agreement: members that know different things about the same people learn from them together.

One member, the *label holder*, has what is predicted; the others, *feature holders*, have other columns of
the same people. Who is common is found by private intersection of identifiers; what is learned stays in
parts, at each member the part that is about its own columns.

What an agreement says here is checked against the rest of it by
:func:`hanse.policies.agreement.vertical_checks.check_vertical`.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanse.policies.agreement.alignment import AlignmentRules
from hanse.policies.fields import ColumnName, Count, Document, Many, Name

MIN_KEY_BITS: Final = 2048
MAX_KEY_BITS: Final = 4096
"""Of the modulus; fewer than the least are not safe today, more than the most take too long."""

MAXIMUM_LEAKAGE: Final = 0.60
"""Largest area of an attack on labels with which a model is released, unless another is agreed."""

SMALLEST_EPSILON: Final = 0.05
LARGEST_EPSILON: Final = 8.0
"""Of noise on labels."""

_MOST_MEMBERS: Final = 8


class Holding(Document):
    """The columns that one member has of the common people.

    Attributes:
        member: Its name.
        columns: Names of columns of the agreement; each belongs to one member.
    """

    member: Name
    columns: Annotated[Many[ColumnName], Field(min_length=1, max_length=5000)]


class Trust(Document):
    """What the members rely on beside themselves.

    Attributes:
        mode: ``dealer``: the products that members compute on hidden values use randomness from a dealer.
            ``homomorphic``: there is no dealer, members add up what the label holder has encrypted.
            ``direct``: members send each other what the model needs, as it is; see :class:`LabelDefence`.
        dealer: Who deals it; left out without a dealer.
        coordinator_colludes_with_no_member: Must be written as true by whoever relies on it, and left out
            without a dealer; see :mod:`.vertical_statements`.
        key_bits: Length of the label holder's key, from :data:`MIN_KEY_BITS` to :data:`MAX_KEY_BITS`; left
            out with a dealer.
    """

    mode: Literal["dealer", "homomorphic", "direct"]
    dealer: Literal["coordinator"] | None = Field(default=None, exclude_if=lambda given: given is None)
    coordinator_colludes_with_no_member: Literal[True] | None = Field(
        default=None, exclude_if=lambda given: given is None
    )
    key_bits: Annotated[int, Field(ge=MIN_KEY_BITS, le=MAX_KEY_BITS)] | None = Field(
        default=None, exclude_if=lambda given: given is None
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        dealt = self.dealer is not None and self.coordinator_colludes_with_no_member is True
        nothing_dealt = self.dealer is None and self.coordinator_colludes_with_no_member is None
        if self.mode == "dealer" and not (dealt and self.key_bits is None):
            raise PydanticCustomError(
                "trust",
                "with mode 'dealer' write dealer and coordinator_colludes_with_no_member, and no key_bits",
            )
        if self.mode == "homomorphic" and not (nothing_dealt and self.key_bits is not None):
            raise PydanticCustomError(
                "trust", "with mode 'homomorphic' write key_bits, and nothing about a dealer"
            )
        if self.mode == "direct" and not (nothing_dealt and self.key_bits is None):
            raise PydanticCustomError("trust", "with mode 'direct' write nothing about a dealer or a key")
        return self


class LabelDefence(Document):
    """How labels are protected where members are sent something that is made of them, and no mask hides it.

    Attributes:
        kind: ``label_noise``: each label is flipped once, at random, before anything is made of it.
            ``frozen_bottoms``: feature holders' halves of a network keep their random weights; nothing that
            is made of labels is sent.
        epsilon: Of the flips, per person and run: a label stays itself with probability
            ``1 / (1 + exp(-epsilon))``; left out with frozen bottoms.
    """

    kind: Literal["label_noise", "frozen_bottoms"]
    epsilon: Annotated[float, Field(ge=SMALLEST_EPSILON, le=LARGEST_EPSILON)] | None = Field(
        default=None, exclude_if=lambda given: given is None
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.epsilon is None) != (self.kind == "frozen_bottoms"):
            raise PydanticCustomError(
                "label_defence", "give epsilon to label_noise, and none to frozen_bottoms"
            )
        return self

    @property
    def area(self) -> float:
        """Area under the ROC curve of whoever reads the flipped labels and nothing else."""
        return 0.5 if self.epsilon is None else 1 / (1 + math.exp(-self.epsilon))


AnswerForm: TypeAlias = Literal["sides", "log_odds", "points", "embeddings"]

ANSWER_FORMS: Final[Mapping[str, AnswerForm]] = MappingProxyType(
    {"trees": "sides", "late_fusion": "log_odds", "scorecard": "points", "split_network": "embeddings"}
)
"""What feature holders answer, by the kind of model."""


class Answers(Document):
    """What feature holders answer when a label holder scores people; without it they answer nothing.

    Attributes:
        form: That of the kind of model, which the label holder learns in a run too, of the people in common.
            ``sides``, of trees: on which side of each of its cuts a person is. ``log_odds``, of late fusion:
            what its own model gives a person. ``points``, of a scorecard: those of a person on its half.
            ``embeddings``, of a split network: the numbers that its half makes of a person.
        daily_people: Most people that each feature holder is asked about in a day (UTC).
        keep_s: Longest time for which the label holder keeps an answer in memory, seconds; 0 for never.
        fallback: What a label holder answers while a feature holder does not: ``none``, an error that says
            so; ``own_columns``, what its own columns alone say, marked as such.
    """

    form: AnswerForm
    daily_people: Count
    keep_s: Annotated[int, Field(ge=0, le=86_400)] = 0
    fallback: Literal["none", "own_columns"] = "none"


class Vertical(Document):
    """Who has what of the common people, and how they are found.

    Attributes:
        label_holder: The member that has the label; it learns the top of the model and the scores.
        holdings: The columns of each member.
        alignment: What people are known by, and how the members find whom they have in common.
        minimum_bin_rows: Fewest common people of a bin of a feature holder's column; smaller ones are merged.
        trust: What the members rely on.
        maximum_leakage: Largest area under the ROC curve of any attack on labels, run on what a feature
            holder was sent, with which a model is released; .5 is guessing. Left out of the text while it is
            the default, so that older agreements keep their digests.
        label_defence: How labels are protected with the trust mode ``direct``; null, and left out of the
            text, with the others, where nothing that is made of labels is sent unmasked.
        answers: What feature holders answer when people are scored; null, and left out of the text so that
            older agreements keep their digests, when they answer nothing.
    """

    label_holder: Name
    holdings: Annotated[Many[Holding], Field(min_length=2, max_length=_MOST_MEMBERS)]
    alignment: AlignmentRules
    minimum_bin_rows: Count
    trust: Trust
    maximum_leakage: Annotated[float, Field(ge=0.5, lt=1)] = Field(
        default=MAXIMUM_LEAKAGE, exclude_if=lambda given: given == MAXIMUM_LEAKAGE
    )
    label_defence: LabelDefence | None = Field(default=None, exclude_if=lambda given: given is None)
    answers: Answers | None = Field(default=None, exclude_if=lambda given: given is None)

    def columns_of(self, member: str) -> Sequence[str]:
        """Names of a member's columns; none for who is no member."""
        return next((holding.columns for holding in self.holdings if holding.member == member), ())

    @property
    def feature_holders(self) -> tuple[str, ...]:
        """Everybody but the label holder, in the order of the holdings."""
        return tuple(one.member for one in self.holdings if one.member != self.label_holder)
