"""The tables of the consent ledger, the same on SQLite and on PostgreSQL.

``consent_events`` is the history: append-only, in numbered batches, each with a hash over itself and all
before it. What stands (``consent_standings``, ``consent_foldings``) is computed from it in the same
transaction and can be computed again. ``consent_secrets`` is beside it and can be forgotten. Times are
milliseconds since 1970; subjects are the 16 bytes of their pseudonyms.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

from hanse.storage.guards import postgresql_append_only, postgresql_function, sqlite_append_only

APPLICATION_ID: Final = 0x48414E43  # "HANC": refuses another program's database
SCHEMA_VERSION: Final = 2

STATES: Final = (
    "requested",
    "narrowed",
    "given",
    "refused",
    "withdrawn",
    "expired",
    "invalidated",
    "objected",
)
"""Numbers of the states; all from ``FIRST_END`` on end a grant."""
STATE_CODES: Final = {state: code for code, state in enumerate(STATES)}
NARROWED: Final = STATE_CODES["narrowed"]
GIVEN: Final = STATE_CODES["given"]
FIRST_END: Final = STATE_CODES["refused"]

metadata: Final = MetaData()
# A plain INTEGER PRIMARY KEY is the row's own number in SQLite; any other type would need an index more.
_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")

meta: Final = Table(
    "consent_meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
purposes: Final = Table(
    "consent_purposes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False, unique=True),
)
terms: Final = Table(
    "consent_terms",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False),
)
uses: Final = Table(
    "consent_uses",
    metadata,
    Column("terms", Integer, ForeignKey("consent_terms.id"), primary_key=True, autoincrement=False),
    Column("purpose", Integer, ForeignKey("consent_purposes.id"), primary_key=True),
    sqlite_with_rowid=False,
)
"""Which purposes of use an event on these terms is about: derived from the tree of purposes."""

batches: Final = Table(
    "consent_batches",
    metadata,
    Column("first_seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    Column("chain", LargeBinary, nullable=False),
)
# What events and standings refer to is under the hash and checked with it; foreign keys would look it up
# again for every one of a million rows.
events: Final = Table(
    "consent_events",
    metadata,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False, unique=True),
    Column("subject", LargeBinary, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("given_ms", BigInteger),
    Column("expires_ms", BigInteger),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("guardian", LargeBinary),
    Column("age_at_least", SmallInteger),
    Column("terms", Integer, nullable=False),
)
standings: Final = Table(
    "consent_standings",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("purpose", Integer, primary_key=True, autoincrement=False),
    Column("state", SmallInteger, nullable=False),
    Column("barrier_ms", BigInteger),
    Column("given_ms", BigInteger),
    Column("expires_ms", BigInteger),
    Column("terms", Integer),
    Column("guardian", SmallInteger, nullable=False),
    Column("age_at_least", SmallInteger),
    Column("seq", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What stands, and the number of the event that decided it."""

foldings: Final = Table(
    "consent_foldings",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("purpose", Integer, primary_key=True, autoincrement=False),
    Column("terms", Integer, nullable=False),
    Column("acted_ms", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What each subject chose last to hide, nothing included; its terms say what."""

secrets: Final = Table(
    "consent_secrets",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("secret", LargeBinary),
    Column("since_ms", BigInteger, nullable=False),
    Column("forgotten_ms", BigInteger),
    Column("times_forgotten", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""The secret of each subject, see :mod:`hanse.policies.ledger.subject_secrets`; no part of the history."""

APPEND_ONLY: Final = (events, terms, batches)
_REFUSAL: Final = "the ledger is append-only"
_FUNCTION: Final = "consent_append_only"


def sqlite_guards() -> list[str]:
    """Triggers that refuse to change or delete what was recorded."""
    return list(sqlite_append_only(APPEND_ONLY, _REFUSAL).values())


def postgresql_guards() -> list[str]:
    """As :func:`sqlite_guards`, TRUNCATE included."""
    guards = postgresql_append_only(APPEND_ONLY, _FUNCTION)
    return [postgresql_function(_FUNCTION, _REFUSAL), *guards.values()]
