"""The secret of each subject, by which alone its traces in the log can be told from those of others.

A secret is 32 random bytes, made when it is first needed: for the subject's receipt, or when the subject is
first admitted. It is no part of the history, so that it can be forgotten: then nothing links the subject to
what is in the log any more, unless the subject has kept its receipt. That one was forgotten, and when, stays,
so that nobody takes what a later secret says for an answer about the time before.
"""

import os
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from hanse.audit.subject_set import SECRET_BYTES
from hanse.policies.ledger.tables import secrets

MAX_BATCH_SUBJECTS: Final = 50_000
"""For how many subjects secrets are made in one transaction; a withdrawal waits for no more than that."""

_LOOKUP_SUBJECTS: Final = 500  # below the limit of variables of every build of SQLite
_SCAN_SUBJECTS: Final = 5_000  # from here on, reading all is quicker than looking each up
_READ_ROWS: Final = 20_000
_SCAN: Final = "SELECT subject, secret FROM consent_secrets WHERE secret IS NOT NULL"
# Whoever came first has made the secret; one that was forgotten is made anew.
_SQLITE_INSERT: Final = """
    INSERT INTO consent_secrets (subject, secret, since_ms, times_forgotten) VALUES (?, ?, ?, 0)
    ON CONFLICT (subject) DO UPDATE SET secret = excluded.secret, since_ms = excluded.since_ms
    WHERE consent_secrets.secret IS NULL
"""
_POSTGRESQL_INSERT: Final = """
    INSERT INTO consent_secrets (subject, secret, since_ms, times_forgotten)
    SELECT made.subject, made.secret, %s, 0 FROM unnest(%s::bytea[], %s::bytea[]) AS made (subject, secret)
    ON CONFLICT (subject) DO UPDATE SET secret = excluded.secret, since_ms = excluded.since_ms
    WHERE consent_secrets.secret IS NULL
"""


class SubjectSecret(NamedTuple):
    """The secret of a subject.

    Attributes:
        secret: 32 bytes; None once it is forgotten.
        since_ms: When it was made, milliseconds since 1970.
        forgotten_ms: When the last one before it was forgotten; None if none ever was.
        times_forgotten: How many were.
    """

    secret: bytes | None
    since_ms: int
    forgotten_ms: int | None
    times_forgotten: int


def read_secret(connection: Connection, subject: bytes) -> SubjectSecret | None:
    """What is kept of a subject's secret; None if it never had one."""
    row = connection.execute(select(*secrets.c[1:]).where(secrets.c.subject == subject)).one_or_none()
    return None if row is None else SubjectSecret(*row)


def read_secrets(connection: Connection, subjects: AbstractSet[bytes]) -> Iterator[list[tuple[bytes, bytes]]]:
    """The secrets of some subjects, in no order; who has none is left out.

    Args:
        connection: A connection in a transaction.
        subjects: Pseudonyms, 16 bytes each. The caller may take out of it whom it has got.

    Yields:
        Some subjects at a time, each with its secret.
    """
    if len(subjects) > _SCAN_SUBJECTS:
        # From the driver's cursor: a row object for each of a million would take longer than all else.
        driver: Any = connection.connection.driver_connection
        named = {} if connection.dialect.name == "sqlite" else {"name": "subject_secrets"}  # rows stay there
        with closing(driver.cursor(**named)) as cursor:
            cursor.execute(_SCAN)
            while part := cursor.fetchmany(_READ_ROWS):
                yield [row for row in part if row[0] in subjects]
        return
    there = secrets.c.secret.is_not(None)
    some = select(secrets.c.subject, secrets.c.secret).where(
        there, secrets.c.subject.in_(bindparam("subjects", expanding=True))
    )
    wanted = list(subjects)
    for start in range(0, len(wanted), _LOOKUP_SUBJECTS):
        found = connection.execute(some, {"subjects": wanted[start : start + _LOOKUP_SUBJECTS]})
        yield [(subject, secret) for subject, secret in found]


def make_secrets(connection: Connection, subjects: Sequence[bytes], now_ms: int) -> None:
    """Makes a secret for each subject that has none.

    Args:
        connection: A writer in a transaction.
        subjects: Pseudonyms, each once; in order they are written fastest.
        now_ms: Now.
    """
    random = os.urandom(SECRET_BYTES * len(subjects))
    made = [random[start : start + SECRET_BYTES] for start in range(0, len(random), SECRET_BYTES)]
    if connection.dialect.name == "sqlite":
        rows = [(subject, secret, now_ms) for subject, secret in zip(subjects, made, strict=True)]
        connection.exec_driver_sql(_SQLITE_INSERT, rows)
    else:
        connection.exec_driver_sql(_POSTGRESQL_INSERT, (now_ms, list(subjects), made))


def forget_secret(connection: Connection, subject: bytes, now_ms: int) -> bool:
    """Deletes the secret of a subject, if there is one; says whether there was."""
    known = secrets.c.subject == subject
    kept = update(secrets).where(known, secrets.c.secret.is_not(None))
    changes = {"secret": None, "forgotten_ms": now_ms, "times_forgotten": secrets.c.times_forgotten + 1}
    return connection.execute(kept.values(changes)).rowcount == 1
