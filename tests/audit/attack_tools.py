"""What the holder of a log's key can do to it: write any entries into its database and sign them again."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from hanse.audit import Actor, AuditLog, Checkpoint, Event, EventType, sign_checkpoint, verify_log
from hanse.audit.hashes import consistency_proof
from hanse.audit.policy_file import TrustPolicy, quorum_of
from hanse.audit.reader import LogReader
from hanse.audit.store.tables import sqlite_guards
from hanse.audit.tree import Frontier
from hanse.audit.witness import Witness
from hanse.audit.witness_rules import WitnessRefusal
from hanse.audit.witness_state import WitnessState
from hanse.crypto import JsonInput, SigningKey, canonical_json
from hanse.crypto.cosigning import CosignerKey
from hanse.errors import HanseError

ORIGIN = "coordinator.example/log"
KEY = SigningKey(ORIGIN, bytes(range(32)))
SIZE = 12
"""Entries of the log when the reviewer saved its checkpoint and the witnesses cosigned it."""


@dataclass
class SteppingClock:
    """Steps one second at each look; can be set."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class World:
    """A log that a reviewer saved a checkpoint of and that three witnesses cosigned, of which two are enough.

    Args:
        folder: For its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = self.new_log("shared", ORIGIN)
        self.saved = verify_log(self.store, KEY.verifier).checkpoint
        self.clocks = [SteppingClock() for _ in range(3)]
        self.witnesses = [self.new_witness(number) for number in range(3)]
        for witness in self.witnesses:
            show(witness, self.store)

    def new_log(self, name: str, origin: str) -> Path:
        """A log of two actors, with entries of different kinds."""
        store = self.folder / f"{name}.db"
        AuditLog.create(store, origin, KEY)
        clock = SteppingClock()
        logs = [AuditLog.open(store, KEY, actor, clock) for actor in ACTORS]
        for number in range(SIZE):
            kind = EventType.ROUND_ADMITTED if number % 2 else EventType.ROUND_TRAINED
            logs[number % 3 % 2].append(Event(type=kind, run="r1", round=1 + number // 4))
        for log in logs:
            log.close()
        return store

    def new_witness(self, number: int, memory: str = "") -> Witness:
        """A witness with its key; with a memory of its own if one is named."""
        state = WitnessState.create(self.folder / f"witness{number}{memory}.db")
        return Witness(ORIGIN, [KEY.verifier], cosigner(number), state, self.clocks[number])

    def honest_growth(self, entries: int = 3) -> None:
        """More entries, by the program."""
        log = AuditLog.open(self.store, KEY, ACTORS[0], SteppingClock())
        for _ in range(entries):
            log.append(Event(type=EventType.RUN_FINISHED, run="r1"))
        log.close()

    def leaves(self) -> list[bytes]:
        with LogReader.open(self.store) as reader:
            return list(reader.leaves(0, reader.size))


ACTORS = tuple(
    Actor(organisation=name, key_id="00c0ffee", role=role)
    for name, role in (("Coordinator", "coordinator"), ("Scorer", "scorer"))
)


def cosigner(number: int) -> CosignerKey:
    return CosignerKey(f"member{number}", "ed25519", bytes([number + 1]) * 32)


def policy() -> TrustPolicy:
    """Two of the three witnesses."""
    return quorum_of(KEY.verifier, [cosigner(number).verifier for number in range(3)], 2)


def edit(leaf: bytes, **fields: JsonInput) -> bytes:
    """An entry with other fields, in the only valid form of its bytes."""
    document: dict[str, Any] = json.loads(leaf)
    return canonical_json(document | fields)


def forge(store: Path, leaves: Sequence[bytes], key: SigningKey = KEY, origin: str = ORIGIN) -> None:
    """Makes the log one of these entries, signed, as if it had always been so."""
    tree, rows, actors = Frontier(), [], {}
    for index, leaf in enumerate(leaves):
        rows.append((index, leaf, tree.append(leaf)))
        actors[canonical_json(json.loads(leaf)["actor"]).decode()] = index
    note = sign_checkpoint(Checkpoint(origin, tree.size, tree.root()), key)
    with closing(sqlite3.connect(store)) as database, database:
        drop_guards(database)
        for table in (
            "audit_entries",
            "audit_head",
            "audit_actors",
            "audit_checkpoints",
            "audit_cosignatures",
        ):
            database.execute(f"DELETE FROM {table}")  # noqa: S608 - the names above
        database.executemany("INSERT INTO audit_entries VALUES (?, ?, ?)", rows)
        database.executemany("INSERT INTO audit_actors VALUES (?, ?)", actors.items())
        database.execute("INSERT INTO audit_head VALUES (1, ?, ?)", (tree.size, note))
        database.execute("UPDATE audit_meta SET value = ? WHERE key = 'key'", (key.verifier.encode(),))
        restore_guards(database)


def drop_guards(database: sqlite3.Connection, *names: str) -> None:
    for name in names or sqlite_guards():
        database.execute(f"DROP TRIGGER {name}")


def restore_guards(database: sqlite3.Connection, *names: str) -> None:
    for name, statement in sqlite_guards().items():
        if name in names or not names:
            database.execute(statement)


def show(witness: Witness, store: Path) -> str:
    """What a member's node does with the log that it is shown; gives its cosignature."""
    old_size = 0 if witness.newest is None else witness.newest.checkpoint.size
    with LogReader.open(store) as reader:
        note, size = reader.note, reader.size
        proof = consistency_proof(old_size, size, reader.hashes) if old_size < size else ()
    return witness.add_checkpoint(old_size, proof, note)


def cosigned(witnesses: Sequence[Witness], store: Path) -> bytes:
    """The checkpoint with the cosignatures of the witnesses that did not refuse it."""
    with LogReader.open(store) as reader:
        note = reader.note
    for witness in witnesses:
        try:
            note += show(witness, store).encode()
        except WitnessRefusal:
            continue
    return note


class Finding(NamedTuple):
    """What a check says.

    Attributes:
        code: The error code; empty if it finds nothing.
        says: What the message has in it.
    """

    code: str = ""
    says: str = ""

    def shown(self) -> str:
        """As a cell of the table."""
        return f"`{self.code}`: {self.says}" if self.code else "nothing"

    def covers(self, measured: "Finding") -> bool:
        return measured.code == self.code and self.says in measured.says


def finding(check: Callable[[], object]) -> Finding:
    """Makes a check."""
    try:
        check()
    except HanseError as error:
        return Finding(error.code, error.detail)
    return Finding()


def copy_of(store: Path, name: str) -> Path:
    """A copy of a log that nobody has open."""
    copy = store.with_name(f"{name}.db")
    with closing(sqlite3.connect(store)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(store, copy)
    return copy
