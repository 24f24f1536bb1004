"""Entries of many calls in one commit: durable before each answer, and none lost."""

import asyncio
import fcntl
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typing_extensions import override

from hanse.audit import Actor, AuditLog, Event, EventType, LogStore, verify_log
from hanse.audit.commits import MAXIMUM_COMMIT_ENTRIES
from hanse.audit.store import WritableRows
from hanse.crypto import SigningKey
from hanse.errors import AuditError
from hanse.server.scoring import commits
from hanse.server.scoring.commits import GroupCommit

EVENT = Event(type=EventType.SCORE_ANSWERED)


class HeldStore(LogStore):
    """Commits can be held up, made to fail, and are counted."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.commits = 0
        self.threads: list[int] = []
        self.takes_s = 0.0
        self.refuses = False
        self.go_on = threading.Event()
        self.go_on.set()

    @override
    def begin(self) -> WritableRows:
        self.threads.append(threading.get_ident())
        self.go_on.wait(10)
        time.sleep(self.takes_s)
        if self.refuses:
            raise AuditError("audit.unavailable", "the disk is full")
        return super().begin()

    @override
    def commit(self) -> None:
        super().commit()
        self.commits += 1


class Site:
    """A log whose commits can be held up: it takes the time in the thread that writes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.db"
        self.key = SigningKey.generate("brand")
        AuditLog.create(self.path, "brand-log", self.key)
        actor = Actor(organisation="Brand AG", key_id=self.key.verifier.key_id, role="scorer")
        self.store = HeldStore(self.path)
        self.commits = GroupCommit(
            AuditLog.open(self.path, self.key, actor, lambda: datetime.now(UTC), store=self.store)
        )
        self.store.commits = 0

    @property
    def size(self) -> int:
        return verify_log(self.path, self.key.verifier).size


async def gather_while_held(site: Site, count: int) -> list[int]:
    """All are handed in before the first commit begins."""
    site.store.go_on.clear()
    tasks = [asyncio.create_task(site.commits.append(EVENT)) for _ in range(count)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in tasks)
    site.store.go_on.set()
    return list(await asyncio.gather(*tasks))


@pytest.mark.parametrize("count", [1, 50, MAXIMUM_COMMIT_ENTRIES * 2 + 1])
def test_calls_that_wait_share_a_commit_and_each_learns_its_index(tmp_path: Path, count: int) -> None:
    site = Site(tmp_path)
    assert asyncio.run(gather_while_held(site, count)) == list(range(count))
    assert site.size == count
    assert site.store.commits <= -(-count // MAXIMUM_COMMIT_ENTRIES) + 1


def test_an_entry_is_written_although_its_call_was_cancelled(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def run() -> int:
        site.store.go_on.clear()
        cancelled = asyncio.create_task(site.commits.append(EVENT))
        kept = asyncio.create_task(site.commits.append(EVENT))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        site.store.go_on.set()
        return await kept

    assert asyncio.run(run()) == 1
    assert site.size == 2


def test_closing_waits_for_what_was_handed_in(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def run() -> None:
        site.store.go_on.clear()
        task = asyncio.create_task(site.commits.append(EVENT))
        await asyncio.sleep(0)
        closing = asyncio.create_task(site.commits.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        site.store.go_on.set()
        await closing
        assert await task == 0

    asyncio.run(run())
    assert site.size == 1


def test_every_waiting_call_learns_that_the_log_cannot_be_written(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def run() -> list[object]:
        site.store.refuses = True
        tasks = [asyncio.create_task(site.commits.append(EVENT)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        failed = list(await asyncio.gather(*tasks, return_exceptions=True))
        site.store.refuses = False
        return [*failed, await site.commits.append(EVENT)]

    cancelled, *failed, index = asyncio.run(run())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert all(isinstance(error, AuditError) for error in failed)
    assert index == 0
    assert site.size == 1


@pytest.fixture
def any_disk_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a busy machine too."""
    monkeypatch.setattr(commits, "QUICK_S", 5.0)


async def append_after_a_while(site: Site) -> bool:
    """Whether an entry that comes alone is committed in the loop."""
    await asyncio.sleep(2 * commits.ALONE_S)
    await site.commits.append(EVENT)
    return site.store.threads[-1] == threading.get_ident()


@pytest.mark.usefixtures("any_disk_is_quick")
def test_who_comes_alone_is_committed_in_the_loop_and_who_comes_right_after_is_not(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def run() -> list[bool]:
        first = await append_after_a_while(site)  # nobody knows yet how quick the disk is
        alone = await append_after_a_while(site)
        site.commits._ended = time.perf_counter() + 10
        await site.commits.append(EVENT)
        return [first, alone, site.store.threads[-1] == threading.get_ident()]

    assert asyncio.run(run()) == [False, True, False]
    assert site.size == 3


def test_a_slow_disk_holds_nobody_up_but_who_waits_for_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.store.takes_s = 2 * commits.QUICK_S

    async def run() -> list[bool]:
        return [await append_after_a_while(site) for _ in range(3)]

    assert asyncio.run(run()) == [False] * 3
    assert site.size == 3


@contextmanager
def taking_turns(path: Path) -> Iterator[None]:
    """A writer of ours is at work, or was stopped while it was."""
    with path.with_name(f"{path.name}-turn").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        yield


@contextmanager
def taking_none(path: Path) -> Iterator[None]:
    """So is somebody else's."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.usefixtures("any_disk_is_quick")
@pytest.mark.parametrize("writing", [taking_turns, taking_none])
def test_the_loop_waits_for_no_other_writer(
    tmp_path: Path, writing: Callable[[Path], AbstractContextManager[None]]
) -> None:
    site = Site(tmp_path)

    async def run() -> list[bool]:
        await append_after_a_while(site)
        before = await append_after_a_while(site)
        await asyncio.sleep(2 * commits.ALONE_S)
        with writing(site.path):
            waiting = asyncio.create_task(site.commits.append(EVENT))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        assert await waiting == 2
        site.commits._took = 0.0
        return [before, await append_after_a_while(site)]

    assert asyncio.run(run()) == [True, True]
    assert site.size == 4


@pytest.mark.usefixtures("any_disk_is_quick")
def test_who_comes_alone_learns_that_the_log_cannot_be_written(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def run() -> int:
        await append_after_a_while(site)
        assert await append_after_a_while(site)
        site.store.refuses = True
        with pytest.raises(AuditError, match="full"):
            await append_after_a_while(site)
        site.store.refuses = False
        site.commits.note(EVENT)
        await append_after_a_while(site)
        return site.size

    assert asyncio.run(run()) == 4
