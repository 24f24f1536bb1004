"""What the rules removed in a run: rows by rule, and values by rule and by column, at each member.

The figures are those that members told the coordinator; counts below the agreement's minimum are not told, so
a rule that is not listed removed fewer than that, or nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hanse.client.progress import ROUND_AGGREGATED
from hanse.client.remote import RunEvent


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed in the last round in which members told it.

    Attributes:
        members: Members that told it, by name.
        rows: By rule and member, rows that were left out.
        values: By rule and member, values of admitted rows that were hidden.
        columns: By column and member, admitted rows in which it was hidden.
    """

    members: tuple[str, ...]
    rows: Mapping[str, Mapping[str, int]]
    values: Mapping[str, Mapping[str, int]]
    columns: Mapping[str, Mapping[str, int]]


def removed(events: Sequence[RunEvent]) -> Removed:
    """Reads what was removed from the events of a run.

    Args:
        events: All events of the run.
    """
    told: Mapping[str, Mapping[str, Any]] = next(
        (e.facts["rows"] for e in reversed(events) if e.type == ROUND_AGGREGATED and e.facts.get("rows")), {}
    )
    return Removed(
        members=tuple(sorted(told)),
        rows=_turned(told, "excluded_by_rule"),
        values=_turned(told, "hidden_by_rule"),
        columns=_turned(told, "hidden_by_column"),
    )


def _turned(told: Mapping[str, Mapping[str, Any]], kind: str) -> dict[str, dict[str, int]]:
    """From counts by member to members by count."""
    keys = sorted({key for rows in told.values() for key in rows.get(kind, {})})
    return {
        key: {member: rows[kind][key] for member, rows in told.items() if key in rows.get(kind, {})}
        for key in keys
    }
