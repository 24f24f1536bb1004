"""The tables of the consent ledger, and the functions that read and write their rows.

Events can be neither changed nor deleted through SQL; each carries a hash over itself and all before it. What
stands is a projection, written in the transaction of its event, that can be recomputed from the events.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from hanse.crypto import canonical_json, sha256_hex
from hanse.errors import PolicyError
from hanse.policies.consent import Act, Folding, Standing, Terms, advance, fold, replay_all
from hanse.policies.purposes import PURPOSES

_APPLICATION_ID: Final = 0x48414E43  # "HANC": refuses another program's database
_SCHEMA_VERSION: Final = 1
_EMPTY_CHAIN: Final = hashlib.sha256(b"hanse/consent-ledger/v1").digest()
_PURPOSES_DIGEST: Final = sha256_hex(canonical_json(sorted(PURPOSES)))
_BUSY_TIMEOUT_S: Final = 30.0
_LOOKUP_BATCH_SUBJECTS: Final = 500  # below the limit of SQL variables of every build of SQLite
_SCHEMA: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE terms (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, body TEXT NOT NULL)",
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, act TEXT NOT NULL,
        terms INTEGER NOT NULL REFERENCES terms (id), chain BLOB NOT NULL)""",
    """CREATE TABLE standings (
        subject TEXT NOT NULL, purpose TEXT NOT NULL, state TEXT NOT NULL,
        barrier_ms INTEGER, given_ms INTEGER, expires_ms INTEGER, terms INTEGER REFERENCES terms (id),
        guardian INTEGER NOT NULL, age_at_least INTEGER,
        PRIMARY KEY (subject, purpose)) WITHOUT ROWID""",
    """CREATE TABLE foldings (
        subject TEXT NOT NULL, purpose TEXT NOT NULL, hidden TEXT NOT NULL, acted_ms INTEGER NOT NULL,
        PRIMARY KEY (subject, purpose)) WITHOUT ROWID""",
    *(
        f"CREATE TRIGGER {table}_{verb} BEFORE {verb} ON {table}"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        for table in ("events", "terms")
        for verb in ("UPDATE", "DELETE")
    ),
)
_SELECT_STANDINGS: Final = (
    "SELECT subject, purpose, state, barrier_ms, given_ms, expires_ms, body, guardian, age_at_least"
    " FROM standings"
    " LEFT JOIN terms ON terms.id = standings.terms"
)

# Without terms: what comes next does not depend on them.
_SELECT_BEFORE: Final = (
    "SELECT state, barrier_ms, given_ms, expires_ms, NULL, guardian, age_at_least FROM standings"
    " WHERE subject = ? AND purpose = ?"
)
_SELECT_FOLDINGS: Final = "SELECT subject, purpose, hidden, acted_ms FROM foldings"


@contextmanager
def ledger_errors() -> Iterator[None]:
    """Turns what SQLite raises, and what damaged rows raise, into ``policy.ledger``."""
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
        # The text of an SQLite error may quote a value; its class does not.
        reason = getattr(error, "sqlite_errorname", type(error).__name__)
        raise PolicyError("policy.ledger", f"the consent ledger cannot be used: {reason}") from error


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[sqlite3.Connection]:
    """Runs a block in one transaction: all of it is durable after the block, or nothing of it happened."""
    connection.execute(begin)
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def open_ledger(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Two connections to a ledger, one to write and one to read; none is left open if one fails."""
    with ExitStack() as opened:
        writer = opened.enter_context(closing(_connect(path)))
        _configure(writer)
        _prepare(writer)
        reader = opened.enter_context(closing(_connect(path)))
        _configure(reader)
        opened.pop_all()
    return writer, reader


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _configure(connection: sqlite3.Connection) -> None:
    """The settings that durability rests on; they belong to the connection, not to the file."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _prepare(connection: sqlite3.Connection) -> None:
    """Makes the tables of a new database; refuses one that is not ours; brings the projection up to date."""
    with transaction(connection, "BEGIN IMMEDIATE"):
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if (application, version) == (0, 0) and not connection.execute(
            "SELECT 1 FROM sqlite_master"
        ).fetchone():
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            connection.execute("INSERT INTO meta VALUES ('purposes', ?)", (_PURPOSES_DIGEST,))
        elif (application, version) != (_APPLICATION_ID, _SCHEMA_VERSION):
            raise PolicyError("policy.ledger", "the file is not a consent ledger of this version")
        # A grant stands for the purposes below it, so a new purpose in the tree changes what stands.
        if (
            connection.execute("SELECT value FROM meta WHERE key = 'purposes'").fetchone()[0]
            != _PURPOSES_DIGEST
        ):
            _project_again(connection)


def read_head(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """Number and chain hash of the last event; of the empty history if there is none."""
    row = connection.execute("SELECT seq, chain FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, _EMPTY_CHAIN) if row is None else (row[0], row[1])


def find_event(connection: sqlite3.Connection, event_id: str) -> tuple[Act, int] | None:
    """The act and the terms' number of an event, if the ledger has it."""
    row = connection.execute("SELECT act, terms FROM events WHERE event_id = ?", (event_id,)).fetchone()
    return None if row is None else (Act(*json.loads(row[0])), row[1])


def store_terms(connection: sqlite3.Connection, terms: Terms) -> tuple[int, str]:
    """Number and digest of terms, which are stored once."""
    body = canonical_json(asdict(terms)).decode("ascii")
    digest = sha256_hex(body.encode("ascii"))
    connection.execute("INSERT OR IGNORE INTO terms (digest, body) VALUES (?, ?)", (digest, body))
    row = connection.execute("SELECT id FROM terms WHERE digest = ?", (digest,)).fetchone()
    return row[0], digest


def append_event(connection: sqlite3.Connection, act: Act, terms_id: int, terms_digest: str) -> None:
    """Appends one event to the history."""
    seq, chain = read_head(connection)
    body = canonical_json(act).decode("ascii")
    values = (seq + 1, act.event_id, body, terms_id, _link(chain, terms_digest, body))
    connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", values)


def project(connection: sqlite3.Connection, act: Act, terms: Terms, terms_id: int) -> None:
    """Brings what stands for the event's subject up to date."""
    for purpose in terms.uses:
        row = connection.execute(_SELECT_BEFORE, (act.subject_ref, purpose)).fetchone()
        before = None if row is None else Standing(*row)
        after = advance(before, act, terms)
        if after is not None and after is not before:
            _put(connection, (act.subject_ref, purpose), after, terms_id)
        if act.state == "narrowed":
            _project_folding(connection, (act.subject_ref, purpose), act, terms)


def read_foldings(
    connection: sqlite3.Connection, subject_refs: Sequence[str] | None
) -> Iterator[tuple[str, str, Folding]]:
    """Subject, purpose and last choice of everybody, or of some, who ever hid data."""
    for subject, purpose, hidden, acted_ms in _rows(connection, _SELECT_FOLDINGS, subject_refs):
        columns, categories = json.loads(hidden)
        yield subject, purpose, Folding(frozenset(columns), frozenset(categories), acted_ms)


def read_synced(connection: sqlite3.Connection) -> int | None:
    """When a source last fed the ledger, milliseconds since 1970."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'synced_ms'").fetchone()
    return None if row is None else int(row[0])


def write_synced(connection: sqlite3.Connection, at_ms: int) -> None:
    """Notes that a source was in touch."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('synced_ms', ?)", (str(at_ms),))


def read_standings(
    connection: sqlite3.Connection, subject_refs: Sequence[str] | None
) -> Iterator[tuple[str, str, Standing]]:
    """Subject, purpose and standing of everybody, or of some."""
    terms = _TermsReader()
    for row in _rows(connection, _SELECT_STANDINGS, subject_refs):
        subject, purpose, state, barrier_ms, given_ms, expires_ms, body, guardian, age = row
        times = (barrier_ms, given_ms, expires_ms)
        yield subject, purpose, Standing(state, *times, terms.read(body), bool(guardian), age)


def read_events(connection: sqlite3.Connection) -> Iterator[tuple[Act, Terms]]:
    """Every event in order, with its place and hash checked.

    Raises:
        PolicyError: ``policy.ledger`` naming the first that does not verify.
    """
    terms = _TermsReader()
    chain = _EMPTY_CHAIN
    query = "SELECT seq, act, body, chain FROM events JOIN terms ON terms.id = events.terms ORDER BY seq"
    for expected, (seq, act, body, stored) in enumerate(connection.execute(query), start=1):
        chain = _link(chain, sha256_hex(body.encode()), act)
        if (seq, stored) != (expected, chain):
            raise PolicyError("policy.ledger", f"event {expected} of the consent ledger does not verify")
        yield Act(*json.loads(act)), terms.read(body)


class _TermsReader:
    """Decodes terms, each text once: a million subjects saw a handful of forms."""

    def __init__(self) -> None:
        self._known: dict[str, Terms] = {}

    def read(self, body: str | None) -> Any:  # noqa: ANN401
        if body is None:
            return None
        terms = self._known.get(body)
        if terms is None:
            fields = json.loads(body)
            lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
            terms = self._known[body] = Terms(**{**fields, **lists})
        return terms


def _rows(
    connection: sqlite3.Connection, select: str, subject_refs: Sequence[str] | None
) -> Iterator[tuple[Any, ...]]:
    if subject_refs is None:
        yield from connection.execute(select)
        return
    for start in range(0, len(subject_refs), _LOOKUP_BATCH_SUBJECTS):
        part = subject_refs[start : start + _LOOKUP_BATCH_SUBJECTS]
        marks = ", ".join("?" * len(part))
        yield from connection.execute(f"{select} WHERE subject IN ({marks})", part)


def _put(connection: sqlite3.Connection, key: tuple[str, str], standing: Standing, terms_id: int) -> None:
    """Writes one standing; ends have no terms."""
    number = None if standing.terms is None else terms_id
    values = (*key, *standing[:4], number, standing.guardian, standing.age_at_least)
    connection.execute("INSERT OR REPLACE INTO standings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def _put_folding(connection: sqlite3.Connection, key: tuple[str, str], folding: Folding) -> None:
    hidden = json.dumps([sorted(folding.hidden_columns), sorted(folding.hidden_categories)])
    connection.execute(
        "INSERT OR REPLACE INTO foldings VALUES (?, ?, ?, ?)", (*key, hidden, folding.acted_ms)
    )


def _project_folding(connection: sqlite3.Connection, key: tuple[str, str], act: Act, terms: Terms) -> None:
    query = "SELECT acted_ms FROM foldings WHERE subject = ? AND purpose = ?"
    row = connection.execute(query, key).fetchone()
    before = None if row is None else Folding(frozenset(), frozenset(), row[0])
    after = fold(before, act, terms)
    if after is not None and after is not before:
        _put_folding(connection, key, after)


def _project_again(connection: sqlite3.Connection) -> None:
    """Recomputes the projections from the events."""
    connection.execute("DELETE FROM standings")
    connection.execute("DELETE FROM foldings")
    standings, foldings = replay_all(read_events(connection))
    for key, standing in standings.items():
        terms_id = 0 if standing.terms is None else store_terms(connection, standing.terms)[0]
        _put(connection, key, standing, terms_id)
    for key, folding in foldings.items():
        _put_folding(connection, key, folding)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'purposes'", (_PURPOSES_DIGEST,))


def _link(chain: bytes, terms_digest: str, act: str) -> bytes:
    """Hash over an event and all before it."""
    return hashlib.sha256(chain + bytes.fromhex(terms_digest) + act.encode()).digest()
