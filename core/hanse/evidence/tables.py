"""The entries as CSV files (RFC 4180), for people with a spreadsheet.

Every cell is quoted. A cell that a spreadsheet would take for a formula begins with an apostrophe
(OWASP, CSV injection): names of organisations are text of other parties.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from hanse.audit import Entry

Row = tuple[int, Entry]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def _by_rule(entry: Entry) -> str:
    rules = entry.counts.by_rule if entry.counts else {}
    return " ".join(f"{rule}:{count}" for rule, count in sorted(rules.items()))


_COLUMNS: Final[Mapping[str, Callable[[Entry], object]]] = {
    "time": lambda entry: entry.time,
    "organisation": lambda entry: entry.actor.organisation,
    "role": lambda entry: entry.actor.role,
    "key_id": lambda entry: entry.actor.key_id,
    "seq": lambda entry: entry.seq,
    "type": lambda entry: entry.type.value,
    "decision": lambda entry: entry.decision,
    "reasons": lambda entry: " ".join(entry.reasons),
    "run": lambda entry: entry.run,
    "round": lambda entry: entry.round,
    "purpose": lambda entry: entry.purpose,
    "peer": lambda entry: entry.peer,
    "rows_in": lambda entry: entry.counts and entry.counts.rows_in,
    "rows_out": lambda entry: entry.counts and entry.counts.rows_out,
    "rows_used": lambda entry: entry.rows_used,
    "excluded_by_rule": _by_rule,
    "epsilon": lambda entry: entry.privacy and entry.privacy.epsilon,
    "delta": lambda entry: entry.privacy and entry.privacy.delta,
    "agreement": lambda entry: entry.agreement,
    "policy_digest": lambda entry: entry.policy_digest,
    "consent_head": lambda entry: entry.consent and entry.consent.head,
    "subject_set_root": lambda entry: entry.subject_set_root,
    "model_in": lambda entry: entry.model_in,
    "model_out": lambda entry: entry.model_out,
    "detail": lambda entry: entry.detail,
    "clock_behind_ms": lambda entry: entry.clock_behind_ms,
}

_ROWS: Final = ("rows_in", "rows_out", "rows_used", "excluded_by_rule")
_WHO: Final = ("time", "organisation", "role", "type", "peer")
_DECIDED: Final = (
    *("run", "round", *_WHO, "decision", "reasons", "purpose"),
    *(*_ROWS, "agreement", "policy_digest", "consent_head"),
)
_OF_ROUNDS: Final = (
    *("run", "round", *_WHO, *_ROWS, "epsilon", "delta"),
    *("subject_set_root", "model_in", "model_out"),
)


def tables(rows: Sequence[Row]) -> dict[str, bytes]:
    """Writes the CSV files.

    Args:
        rows: Index and entry, in order.

    Returns:
        Their content by name: all entries, those that decide something, those of rounds.
    """
    return {
        "csv/decisions.csv": _csv(_DECIDED, (row for row in rows if row[1].decision is not None)),
        "csv/entries.csv": _csv([*_COLUMNS], rows),
        "csv/rounds.csv": _csv(_OF_ROUNDS, (row for row in rows if row[1].round is not None)),
    }


def cell(value: object) -> str:
    """One cell.

    Args:
        value: None, a number or text.

    Returns:
        Quoted text that no spreadsheet takes for a formula.
    """
    text = "" if value is None else str(value)
    text = f"'{text}" if text.startswith(_FORMULA) else text
    return '"' + text.replace('"', '""') + '"'


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    lines: list[list[object]] = [["index", *columns]]
    lines += [[index, *(_COLUMNS[column](entry) for column in columns)] for index, entry in rows]
    return "".join(",".join(map(cell, line)) + "\r\n" for line in lines).encode()
