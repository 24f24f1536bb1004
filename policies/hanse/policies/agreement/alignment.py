"""How members who hold different columns of the same people find out whom they have in common."""

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanse.policies.fields import ColumnName, Count, Document, Many, check_form, require_unique

MOST_RULES: Final = 4
"""Kinds of identifiers of one alignment: each is a pass over what the passes before left."""

Normalisation: TypeAlias = Literal["email", "email_untagged", "phone", "code", "exact"]
"""What makes two writings the same identifier; see :mod:`hanse.policies.identifiers`."""

WhatFails: TypeAlias = Literal["refuse", "leave_out"]


class IdentifierRule(Document):
    """One kind of identifier.

    Attributes:
        kind: Its name; each member's manifest says which of its columns holds it.
        normalisation: ``email``, ``email_untagged``, ``phone``, ``code`` or ``exact``.
        country_code: Of ``phone``: what stands for a leading national prefix, as ``49``; null for the
            others, and for numbers that must all be written internationally.
        trunk_prefix: Of ``phone`` with a country code: the national prefix, as ``0``; empty for a country
            that has none.
    """

    kind: ColumnName
    normalisation: Normalisation
    country_code: Annotated[str, check_form("[1-9][0-9]{0,2}", "write a country code, as 49")] | None = None
    trunk_prefix: Annotated[str, check_form("[0-9]{0,2}", "write a national prefix, as 0")] = "0"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.country_code is not None and self.normalisation != "phone":
            raise PydanticCustomError("country_code", "give country_code to phone, and to no other")
        return self


class AlignmentRules(Document):
    """What the members agree on about their alignment.

    Attributes:
        identifiers: Kinds in order of preference: two people are the same by the first kind by which they
            are found to be.
        duplicates: What happens when one identifier stands at several rows of a member: ``refuse``, or
            ``leave_out`` for these rows in the pass of that kind, as nobody knows who of them is meant.
        malformed: What happens when a value has not the form of its kind: ``refuse``, or ``leave_out``, as
            if the row had none.
        minimum: Fewest people in common by the first kind. With fewer, nobody learns who they are.
        smallest_set: Sets are filled up with values that match nothing, at least to this size, and above it
            to the next number of two digits and zeros: the others learn no more of a set's size.
        runs: Most alignments of two members for the agreement's purpose, those under its earlier versions
            included.
    """

    identifiers: Annotated[Many[IdentifierRule], Field(min_length=1, max_length=MOST_RULES)]
    duplicates: WhatFails
    malformed: WhatFails
    minimum: Annotated[int, Field(ge=2, le=1_000_000_000)]
    smallest_set: Annotated[int, Field(ge=16, le=10_000_000)]
    runs: Count

    @model_validator(mode="after")
    def _kinds_differ(self) -> Self:
        require_unique("the kinds of identifiers", (rule.kind.casefold() for rule in self.identifiers))
        return self


def bucket(size: int, smallest: int) -> int:
    """The size that a set is filled up to.

    Args:
        size: Of the set, at least 0.
        smallest: ``smallest_set`` of the agreement.

    Returns:
        The smallest number of two digits and zeros that is at least as large as both: at most a tenth more
        than the larger.
    """
    wanted = max(size, smallest)
    unit = int("1" + "0" * max(0, len(str(wanted)) - 2))
    return -(-wanted // unit) * unit
