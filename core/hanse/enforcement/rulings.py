"""The decision about all records of a round at once, and a check of a sample of it.

It must say of every subject what :meth:`hanse.policies.Screening.decide` says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from hanse.enforcement.columns import ConsentColumns, Places
from hanse.enforcement.compile import ADMITTED, Codes, RowFilter
from hanse.errors import PolicyError
from hanse.policies.admission import AskedColumn, Ruling, Screening
from hanse.policies.facts import HIDDEN, hides
from hanse.policies.ledger import ConsentSnapshot

SAMPLE_SUBJECTS: Final = 256
"""Subjects whose decision is made a second time in every round. Ours: one compiled decision in a hundred that
were wrong would pass unnoticed with a probability below 8 %, two in a hundred below 1 %."""

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Decision:
    """The decision about the records of one round.

    Attributes:
        rows: Positions of the admitted records, increasing.
        subjects: Number of different subjects among them.
        considered: Number of records that were asked about.
        excluded_by_rule: Number of records that each rule excluded, by the first rule that each fails.
        hidden: By column, positions of the admitted records in which it must not be read, increasing; only
            columns that are hidden somewhere.
        hidden_by_rule: Number of values that each rule hid, by the first rule that each fails.
        snapshot_head: Head of the consent ledger that the decision rests on.
    """

    rows: Positions
    subjects: int
    considered: int
    excluded_by_rule: Mapping[str, int]
    hidden: Mapping[str, Positions]
    hidden_by_rule: Mapping[str, int]
    snapshot_head: int

    @cached_property
    def hidden_by_column(self) -> Mapping[str, int]:
        """Number of admitted records in which each column is hidden."""
        return {name: len(rows) for name, rows in self.hidden.items()}


class Rulings:
    """The decision about every subject of the columns, and about whom they do not know.

    Args:
        screening: What is the same for all subjects.
        columns: What the subjects consented to; they stay as they are as long as the rulings are used.
    """

    def __init__(self, screening: Screening, columns: ConsentColumns) -> None:
        self._screening = screening
        self._columns = columns
        compiled = RowFilter(screening.rules, screening.facts, columns, screening.job.purpose)
        self._rules = list(dict.fromkeys([*compiled.rules, *_rules(screening.columns)]))
        self._codes = self._numbers(compiled)[compiled.decide().codes]
        self._nobody: int = self._numbers(compiled)[compiled.nobody]
        self._filters: dict[tuple[object, ...], Codes] = {}
        self._hidden: dict[str, Codes] = {}
        for column in screening.columns:
            self._decide_column(column)

    def at(self, places: Places) -> tuple[Codes, Mapping[str, Codes]]:
        """Codes (places in :attr:`rules`, or :data:`ADMITTED`) of some subjects, and of their columns."""
        codes = np.full(len(places), self._nobody, dtype=np.uint8)
        known = places >= 0
        codes[known] = self._codes[places[known]]
        hidden = {}
        for name, failures in self._hidden.items():
            own = np.full(len(places), ADMITTED, dtype=np.uint8)
            own[known] = failures[places[known]]
            hidden[name] = np.where(codes == ADMITTED, own, ADMITTED)
        return codes, hidden

    @property
    def rules(self) -> Sequence[str]:
        """Identifiers, by code."""
        return self._rules

    def ruling(self, place: int) -> Ruling:
        """The decision about the subject at a place of the columns."""
        code = int(self._codes[place]) if place >= 0 else self._nobody
        if code != ADMITTED:
            return Ruling(self._rules[code])
        return Ruling(None, frozenset(name for name, own in self._hidden.items() if own[place] != ADMITTED))

    def _decide_column(self, column: AskedColumn) -> None:
        """Excludes whom a required column excludes; notes in whom another one is hidden."""
        failures = self._column_codes(column, hidden=False).copy()
        folded = self._folding_places(column)
        if len(folded):
            failures[folded] = self._column_codes(column, hidden=True)[folded]
        failed = failures != ADMITTED
        if column.required:
            excluded = failed & (self._codes == ADMITTED)
            self._codes[excluded] = failures[excluded]
        elif failed.any():
            self._hidden[column.name] = failures

    def _column_codes(self, column: AskedColumn, *, hidden: bool) -> Codes:
        """The same for all columns of which the rules read the same."""
        key = (hidden, tuple(rule for rule, _ in column.rules), tuple(sorted(column.facts.items())))
        if key not in self._filters:
            facts = {**self._screening.facts, **column.facts, HIDDEN: hidden}
            purpose = self._screening.job.purpose
            compiled = RowFilter(column.rules, facts, self._columns, purpose)
            self._filters[key] = self._numbers(compiled)[compiled.decide().codes]
        return self._filters[key]

    def _numbers(self, compiled: RowFilter) -> Codes:
        """From the codes of one filter to those of all rules."""
        numbers = np.full(ADMITTED + 1, ADMITTED, dtype=np.uint8)
        numbers[: len(compiled.rules)] = [self._rules.index(rule) for rule in compiled.rules]
        return numbers

    def _folding_places(self, column: AskedColumn) -> Places:
        return np.array(
            [
                place
                for folding, places in self._columns.folded(self._screening.job.purpose)
                if hides(folding, column.name, column.classification)
                for place in places
            ],
            dtype=np.int64,
        )


def _by_rule(rules: Sequence[str], codes: Iterable[Codes]) -> dict[str, int]:
    """How often each rule is in the codes; rules that are not there are left out."""
    counts = sum(
        (np.bincount(own, minlength=ADMITTED + 1) for own in codes), np.zeros(ADMITTED + 1, np.int64)
    )
    found = {rule: int(counts[code]) for code, rule in enumerate(rules) if counts[code]}
    return dict(sorted(found.items()))


def _rules(columns: Sequence[AskedColumn]) -> list[str]:
    return [rule for column in columns for rule, _ in column.rules]


def decide(screening: Screening, columns: ConsentColumns, places: Places) -> tuple[Decision, Rulings]:
    """Decides about every record.

    Args:
        screening: What is the same for all subjects, prepared for these columns.
        columns: What the subjects consented to.
        places: Place of each record's subject in the columns, by position; -1 for an unknown one.

    Returns:
        The decision, and the rulings that it was made of.
    """
    rulings = Rulings(screening, columns)
    codes, hidden = rulings.at(places)
    rows = np.flatnonzero(codes == ADMITTED)
    counts = _by_rule(rulings.rules, [codes])
    flags = {name: own != ADMITTED for name, own in sorted(hidden.items())}
    decision = Decision(
        rows=rows,
        subjects=len(np.unique(places[rows])),
        considered=len(places),
        excluded_by_rule=counts,
        hidden={name: np.flatnonzero(own) for name, own in flags.items() if own.any()},
        hidden_by_rule=_by_rule(rulings.rules, hidden.values()),
        snapshot_head=columns.head,
    )
    return decision, rulings


def require_agreement(
    screening: Screening, rulings: Rulings, sample: Mapping[str, int], snapshot: ConsentSnapshot
) -> None:
    """Decides about some subjects a second time, by the specification, and compares.

    Args:
        screening: What both decisions rest on.
        rulings: The compiled decision.
        sample: Places of the subjects in the columns, by pseudonym.
        snapshot: What the ledger itself says about them.

    Raises:
        PolicyError: ``policy.denied`` (P32) if the decisions differ about anybody: then nobody is admitted.
    """
    differ = sum(screening.decide(snapshot, ref) != rulings.ruling(place) for ref, place in sample.items())
    if differ:
        raise PolicyError(
            "policy.denied",
            f"the row filter and the rules differ about {differ} of {len(sample)} subjects; nothing is read",
            rule="P32",
        )
