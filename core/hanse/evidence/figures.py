"""What a report shows of a log, taken from its entries: numbers first, words and drawing elsewhere. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from hanse.audit import Entry, EventType
from hanse.evidence.charts import Bar

Row = tuple[int, Entry]

_ROUND_TYPES: Final = frozenset({EventType.ROUND_ADMITTED, EventType.ROUND_SUBMITTED, EventType.ROUND_DENIED})
_SPENT_TYPES: Final = frozenset(
    {EventType.RUN_PREPARED, EventType.ROUND_TRAINED, EventType.RUN_EVALUATED, EventType.BUDGET_SPENT}
)
_BUCKETS: Final = 40
_UNITS: Final = (
    (timedelta(seconds=1), 19, "second"),
    (timedelta(minutes=1), 16, "minute"),
    (timedelta(hours=1), 13, "hour"),
    (timedelta(days=1), 10, "day"),
    (timedelta(days=31), 7, "month"),
)


class Glance(NamedTuple):
    """The numbers at the top of the report, each with its label."""

    label: str
    value: str


def glance(rows: Sequence[Row]) -> list[Glance]:
    """Counts what a reader asks for first.

    Args:
        rows: Index and entry of what is disclosed.

    Returns:
        Labels and numbers.
    """
    kinds = Counter(entry.type for _, entry in rows)
    withdrawn = sum(_whole(entry) for _, entry in rows if entry.type is EventType.CONSENT_WITHDRAWN)
    spent = [entry.privacy.epsilon for _, entry in rows if entry.type in _SPENT_TYPES and entry.privacy]
    return [
        Glance("entries", f"{len(rows):,}"),
        Glance("runs", f"{len({entry.run for _, entry in rows if entry.run}):,}"),
        Glance("rounds", f"{len({(e.run, e.round) for _, e in rows if e.run and e.round}):,}"),
        Glance("models registered", f"{kinds[EventType.MODEL_REGISTERED]:,}"),
        Glance("denials and refusals", f"{sum(entry.decision == 'deny' for _, entry in rows):,}"),
        Glance("withdrawals of consent", f"{withdrawn:,}"),
        Glance("highest epsilon", f"{max(spent):.3g}" if spent else "none"),
    ]


def _whole(entry: Entry) -> int:
    """How many people one entry is about."""
    count = entry.counts.rows_in if entry.counts else 1
    return count if isinstance(count, int) else 1


def runs(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The entries of each run, in order.

    Args:
        rows: Index and entry.

    Returns:
        By run, in the order in which the runs began.
    """
    found: dict[str, list[Row]] = {}
    for index, entry in rows:
        if entry.run is not None:
            found.setdefault(entry.run, []).append((index, entry))
    return found


def row_bars(rows: Iterable[Row]) -> list[Bar]:
    """Rows admitted and left out, by rule, for each step of a run that decided on rows.

    Args:
        rows: Index and entry of one run.

    Returns:
        A bar for each step; counts that are too small to be shown are not in it.
    """
    return [_row_bar(entry) for _, entry in rows if entry.type in _ROUND_TYPES and entry.counts is not None]


def in_two(bar: Bar) -> Bar:
    """The same bar with all that was left out in one piece."""
    left_out = sum(without_admitted(bar).parts.values())
    return Bar(bar.label, {"admitted": bar.parts.get("admitted", 0.0), "left out": left_out})


def without_admitted(bar: Bar) -> Bar:
    """The same bar with what was left out alone, which is often too little to be seen beside the rest."""
    return Bar(bar.label, {name: count for name, count in bar.parts.items() if name != "admitted"})


def step_of(entry: Entry) -> str:
    """The step of a run that an entry is of, in a word or two."""
    return f"round {entry.round}" if entry.round else "no round"


def _row_bar(entry: Entry) -> Bar:
    where = step_of(entry)
    label = where if entry.peer is None else f"{where}\n{entry.peer}"
    parts = {"admitted": 0.0}
    if entry.counts is not None:
        excluded = {f"left out by {rule}": count for rule, count in sorted(entry.counts.by_rule.items())}
        shown = {"admitted": entry.counts.rows_out, **excluded}
        parts = {name: float(count) for name, count in shown.items() if isinstance(count, int)}
    return Bar(label, parts)


def spending(rows: Iterable[Row]) -> dict[str, list[tuple[str, float]]]:
    """Privacy loss over the steps of each run.

    Args:
        rows: Index and entry.

    Returns:
        By run: label of the step and epsilon so far.
    """
    lines: dict[str, list[tuple[str, float]]] = {}
    for _, entry in rows:
        if entry.type in _SPENT_TYPES and entry.privacy is not None and entry.run is not None:
            label = step_of(entry) if entry.round else entry.type.value.partition(".")[2]
            lines.setdefault(entry.run, []).append((label, entry.privacy.epsilon))
    return lines


def over_time(rows: Sequence[Row]) -> tuple[str, list[Bar]]:
    """Entries over time, by the role of who wrote them.

    Args:
        rows: Index and entry, at least one.

    Returns:
        What a bar stands for (``second`` … ``month``), and the bars; times without entries have none.
    """
    length = rows[-1][1].at - rows[0][1].at
    _, cut, unit = next((u for u in _UNITS if length / u[0] <= _BUCKETS), _UNITS[-1])
    counts: dict[str, Counter[str]] = {}
    for _, entry in rows:
        counts.setdefault(entry.time[:cut], Counter())[entry.actor.role] += 1
    return unit, [Bar(label, dict(_sorted(counts[time]))) for time, label in _labels(list(counts))]


def _labels(times: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each time with its label: the day only where it changes."""
    before = ""
    for time in times:
        day, _, hour = time.partition("T")
        yield time, f"{hour}\n{day}" if hour and day != before else hour or day
        before = day


def _sorted(counts: Counter[str]) -> Iterator[tuple[str, float]]:
    yield from ((role, float(count)) for role, count in sorted(counts.items()))
