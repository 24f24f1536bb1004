"""What became of the rows of a source."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hanse.policies.ledger.intake import Refusals

MAX_LISTED_REFUSALS: Final = 10_000
CONFLICT: Final = "event_id: another event has it; give every event an id of its own"


class Refusal(NamedTuple):
    """A row that was not taken, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a file or query.

    Attributes:
        accepted: Events that are new in the ledger.
        repeated: Events that the ledger had already.
        refused_total: Rows that were refused.
        refused: The first 10,000 of them, with line or row numbers (the header of a CSV file is line 1; the
            rows of a Parquet file and of a query count from 1).
        stopped: Why reading ended before the end; None if it did not. What came before is recorded.
    """

    accepted: int
    repeated: int
    refused_total: int
    refused: tuple[Refusal, ...]
    stopped: str | None = None


class Recorded(NamedTuple):
    """What became of a batch; ``conflicts`` are the numbers of rows whose id another event has."""

    accepted: int
    repeated: int
    conflicts: Sequence[int]


@dataclass(slots=True)
class Counts:
    """The report in the making."""

    accepted: int = 0
    repeated: int = 0
    refused_total: int = 0
    refused: list[Refusal] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows so far."""
        return self.accepted + self.repeated + self.refused_total

    def add(self, recorded: Recorded, refused: Refusals) -> None:
        """Counts a batch; lists what was refused in the order of its lines."""
        self.accepted += recorded.accepted
        self.repeated += recorded.repeated
        found = sorted([*refused, *((number, CONFLICT) for number in recorded.conflicts)])
        self.refused_total += len(found)
        room = MAX_LISTED_REFUSALS - len(self.refused)
        self.refused += [Refusal(line, reason) for line, reason in found[:room]]

    def report(self, stopped: str | None) -> IngestReport:
        """The report; ``stopped`` says why reading ended early."""
        return IngestReport(self.accepted, self.repeated, self.refused_total, tuple(self.refused), stopped)
