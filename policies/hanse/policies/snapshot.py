"""What a consent ledger said at one moment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from hanse.policies.consent import Folding, Standing, Terms


@dataclass(frozen=True)
class ConsentSnapshot:
    """The standings of all, or of some, subjects of a ledger.

    Attributes:
        head: Number of the last event that it knows, 0 if there is none.
        root: Digest of the whole history up to ``head``, 64 hex digits.
        taken_at: When it was taken, by the clock of who took it.
        standings: By purpose of use, then by subject_ref.
        synced_at: When a source last fed the ledger, or said that there is nothing new; None if never.
        foldings: What is hidden, by purpose of use, then by subject_ref; only who hides something is in it.
    """

    head: int
    root: str
    taken_at: datetime
    standings: Mapping[str, Mapping[str, Standing]]
    synced_at: datetime | None = None
    foldings: Mapping[str, Mapping[str, Folding]] = field(default_factory=dict)

    def standing(self, subject_ref: str, purpose: str) -> Standing | None:
        """What stands for a subject and a purpose of use; None if nothing was ever decided."""
        subjects = self.standings.get(purpose)
        return None if subjects is None else subjects.get(subject_ref)

    def folding(self, subject_ref: str, purpose: str) -> Folding | None:
        """What a subject hides for a purpose of use; None if nothing."""
        subjects = self.foldings.get(purpose)
        return None if subjects is None else subjects.get(subject_ref)

    def knows(self, subject_ref: str) -> bool:
        """Whether anything was ever decided about a subject."""
        return any(subject_ref in subjects for subjects in self.standings.values())

    @cached_property
    def size(self) -> int:
        """Number of subjects in the snapshot."""
        return len(set().union(*self.standings.values()))


class StandingRow(NamedTuple):
    """A standing in a plain row, for whoever reads a million of them; times in milliseconds since 1970."""

    subject_ref: str
    purpose: str
    state: str
    given_ms: int | None
    expires_ms: int | None
    barrier_ms: int | None
    terms_id: int | None
    guardian: bool
    age_at_least: int | None


@dataclass(frozen=True)
class StandingRows:
    """The standings of all subjects, or of those whom recent events were about, at one moment.

    Attributes:
        head: Number of the last event that it knows, 0 if there is none.
        root: Digest of the whole history up to ``head``, 64 hex digits.
        synced_at: As :attr:`ConsentSnapshot.synced_at`.
        terms: Terms by number.
        rows: The standings; read them once, and before the ledger is closed.
        foldings: As :attr:`ConsentSnapshot.foldings`. Of a subject whom recent events were about and who is
            not in it, nothing is hidden any more.
    """

    head: int
    root: str
    synced_at: datetime | None
    terms: Mapping[int, Terms]
    rows: Iterable[StandingRow]
    foldings: Mapping[str, Mapping[str, Folding]]
