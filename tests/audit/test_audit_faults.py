"""Killed, crowded, out of disk: what was acknowledged stays, and the log verifies."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from hanse.audit import Actor, AuditLog, Event, EventType, FileOperations, VerifiedLog, verify_log
from hanse.audit.storage import locked, read_lines
from hanse.crypto import SigningKey, sha256_hex
from hanse.errors import AuditError

NewLog = Callable[[], AuditLog]
WRITER = Path(__file__).with_name("audit_writer.py")


class Writers:
    """Starts real processes on one log and reads what they acknowledged."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        self.path, self.key, self._key_file = folder / "audit.log", key, folder / "log.key"
        key.save(self._key_file)

    def start(self, mode: str, number: int | None = None) -> subprocess.Popen[str]:
        arguments = [sys.executable, str(WRITER), str(self.path), str(self._key_file), mode]
        process = subprocess.Popen(
            arguments + ([] if number is None else [str(number)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def kill(self, process: subprocess.Popen[str], after_commits: int) -> list[tuple[int, int]]:
        """Kills it once it has acknowledged so many commits; returns all that it acknowledged."""
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after_commits)]
        time.sleep(0.008)
        process.kill()
        return acknowledged(lines + last_words(process))

    def verify(self) -> VerifiedLog:
        return verify_log(self.path, self.key.verifier)


def last_words(process: subprocess.Popen[str]) -> list[str]:
    """What it still prints. Not ``communicate``: that loses what was read ahead of the last line."""
    with process:
        assert process.stdout is not None
        return process.stdout.read().splitlines()


def acknowledged(lines: list[str]) -> list[tuple[int, int]]:
    """The index ranges that a writer printed; the last line may be cut short by the kill."""
    pairs = [line.split() for line in lines]
    return [(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2]


@pytest.fixture
def writers(tmp_path: Path, key: SigningKey, new_log: NewLog) -> Writers:
    new_log()
    return Writers(tmp_path, key)


def test_kill_loses_nothing_acknowledged(writers: Writers, new_log: NewLog) -> None:
    total = 0
    for after_commits in (0, 1, 7, 30):
        done = writers.kill(writers.start("append"), after_commits)
        size = new_log().size
        ends = [total, *(end for _, end in done)]
        assert [start for start, _ in done] == ends[:-1], "commits follow one another"
        assert size >= ends[-1]
        verified = writers.verify()
        assert verified.size == size
        assert all(verified.entries[index].run == "r1" for start, end in done for index in range(start, end))
        total = size
    assert total >= 30


def test_kill_in_the_middle_of_a_commit(writers: Writers, new_log: NewLog) -> None:
    recovered = 0
    for after_commits in (0, 1, 2, 3):
        done = writers.kill(writers.start("creep"), after_commits)
        before = writers.path.read_bytes()
        log = new_log()
        verified = writers.verify()
        assert verified.size == log.size >= max((end for _, end in done), default=0)
        for last in verified.entries[-1:]:
            if last.cut is None:
                continue
            recovered += 1
            assert last.type == EventType.LOG_RECOVERED
            torn = before[-last.cut.size_bytes :]
            assert sha256_hex(torn) == last.cut.digest
            assert writers.path.read_bytes().startswith(before.removesuffix(torn))
    assert recovered >= 2, "the kills came between commits"


def test_two_processes_write_one_gapless_log(writers: Writers) -> None:
    processes = [writers.start("beside", 40) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    commits = [acknowledged(last_words(process)) for process in processes]
    assert [len(done) for done in commits] == [40, 40]
    together = sorted(commits[0] + commits[1])
    assert together[0][0] == 0
    assert all(left[1] == right[0] for left, right in pairwise(together))
    assert together != commits[0] + commits[1], "they took turns"
    verified = writers.verify()
    assert verified.size == together[-1][1] == 200
    assert [entry.seq for entry in verified.entries] == list(range(200))


@pytest.mark.parametrize("room_bytes", [0, 1, 200, 5_000])
def test_full_disk(writers: Writers, new_log: NewLog, room_bytes: int) -> None:
    """The limit on the file's size makes the kernel refuse the write, partly or altogether."""
    lines = last_words(writers.start("starve", room_bytes))
    assert lines[-1] == "audit.unavailable"
    done = acknowledged(lines[:-1])
    assert writers.verify().size == (done[-1][1] if done else 0)
    assert new_log().append(Event(type=EventType.RUN_STARTED)).start == (done[-1][1] if done else 0)


class Disk:
    """The operating system's calls, of which some fail; what they did before failing stays done."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.partly_bytes = 0

    def write(self, descriptor: int, data: memoryview) -> int:
        if "write" not in self.failing:
            return os.write(descriptor, data)
        if self.partly_bytes:
            written, self.partly_bytes = os.write(descriptor, data[: self.partly_bytes]), 0
            return written
        raise OSError(errno.ENOSPC, "No space left on device")

    def sync(self, descriptor: int) -> None:
        if "sync" in self.failing:
            raise OSError(errno.EIO, "Input/output error")
        os.fsync(descriptor)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        if "truncate" in self.failing:
            raise OSError(errno.EIO, "Input/output error")
        os.ftruncate(descriptor, size_bytes)

    def operations(self) -> FileOperations:
        return FileOperations(self.write, self.sync, self.truncate)


@pytest.mark.parametrize(
    "case",
    [
        ({"write"}, 0, "nothing"),
        ({"write"}, 300, "nothing"),
        ({"sync"}, 0, "nothing"),
        ({"write", "sync"}, 300, "nothing"),
        ({"write", "truncate"}, 300, "part"),
        ({"sync", "truncate"}, 0, "all"),
    ],
    ids=["no space", "some space", "sync", "space and sync", "not undone", "persisted anyway"],
)
def test_refusing_disk(
    new_log: NewLog, key: SigningKey, actor: Actor, event: Event, case: tuple[set[str], int, str]
) -> None:
    failing, partly_bytes, persisted = case
    path, disk = new_log().path, Disk()
    log = AuditLog.open(path, key, actor, operations=disk.operations())
    log.append(event)
    disk.failing, disk.partly_bytes = failing, partly_bytes
    with pytest.raises(AuditError, match=r"audit\.unavailable") as caught:
        log.append(event, event)
    assert caught.value.spec.retryable
    assert log.size == 1, "what was refused is not acknowledged"
    if persisted == "nothing":
        assert verify_log(path, key.verifier).size == 1
    elif persisted == "all":
        assert verify_log(path, key.verifier).size == 3
    else:
        with pytest.raises(AuditError, match="interrupted") as caught:
            verify_log(path, key.verifier)
        assert caught.value.entry == 1
    disk.failing = set()
    log.append(Event(type=EventType.RUN_STARTED))
    types = [entry.type for entry in verify_log(path, key.verifier).entries]
    between = {"nothing": [], "part": [EventType.LOG_RECOVERED], "all": [event.type] * 2}[persisted]
    assert types == [event.type, *between, EventType.RUN_STARTED]


def test_interruption_by_a_signal_is_undone(
    new_log: NewLog, key: SigningKey, actor: Actor, event: Event
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    path = new_log().path
    log = AuditLog.open(path, key, actor, operations=FileOperations(sync=interrupted))
    with pytest.raises(KeyboardInterrupt):
        log.append(event)
    assert verify_log(path, key.verifier).size == 0


def test_every_interrupted_commit_is_cut_and_the_cut_is_logged(
    new_log: NewLog, key: SigningKey, event: Event
) -> None:
    """All lengths that a kill or a loss of power can leave of a commit of two entries."""
    log = new_log()
    log.append(event)
    before = log.path.read_bytes()
    log.append(event, event)
    after = log.path.read_bytes()
    for end in [*range(len(before) + 1, len(after), 11), len(after) - 1]:
        log.path.write_bytes(after[:end])
        assert new_log().size == 2
        last = verify_log(log.path, key.verifier).entries[-1]
        assert last.type == EventType.LOG_RECOVERED
        assert last.cut is not None
        assert last.cut.size_bytes == end - len(before)


@pytest.mark.parametrize(
    "tail", [b"x", b"\0", b"c", b"e zz", b"e " + b"0" * 64 + b" [", b"\n", b"e " + b"0" * 64 + b' {"\xff']
)
def test_other_tails_are_not_cut(new_log: NewLog, event: Event, tail: bytes) -> None:
    log = new_log()
    log.append(event)
    with log.path.open("ab") as file:
        file.write(tail)
    with pytest.raises(AuditError, match=r"audit\.integrity") as caught:
        new_log()
    assert caught.value.entry == 1
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        log.append(event)
    assert log.path.read_bytes().endswith(tail)


def test_log_without_its_first_seal_is_not_opened(new_log: NewLog) -> None:
    """The first two lines appear together, so their absence is no interrupted write."""
    path = new_log().path
    data = path.read_bytes()
    for end in (0, 9, data.index(b"\n") + 1, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(AuditError, match=r"audit\.integrity") as caught:
            new_log()
        assert caught.value.entry == 0


def test_hanging_writer_does_not_hang_others(new_log: NewLog) -> None:
    path = new_log().path
    with locked(path, FileOperations()):
        with (
            pytest.raises(AuditError, match="kept it locked"),
            locked(path, FileOperations(), timeout_s=0.01),
        ):
            pass
        with pytest.raises(AuditError, match="kept it locked"):
            list(read_lines(path, timeout_s=0.01))


def test_reader_needs_no_right_to_write(new_log: NewLog, key: SigningKey) -> None:
    path = new_log().path
    path.chmod(0o440)
    assert verify_log(path, key.verifier).size == 0


def test_reader_stops_where_it_started(new_log: NewLog, event: Event) -> None:
    log = new_log()
    lines = read_lines(log.path)
    first = next(lines)
    log.append(event)
    assert len([first, *lines]) == 2
