"""Reads the replies of a person: each is text until it is checked."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

YES: Final = frozenset({"yes", "y", "true", "是"})
NO: Final = frozenset({"no", "n", "false", "否"})
NONE: Final = frozenset({"", "none", "无"})

Answers = Mapping[str, str]
"""Answers by key; a key such as ``role.brand`` is about one member, column or caller."""


def yes(answer: str) -> bool:
    """Reads yes or no.

    Raises:
        ValueError: Neither was said.
    """
    said = answer.strip().casefold()
    if said not in YES | NO:
        raise ValueError("write yes or no")
    return said in YES


def names(answer: str) -> tuple[str, ...]:
    """Reads names with commas between them; "none" is no name."""
    if answer.strip().casefold() in NONE:
        return ()
    return tuple(name.strip() for name in answer.replace("，", ",").split(",") if name.strip())


def number(answer: str) -> float | None:
    """Reads a number above zero, or none.

    Raises:
        ValueError: It is neither.
    """
    if answer.strip().casefold() in NONE:
        return None
    value = _float(answer)
    if not 0 < value < float("inf"):
        raise ValueError("write a number above zero, or none")
    return value


def count(answer: str) -> int:
    """Reads a whole number, at least one.

    Raises:
        ValueError: It is none.
    """
    digits = answer.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len("1000000000") and int(digits) > 0):
        raise ValueError("write a whole number, at least 1")
    return int(digits)


def count_or_none(answer: str) -> int | None:
    """Reads a whole number, at least one, or none.

    Raises:
        ValueError: It is neither.
    """
    return None if answer.strip().casefold() in NONE else count(answer)


def day(answer: str) -> datetime:
    """Reads a day as its first moment, UTC.

    Raises:
        ValueError: It is none.
    """
    try:
        return datetime.strptime(answer.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError("write a day, as 2027-01-31") from error


def _float(answer: str) -> float:
    try:
        return float(answer)
    except ValueError as error:
        raise ValueError("write a number") from error
