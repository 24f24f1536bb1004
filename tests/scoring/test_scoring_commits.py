"""Entries of many calls in one commit: durable before each answer, and none lost."""

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typing_extensions import override

from hanse.audit import Actor, AuditLog, Event, EventType, LogStore, verify_log
from hanse.audit.commits import MAXIMUM_COMMIT_ENTRIES
from hanse.audit.store import WritableRows
from hanse.crypto import SigningKey
from hanse.errors import AuditError
from hanse.server.scoring.commits import GroupCommit

EVENT = Event(type=EventType.SCORE_ANSWERED)


class HeldStore(LogStore):
    """Commits can be held up, made to fail, and are counted."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.commits = 0
        self.refuses = False
        self.go_on = threading.Event()
        self.go_on.set()

    @override
    def begin(self) -> WritableRows:
        self.go_on.wait(10)
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
