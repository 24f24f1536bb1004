"""What stands, computed from the history by the database itself, in the transaction of the events.

These statements say in SQL what :func:`hanse.policies.consent.advance` and
:func:`hanse.policies.consent.fold` say in Python; a test compares the two on random histories. For each
subject and purpose of a range of events: the latest end is last, the ends' barrier is the highest, and of the
grants after the last end the one given last is taken if it was given after every end.
"""

from typing import Final

from sqlalchemy import Connection, text

from hanse.policies.ledger.tables import FIRST_END, GIVEN, NARROWED

_NEVER: Final = -(1 << 62)
_RANGE_EVENTS: Final = 50_000
_PER_USE: Final = "PARTITION BY e.subject, u.purpose"
_RANGE: Final = (
    "FROM consent_events e JOIN consent_uses u ON u.terms = e.terms WHERE e.seq BETWEEN :first AND :last"
)
# When an end, or a folding, took effect: when the subject acted, but never later than it was known.
_ACTED: Final = "CASE WHEN e.given_ms < e.recorded_ms THEN e.given_ms ELSE e.recorded_ms END"

_ENDS: Final = text(f"""
    INSERT INTO consent_standings
        (subject, purpose, state, barrier_ms, given_ms, expires_ms, terms, guardian, age_at_least, seq)
    SELECT subject, purpose, state, barrier_ms, NULL, NULL, NULL, 0, NULL, seq FROM (
        SELECT e.subject, u.purpose, e.state, e.seq, MAX({_ACTED}) OVER ({_PER_USE}) AS barrier_ms,
            ROW_NUMBER() OVER ({_PER_USE} ORDER BY e.seq DESC) AS place
        {_RANGE} AND e.state >= {FIRST_END}) AS ends
    WHERE place = 1
    ON CONFLICT (subject, purpose) DO UPDATE SET
        state = excluded.state, given_ms = NULL, expires_ms = NULL, terms = NULL, guardian = 0,
        age_at_least = NULL, seq = excluded.seq,
        barrier_ms = CASE WHEN consent_standings.barrier_ms > excluded.barrier_ms
            THEN consent_standings.barrier_ms ELSE excluded.barrier_ms END
""")  # noqa: S608 - made of constants

# Of the standings only the ends of the same range have a higher number than a grant of it.
_AFTER_ENDS: Final = """AND NOT EXISTS (
    SELECT 1 FROM consent_standings s
    WHERE s.subject = e.subject AND s.purpose = u.purpose AND s.seq > e.seq)"""
_GRANT: Final = f"""e.subject, u.purpose, {GIVEN} AS state, e.given_ms, e.expires_ms, e.terms,
    CASE WHEN e.guardian IS NULL THEN 0 ELSE 1 END AS guardian, e.age_at_least, e.seq"""
_LATER: Final = f"COALESCE(e.given_ms, {_NEVER}) DESC, e.seq DESC"
_INSERT_GRANTS: Final = f"""
    INSERT INTO consent_standings
        (subject, purpose, state, given_ms, expires_ms, terms, guardian, age_at_least, seq)
    {{grants}}
    ON CONFLICT (subject, purpose) DO UPDATE SET
        state = excluded.state, given_ms = excluded.given_ms, expires_ms = excluded.expires_ms,
        terms = excluded.terms, guardian = excluded.guardian, age_at_least = excluded.age_at_least,
        seq = excluded.seq
    WHERE (consent_standings.barrier_ms IS NULL
            OR COALESCE(excluded.given_ms, {_NEVER}) > consent_standings.barrier_ms)
        AND (consent_standings.given_ms IS NULL
            OR COALESCE(excluded.given_ms, {_NEVER}) >= consent_standings.given_ms)
"""
_CHOICES: Final = {
    # SQLite takes row after row, each against what the one before left; sorted, it writes each page once.
    "sqlite": f"SELECT {_GRANT} {_RANGE} AND e.state = {GIVEN} {{ends}} ORDER BY e.subject, u.purpose, e.seq",
    # PostgreSQL takes no row twice: of several, the one given last.
    "postgresql": f"""
        SELECT subject, purpose, state, given_ms, expires_ms, terms, guardian, age_at_least, seq FROM (
            SELECT {_GRANT}, ROW_NUMBER() OVER ({_PER_USE} ORDER BY {_LATER}) AS place
            {_RANGE} AND e.state = {GIVEN} {{ends}}) AS grants
        WHERE place = 1""",  # noqa: S608
}
_GRANTS: Final = {
    (dialect, among_ends): text(
        _INSERT_GRANTS.format(grants=choice.format(ends=_AFTER_ENDS if among_ends else ""))
    )
    for dialect, choice in _CHOICES.items()
    for among_ends in (False, True)
}

_FOLDINGS: Final = text(f"""
    INSERT INTO consent_foldings (subject, purpose, terms, acted_ms, seq)
    SELECT subject, purpose, terms, acted_ms, seq FROM (
        SELECT e.subject, u.purpose, e.terms, e.seq, {_ACTED} AS acted_ms,
            ROW_NUMBER() OVER ({_PER_USE} ORDER BY {_ACTED} DESC, e.seq DESC) AS place
        {_RANGE} AND e.state = {NARROWED}) AS choices
    WHERE place = 1
    ON CONFLICT (subject, purpose) DO UPDATE SET
        terms = excluded.terms, acted_ms = excluded.acted_ms, seq = excluded.seq
    WHERE excluded.acted_ms >= consent_foldings.acted_ms
""")  # noqa: S608


def project(connection: Connection, first: int, last: int, states: frozenset[int]) -> None:
    """Brings what stands up to date with a range of events, of which nothing was projected yet.

    Args:
        connection: A writer in a transaction.
        first: Number of the first event.
        last: Number of the last.
        states: Numbers of the states that are among them.
    """
    bounds = {"first": first, "last": last}
    ends = any(state >= FIRST_END for state in states)
    if ends:
        connection.execute(_ENDS, bounds)
    if GIVEN in states:
        connection.execute(_GRANTS[connection.dialect.name, ends], bounds)
    if NARROWED in states:
        connection.execute(_FOLDINGS, bounds)


def project_again(connection: Connection, head: int) -> None:
    """Computes what stands from the whole history."""
    connection.execute(text("DELETE FROM consent_standings"))
    connection.execute(text("DELETE FROM consent_foldings"))
    every = frozenset(range(FIRST_END + 1))
    for first in range(1, head + 1, _RANGE_EVENTS):
        project(connection, first, min(first + _RANGE_EVENTS - 1, head), every)
