"""The tables of an audit log, the same on SQLite and on PostgreSQL, and the guards around them.

``audit_entries`` is the log. A row has the canonical bytes of one entry and, beside them, the hashes of the
tree of RFC 6962 that this entry completes: its own leaf hash, then the root of each complete subtree that
ends with it, from small to large, 32 bytes each. So entry 3 (counting from 0) has three hashes: of the leaf,
of leaves 2-3 and of leaves 0-3. No row ever changes, and every root and proof of every size follows from at
most 2 log2(size) rows.

``audit_head`` is the one row that a commit overwrites: the number of entries, and the checkpoint over them,
signed. ``audit_checkpoints`` keeps those that a witness co-signed and those by which the log changed its key;
``audit_cosignatures`` has the witnesses' lines. ``audit_actors`` has the last entry of each actor: it saves
a search and proves nothing.

The guards stop mistakes, not whoever owns the database; the hashes and signatures are for those.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

from hanse.storage.guards import (
    postgresql_append_only,
    postgresql_body,
    postgresql_function,
    sqlite_append_only,
    sqlite_guard,
)

APPLICATION_ID: Final = 0x48414E41  # "HANA": refuses another program's database
SCHEMA_VERSION: Final = 1

metadata: Final = MetaData()
# A plain INTEGER PRIMARY KEY is the row's own number in SQLite; any other type would need an index more.
_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")

meta: Final = Table(
    "audit_meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""``version`` of this schema, ``origin`` of the log, and the verifier ``key`` that it began with."""

entries: Final = Table(
    "audit_entries",
    metadata,
    Column("entry", _NUMBER, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
)
head: Final = Table(
    "audit_head",
    metadata,
    Column("id", SmallInteger, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("note", LargeBinary, nullable=False),
)
checkpoints: Final = Table(
    "audit_checkpoints",
    metadata,
    Column("size", _NUMBER, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
)
cosignatures: Final = Table(
    "audit_cosignatures",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("size", BigInteger, nullable=False, index=True),
    Column("line", Text, nullable=False),
)
"""Signature lines of witnesses in the order of arrival; of one witness' lines the last counts."""

actors: Final = Table(
    "audit_actors",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("last_entry", BigInteger, nullable=False),
)

_APPEND_ONLY: Final = (meta, entries, checkpoints, cosignatures)
_GROWING: Final = ((head, "size"), (actors, "last_entry"))
_REFUSAL: Final = "the audit log is append-only"
_FUNCTION: Final = "audit_append_only"


def sqlite_guards() -> dict[str, str]:
    """Triggers that refuse to change or delete what was recorded, by name."""
    guards = sqlite_append_only(_APPEND_ONLY, _REFUSAL)
    for table, column in _GROWING:
        shrinks = f"BEFORE UPDATE ON {table.name} WHEN NEW.{column} <= OLD.{column}"
        for verb, when in (("DELETE", f"BEFORE DELETE ON {table.name}"), ("UPDATE", shrinks)):
            name = f"{table.name}_{verb}"
            guards[name] = sqlite_guard(name, when, _REFUSAL)
    return guards


def postgresql_guards() -> dict[str, str]:
    """As :func:`sqlite_guards`, TRUNCATE included. The function that they call comes first, as ``""``."""
    call = f"EXECUTE FUNCTION {_FUNCTION}()"
    guards = {
        "": postgresql_function(_FUNCTION, _REFUSAL),
        **postgresql_append_only(_APPEND_ONLY, _FUNCTION),
    }
    for table, column in _GROWING:
        name = f"{table.name}_guard"
        guards[name] = (
            f"CREATE TRIGGER {name} BEFORE DELETE OR TRUNCATE ON {table.name} FOR EACH STATEMENT {call}"
        )
        guards[f"{table.name}_growth"] = (
            f"CREATE TRIGGER {table.name}_growth BEFORE UPDATE ON {table.name}"
            f" FOR EACH ROW WHEN (NEW.{column} <= OLD.{column}) {call}"
        )
    return guards


def expected_guards(*, sqlite: bool) -> set[tuple[str, str]]:
    """What :meth:`hanse.audit.store.rows.Rows.guards` finds in a log that nobody tampered with."""
    if sqlite:
        return set(sqlite_guards().items())
    return {(name, f"O{postgresql_body(_REFUSAL)}") for name in postgresql_guards() if name}
