"""How a packed batch reaches each database: in one statement, without a round through Python per row.

SQLite takes the packed columns as they are and cuts them itself; it does so without Python's lock, so that
the next batch is read in the meantime. PostgreSQL takes a COPY.
"""

from functools import cache
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from hanse.policies.ledger.batch import (
    AGE_WIDTH,
    GUARDIAN_WIDTH,
    NO_AGE,
    NO_TIME,
    REF_BYTES,
    TERMS_WIDTH,
    TIME_WIDTH,
    Packed,
)

MAX_BATCH_EVENTS: Final = 100_000
"""A batch holds up other writers for about a second; each rewrites much of the indexes, so few are better."""
_MANY: Final = object()
_FORMS: Final = (
    (1, -1),
    (TIME_WIDTH, NO_TIME),
    (TIME_WIDTH, NO_TIME),
    (TIME_WIDTH, NO_TIME),
    (AGE_WIDTH, NO_AGE),
    (TERMS_WIDTH, -1),
)
"""Width of a cell, and what stands for none, of states, three times, ages and terms."""
_COLUMNS: Final = (
    "seq, event_id, subject, state, given_ms, expires_ms, recorded_ms, guardian, age_at_least, terms"
)


def insert_events(connection: Connection, first_seq: int, packed: Packed) -> bool:
    """Appends events, all or none.

    Args:
        connection: A writer in a transaction.
        first_seq: Number of the first.
        packed: At most ``MAX_BATCH_EVENTS`` events.

    Returns:
        Whether they are in; False if an event's id is in the history already.
    """
    try:
        if connection.dialect.name == "sqlite":
            _cut(connection, first_seq, packed)
        else:
            with connection.begin_nested():
                _copy(connection, first_seq, packed)
    except IntegrityError:
        return False
    return True


def _cut(connection: Connection, first_seq: int, packed: Packed) -> None:
    """One statement that cuts the columns; one that fails takes back what it did, and nothing else."""
    _count_to(connection, packed.size)
    cells = (packed.states, packed.given, packed.expires, packed.recorded, packed.ages, packed.terms)
    # What is the same in all rows, as most is in a file, is not cut out of each.
    values = [_only_value(column, *form) for column, form in zip(cells, _FORMS, strict=True)]
    cut = tuple(value is _MANY for value in values)
    columns = [column if value is _MANY else value for column, value in zip(cells, values, strict=True)]
    some_guardian = b"\1" in packed.guardians[::GUARDIAN_WIDTH]
    ids = (packed.id_width, packed.event_ids, packed.subjects, packed.guardians if some_guardian else None)
    connection.exec_driver_sql(
        _insert(cut, guardians=some_guardian), (first_seq, packed.size, *ids, *columns)
    )


def _count_to(connection: Connection, size: int) -> None:
    """Makes a table of the numbers below a size; it belongs to the connection."""
    connection.exec_driver_sql("CREATE TEMP TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY)")
    known = connection.exec_driver_sql("SELECT coalesce(max(n) + 1, 0) FROM numbers").scalar_one()
    if known < size:
        connection.exec_driver_sql(
            "INSERT INTO numbers WITH RECURSIVE counter (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM counter"
            " WHERE n + 1 < ?) SELECT n FROM counter",
            (known, size),
        )


def _only_value(column: bytes, width: int, none: int) -> object:
    """The value of a column if it is the same in all rows."""
    if column != column[:width] * (len(column) // width):
        return _MANY
    value = int(column[:width])
    return None if value == none else value


@cache
def _insert(cut: tuple[bool, ...], *, guardians: bool) -> str:
    """The statement, for columns of which some have one value."""
    columns = [
        f"nullif(CAST(substr(?{place}, n * {width} + 1, {width}) AS INTEGER), {none})"
        if many
        else f"?{place}"
        for place, (many, (width, none)) in enumerate(zip(cut, _FORMS, strict=True), start=7)
    ]
    guardian = (
        f"CASE substr(?6, n * {GUARDIAN_WIDTH} + 1, 1)"
        f" WHEN x'01' THEN substr(?6, n * {GUARDIAN_WIDTH} + 2, {REF_BYTES}) END"
    )
    *times, ages, terms = columns
    cells = [
        "?1 + n",
        "CAST(rtrim(substr(?4, n * ?3 + 1, ?3)) AS TEXT)",
        f"substr(?5, n * {REF_BYTES} + 1, {REF_BYTES})",
        *times,
        guardian if guardians else "?6",
        ages,
        terms,
    ]
    return f"INSERT INTO consent_events ({_COLUMNS}) SELECT {', '.join(cells)} FROM numbers WHERE n < ?2"  # noqa: S608


def _copy(connection: Connection, first_seq: int, packed: Packed) -> None:
    """One COPY of the same columns, as text."""
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY consent_events ({_COLUMNS}) FROM STDIN") as copy:
            copy.write(_copy_text(first_seq, packed))
    except connection.dialect.loaded_dbapi.IntegrityError as error:
        raise IntegrityError("COPY consent_events", None, error) from error


def _copy_text(first_seq: int, packed: Packed) -> bytes:
    """The rows in COPY's text format; no cell has a character that it would have to escape."""
    width = packed.id_width
    none = b"\\N"
    ids, subjects, guardians = packed.event_ids, packed.subjects.hex(), packed.guardians
    lines = []
    for n in range(packed.size):
        guardian = guardians[n * GUARDIAN_WIDTH : (n + 1) * GUARDIAN_WIDTH]
        lines.append(
            b"\t".join(
                (
                    b"%d" % (first_seq + n),
                    ids[n * width : (n + 1) * width].rstrip(),
                    b"\\\\x" + subjects[n * 2 * REF_BYTES : (n + 1) * 2 * REF_BYTES].encode("ascii"),
                    packed.states[n : n + 1],
                    _cell(packed.given, n, TIME_WIDTH, NO_TIME),
                    _cell(packed.expires, n, TIME_WIDTH, NO_TIME),
                    _cell(packed.recorded, n, TIME_WIDTH, NO_TIME),
                    b"\\\\x" + guardian[1:].hex().encode("ascii") if guardian[0] else none,
                    _cell(packed.ages, n, AGE_WIDTH, NO_AGE),
                    _cell(packed.terms, n, TERMS_WIDTH, -1),
                )
            )
        )
    return b"\n".join(lines) + b"\n"


def _cell(column: bytes, place: int, width: int, none: int) -> bytes:
    value = int(column[place * width : (place + 1) * width])
    return b"\\N" if value == none else b"%d" % value
