"""What a change of an agreement can mean for the people in the data."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from hanse.policies.agreement.document import Agreement
from hanse.policies.rules import Wording


class Effect(StrEnum):
    """What a change does to the people in the data."""

    WIDENS = "widens"
    NARROWS = "narrows"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a change in one direction means.

    Attributes:
        effect: Whether more is done with people's data, less, or the same.
        note: What to say of it beside what changed.
        anew: Rules by which consents that were given before may no longer suffice.
    """

    effect: Effect
    note: Wording | None = None
    anew: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A change to be looked at: both agreements, the value before and the value after."""

    old: Agreement
    new: Agreement
    before: object
    after: object


Look: TypeAlias = Callable[[Case], Meaning]
"""Finds what a change means."""


@dataclass(frozen=True, slots=True)
class Term:
    """A field.

    Attributes:
        name: What it is called; ``{0}``, ``{1}`` are the names of what it belongs to.
        more: What it means that there is more of it.
        less: What it means that there is less of it.
        order: Of a field that takes one of a few values, those values, from less to more.
        look: Finds the meaning in the place of ``more`` and ``less``.
    """

    name: Wording
    more: Meaning
    less: Meaning
    order: tuple[object, ...] = ()
    look: Look | None = None
