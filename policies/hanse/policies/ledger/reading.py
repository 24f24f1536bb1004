"""What stands, read from the database; and computed again from the history, to compare."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, bindparam, select

from hanse.policies.consent import Act, Folding, Standing, Terms, advance, fold
from hanse.policies.ledger.history import purpose_numbers, read_terms
from hanse.policies.ledger.tables import GIVEN, STATES, events, foldings, purposes, standings
from hanse.policies.purposes import covers
from hanse.policies.snapshot import StandingRow

_LOOKUP_SUBJECTS: Final = 500  # below the limit of variables of every build of SQLite
_STREAM_ROWS: Final = 20_000
_ROW_COLUMNS: Final = (
    "subject",
    "purpose",
    "state",
    "given_ms",
    "expires_ms",
    "barrier_ms",
    "terms",
    "guardian",
    "age_at_least",
)
_REF: Final = re.compile("[0-9a-f]{32}")

Decided: TypeAlias = dict[tuple[str, str], tuple[int, Standing]]
Chosen: TypeAlias = dict[tuple[str, str], tuple[int, Folding]]


def subjects_of(subject_refs: Iterable[str]) -> list[bytes]:
    """Pseudonyms as the ledger keeps them; what is none is nobody's."""
    return [bytes.fromhex(ref) for ref in subject_refs if _REF.fullmatch(ref)]


def read_standings(
    connection: Connection, subjects: Sequence[bytes] | None
) -> Iterator[tuple[str, str, Standing]]:
    """Subject, purpose and standing of everybody, or of some."""
    for subject, purpose, _, standing in _standings(connection, subjects):
        yield subject, purpose, standing


def read_foldings(
    connection: Connection, subjects: Sequence[bytes] | None, since: int = 0
) -> Iterator[tuple[str, str, Folding]]:
    """Subject, purpose and last choice of everybody who ever hid data, or of some, or of the recent ones."""
    for subject, purpose, _, folding in _foldings(connection, subjects, since):
        yield subject, purpose, folding


def _standings(
    connection: Connection, subjects: Sequence[bytes] | None
) -> Iterator[tuple[str, str, int, Standing]]:
    terms = read_terms(connection)
    names = _purpose_names(connection)
    query = select(standings)
    for row in _of_subjects(connection, query, standings.c.subject, subjects):
        form = None if row.terms is None else terms[row.terms]
        times = (row.barrier_ms, row.given_ms, row.expires_ms)
        standing = Standing(STATES[row.state], *times, form, bool(row.guardian), row.age_at_least)
        yield row.subject.hex(), names[row.purpose], row.seq, standing


def _foldings(
    connection: Connection, subjects: Sequence[bytes] | None, since: int = 0
) -> Iterator[tuple[str, str, int, Folding]]:
    terms = read_terms(connection)
    names = _purpose_names(connection)
    query = select(foldings)
    if since:
        query = query.where(_touched(foldings.c.subject, since))
    for subject, purpose, number, acted_ms, seq in _of_subjects(
        connection, query, foldings.c.subject, subjects
    ):
        form = terms[number]
        hidden = (frozenset(form.hidden_columns), frozenset(form.hidden_categories))
        yield subject.hex(), names[purpose], seq, Folding(*hidden, acted_ms)


def stream_rows(
    connection: Connection, since: int, opened: ExitStack, *, ended: bool = False
) -> Iterator[StandingRow]:
    """Standings as plain rows, a bounded number at a time; closes the connection at the end."""
    query: Select[Any] = select(*(standings.c[name] for name in _ROW_COLUMNS))
    if since:
        query = query.where(_touched(standings.c.subject, since))
    if ended:
        query = query.where(standings.c.barrier_ms.is_not(None))
    with opened:
        names = _purpose_names(connection)
        for part in connection.execute(query.execution_options(yield_per=_STREAM_ROWS)).partitions():
            cells: tuple[Any, ...]
            for cells in map(tuple, part):
                subject, purpose, state, given_ms, expires_ms, barrier_ms, terms, guardian, age = cells
                yield StandingRow(
                    subject.hex(),
                    names[purpose],
                    STATES[state],
                    given_ms,
                    expires_ms,
                    barrier_ms,
                    terms,
                    guardian == 1,
                    age,
                )


def read_touched(connection: Connection, since: int, at_most: int) -> frozenset[str] | None:
    """Subjects whom later events were about; None if there were more events than are wanted."""
    query = select(events.c.subject).where(events.c.seq > since).limit(at_most + 1)
    subjects = connection.execute(query).scalars().all()
    return None if len(subjects) > at_most else frozenset(subject.hex() for subject in subjects)


def read_decision(connection: Connection, subject: bytes, purpose: str) -> int | None:
    """Number of the event that decided what stands."""
    query = (
        select(standings.c.seq)
        .join(purposes, purposes.c.id == standings.c.purpose)
        .where(standings.c.subject == subject, purposes.c.key == purpose)
    )
    return connection.execute(query).scalar_one_or_none()


def read_ended(connection: Connection, now_ms: int) -> Iterator[tuple[str, str, Standing]]:
    """Grants that have ended by themselves, of which nothing below is in force; widest purposes first."""
    over = select(standings.c.subject).where(standings.c.state == GIVEN, standings.c.expires_ms <= now_ms)
    subjects = [subject for (subject,) in connection.execute(over.distinct())]
    current: dict[str, dict[str, Standing]] = {}
    for subject, purpose, standing in read_standings(connection, subjects):
        current.setdefault(subject, {})[purpose] = standing
    for subject, by_purpose in current.items():
        told: list[str] = []
        for purpose in sorted(by_purpose):
            standing = by_purpose[purpose]
            below = [other for use, other in by_purpose.items() if covers(purpose, use)]
            if not standing.has_ended(now_ms) or any(in_force(other, now_ms) for other in below):
                continue
            if not any(covers(wide, purpose) and by_purpose[wide][2:4] == standing[2:4] for wide in told):
                told.append(purpose)
                yield subject, purpose, standing


def in_force(standing: Standing, now_ms: int) -> bool:
    """Whether it is a grant that has not ended."""
    return standing.state == "given" and not standing.has_ended(now_ms)


def read_decided(connection: Connection) -> tuple[Decided, Chosen]:
    """Everything that stands and that was chosen, with the numbers of the events that decided it."""
    decided = {(ref, use): (seq, standing) for ref, use, seq, standing in _standings(connection, None)}
    chosen = {(ref, use): (seq, folding) for ref, use, seq, folding in _foldings(connection, None)}
    return decided, chosen


def replay(history: Iterable[tuple[int, Act, Terms]]) -> tuple[Decided, Chosen]:
    """The same as :func:`read_decided`, computed from the events by the pure functions."""
    decided: Decided = {}
    chosen: Chosen = {}
    for seq, act, terms in history:
        for use in terms.uses:
            key = (act.subject_ref, use)
            before = decided[key][1] if key in decided else None
            after = advance(before, act, terms)
            if after is not None and after is not before:
                decided[key] = (seq, after)
            hidden = chosen[key][1] if key in chosen else None
            folding = fold(hidden, act, terms)
            if folding is not None and folding is not hidden:
                chosen[key] = (seq, folding)
    return decided, chosen


def _purpose_names(connection: Connection) -> dict[int, str]:
    return {number: key for key, number in purpose_numbers(connection).items()}


def _touched(subject: ColumnElement[bytes], since: int) -> ColumnElement[bool]:
    """Whether a later event was about a subject."""
    return subject.in_(select(events.c.subject).where(events.c.seq > since))


def _of_subjects(
    connection: Connection,
    query: Select[Any],
    column: ColumnElement[bytes],
    subjects: Sequence[bytes] | None,
) -> Iterator[Any]:
    if subjects is None:
        for part in connection.execute(query.execution_options(yield_per=_STREAM_ROWS)).partitions():
            yield from part
        return
    some = query.where(column.in_(bindparam("subjects", expanding=True)))
    for start in range(0, len(subjects), _LOOKUP_SUBJECTS):
        yield from connection.execute(some, {"subjects": subjects[start : start + _LOOKUP_SUBJECTS]})
