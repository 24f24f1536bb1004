"""How a packed batch reaches each database: in one statement, without a round through Python per row.

SQLite takes the packed columns as they are and cuts them itself; it does so without Python's lock, so that
the next batch is read in the meantime. PostgreSQL takes a COPY.
"""

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

MAX_BATCH_EVENTS: Final = 50_000
_COLUMNS: Final = (
    "seq, event_id, subject, state, given_ms, expires_ms, recorded_ms, guardian, age_at_least, terms"
)


def prepare_bulk(connection: Connection) -> None:
    """Makes what the statement below needs; it belongs to the connection."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("CREATE TEMP TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY)")
        connection.exec_driver_sql(
            "INSERT OR IGNORE INTO numbers WITH RECURSIVE counter (n) AS"
            " (SELECT 0 UNION ALL SELECT n + 1 FROM counter WHERE n + 1 < ?) SELECT n FROM counter",
            (MAX_BATCH_EVENTS,),
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
            # A statement that fails takes back what it did, and nothing else.
            connection.exec_driver_sql(_INSERT, (first_seq, *packed[1:], packed.size))
        else:
            with connection.begin_nested():
                _copy(connection, first_seq, packed)
    except IntegrityError:
        return False
    return True


def _number(place: int, width: int) -> str:
    return f"CAST(substr(?{place}, n * {width} + 1, {width}) AS INTEGER)"


_INSERT: Final = f"""
    INSERT INTO consent_events ({_COLUMNS}) SELECT
        ?1 + n, CAST(rtrim(substr(?3, n * ?2 + 1, ?2)) AS TEXT),
        substr(?4, n * {REF_BYTES} + 1, {REF_BYTES}),
        {_number(5, 1)},
        nullif({_number(6, TIME_WIDTH)}, {NO_TIME}),
        nullif({_number(7, TIME_WIDTH)}, {NO_TIME}),
        {_number(8, TIME_WIDTH)},
        CASE substr(?9, n * {GUARDIAN_WIDTH} + 1, 1)
            WHEN x'01' THEN substr(?9, n * {GUARDIAN_WIDTH} + 2, {REF_BYTES}) END,
        nullif({_number(10, AGE_WIDTH)}, {NO_AGE}),
        {_number(11, TERMS_WIDTH)}
    FROM numbers WHERE n < ?12
"""  # noqa: S608 - made of constants


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
