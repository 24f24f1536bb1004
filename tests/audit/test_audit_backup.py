"""Backups that were verified, and restorations that say what was lost."""

import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import pytest

from hanse.audit import Actor, AuditLog, Event, EventType, LogReader, verify_log
from hanse.audit.backup import write_backup
from hanse.audit.checkpoint import Checkpoint
from hanse.audit.restoring import Kept, Restoration, compare, notes_about, restore_log
from hanse.crypto import SigningKey
from hanse.errors import AuditError, ConfigurationError, HanseError, IdentityError

ORIGIN = "brand.example/log"
EVENT = Event(type=EventType.RUN_STARTED, run="r1")
WAIT_S = 30.0


def now() -> datetime:
    return datetime(2026, 6, 1, tzinfo=UTC)


class Site:
    """A log, its backup, and what others keep of it."""

    def __init__(self, folder: Path, key: SigningKey, actor: Actor) -> None:
        self.folder, self.key, self.actor = folder, key, actor
        self.place, self.backup = folder / "state" / "audit.db", folder / "backup.db"
        self.place.parent.mkdir()
        AuditLog.create(self.place, ORIGIN, key)

    def append(self, count: int) -> bytes:
        """Some entries; returns the checkpoint over them, as somebody might keep it."""
        log = AuditLog.open(self.place, self.key, self.actor)
        for _ in range(count):
            log.append(EVENT)
        log.close()
        return log.checkpoint()

    def back_up(self) -> None:
        write_backup(self.place, self.backup, self.key.verifier)

    def restore(self, *notes: bytes, accept_loss: bool = False) -> Restoration:
        kept = [(f"reviewer {number}", note) for number, note in enumerate(notes)]
        return restore_log(
            self.backup,
            self.place,
            self.key,
            self.actor,
            now,
            origin=ORIGIN,
            notes=kept,
            accept_loss=accept_loss,
        )

    def destroy(self) -> None:
        for path in self.place.parent.iterdir():
            path.unlink()

    def types(self) -> list[EventType]:
        return [entry.type for entry in verify_log(self.place, self.key.verifier).entries]


@pytest.fixture
def site(tmp_path: Path, key: SigningKey, actor: Actor) -> Site:
    return Site(tmp_path, key, actor)


def test_backup_is_the_log_in_one_file(site: Site) -> None:
    site.append(5)
    held = write_backup(site.place, site.backup, site.key.verifier, origin=ORIGIN)
    log, copy = (verify_log(place, site.key.verifier) for place in (site.place, site.backup))
    assert list(copy.leaves) == list(log.leaves)
    assert copy.checkpoint == log.checkpoint
    assert held == Checkpoint(ORIGIN, 5, log.root)
    assert sorted(path.name for path in site.folder.iterdir()) == ["backup.db", "state"]
    moved = site.folder / "elsewhere" / "copy.db"
    moved.parent.mkdir()
    shutil.copyfile(site.backup, moved)
    moved.chmod(0o400)
    moved.parent.chmod(0o500)
    assert verify_log(moved, site.key.verifier).size == 5
    moved.parent.chmod(0o700)
    assert site.backup.stat().st_mode & 0o777 == 0o440


def test_backup_is_taken_while_others_append(site: Site) -> None:
    site.append(1)
    stop, sizes = threading.Event(), [1]
    grown: SimpleQueue[int] = SimpleQueue()

    def write() -> None:
        log = AuditLog.open(site.place, site.key, site.actor)
        while not stop.is_set():
            grown.put(log.append(*[EVENT] * 20).stop)
        log.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            target = site.folder / f"{number}.db"
            # All five may be done before the writer has opened the log: each waits for entries of its own.
            while grown.get(timeout=WAIT_S) <= sizes[-1]:
                pass
            sizes.append(write_backup(site.place, target, site.key.verifier).size)
    finally:
        stop.set()
        writer.join()
    assert sizes == sorted(set(sizes)), "the log grew meanwhile"
    verified = verify_log(site.place, site.key.verifier)
    for number, size in enumerate(sizes[1:]):
        copy = verify_log(site.folder / f"{number}.db", site.key.verifier)
        assert copy.size == size
        assert list(copy.leaves) == list(verified.leaves)[:size]


def test_damaged_log_is_not_backed_up(site: Site) -> None:
    site.append(30)
    with closing(sqlite3.connect(site.place)) as connection:
        connection.execute("DROP TRIGGER audit_entries_UPDATE")
        connection.execute("UPDATE audit_entries SET data = replace(data, 'r1', 'r2') WHERE entry = 7")
        connection.commit()
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        site.back_up()
    assert not site.backup.exists()
    assert [path.name for path in site.folder.iterdir()] == ["state"], "nothing is left behind"


def test_backup_overwrites_nothing(site: Site) -> None:
    site.backup.write_text("something else")
    with pytest.raises(ConfigurationError, match=r"config\.exists"):
        site.back_up()
    assert site.backup.read_text() == "something else"
    with pytest.raises(ConfigurationError, match=r"config\.unwritable"):
        write_backup(site.place, site.folder / "nowhere" / "b.db", site.key.verifier)


def test_nothing_is_lost(site: Site) -> None:
    early, late = site.append(3), site.append(4)
    site.back_up()
    site.destroy()
    done = site.restore(early, late)
    assert (done.size, done.missing, done.replaced) == (7, 0, None)
    assert done.newest is not None
    assert done.newest.holder == "reviewer 1"
    assert site.types() == [EventType.RUN_STARTED] * 7 + [EventType.LOG_RESTORED]
    restored = verify_log(site.place, site.key.verifier, since=late).entries[7].restored
    assert restored is not None
    assert (restored.size, restored.known_size, restored.root) == (7, 7, restored.known_root)
    site.append(1)
    assert site.types()[-2:] == [EventType.LOG_RESTORED, EventType.RUN_STARTED]


def test_missing_entries_are_counted_and_nothing_is_restored(site: Site) -> None:
    site.append(3)
    site.back_up()
    late = site.append(4)
    site.destroy()
    with pytest.raises(AuditError, match=r"4 entries are missing: the backup has 3, reviewer 0 knows 7"):
        site.restore(late)
    assert list(site.place.parent.iterdir()) == []


def test_accepted_loss_is_in_the_log(site: Site) -> None:
    site.append(3)
    site.back_up()
    late = site.append(4)
    lost_root = verify_log(site.place, site.key.verifier).root
    site.destroy()
    done = site.restore(late, accept_loss=True)
    assert (done.size, done.missing) == (3, 4)
    restored = verify_log(site.place, site.key.verifier).entries[-1].restored
    assert restored is not None
    assert (restored.size, restored.known_size, restored.known_root) == (3, 7, lost_root.hex())
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        verify_log(site.place, site.key.verifier, since=late)
    site.append(5)
    with pytest.raises(AuditError, match="not those of the saved checkpoint"):
        verify_log(site.place, site.key.verifier, since=late)


def test_without_a_checkpoint_nobody_can_tell(site: Site) -> None:
    site.append(3)
    site.back_up()
    site.destroy()
    with pytest.raises(AuditError, match="nothing to compare") as caught:
        site.restore()
    assert caught.value.code == "audit.loss"
    done = site.restore(accept_loss=True)
    assert (done.newest, done.missing) == (None, None)
    restored = verify_log(site.place, site.key.verifier).entries[-1].restored
    assert restored is not None
    assert restored.known_size is None


def test_log_in_the_place_is_compared_and_kept(site: Site) -> None:
    site.append(3)
    site.back_up()
    site.append(2)
    with pytest.raises(
        AuditError, match=r"2 entries are missing: .* the log that is in its place now knows 5"
    ):
        site.restore()
    assert site.types() == [EventType.RUN_STARTED] * 5, "nothing was changed"
    done = site.restore(accept_loss=True)
    assert done.replaced is not None
    assert verify_log(done.replaced, site.key.verifier).size == 5
    turn = f"{site.place.name}-turn"  # where writers queue; it has nothing in it
    here = sorted(path.name for path in site.place.parent.iterdir())
    assert here == [site.place.name, turn, done.replaced.name]


@pytest.mark.parametrize("damage", ["no database", "cut", "empty"])
def test_damaged_log_in_the_place_is_kept(site: Site, damage: str) -> None:
    note = site.append(30)
    site.back_up()
    site.append(1)
    data = site.place.read_bytes()
    broken = {"no database": b"\0" * len(data), "cut": data[: len(data) // 2], "empty": b""}[damage]
    site.place.write_bytes(broken)
    done = site.restore(note)
    assert done.size == 30
    assert done.replaced is not None
    assert done.replaced.read_bytes()[: len(broken)] == broken
    assert site.types()[-1] == EventType.LOG_RESTORED


def test_what_is_left_of_a_lost_log_does_not_get_into_the_restored_one(site: Site) -> None:
    """SQLite would take the log beside a file that has its name for the file's own."""
    note = site.append(3)
    site.back_up()
    log = AuditLog.open(site.place, site.key, site.actor)
    log.append(EVENT)
    left = site.place.with_name(f"{site.place.name}-wal")
    data = left.read_bytes()
    log.close()
    site.destroy()
    left.write_bytes(data)
    assert site.restore(note).size == 3
    assert site.types() == [EventType.RUN_STARTED] * 3 + [EventType.LOG_RESTORED]
    (kept,) = site.place.parent.glob("*.replaced-*-wal")
    assert kept.read_bytes() == data


def test_log_that_is_in_use_is_not_replaced(site: Site) -> None:
    note = site.append(2)
    site.back_up()
    log = AuditLog.open(site.place, site.key, site.actor)
    with pytest.raises(AuditError, match=r"audit\.unavailable.*stop the site's processes"):
        site.restore(note)
    assert log.append(EVENT).start == 2
    assert site.types() == [EventType.RUN_STARTED] * 3


def test_backup_that_does_not_verify_is_refused(site: Site) -> None:
    note = site.append(3)
    site.back_up()
    data = bytearray(site.backup.read_bytes())
    at = data.rindex(b'"run":"r1"')
    data[at + 8] ^= 1
    site.backup.unlink()
    site.backup.write_bytes(data)
    before = site.place.read_bytes()
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        site.restore(note, accept_loss=True)
    assert site.place.read_bytes() == before


def fork(site: Site) -> bytes:
    """A checkpoint of another history under the same key."""
    other = site.folder / "other.db"
    AuditLog.create(other, ORIGIN, site.key)
    log = AuditLog.open(other, site.key, site.actor)
    log.append(*[Event(type=EventType.RUN_FAILED)] * 2)
    return log.checkpoint()


def test_backup_of_another_history_is_refused_whatever_is_accepted(site: Site) -> None:
    site.append(3)
    site.back_up()
    site.destroy()
    with pytest.raises(AuditError, match="not of the log that reviewer 0 knows: its first 2 entries"):
        site.restore(fork(site), accept_loss=True)
    assert list(site.place.parent.iterdir()) == []


def test_checkpoints_that_are_not_the_logs_are_refused(site: Site) -> None:
    site.append(1)
    site.back_up()
    stranger = SigningKey.generate(ORIGIN)
    AuditLog.create(site.folder / "x.db", ORIGIN, stranger)
    with LogReader.open(site.folder / "x.db") as reader, pytest.raises(IdentityError):
        site.restore(reader.note)
    for note in (b"", b"nothing\n", b"\xff"):
        with pytest.raises(HanseError, match=r"protocol\.malformed"):
            site.restore(note)


def test_checkpoints_in_the_shared_log_count(site: Site, tmp_path: Path, actor: Actor) -> None:
    site.append(3)
    site.back_up()
    late = site.append(2)
    hub_key, stranger = SigningKey.generate("hub"), SigningKey.generate("insurer")
    shared = tmp_path / "hub.db"
    AuditLog.create(shared, "hub", hub_key)
    log = AuditLog.open(shared, hub_key, actor)
    AuditLog.create(tmp_path / "insurer.db", "insurer", stranger)
    with LogReader.open(tmp_path / "insurer.db") as reader:
        foreign = reader.note
    log.append(EVENT)
    for note in (foreign, late):
        log.append(Event(type=EventType.ROUND_SUBMITTED, peer="brand", member_checkpoint=note.decode()))
    with LogReader.open(shared) as reader:
        found = list(notes_about(ORIGIN, reader.leaves(0, reader.size)))
    assert found == [late]
    site.destroy()
    with pytest.raises(AuditError, match="2 entries are missing"):
        site.restore(*found)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_comparison(size: int) -> None:
    def root_of(count: int) -> bytes:
        return bytes([count]) * 32

    def kept(holder: str, count: int, root: bytes | None = None) -> Kept:
        return Kept(holder, Checkpoint(ORIGIN, count, root or root_of(count)))

    assert compare(size, root_of, []) is None
    newest = compare(size, root_of, [kept("a", 9), kept("b", 0), kept("c", size)])
    assert newest is not None
    assert newest.holder == "a"
    with pytest.raises(AuditError, match="that c knows"):
        compare(size, root_of, [kept("a", 9), kept("c", size, b"x" * 32)])
    with pytest.raises(AuditError, match="a and b know two different histories of 9"):
        compare(size, root_of, [kept("a", 9), kept("b", 9, b"x" * 32)])
