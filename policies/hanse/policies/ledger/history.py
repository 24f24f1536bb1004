"""The append-only history: batches of events, each with a hash over itself and all before it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select, text

from hanse.crypto import canonical_json, sha256_hex
from hanse.errors import PolicyError
from hanse.policies.consent import Act, Terms
from hanse.policies.ledger.batch import EMPTY_CHAIN, EventRow, link, pack_rows
from hanse.policies.ledger.projection import project_again
from hanse.policies.ledger.tables import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    batches,
    events,
    meta,
    metadata,
    postgresql_guards,
    purposes,
    secrets,
    sqlite_guards,
    terms,
    uses,
)
from hanse.policies.purposes import PURPOSES

_PURPOSES_DIGEST: Final = sha256_hex(canonical_json(sorted(PURPOSES)))
_LOOKUP_EVENTS: Final = 500  # below the limit of variables of every build of SQLite
_READ_EVENTS: Final = 10_000


def prepare(connection: Connection) -> None:
    """Makes the tables of a new database; refuses one that is not ours; brings what stands up to date.

    Args:
        connection: A writer in a transaction.

    Raises:
        PolicyError: ``policy.ledger`` if the database is another program's, or of another version.
    """
    if _is_new(connection):
        metadata.create_all(connection, checkfirst=False)
        sqlite = connection.dialect.name == "sqlite"
        for statement in sqlite_guards() if sqlite else postgresql_guards():
            connection.exec_driver_sql(statement)
        if sqlite:
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        write_meta(connection, "version", str(SCHEMA_VERSION))
    secrets.create(connection, checkfirst=True)  # ledgers of this version were made without it, too
    # A grant stands for the purposes below it, so a new purpose in the tree changes what stands.
    if read_meta(connection, "purposes") != _PURPOSES_DIGEST:
        _adopt_purposes(connection)


def _is_new(connection: Connection) -> bool:
    """Whether the database is empty; raises if it is neither that nor a ledger of this version."""
    if connection.dialect.name == "sqlite":
        application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
        if (application, version, tables) == (0, 0, 0):
            return True
        ours = (application, version) == (APPLICATION_ID, SCHEMA_VERSION)
    else:
        if connection.execute(text("SELECT to_regclass('consent_meta')")).scalar_one() is None:
            return True
        ours = read_meta(connection, "version") == str(SCHEMA_VERSION)
    if not ours:
        raise PolicyError("policy.ledger", "the database is not a consent ledger of this version")
    return False


def _adopt_purposes(connection: Connection) -> None:
    """Numbers new purposes, and computes from the history what stands for each of them."""
    known = purpose_numbers(connection)
    fresh = sorted(PURPOSES.keys() - known.keys())
    if fresh:
        start = max(known.values(), default=0) + 1
        rows = [{"id": number, "key": key} for number, key in enumerate(fresh, start)]
        connection.execute(insert(purposes), rows)
    connection.execute(uses.delete())
    numbers = purpose_numbers(connection)
    for terms_id, form in read_terms(connection).items():
        _store_uses(connection, terms_id, form, numbers)
    project_again(connection, read_head(connection)[0])
    write_meta(connection, "purposes", _PURPOSES_DIGEST)


def read_meta(connection: Connection, key: str) -> str | None:
    """A fact about the ledger itself."""
    return connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one_or_none()


def write_meta(connection: Connection, key: str, value: str) -> None:
    """Replaces a fact about the ledger itself."""
    connection.execute(meta.delete().where(meta.c.key == key))
    connection.execute(insert(meta), {"key": key, "value": value})


def purpose_numbers(connection: Connection) -> dict[str, int]:
    """The ledger's number of each purpose."""
    return {key: number for number, key in connection.execute(select(purposes.c.id, purposes.c.key))}


def read_head(connection: Connection) -> tuple[int, bytes]:
    """Number of the last event, and the hash over it and all before; (0, …) for the empty history."""
    newest = select(batches).order_by(batches.c.first_seq.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return (0, EMPTY_CHAIN) if row is None else (row.first_seq + row.size - 1, row.chain)


def append_batch(connection: Connection, first_seq: int, size: int, chain: bytes) -> None:
    """Closes a batch with its hash."""
    connection.execute(insert(batches), {"first_seq": first_seq, "size": size, "chain": chain})


def store_terms(connection: Connection, form: Terms) -> tuple[int, str]:
    """Number and digest of terms, which are stored once."""
    body = canonical_json(asdict(form)).decode("ascii")
    digest = sha256_hex(body.encode("ascii"))
    number = connection.execute(select(terms.c.id).where(terms.c.digest == digest)).scalar_one_or_none()
    if number is None:
        number = connection.execute(select(func.coalesce(func.max(terms.c.id), 0) + 1)).scalar_one()
        connection.execute(insert(terms), {"id": number, "digest": digest, "body": body})
        _store_uses(connection, number, form, purpose_numbers(connection))
    return number, digest


def _store_uses(connection: Connection, terms_id: int, form: Terms, numbers: Mapping[str, int]) -> None:
    rows = [{"terms": terms_id, "purpose": numbers[use]} for use in form.uses]
    if rows:
        connection.execute(insert(uses), rows)


def read_terms(connection: Connection) -> dict[int, Terms]:
    """All terms by number."""
    found = connection.execute(select(terms.c.id, terms.c.body))
    return {number: decode_terms(body) for number, body in found}


def decode_terms(body: str) -> Terms:
    """Reads terms as they are stored.

    Raises:
        ValueError, TypeError: They are damaged.
    """
    fields = json.loads(body)
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Terms(**{**fields, **lists})


def find_events(connection: Connection, event_ids: Sequence[str]) -> dict[str, EventRow]:
    """The events of some ids, by id."""
    query = select(*events.c[1:]).where(events.c.event_id.in_(bindparam("ids", expanding=True)))
    found: dict[str, EventRow] = {}
    for start in range(0, len(event_ids), _LOOKUP_EVENTS):
        rows = connection.execute(query, {"ids": event_ids[start : start + _LOOKUP_EVENTS]})
        found.update((row[0], EventRow(*row)) for row in rows)
    return found


def read_event(connection: Connection, seq: int) -> tuple[Act, Terms]:
    """One event by number."""
    joined = select(*events.c[1:], terms.c.body).join(terms, terms.c.id == events.c.terms)
    *cells, body = connection.execute(joined.where(events.c.seq == seq)).one()
    return EventRow(*cells).act, decode_terms(body)


def read_history(connection: Connection) -> Iterator[tuple[int, Act, Terms]]:
    """Every event in order with its number, its place and hash checked.

    Raises:
        PolicyError: ``policy.ledger`` naming the first batch that does not verify.
    """
    forms, digests = {}, {}
    for number, digest, body in connection.execute(select(terms.c.id, terms.c.digest, terms.c.body)):
        forms[number], digests[number] = body, digest if sha256_hex(body.encode()) == digest else ""
    decoded: dict[int, Terms] = {}
    chain, expected = EMPTY_CHAIN, 1
    for first_seq, size, stored in connection.execute(select(batches).order_by(batches.c.first_seq)).all():
        rows = _read_range(connection, expected, size)
        chain = _relink(chain, expected, rows, digests)
        if (first_seq, len(rows)) != (expected, size) or chain != bytes(stored):
            raise _broken(expected, size)
        for seq, row in enumerate(rows, start=expected):
            if row.terms not in decoded:
                decoded[row.terms] = decode_terms(forms[row.terms])
            yield seq, row.act, decoded[row.terms]
        expected += size
    beyond = connection.execute(select(func.count()).select_from(events)).scalar_one()
    if beyond != expected - 1:
        raise _broken(expected, 1)


def _broken(first: int, size: int) -> PolicyError:
    where = f"event {first}" if size == 1 else f"the batch of events {first} to {first + size - 1}"
    return PolicyError("policy.ledger", f"{where} of the consent ledger does not verify")


def _read_range(connection: Connection, first: int, size: int) -> list[EventRow]:
    query = select(events).where(events.c.seq.between(first, first + size - 1)).order_by(events.c.seq)
    rows = connection.execute(query).all()
    if [row.seq for row in rows] != list(range(first, first + size)):
        raise _broken(first, size)
    return [EventRow(*row[1:]) for row in rows]


def _relink(chain: bytes, first: int, rows: Sequence[EventRow], digests: Mapping[int, str]) -> bytes:
    """The hash that a batch must have; of damaged rows none."""
    try:
        packed = pack_rows(rows)
        return link(chain, first, packed, {row.terms: digests[row.terms] for row in rows})
    except (ValueError, TypeError, KeyError):
        return b""
