"""Whatever is done to a log is found, and the entry is named."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.audit import (
    Actor,
    AuditLog,
    Checkpoint,
    Event,
    EventType,
    Frontier,
    LogStore,
    sign_checkpoint,
    verify_log,
)
from hanse.audit.entry import Entry, read_frame
from hanse.audit.store import CHUNK_ENTRIES, Head, StoredEntry
from hanse.audit.store.tables import sqlite_guards
from hanse.audit.tree import EMPTY_ROOT
from hanse.crypto import SigningKey, add_signature
from hanse.errors import AuditError, IdentityError, ProtocolError

NewLog = Callable[[], AuditLog]
ORIGIN = "brand.example/log"
COMMITS = (1, 2, 4)
SIZE = sum(COMMITS)
COPY = "INSERT INTO audit_entries SELECT"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, key: SigningKey, actor: Actor) -> Path:
    """A log of some commits, of which the second was co-signed."""
    path = tmp_path_factory.mktemp("sample") / "audit.db"
    AuditLog.create(path, ORIGIN, key)
    log = AuditLog.open(path, key, actor)
    for size in COMMITS:
        log.append(*[Event(type=EventType.RUN_STARTED)] * size)
        if log.size == 3:
            log.cosign(3, "\u2014 witness AAAAAAA=\n")
    log.close()
    return path


@pytest.fixture
def copy(sample: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sample, tmp_path / "copy.db"))


def sql(path: Path, *statements: str | tuple[str, Sequence[object]]) -> None:
    """What somebody does who has the file: the guards go, and come back."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for name in sqlite_guards():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            text, values = (statement, ()) if isinstance(statement, str) else statement
            connection.execute(text, values)
        for guard in sqlite_guards().values():
            connection.execute(guard)


def cells(path: Path) -> list[tuple[str, str, int, bytes]]:
    """Every value of the log that a hash or signature covers: table, column, row and bytes."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [
            (table, column, row, value)
            for table, column in [
                ("audit_entries", "data"), ("audit_entries", "hashes"), ("audit_head", "note"),
                ("audit_checkpoints", "note"),
            ]
            for row, value in connection.execute(f"SELECT rowid, {column} FROM {table}")  # noqa: S608 - names of ours
        ]  # fmt: skip


def test_the_sample_verifies_and_has_all_kinds_of_values(sample: Path, key: SigningKey) -> None:
    assert verify_log(sample, key.verifier).size == SIZE
    assert len({(table, column) for table, column, _, _ in cells(sample)}) == 4


def test_any_changed_byte_is_found_and_its_entry_named(copy: Path, key: SigningKey) -> None:
    for table, column, row, value in cells(copy):
        for offset in range(0, len(value), 7 if column == "data" else 13):
            changed = bytearray(value)
            changed[offset] ^= 1 << offset % 8
            statement = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608 - names of ours
            sql(copy, (statement, (bytes(changed), row)))
            with pytest.raises(AuditError, match=r"audit\.integrity") as caught:
                verify_log(copy, key.verifier)
            if table == "audit_entries":
                assert caught.value.entry == row
            sql(copy, (statement, (value, row)))
    verify_log(copy, key.verifier)


@settings(max_examples=150)
@given(st.data())
def test_a_flipped_byte_of_the_file_changes_nothing_or_is_found(
    sample: Path, key: SigningKey, data: st.DataObject
) -> None:
    """Bytes of the file that hold no value may change; what is shown is what was written, or nothing."""
    whole = verify_log(sample, key.verifier)
    content = bytearray(sample.read_bytes())
    offset = data.draw(st.integers(0, len(content) - 1))
    content[offset] ^= data.draw(st.integers(1, 255))
    changed = sample.with_name("flipped.db")
    changed.write_bytes(content)
    try:
        found = verify_log(changed, key.verifier)
    except AuditError:
        return
    assert (found.checkpoint, list(found.leaves)) == (whole.checkpoint, list(whole.leaves))


@settings(max_examples=100)
@given(st.binary(max_size=200) | st.integers(0, 50_000))
def test_other_files_are_refused(sample: Path, key: SigningKey, content: bytes | int) -> None:
    other = sample.with_name("other.db")
    other.write_bytes(content if isinstance(content, bytes) else sample.read_bytes()[:content])
    with contextlib.suppress(AuditError):
        assert verify_log(other, key.verifier).size == SIZE  # cut off where nothing is


@pytest.mark.parametrize(
    ("statement", "entry", "problem"),
    [
        ("DELETE FROM audit_entries WHERE entry = 2", 2, "entry 2 is missing"),
        ("DELETE FROM audit_entries WHERE entry = 6", SIZE - 1, "is missing"),
        (f"{COPY} {SIZE}, data, hashes FROM audit_entries LIMIT 1", SIZE, "under no"),
        (f"{COPY} -1, data, hashes FROM audit_entries LIMIT 1", SIZE, "under no"),
        ("UPDATE audit_entries SET data = CAST(data AS TEXT) WHERE entry = 4", 4, "is missing"),
        ("UPDATE audit_entries SET hashes = CAST(hashes || hashes AS BLOB) WHERE entry = 4", 4, "beside it"),
        ("DELETE FROM audit_checkpoints", None, "co-signed is missing"),
        ("UPDATE audit_checkpoints SET size = 2", 0, "was made for other entries"),
        ("UPDATE audit_checkpoints SET size = 9", SIZE, "more entries than there are"),
        ("UPDATE audit_entries SET hashes = CAST(hashes AS TEXT) WHERE entry = 4", 4, "is missing"),
        ("UPDATE audit_head SET size = 6", 3, "made for other entries"),
        ("UPDATE audit_head SET size = 8", SIZE, "is missing"),
        ("UPDATE audit_head SET size = 'x'", None, "not one"),
        ("DELETE FROM audit_head", None, "a row that every audit log has"),
        ("UPDATE audit_actors SET last_entry = 2", None, "last entry of an actor"),
        ("DELETE FROM audit_actors", None, "last entry of an actor"),
        ("UPDATE audit_meta SET value = 'other' WHERE key = 'origin'", 0, "was made for other entries"),
        ("UPDATE audit_meta SET value = 'other' WHERE key = 'key'", None, "which key it began with"),
        ("DELETE FROM audit_meta", None, "a row that every audit log has"),
        ("PRAGMA user_version = 2", None, "of this version"),
        ("DROP TABLE audit_cosignatures", None, "cannot be used|guards"),
    ],
)
def test_changed_rows_are_found(
    copy: Path, key: SigningKey, statement: str, entry: int | None, problem: str
) -> None:
    with contextlib.suppress(sqlite3.OperationalError):  # no table to guard again
        sql(copy, statement)
    with pytest.raises(AuditError, match=problem) as caught:
        verify_log(copy, key.verifier)
    assert caught.value.code == "audit.integrity"
    assert caught.value.entry == entry


def test_swapped_entries_are_found(copy: Path, key: SigningKey) -> None:
    move = "UPDATE audit_entries SET entry = {} WHERE entry = {}"
    sql(copy, move.format(99, 2), move.format(2, 4), move.format(4, 99))
    with pytest.raises(AuditError, match="entry 2") as caught:
        verify_log(copy, key.verifier)
    assert caught.value.entry == 2


@pytest.mark.parametrize("name", sqlite_guards())
def test_a_dropped_guard_is_found_and_named(copy: Path, key: SigningKey, actor: Actor, name: str) -> None:
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.execute(f"DROP TRIGGER {name}")
    for check in (
        lambda: verify_log(copy, key.verifier),
        lambda: AuditLog.open(copy, key, actor),
    ):
        with pytest.raises(AuditError, match=f"guards were dropped or changed: {name}"):
            check()


def test_a_trigger_more_is_found(copy: Path, key: SigningKey) -> None:
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.execute(
            "CREATE TRIGGER extra AFTER INSERT ON audit_entries BEGIN SELECT RAISE(IGNORE); END"
        )
    with pytest.raises(AuditError, match="changed: extra"):
        verify_log(copy, key.verifier)


@pytest.mark.parametrize("table", ["meta", "entries", "checkpoints", "cosignatures", "head", "actors"])
def test_guards_refuse(copy: Path, table: str) -> None:
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        for statement in (f"DELETE FROM audit_{table}", f"UPDATE audit_{table} SET rowid = rowid"):  # noqa: S608
            with pytest.raises(sqlite3.DatabaseError, match=r"append-only|no such column"):
                connection.execute(statement)


def forge(path: Path, key: SigningKey, entries: Sequence[bytes], origin: str = ORIGIN) -> Path:
    """What the holder of the log's key can always write: any entries, properly signed."""
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    AuditLog.create(path, origin, key)
    tree = Frontier()
    store = LogStore(path)
    with store.transaction() as rows:
        rows.insert_entries([StoredEntry(tree.size, data, tree.append(data)) for data in entries])
        if frame := read_frame(entries[-1]):
            rows.set_last_entry(frame.actor, len(entries) - 1)
        rows.set_head(Head(len(entries), sign_checkpoint(Checkpoint(origin, len(entries), tree.root()), key)))
    store.close()
    return path


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([{"seq": 0}, {"seq": 2}], "entry 1 is not the next of its actor"),
        ([{"seq": 0}, {"seq": 0}], "entry 1 is not the next of its actor"),
        ([{"seq": 1}], "entry 0 is not the next of its actor"),
        ([{"seq": 0}, {"seq": 1, "time": "2025-12-31T23:59:59.999Z"}], "entry 1 is older"),
    ],
)
@pytest.mark.parametrize("detailed", [False, True])
def test_signed_nonsense_is_found(
    tmp_path: Path,
    key: SigningKey,
    actor: Actor,
    entries: list[dict[str, object]],
    problem: str,
    detailed: bool,
) -> None:
    base = {"type": "run.started", "time": "2026-01-01T00:00:00.000Z", "actor": actor}
    data = [Entry.model_validate({**base, **fields}).canonical() for fields in entries]
    with pytest.raises(AuditError, match=problem) as caught:
        verify_log(forge(tmp_path / "forged.db", key, data), key.verifier, detailed=detailed)
    assert caught.value.entry == len(entries) - 1


@settings(max_examples=30)
@given(st.binary())
def test_signed_bytes_that_are_no_entry_are_found(sample: Path, key: SigningKey, data: bytes) -> None:
    path = forge(sample.with_name("forged.db"), key, [data])
    with pytest.raises(AuditError, match=r"entry 0 (cannot be read|has no actor)") as caught:
        verify_log(path, key.verifier)
    assert caught.value.entry == 0
    with pytest.raises(AuditError, match="entry 0"):
        verify_log(path, key.verifier, detailed=False)


def test_only_the_detailed_check_validates_every_field(tmp_path: Path, key: SigningKey, actor: Actor) -> None:
    base = {"type": "run.started", "time": "2026-01-01T00:00:00.000Z", "actor": actor, "seq": 0}
    data = Entry.model_validate(base).canonical().replace(b'"reasons":[]', b'"reasons":["free text"]')
    path = forge(tmp_path / "forged.db", key, [data])
    assert verify_log(path, key.verifier, detailed=False).size == 1
    with pytest.raises(AuditError, match="entry 0 cannot be read"):
        verify_log(path, key.verifier)


def test_checkpoints_are_signed_by_the_log_alone(copy: Path, key: SigningKey) -> None:
    """One with a further signature, which anybody can add, is other bytes for the same tree."""
    note = add_signature(verify_log(copy, key.verifier).checkpoint, SigningKey.generate("stranger"))
    sql(copy, ("UPDATE audit_head SET note = ?", (note,)))
    with pytest.raises(AuditError, match="form"):
        verify_log(copy, key.verifier)


def test_other_key_and_other_origin(sample: Path, key: SigningKey) -> None:
    with pytest.raises(AuditError, match="expected key") as caught:
        verify_log(sample, SigningKey.generate(key.name).verifier)
    assert caught.value.entry == 0
    with pytest.raises(AuditError, match="not other/log"):
        verify_log(sample, key.verifier, origin="other/log")


def test_rewritten_and_signed_again_by_the_key_holder(new_log: NewLog, key: SigningKey, event: Event) -> None:
    """The rewritten log is valid in itself; what the reviewer saved earlier shows it."""
    log = new_log()
    place = Path(log.place)
    log.append(*[event] * 30)
    saved = verify_log(place, key.verifier).checkpoint
    log.append(event)
    leaves = list(verify_log(place, key.verifier, since=saved).leaves)
    leaves[12] = leaves[12].replace(b'"rows_out":900', b'"rows_out":901')
    log.close()
    forge(place, key, leaves)
    assert verify_log(place, key.verifier).size == 31
    with pytest.raises(AuditError, match="rewritten"):
        verify_log(place, key.verifier, since=saved)
    with pytest.raises(AuditError, match="rewritten while open"):
        log.append(event)  # the process that had it open notices without a saved checkpoint
    forge(place, key, [*leaves, leaves[-1]])
    with pytest.raises(AuditError, match="does not extend"):
        log.append(event)


def test_cut_back_by_the_key_holder(new_log: NewLog, key: SigningKey, event: Event) -> None:
    log = new_log()
    place = Path(log.place)
    log.append(event)
    log.close()
    shorter = place.read_bytes()
    log.append(event)
    saved = log.checkpoint()
    log.close()
    place.write_bytes(shorter)
    assert verify_log(place, key.verifier).size == 1
    with pytest.raises(AuditError, match="has 1 entries") as caught:
        verify_log(place, key.verifier, since=saved)
    assert caught.value.entry == 1
    with pytest.raises(AuditError, match="while open"):
        log.append(event)


def test_since_accepts_every_earlier_checkpoint(new_log: NewLog, key: SigningKey, event: Event) -> None:
    log = new_log()
    saved = [log.checkpoint()]
    for _ in range(5):
        log.append(event, event)
        saved.append(log.checkpoint())
    for checkpoint in saved:
        verify_log(log.place, key.verifier, since=checkpoint)
    stranger = SigningKey.generate("witness")
    verify_log(log.place, key.verifier, since=add_signature(saved[2], stranger))


def test_since_must_be_a_checkpoint_of_this_log(
    new_log: NewLog, tmp_path: Path, key: SigningKey, actor: Actor, event: Event
) -> None:
    log = new_log()
    log.append(event)
    AuditLog.create(tmp_path / "other", "brand.example/other", key)
    other = AuditLog.open(tmp_path / "other", key, actor)
    with pytest.raises(AuditError, match=r"brand\.example/other"):
        verify_log(log.place, key.verifier, since=other.checkpoint())
    with pytest.raises(ProtocolError):
        verify_log(log.place, key.verifier, since=b"nonsense")
    stranger = SigningKey.generate(key.name)
    with pytest.raises(IdentityError):
        verify_log(
            log.place, key.verifier, since=sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), stranger)
        )


@pytest.mark.parametrize("size", [CHUNK_ENTRIES - 1, CHUNK_ENTRIES, CHUNK_ENTRIES + 3, 3 * CHUNK_ENTRIES])
def test_logs_of_several_pieces(
    tmp_path: Path, key: SigningKey, actor: Actor, event: Event, size: int
) -> None:
    path = tmp_path / "audit.db"
    AuditLog.create(path, ORIGIN, key)
    log = AuditLog.open(path, key, actor)
    log.append(*[event] * size)
    seen: list[tuple[int, int]] = []
    verified = verify_log(path, key.verifier, detailed=False, progress=lambda *done: seen.append(done))
    assert verified.checkpoint == log.checkpoint()
    assert seen[-1] == (size, size)
    assert [entry.seq for entry in verified.entries] == list(range(size))
    assert verified.entries[-1].seq == verified.entries[size - 1].seq == size - 1
    assert [entry.seq for entry in verified.entries[-3:]] == [size - 3, size - 2, size - 1]
    with pytest.raises(IndexError):
        verified.entries[size]
    wrong = size - 2
    sql(path, ("UPDATE audit_entries SET data = data || ' ' WHERE entry = ?", (wrong,)))
    with pytest.raises(AuditError) as caught:
        verify_log(path, key.verifier, detailed=False)
    assert caught.value.entry == wrong
    with pytest.raises(AuditError, match=r"after they were verified|is missing"):
        list(verified.leaves)


def test_what_came_after_is_not_shown(new_log: NewLog, key: SigningKey, event: Event) -> None:
    log = new_log()
    log.append(event)
    verified = verify_log(log.place, key.verifier)
    log.append(event, event)
    assert len(list(verified.entries)) == len(verified.entries) == verified.size == 1


def test_a_log_on_a_medium_that_cannot_be_written_to(copy: Path, key: SigningKey) -> None:
    folder = copy.parent
    copy.chmod(0o444)
    folder.chmod(0o555)
    try:
        assert verify_log(copy, key.verifier).size == SIZE
    finally:
        folder.chmod(0o755)
