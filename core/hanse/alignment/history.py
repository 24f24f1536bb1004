"""Which sets a member has aligned before, with whom and for what: a database of the member's own.

Of a set it keeps 8 bytes for each person, hashed with a key of the member's: enough to count by how many two
sets differ (of a million people, one is miscounted with a probability of 2^-25), and of no use without the
key. They are forgotten after the policy's window; that there was an alignment is kept for ever.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
    select,
    update,
)

from hanse.alignment.identifiers import Prepared
from hanse.alignment.terms import Terms
from hanse.errors import AuditError, HanseError
from hanse.policies.alignments import Earlier, require_alignment
from hanse.policies.fields import from_ms, to_ms
from hanse.policies.packs import Policy
from hanse.storage import Database, Use

_PERSON_BYTES: Final = 8

_metadata: Final = MetaData()
_alignments: Final = Table(
    "alignments",
    _metadata,
    Column("run", Text, primary_key=True),
    Column("partner", Text, primary_key=True),
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("agreement", Text, nullable=False),
    Column("begun_ms", BigInteger, nullable=False),
    Column("people", LargeBinary),
)
"""One row for each partner of an alignment; a run that is resumed with the same set has one."""


class AlignmentHistory:
    """The history of one member. Several processes may use it.

    Args:
        place: A file, or the URL of a PostgreSQL database.
        key: 32 bytes that nobody else has; with another key, earlier sets are taken for different ones.
    """

    def __init__(self, place: Path | str, key: bytes) -> None:
        self._database = Database(place, _USE)
        self._key = key
        with self._database.errors(), self._database.writer() as connection, connection.begin():
            _metadata.create_all(connection)

    def begin(self, me: str, prepared: Prepared, terms: Terms, policy: Policy, now: datetime) -> None:
        """Decides whether this member may align now, and records that it does: before anything is sent.

        Beginning the same run with the same set again, after an interruption, changes nothing.

        Args:
            me: This member.
            prepared: Its set.
            terms: Of the alignment.
            policy: The merged rule packs.
            now: The present.

        Raises:
            PolicyError: ``alignment.repeated`` (P16).
            AuditError: ``alignment.history`` if the database cannot be used.
        """
        people = self._people(prepared)
        fingerprint = hashlib.blake2b(people.tobytes(), key=self._key, digest_size=32).digest()
        partners = [name for name in terms.members if name != me]
        window = timedelta(days=policy.thresholds["alignment_window_days"].value)
        with self._database.errors(), self._database.writer() as connection, connection.begin():
            _forget(connection, to_ms(now - window))
            for partner in partners:
                if _known(connection, terms.run, partner, fingerprint):
                    continue
                earlier = _earlier(connection, partner, terms.purpose, people)
                require_alignment(earlier, terms.rules, policy, partner, now)
                _record(connection, terms, partner, fingerprint, people, now)

    def count(self, partner: str, purpose: str) -> int:
        """How many alignments with a partner for a purpose there have been."""
        with self._database.errors(), self._database.reader() as connection:
            return len(_earlier(connection, partner, purpose, np.empty(0, np.uint64)))

    def dispose(self) -> None:
        """Closes the database."""
        self._database.dispose()

    def _people(self, prepared: Prepared) -> NDArray[np.uint64]:
        """A number for each person, ascending: of the first of its identifiers."""
        start = hashlib.blake2b(key=self._key, digest_size=_PERSON_BYTES)
        seen = np.zeros(prepared.rows, np.bool_)
        made = bytearray()
        for hashes, rows in prepared.kinds:
            for row in hashes[~seen[rows]]:
                state = start.copy()
                state.update(row.tobytes())
                made += state.digest()
            seen[rows] = True
        return np.unique(np.frombuffer(bytes(made), "<u8"))


def _failure(_: str, text: str) -> HanseError:
    return AuditError("alignment.history", text)


_USE: Final = Use("the history of alignments", "alignments", _failure, lock=0x48414E4C)


def _forget(connection: Connection, before_ms: int) -> None:
    old = _alignments.c.begun_ms < before_ms
    connection.execute(update(_alignments).where(old, _alignments.c.people.is_not(None)).values(people=None))


def _known(connection: Connection, run: str, partner: str, fingerprint: bytes) -> bool:
    same = (
        _alignments.c.run == run,
        _alignments.c.partner == partner,
        _alignments.c.fingerprint == fingerprint,
    )
    return connection.execute(select(_alignments.c.run).where(*same)).first() is not None


def _earlier(
    connection: Connection, partner: str, purpose: str, people: NDArray[np.uint64]
) -> Sequence[Earlier]:
    rows = connection.execute(
        select(_alignments.c.begun_ms, _alignments.c.people)
        .where(_alignments.c.partner == partner, _alignments.c.purpose == purpose)
        .order_by(_alignments.c.begun_ms)
    )
    return [Earlier(from_ms(begun), _change(then, people)) for begun, then in rows]


def _change(then: bytes | None, people: NDArray[np.uint64]) -> int | None:
    if then is None:
        return None
    return int(np.setxor1d(np.frombuffer(then, "<u8"), people, assume_unique=True).size)


def _record(
    connection: Connection,
    terms: Terms,
    partner: str,
    fingerprint: bytes,
    people: NDArray[np.uint64],
    now: datetime,
) -> None:
    connection.execute(
        insert(_alignments).values(
            run=terms.run,
            partner=partner,
            fingerprint=fingerprint,
            purpose=terms.purpose,
            agreement=terms.agreement,
            begun_ms=to_ms(now),
            people=people.astype("<u8").tobytes(),
        )
    )
