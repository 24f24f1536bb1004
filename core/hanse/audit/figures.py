"""Numbers of rows, as far as they are shown: two counts agree unless what is shown of them rules it out."""

from collections.abc import Iterator, Mapping

from hanse.audit.entry import Entry
from hanse.audit.event import Counts, EventType

Shown = int | str
"""A number of rows, or ``<k`` where it is too small to be shown."""


def agree(one: Shown, other: Shown) -> bool:
    """Whether two counts can be of the same rows.

    Args:
        one: A count.
        other: Another.

    Returns:
        False only if no number of rows would be shown as both.
    """
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    if isinstance(one, int) or isinstance(other, int):
        exact, hidden = (one, other) if isinstance(one, int) else (other, one)
        return int(exact) < int(str(hidden)[1:])
    return True


def rows_of(entry: Entry) -> dict[str, Shown]:
    """The numbers of one entry that have to be the same number of rows (P32).

    Args:
        entry: An admission, a step that was done, or a statement about one.

    Returns:
        What the entry says of rows admitted, rows used and subjects committed to.
    """
    stated = {
        "rows admitted": None if entry.counts is None else entry.counts.rows_out,
        # An evaluation admits all and uses the held-out ones.
        "rows used": None if is_evaluation(entry) else entry.rows_used,
        "subjects in the set": entry.subject_set_size,
    }
    return {name: rows for name, rows in stated.items() if rows is not None}


def is_evaluation(entry: Entry) -> bool:
    """Whether an entry is about an evaluation, which uses only a part of what was admitted."""
    return entry.type is EventType.RUN_EVALUATED or entry.detail == "evaluated"


def differences(rows: Mapping[str, Shown]) -> Iterator[str]:
    """Sentences about counts that cannot be of the same rows.

    Args:
        rows: Counts by what they count.
    """
    first, *others = rows.items() if rows else [("", 0)]
    for name, count in others:
        if not agree(first[1], count):
            yield f"{first[1]} {first[0]}, {count} {name}"


def excluded_too_many_or_few(counts: Counts) -> bool:
    """Whether the rows left out by rule are not the difference between rows in and rows out."""
    numbers = [counts.rows_in, counts.rows_out, *counts.by_rule.values()]
    exact = [number for number in numbers if isinstance(number, int)]
    return len(exact) == len(numbers) and exact[0] - exact[1] != sum(exact[2:])
