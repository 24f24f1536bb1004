"""Forks processes that write to a log, to be killed, starved of disk, or run beside others.

Forked from one process that has imported everything, a writer starts in milliseconds. Requests are lines of
JSON on standard input, the fields of :class:`Task`; the answer is the writer's process id. A writer tells
what it does in lines of its own file, each written at once, so that they survive whatever happens to it:

* ``ready`` once the log is open;
* ``ack FIRST END RUN`` for entries that were acknowledged, all of them with this run;
* ``note BASE64`` for a checkpoint that the log handed out;
* ``cosigned SIZE BASE64`` for a witness' line that was kept;
* ``error CODE`` when the log refused, ``calls WORDS`` for what was asked of the disk;
* ``done`` at its end, unless it is killed.
"""

import base64
import contextlib
import ctypes
import json
import os
import resource
import secrets
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from unittest import mock

from sqlalchemy import Connection
from tests.audit.faults import faulty_disk
from typing_extensions import override

from hanse.audit import Actor, AuditLog, Event, EventType
from hanse.audit.store import Head, LogStore, PlainRow, WritableRows
from hanse.crypto import SigningKey, add_signature
from hanse.errors import HanseError
from hanse.storage import database

CAPABILITY_VERSION = 0x20080522


@dataclass(frozen=True)
class Task:
    """What a writer does.

    Attributes:
        place: The log: a file or a URL.
        key: File of the log's key.
        output: File for what the writer tells.
        scene: A key of ``SCENES``.
        threads: How many append at once, under ``load``.
        batch: Entries of a commit.
        commits: How many, by each thread.
        operation: Which operation of the store misbehaves, under ``operation``; see
            :class:`FaultyRows` and :class:`FaultyStore`.
        images: For what a loss of power would leave, under ``disk``.
        call: Which call to the disk misbehaves, under ``disk``; 0 for none.
        action: How.
        room_bytes: How large a file may get, under ``starve``.
    """

    place: str
    key: str
    output: str
    scene: str
    threads: int = 1
    batch: int = 2
    commits: int = 1 << 30
    operation: str = ""
    images: str = ""
    call: int = 0
    action: str = ""
    room_bytes: int = 0


class Fault:
    """What shall happen at one operation, once."""

    def __init__(self) -> None:
        self.operation = self.action = ""

    def arm(self, operation: str, action: str) -> None:
        self.operation, self.action = operation, action

    def around(self, operation: str, work: Callable[[], Any]) -> Any:
        action = self.action if operation == self.operation else ""
        if action:
            self.operation = ""
        if action == "killed before":
            os.kill(os.getpid(), signal.SIGKILL)
        if action == "fails":
            raise sqlite3.OperationalError("disk I/O error")
        result = work()
        if action == "killed after":
            os.kill(os.getpid(), signal.SIGKILL)
        if action == "fails though done":
            raise sqlite3.OperationalError("disk I/O error")
        return result


class FaultyRows(WritableRows):
    """A transaction of which one operation misbehaves."""

    def __init__(self, connection: Connection, fault: Fault) -> None:
        super().__init__(connection)
        self._fault = fault

    @override
    def head(self) -> Head:
        return cast("Head", self._fault.around("read head", super().head))

    @override
    def insert_entries(self, rows: Sequence[PlainRow]) -> None:
        self._fault.around("insert entries and nodes", lambda: WritableRows.insert_entries(self, rows))

    @override
    def set_last_entry(self, actor: str, entry: int) -> None:
        self._fault.around("note actor", lambda: WritableRows.set_last_entry(self, actor, entry))

    @override
    def set_head(self, head: Head) -> None:
        self._fault.around("insert checkpoint", lambda: WritableRows.set_head(self, head))

    @override
    def keep(self, checkpoint: Head) -> None:
        self._fault.around("keep checkpoint", lambda: WritableRows.keep(self, checkpoint))

    @override
    def add_cosignature(self, size: int, line: str) -> None:
        self._fault.around("insert cosignature", lambda: WritableRows.add_cosignature(self, size, line))


class FaultyStore(LogStore):
    """A store of which one operation misbehaves."""

    def __init__(self, place: Path | str) -> None:
        super().__init__(place)
        self.fault = Fault()

    @override
    def begin(self) -> WritableRows:
        self.fault.around("begin", super().begin)
        assert self._connection is not None
        return FaultyRows(self._connection, self.fault)

    @override
    def commit(self) -> None:
        self.fault.around("commit", super().commit)


class Writer:
    """One process that writes to the log."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.place = task.place if "://" in task.place else Path(task.place)
        self.key = SigningKey.load(Path(task.key))
        self._output = os.open(task.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(self, *words: object) -> None:
        os.write(self._output, (" ".join(map(str, words)) + "\n").encode())

    def open(self, store: LogStore | None = None) -> AuditLog:
        actor = Actor(organisation="Brand", key_id=self.key.verifier.key_id, role="member")
        log = AuditLog.open(self.place, self.key, actor, store=store)
        self.tell("ready")
        return log

    def append(self, log: AuditLog, run: str) -> bool:
        """One commit, under a name of its own; says whether it was acknowledged."""
        run = f"{run}-{os.getpid()}"
        try:
            done = log.append(*[Event(type=EventType.BUDGET_SPENT, run=run)] * self.task.batch)
        except HanseError as error:
            self.tell("error", error.code)
            return False
        self.tell("ack", done.start, done.stop, run)
        self.tell("note", base64.b64encode(log.checkpoint()).decode())
        return True

    def cosign(self, log: AuditLog) -> None:
        """Keeps another signature for the newest checkpoint; any name does, the log does not check it."""
        witness = SigningKey(f"witness-{secrets.token_hex(4)}", bytes(range(32)))
        note = add_signature(log.checkpoint(), witness)
        line = note.splitlines(keepends=True)[-1]
        try:
            log.cosign(log.size, line.decode())
        except HanseError as error:
            self.tell("error", error.code)
            return
        self.tell("cosigned", log.size, base64.b64encode(line).decode())


def load(writer: Writer) -> None:
    """Appends from several threads at once, until killed."""
    log = writer.open()

    def work(thread: int) -> None:
        for commit in range(writer.task.commits):
            if not writer.append(log, f"t{thread}-c{commit}"):
                return

    threads = [threading.Thread(target=work, args=[number]) for number in range(writer.task.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def operation(writer: Writer) -> None:
    """A commit, one with a cosignature in which an operation misbehaves, and two more."""
    store = FaultyStore(writer.place)
    log = writer.open(store)
    writer.append(log, "before")
    store.fault.arm(writer.task.operation, writer.task.action)
    if writer.task.operation in {"keep checkpoint", "insert cosignature"}:
        writer.cosign(log)
    writer.append(log, "during")
    writer.append(log, "after")
    writer.cosign(log)
    writer.append(log, "later")


def disk(writer: Writer) -> None:
    """A commit, one on a disk that misbehaves, and two more."""
    plan = faulty_disk.install(Path(writer.task.images))
    log = writer.open()
    writer.append(log, "before")
    plan.arm(writer.task.call, writer.task.action)
    writer.append(log, "during")
    writer.tell("calls", *plan.calls)
    plan.disarm()
    writer.append(log, "after")
    writer.append(log, "later")


def fold(writer: Writer) -> None:
    """SQLite copies its log into the file of the database, on a disk that misbehaves."""
    plan = faulty_disk.install(Path(writer.task.images))
    log = writer.open()
    writer.append(log, "before")
    with contextlib.closing(sqlite3.connect(writer.place)) as connection:
        plan.arm(writer.task.call, writer.task.action)
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        writer.tell("calls", *plan.calls)
        plan.disarm()
    writer.append(log, "after")
    writer.append(log, "later")


def impatient(writer: Writer) -> None:
    """A commit that does not wait long for others, and one that does."""
    log = writer.open()
    writer.append(log, "before")
    log.close()  # the next commit connects anew
    while not Path(f"{writer.task.output}.go").exists():
        time.sleep(0.001)
    with mock.patch.object(database, "BUSY_TIMEOUT_S", 0.05):
        writer.append(log, "during")
    log.close()
    writer.append(log, "after")
    writer.append(log, "later")


def forked(writer: Writer) -> None:
    """Two processes that share a log that was opened before they parted."""
    log = writer.open()
    writer.append(log, "before")
    child = os.fork()
    for commit in range(writer.task.commits):
        writer.append(log, f"c{commit}")
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def starve(writer: Writer) -> None:
    """Appends until no file can grow any more, then with room again."""
    log = writer.open()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (writer.task.room_bytes, limits[1]))
    commit = 0
    while writer.append(log, f"c{commit}"):
        commit += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    writer.append(log, "after")


def unprivileged(writer: Writer) -> None:
    """A commit without the right to go past file modes, which an administrator's process has."""
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)())
    try:
        writer.append(writer.open(), "unprivileged")
    except HanseError as error:
        writer.tell("error", error.code)


SCENES: dict[str, Callable[[Writer], None]] = {
    "load": load,
    "operation": operation,
    "disk": disk,
    "fold": fold,
    "forked": forked,
    "impatient": impatient,
    "starve": starve,
    "unprivileged": unprivileged,
}


def perform(task: Task) -> None:
    """Runs one scene in this process and ends it, whatever happens."""
    writer = Writer(task)
    try:
        SCENES[task.scene](writer)
        writer.tell("done")
    except BaseException as error:  # noqa: BLE001 - told to the test, which fails
        writer.tell("failed", repr(error))
    finally:
        os._exit(0)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps what ends
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            perform(Task(**json.loads(line)))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
