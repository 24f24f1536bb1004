"""Which model versions contain somebody who has withdrawn since, and until when they may be used.

The agreement gives a member so many days (``consent.retrain_days``) from a withdrawal on to train a model
that contains the subject anew. Who was in a run is known from the member's own log (the roots of the sets
that it admitted), the sets that it kept, and the subjects' secrets: for each of them exactly. Where a set is
not kept any more, or the log does not tell of the run, everybody who withdrew since counts as contained: the
figure is then the highest that it can be, and the deadline the earliest.

What this cannot show: who of *another* member's subjects has withdrawn. Each member tells for its own.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from hanse.audit.subject_set import Epoch, SubjectSet, subject_tag
from hanse.errors import AuditError, ConfigurationError
from hanse.policies.agreement import Agreement
from hanse.policies.fields import from_ms, to_ms
from hanse.policies.ledger.subject_secrets import SubjectSecret
from hanse.policies.snapshot import StandingRow, StandingRows

_COUNTS: Final = frozenset({"withdrawn", "objected", "given"})
"""States whose barrier is an end of consent by the subject; given anew, the old model still contains them."""

_MILLISECOND: Final = timedelta(milliseconds=1)


class Ledger(Protocol):
    """The part of a consent ledger that is read."""

    def standing_rows(self, since: int = 0, *, ended: bool = False) -> StandingRows:
        """What stands, of everybody or of whom later events were about."""
        ...

    def secret_of(self, subject_ref: str) -> SubjectSecret | None:
        """What is kept of a subject's secret."""
        ...


class Sets(Protocol):
    """The sets of subjects that were kept."""

    def open(self, root: str, size: int) -> SubjectSet | None:
        """One of them, checked; None if it is not kept any more."""
        ...


@dataclass(frozen=True, slots=True)
class AdmittedSet:
    """A set that the log names.

    Attributes:
        epoch: Which one.
        root: Its root, 64 hex digits.
        size: Number of subjects.
        at_ms: When it was first admitted, milliseconds since 1970.
    """

    epoch: Epoch
    root: str
    size: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a model version was made from at this member.

    Attributes:
        agreement: The agreement.
        purpose: What it was trained for.
        own: Whether this member took part in the run.
        created_at: When the version was registered.
        sets: What the member's log says that it admitted in the run.
    """

    agreement: Agreement
    purpose: str
    own: bool
    created_at: datetime
    sets: tuple[AdmittedSet, ...]

    @property
    def since_ms(self) -> int:
        """From when on a withdrawal is one of somebody who may be contained."""
        if self.sets:
            return min(each.at_ms for each in self.sets)
        training = self.agreement.training
        longest = timedelta(seconds=training.rounds * training.round_timeout_s)
        return to_ms(self.created_at - longest)


@dataclass(frozen=True, slots=True)
class Contained:
    """Who of a version's subjects has withdrawn.

    Attributes:
        subjects: How many; at most so many where not ``exact``.
        first: When the first of them withdrew; None if nobody has.
        deadline: From when on the version must not be used; None if nobody has.
        exact: Whether the sets of the run say who is contained.
    """

    subjects: int
    first: datetime | None
    deadline: datetime | None
    exact: bool

    def is_over(self, now: datetime) -> bool:
        """Whether the version must not be used any more."""
        return self.deadline is not None and now >= self.deadline


@dataclass(slots=True)
class Withdrawals:
    """Follows the withdrawals of one version's subjects; reads what is new in the ledger each time.

    Args:
        lineage: What the version was made from.
    """

    lineage: Lineage
    _head: int = 0
    _found: dict[str, int] = field(default_factory=dict)
    _exact: bool = True

    def update(self, ledger: Ledger, sets: Sets) -> Contained:
        """Looks at what happened since the last time.

        Args:
            ledger: The member's ledger.
            sets: The sets that it kept.

        Returns:
            Who is contained and has withdrawn.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be read; the version must not be used then.
        """
        if self.lineage.own:
            told = ledger.standing_rows(self._head, ended=True)
            ended = list(_ended(told.rows, self.lineage.purpose))
            if ended:
                self._take(ended, ledger, sets)
            self._head = told.head
        first_ms = min(self._found.values(), default=None)
        first = None if first_ms is None else from_ms(first_ms)
        days = timedelta(days=self.lineage.agreement.consent.retrain_days)
        return Contained(len(self._found), first, None if first is None else first + days, self._exact)

    def _take(self, ended: Sequence["_Ended"], ledger: Ledger, sets: Sets) -> None:
        opened = _open(self.lineage.sets, sets)
        self._exact = opened is not None
        for one in ended:
            at_ms = (
                _not_ruled_out(self.lineage, one)
                if opened is None
                else _admitted(opened, one, ledger.secret_of(one.subject_ref))
            )
            if at_ms is not None:
                self._found[one.subject_ref] = min(at_ms, self._found.get(one.subject_ref, at_ms))


class _Ended(NamedTuple):
    """A subject whose consent for the purpose of a run has ended.

    Attributes:
        subject_ref: Who.
        ended_ms: When, as the subject's own clock or the record of it says.
        again: Whether it was given anew.
    """

    subject_ref: str
    ended_ms: int
    again: bool


def _ended(rows: Iterable[StandingRow], purpose: str) -> Iterator[_Ended]:
    for row in rows:
        if row.purpose == purpose and row.barrier_ms is not None and row.state in _COUNTS:
            yield _Ended(row.subject_ref, row.barrier_ms, row.state == "given")


_Opened = Sequence[tuple[AdmittedSet, Sequence[bytes]]]


def _open(named: tuple[AdmittedSet, ...], sets: Sets) -> _Opened | None:
    """The tags of all sets of the run; None unless all of them are there and as the log has them."""
    opened = []
    for each in named:
        try:
            found = sets.open(each.root, each.size)
        except (AuditError, ConfigurationError):
            return None  # whoever withdrew counts then
        if found is None:
            return None
        opened.append((each, found.tags))
    return opened or None


def _not_ruled_out(lineage: Lineage, one: _Ended) -> int | None:
    """When somebody withdrew who may have been in a run of which nothing else is known; None if before it."""
    late = timedelta(0) if one.again else timedelta(hours=lineage.agreement.consent.propagation_hours)
    since_ms = lineage.since_ms
    return max(one.ended_ms, since_ms) if one.ended_ms >= since_ms - late / _MILLISECOND else None


def _admitted(opened: _Opened, one: _Ended, secret: SubjectSecret | None) -> int | None:
    """When somebody withdrew who is in one of the sets, or may be; None for everybody else.

    Who was admitted and has withdrawn is contained, also where the site learned of a withdrawal too late to
    leave them out. Who has consented anew counts if consent ended after they were admitted.
    """
    if secret is None:
        return None  # who is admitted gets a secret first
    for each, tags in opened:
        if one.again and one.ended_ms < each.at_ms:
            continue
        forgotten = secret.forgotten_ms is not None and secret.forgotten_ms >= each.at_ms
        if forgotten or (secret.secret is not None and _has(tags, subject_tag(secret.secret, each.epoch))):
            return max(one.ended_ms, each.at_ms)
    return None


def _has(tags: Sequence[bytes], tag: bytes) -> bool:
    place = bisect_left(tags, tag)
    return place < len(tags) and tags[place] == tag
