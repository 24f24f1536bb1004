"""What is used of a person: columns, their public cells, and to whom what is made of them goes."""

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanse.policies.fields import Classification, ColumnName, Document, Many, Name, Text, require_unique

MAX_CELLS: Final = 1000  # edges or categories of one column
MAX_DISCLOSURES: Final = 100
EVERY_MEMBER: Final = "members"

Special: TypeAlias = Literal[
    "biometrics",
    "religion",
    "specific_identity",
    "medical",
    "financial_account",
    "whereabouts",
    "genetic",
    "ethnicity",
    "political_opinion",
    "union_membership",
    "sex_life",
    "minor",
    "public_place",
]
"""Why a column is sensitive: the categories of PIPL 26, 28 and 31, GDPR 9(1) and CCPA 1798.140(ae)."""


Form: TypeAlias = Literal["none", "model"]
"""What of a column a partner receives."""


_Bins = Annotated[int, Field(ge=2, le=4096)]

Preparation: TypeAlias = Literal["one_hot", "quantiles", "standardised", "hashed"]
"""What becomes of a column's values; see :class:`Column`."""

_OF_KIND: Final = {"numeric": ("one_hot", "quantiles", "standardised"), "categorical": ("one_hot", "hashed")}


class Disclosure(Document):
    """What of a column a partner receives.

    Attributes:
        to: Name of a member, or ``members`` for every one.
        form: ``none``, or ``model``: as part of a model's weights that were summed over members.
    """

    to: Name
    form: Form


class Column(Document):
    """One column that may be used, with the public cells that its values fall into.

    Attributes:
        name: Name in every member's source.
        kind: ``numeric`` (cut at ``edges``) or ``categorical`` (one of ``categories``).
        classification: Class of its content.
        edges: Bin edges of a numeric column, increasing; public, so never taken from the data. Where its
            transform is learned, two: what is below the first or above the second counts as they do.
        categories: Dictionary of a categorical column; public as well. None where it is ``hashed``.
        necessity: Why the purpose needs it; required for sensitive columns.
        special: Why it is sensitive; required for sensitive columns.
        required: Whether a record is useless without it. A person who hides a required column, or has not
            agreed to it, is left out; of any other column only the person's value is.
        transform: What becomes of its values: ``one_hot`` over the public cells; or, learned from sums over
            all members, ``quantiles`` (one of ``bins`` bins of about equal size between the edges),
            ``standardised`` (distance from the mean in standard deviations) or ``hashed`` (one of ``bins``
            buckets of which those that many records of several members fall into have a feature).
        bins: Bins of ``quantiles``, buckets of ``hashed``; null for the others.
        disclosure: What of it leaves its owner, by partner; nothing goes to whom it does not name.
        description: What people call it, as reasons of scores do: "what was spent this year". Null, and left
            out of the text, where its name says enough.
        protected: Whether people who differ in it are to be treated alike: how scores treat the groups of its
            public cells is then computed in sums over three members or more, and stands in the manifest.
    """

    name: ColumnName
    kind: Literal["numeric", "categorical"]
    classification: Classification
    edges: Annotated[Many[float], Field(max_length=MAX_CELLS)] = ()
    categories: Annotated[Many[Text], Field(max_length=MAX_CELLS)] = ()
    necessity: Text | None = None
    special: Special | None = None
    required: bool = True
    transform: Preparation = "one_hot"
    bins: _Bins | None = Field(default=None, exclude_if=lambda bins: bins is None)
    disclosure: Annotated[Many[Disclosure], Field(max_length=MAX_DISCLOSURES)] = ()
    description: Text | None = Field(default=None, exclude_if=lambda given: given is None)
    protected: bool = Field(default=False, exclude_if=lambda given: not given)

    @model_validator(mode="after")
    def _cells_fit_kind(self) -> Self:
        numeric, hashed = self.kind == "numeric", self.transform == "hashed"
        if bool(self.edges) != numeric or bool(self.categories) == (numeric or hashed):
            raise PydanticCustomError(
                "cells", "give edges to a numeric column, categories to a categorical one"
            )
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise PydanticCustomError("edges", "write the edges in increasing order, each once")
        if self.transform not in _OF_KIND[self.kind]:
            raise PydanticCustomError("transform", "choose a transform that fits the column's kind")
        if numeric and self.transform != "one_hot" and len(self.edges) != 2:  # noqa: PLR2004 - an interval
            raise PydanticCustomError("edges", "give a learned transform two edges: lowest and highest value")
        if (self.bins is not None) != (self.transform in ("quantiles", "hashed")):
            raise PydanticCustomError("bins", "give bins to quantiles and hashed, and to no other transform")
        if self.protected and self.transform != "one_hot":
            raise PydanticCustomError("protected", "give a protected column public cells: transform one_hot")
        require_unique("the categories", self.categories)
        require_unique("the partners of a column's disclosure", (item.to for item in self.disclosure))
        return self

    def form_for(self, member: str) -> Form:
        """What of the column a member receives; a line of its own counts before that for every member."""
        forms: dict[str, Form] = {item.to: item.form for item in self.disclosure}
        return forms.get(member, forms.get(EVERY_MEMBER, "none"))


class Label(Document):
    """What is predicted: the column and its value that counts as yes."""

    name: ColumnName
    positive: Text
