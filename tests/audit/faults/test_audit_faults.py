"""Whatever fails in the middle of a commit: nothing acknowledged is lost, and there is one history.

The tables are the tests: each cell is one real process that appends, meets the fault, and appends again. Then
:meth:`conftest.Site.check` looks at what it left: every acknowledged entry is there, every checkpoint that
was handed out is one of this history, all of it verifies, and appending goes on."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.audit.faults.conftest import Process, Site
from typing_extensions import override

from hanse.audit import Actor, AuditLog, Event, LogReader, verify_log
from hanse.audit.store import LogStore
from hanse.errors import AuditError, ConfigurationError

ACTIONS = ("fails", "fails though done", "killed before", "killed after", "torn, killed", "full")

OPERATIONS = """
operation                 | fails   | fails though done | killed before | killed after
begin                     | refused | refused           | gone          | gone
read head                 | refused | refused           | gone          | gone
insert entries and nodes  | refused | refused           | gone          | gone
note actor                | refused | refused           | gone          | gone
insert checkpoint         | refused | refused           | gone          | gone
commit                    | refused | refused, there    | gone          | gone, there
"""
"""What the caller learns of a commit, and whether its entries are in the log: ``refused`` is an error,
``gone`` is a process that was killed before it could acknowledge. ``there`` can only be where the commit
itself was done and no answer came: the caller does not act, and the log says more than was acted on, never
less."""

COSIGNING = """
operation            | fails   | fails though done | killed before | killed after
keep checkpoint      | refused | refused           | gone          | gone
insert cosignature   | refused | refused           | gone          | gone
"""

DISK = """
call         | fails   | fails though done | full    | killed before | killed after | torn, killed
first write  | refused | refused           | refused | gone          | gone         | gone
last write   | refused | refused           | refused | gone          | gone, there  | gone
flush        | refused | refused           | done    | gone, there   | gone, there  | gone, there
"""
"""The calls of SQLite to the disk in one commit: it writes to its log and flushes it once. What was written
whole is found again even if the process dies before it flushes, since the machine did not die. ``done``: a
full disk can still be flushed."""

POWER = """
call         | killed before | killed after | torn, killed
first write  | gone          | gone         | gone
last write   | gone          | gone         | gone
flush        | gone          | gone, there  | gone, there
"""
"""As above, but the machine dies: of each file, only what was flushed is left."""


def cells(table: str) -> list[Any]:
    """The cells of a table: row, column, content."""
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return [
        pytest.param(row[0], action, expected, id=f"{row[0]}: {action}")
        for row in rows
        for action, expected in zip(head[1:], row[1:], strict=True)
    ]


def outcome(site: Site, process: Process) -> str:
    """What a cell of the tables says about the commit that met the fault."""
    there = any(entry.run == f"during-{process.pid}" for entry in site.check().entries)
    if "during" in process.acknowledged():
        return "done"
    return ("gone" if process.was_killed else "refused") + (", there" if there else "")


def check_that_it_goes_on(process: Process) -> None:
    """A writer that was refused once, and was not killed, is not refused again."""
    if process.was_killed:
        return
    assert [code for (code,) in process.told("error")] in ([], ["audit.unavailable"])
    assert [run for run in process.acknowledged() if run != "during"] == ["before", "after", "later"]


@pytest.mark.parametrize(("operation", "action", "expected"), cells(OPERATIONS))
def test_operation_of_a_commit(site: Site, operation: str, action: str, expected: str) -> None:
    process = site.run("operation", operation=operation, action=action)
    check_that_it_goes_on(process)
    assert outcome(site, process) == expected


@pytest.mark.parametrize(("operation", "action", "expected"), cells(COSIGNING))
def test_operation_of_a_cosignature(site: Site, operation: str, action: str, expected: str) -> None:
    process = site.run("operation", operation=operation, action=action)
    told = [words[0] for words in process.lines()]
    assert ("refused" if "error" in told else "gone") == expected
    assert process.was_killed == (expected == "gone")
    site.check()
    kept = [line for process in site.processes for line in process.told("cosigned")]
    assert len(kept) == (0 if process.was_killed else 1)
    with LogReader.open(site.place) as reader:
        stored = b"".join(reader.checkpoints()).count(b"witness-")
    assert stored == len(kept), "what was refused or interrupted is not kept"


def lose_power(site: Site, images: Path) -> None:
    """What the machine finds when it starts again: each file as it was flushed last."""
    for name in ("audit.db", "audit.db-wal", "audit.db-shm"):
        (site.folder / name).unlink(missing_ok=True)
        if (images / name).exists():
            shutil.copyfile(images / name, site.folder / name)


@pytest.fixture
def images(site: Site, tmp_path: Path) -> Path:
    """For what a loss of power would leave; to begin with, the empty log."""
    folder = tmp_path / "images"
    folder.mkdir()
    take_images(site, folder)
    return folder


def take_images(site: Site, images: Path) -> None:
    """Everything is flushed, as after a clean start."""
    for name in ("audit.db", "audit.db-wal"):
        (images / name).unlink(missing_ok=True)
        if (site.folder / name).exists():
            shutil.copyfile(site.folder / name, images / name)


@pytest.fixture
def disk(site: Site, images: Path) -> Callable[..., Process]:
    """Runs a writer on the disk that misbehaves, at a call that is given by number or by name."""
    well = site.run("disk", images=str(images))
    ((*calls,),) = well.told("calls")
    assert calls[-1] == "sync"
    assert calls[:-1] == ["write"] * (len(calls) - 1), "a commit writes, then flushes once"
    numbers = {"first write": 1, "last write": len(calls) - 1, "flush": len(calls)}

    def run(call: str, action: str) -> Process:
        return site.run("disk", images=str(images), call=numbers[call], action=action)

    return run


@pytest.mark.parametrize(("call", "action", "expected"), cells(DISK))
def test_call_to_the_disk(
    site: Site, disk: Callable[..., Process], call: str, action: str, expected: str
) -> None:
    process = disk(call, action)
    check_that_it_goes_on(process)
    assert outcome(site, process) == expected


@pytest.mark.parametrize(("call", "action", "expected"), cells(POWER))
def test_loss_of_power(
    site: Site, disk: Callable[..., Process], images: Path, call: str, action: str, expected: str
) -> None:
    process = disk(call, action)
    lose_power(site, images)
    assert process.acknowledged() == ["before"]
    assert outcome(site, process) == expected


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("power", ["kept", "lost"])
def test_every_call_of_folding(site: Site, images: Path, action: str, power: str) -> None:
    """From time to time SQLite copies its log into the file of the database: every call of that."""
    ((calls,),) = [site.run("fold", images=str(images)).told("calls")]
    assert {"write", "sync"} <= set(calls)
    for call in range(1, len(calls) + 1):
        process = site.run("fold", images=str(images), call=call, action=action)
        if power == "lost":
            lose_power(site, images)
        assert process.acknowledged() in (["before"], ["before", "after", "later"])
        site.check()
        take_images(site, images)


@pytest.mark.parametrize("room_bytes", [1_000, 10_000, 200_000])
def test_full_disk(site: Site, room_bytes: int) -> None:
    """A limit on the size of files makes the kernel refuse, partly or altogether; then there is room."""
    process = site.run("starve", room_bytes=room_bytes)
    assert process.told("error") == [["audit.unavailable"]]
    *some, last = process.acknowledged()
    assert last == "after"
    assert (len(some) > 1) == (room_bytes == 200_000)
    site.check()


def test_files_that_cannot_be_written(site: Site) -> None:
    site.run("load", commits=1)
    for path in site.folder.glob("audit.db*"):
        path.chmod(0o440)
    site.folder.chmod(0o555)
    process = site.run("unprivileged")
    assert process.told("error") == [["audit.unavailable"]]
    assert verify_log(site.place, site.key.verifier).size == 2, "reading needs no right to write"
    site.folder.chmod(0o755)
    for path in site.folder.glob("audit.db*"):
        path.chmod(0o640)
    assert site.check().size == 2


def hold(site: Site) -> "closing[sqlite3.Connection]":
    """Somebody else begins to write and does not end."""
    connection = sqlite3.connect(site.place, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return closing(connection)


def test_somebody_else_writes_for_a_while(site: Site) -> None:
    with hold(site):
        process = site.start("load", commits=1)
        time.sleep(0.2)
        assert process.alive
        assert process.told("ack") == []
    process.join()
    assert process.acknowledged() == ["t0-c0"]
    assert site.check().size == 2


def test_somebody_else_writes_for_too_long(site: Site) -> None:
    process = site.start("impatient")
    process.wait_until_told("ack")
    with hold(site):
        process.output.with_name(f"{process.output.name}.go").touch()
        process.wait_until_told("error")
    process.join()
    check_that_it_goes_on(process)
    assert outcome(site, process) == "refused"


def test_fork_shares_the_log_and_no_connection(site: Site) -> None:
    process = site.run("forked", commits=20)
    assert len(process.acknowledged()) == 41
    assert site.check().size == 82


def test_new_log_is_not_made_beside_what_is_left_of_another(site: Site) -> None:
    """SQLite would take the log beside a file that has its name for the file's own."""
    process = site.start("load")
    process.wait_until_told("ack")
    process.kill()
    Path(site.place).unlink()
    with pytest.raises(ConfigurationError, match=r"config\.exists.*-wal"):
        AuditLog.create(site.place, site.key.name, site.key)


class Interrupted(LogStore):
    """The person at the keyboard presses Ctrl-C while the disk works."""

    when = "never"

    @override
    def commit(self) -> None:
        if self.when == "before":
            raise KeyboardInterrupt
        super().commit()
        if self.when == "after":
            raise KeyboardInterrupt


@pytest.mark.parametrize(("when", "size"), [("before", 1), ("after", 2)])
def test_interruption_of_a_commit(site: Site, actor: Actor, event: Event, when: str, size: int) -> None:
    store = Interrupted(site.place)
    log = AuditLog.open(site.place, site.key, actor, store=store)
    log.append(event)
    store.when = when
    with pytest.raises(KeyboardInterrupt):
        log.append(event)
    assert log.size == 1, "nothing more was acknowledged"
    assert verify_log(site.place, site.key.verifier).size == size
    store.when = "never"
    assert log.append(event).start == size
    site.check()


class Hesitant(LogStore):
    """A disk that takes its time."""

    def __init__(self, place: Path | str) -> None:
        super().__init__(place)
        self.asked, self.may = threading.Event(), threading.Event()

    @override
    def commit(self) -> None:
        self.asked.set()
        assert self.may.wait(10)
        super().commit()


def test_checkpoint_is_not_handed_out_before_it_is_durable(site: Site, actor: Actor, event: Event) -> None:
    """Whoever has it could show it to a witness; if the commit then failed, there were two histories."""
    store = Hesitant(site.place)
    store.may.set()
    log = AuditLog.open(site.place, site.key, actor, store=store)
    before = log.checkpoint()
    store.may.clear()
    store.asked.clear()
    thread = threading.Thread(target=log.append, args=[event])
    thread.start()
    assert store.asked.wait(10)
    assert (log.size, log.checkpoint()) == (0, before)
    store.may.set()
    thread.join()
    assert log.size == 1
    assert log.checkpoint() != before


def test_refusal_says_what_can_be_done(site: Site, actor: Actor, event: Event) -> None:
    log = AuditLog.open(site.place, site.key, actor)
    Path(site.place).unlink()
    log.close()
    with pytest.raises(AuditError, match=r"audit\.unavailable") as caught:
        log.append(event)
    assert caught.value.spec.retryable


class Severed(LogStore):
    """The server ends the session while the log commits."""

    when = "never"

    @override
    def commit(self) -> None:
        assert self._connection is not None
        driver: Any = self._connection.connection.driver_connection
        session = driver.info.backend_pid
        if self.when == "after":
            super().commit()
        if self.when != "never":
            with psycopg.connect(driver.info.dsn, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", [session])
            self.when = "never"
            driver.execute("SELECT 1")
        super().commit()


@pytest.mark.parametrize(("when", "size"), [("before", 1), ("after", 2)])
def test_server_ends_the_session_during_a_commit(
    database_site: Site, actor: Actor, event: Event, when: str, size: int
) -> None:
    store = Severed(database_site.place)
    log = AuditLog.open(database_site.place, database_site.key, actor, store=store)
    log.append(event)
    store.when = when
    with pytest.raises(AuditError, match=r"audit\.unavailable"):
        log.append(event)
    assert log.size == 1, "nothing more was acknowledged"
    assert verify_log(database_site.place, database_site.key.verifier).size == size
    assert log.append(event).start == size
    log.close()
    database_site.check()


def test_server_ends_an_idle_session(database_site: Site, actor: Actor, event: Event) -> None:
    """As when a server is restarted: the next commit finds out, and connects again."""
    log = AuditLog.open(database_site.place, database_site.key, actor)
    log.append(event)
    with psycopg.connect(str(database_site.place).replace("+psycopg", ""), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    assert log.append(event).start == 1
    log.close()
    assert database_site.check().size == 2
