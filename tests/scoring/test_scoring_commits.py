"""Entries of many calls in one commit: durable before each answer, and none lost."""

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hanse.audit import Actor, AuditLog, Event, EventType, verify_log
from hanse.crypto import SigningKey
from hanse.errors import AuditError
from hanse.server.scoring.commits import MAXIMUM_COMMIT_ENTRIES, GroupCommit

EVENT = Event(type=EventType.SCORE_ANSWERED)


class Site:
    """A log whose commits can be held up: it takes the time in the thread that writes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.log"
        self.key = SigningKey.generate("brand")
        self.go_on = threading.Event()
        self.go_on.set()
        AuditLog.create(self.path, "brand-log", self.key)
        actor = Actor(organisation="Brand AG", key_id=self.key.verifier.key_id, role="scorer")
        self.commits = GroupCommit(AuditLog.open(self.path, self.key, actor, self._clock))

    def _clock(self) -> datetime:
        self.go_on.wait(10)
        return datetime.now(UTC)

    @property
    def seals(self) -> int:
        return sum(line.startswith(b"c ") for line in self.path.read_bytes().splitlines()) - 1

    @property
    def size(self) -> int:
        return verify_log(self.path, self.key.verifier).size


async def gather_while_held(site: Site, count: int) -> list[int]:
    """One entry goes out alone and is held; the others gather meanwhile."""
    site.go_on.clear()
    tasks = [asyncio.create_task(site.commits.append(EVENT)) for _ in range(count)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in tasks)
    site.go_on.set()
    return list(await asyncio.gather(*tasks))


@pytest.mark.parametrize("count", [1, 50, MAXIMUM_COMMIT_ENTRIES * 2 + 1])
def test_calls_that_wait_share_a_commit_and_each_learns_its_index(tmp_path: Path, count: int) -> None:
    site = Site(tmp_path)
    assert asyncio.run(gather_while_held(site, count)) == list(range(count))
    assert site.size == count
    assert site.seals <= -(-count // MAXIMUM_COMMIT_ENTRIES) + 1


def test_an_entry_is_written_although_its_call_was_cancelled(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def run() -> int:
        site.go_on.clear()
        cancelled = asyncio.create_task(site.commits.append(EVENT))
        kept = asyncio.create_task(site.commits.append(EVENT))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        site.go_on.set()
        return await kept

    assert asyncio.run(run()) == 1
    assert site.size == 2


def test_closing_waits_for_what_was_handed_in(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def run() -> None:
        site.go_on.clear()
        task = asyncio.create_task(site.commits.append(EVENT))
        await asyncio.sleep(0)
        closing = asyncio.create_task(site.commits.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        site.go_on.set()
        await closing
        assert await task == 0

    asyncio.run(run())
    assert site.size == 1


def test_every_waiting_call_learns_that_the_log_cannot_be_written(tmp_path: Path) -> None:
    site = Site(tmp_path)
    data = site.path.read_bytes()

    async def run() -> list[object]:
        site.path.write_bytes(data[:-2])
        tasks = [asyncio.create_task(site.commits.append(EVENT)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        failed = list(await asyncio.gather(*tasks, return_exceptions=True))
        site.path.write_bytes(data)
        return [*failed, await site.commits.append(EVENT)]

    cancelled, *failed, index = asyncio.run(run())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert all(isinstance(error, AuditError) for error in failed)
    assert index == 0
    assert site.size == 1
