"""The secret of each subject, by which alone its traces in the log can be told from those of others.

A secret is 32 random bytes, made when it is first needed: for the subject's receipt, or when the subject is
first admitted. It is no part of the history, so that it can be forgotten: then nothing links the subject to
what is in the log any more, unless the subject has kept its receipt. That one was forgotten, and when, stays,
so that nobody takes what a later secret says for an answer about the time before.
"""

from collections.abc import Iterator, Sequence
from secrets import token_bytes
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from hanse.audit.subject_set import SECRET_BYTES
from hanse.policies.ledger.tables import secrets

MAX_BATCH_SUBJECTS: Final = 20_000
"""For how many subjects secrets are made in one transaction; a withdrawal waits for no more than that."""

_LOOKUP_SUBJECTS: Final = 500  # below the limit of variables of every build of SQLite
_SCAN_SUBJECTS: Final = 20_000  # from here on, reading all is quicker than looking each up


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


def read_secrets(connection: Connection, subjects: Sequence[bytes]) -> Iterator[tuple[bytes, SubjectSecret]]:
    """What is kept of some subjects, in no order; of whom there is nothing is left out.

    Args:
        connection: A connection in a transaction.
        subjects: Pseudonyms, 16 bytes each.

    Yields:
        Subject, and its secret.
    """
    if len(subjects) > _SCAN_SUBJECTS:
        wanted = frozenset(subjects)
        scan = select(secrets).execution_options(yield_per=MAX_BATCH_SUBJECTS)
        for part in connection.execute(scan).partitions():
            yield from ((row[0], SubjectSecret(*row[1:])) for row in part if row[0] in wanted)
        return
    some = select(secrets).where(secrets.c.subject.in_(bindparam("subjects", expanding=True)))
    for start in range(0, len(subjects), _LOOKUP_SUBJECTS):
        for row in connection.execute(some, {"subjects": subjects[start : start + _LOOKUP_SUBJECTS]}):
            yield row[0], SubjectSecret(*row[1:])


def make_secrets(connection: Connection, subjects: Sequence[bytes], now_ms: int) -> list[bytes]:
    """The secrets of some subjects; whoever has none gets one.

    Args:
        connection: A writer in a transaction.
        subjects: Pseudonyms, each once.
        now_ms: Now.

    Returns:
        One for each, in no order.
    """
    kept = dict(read_secrets(connection, subjects))
    known = [own.secret for own in kept.values() if own.secret is not None]
    fresh = [_row(subject, now_ms) for subject in subjects if subject not in kept]
    again = [_row(subject, now_ms) for subject, own in kept.items() if own.secret is None]
    if fresh:
        connection.execute(insert(secrets), [{**row, "times_forgotten": 0} for row in fresh])
    if again:
        changed = update(secrets).where(secrets.c.subject == bindparam("whose"))
        connection.execute(changed, [{**row, "whose": row["subject"]} for row in again])
    return [*known, *(row["secret"] for row in (*fresh, *again))]


def forget_secret(connection: Connection, subject: bytes, now_ms: int) -> bool:
    """Deletes the secret of a subject, if there is one; says whether there was."""
    known = secrets.c.subject == subject
    kept = update(secrets).where(known, secrets.c.secret.is_not(None))
    changes = {"secret": None, "forgotten_ms": now_ms, "times_forgotten": secrets.c.times_forgotten + 1}
    return connection.execute(kept.values(changes)).rowcount == 1


def _row(subject: bytes, now_ms: int) -> dict[str, Any]:
    return {"subject": subject, "secret": token_bytes(SECRET_BYTES), "since_ms": now_ms}
