"""A node and ``hanse audit witness`` of one home: what the other one co-signed is no log that went back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from tests.evidence.conftest import until

from hanse.audit import Event, EventType, RefusalKind, consistency_proof, verify_log
from hanse.client import evidence
from hanse.client.refusals import kept
from hanse.crypto import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.evidence.conftest import Hub

    from hanse.audit import AuditLog
    from hanse.audit.rotation import Handover
    from hanse.client.evidence import SiteWitness


class Shown:
    """The shared log as one process is shown it: these checkpoints; what happens before each is given."""

    def __init__(self, log: AuditLog, notes: list[bytes]) -> None:
        self.log = log
        self.notes = notes
        self.asked = 0
        self.before: Callable[[], object] = lambda: None
        self.stopping = threading.Event()

    def checkpoints(self, size: int | None, stopping: threading.Event) -> Iterator[bytes]:
        del size, stopping
        self.asked += 1
        if self.asked > 1:  # whoever asks again is shown the log as it is now
            self.notes = [self.log.checkpoint()]
        for note in self.notes:
            self.before()
            yield note
        if self.asked > 1:
            self.stopping.set()

    def consistency(self, old_size: int, size: int) -> tuple[bytes, ...]:
        with self.log.reader() as reader:
            return consistency_proof(old_size, size, reader.hashes)

    def handovers(self) -> Iterator[Handover]:
        return iter(())

    def cosign(self, size: int, line: str) -> None:
        self.log.cosign(size, line)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "RETRY_S", 0.01)


def grown(log: AuditLog, *sizes: int) -> list[bytes]:
    """Checkpoints of a log that grows."""
    notes = []
    for size in sizes:
        log.append(*[Event(type=EventType.RUN_STARTED)] * (size - log.size))
        notes.append(log.checkpoint())
    return notes


def follow(witness: SiteWitness, shown: Shown, wanted: Callable[[], bool] = lambda: False) -> None:
    """Witnesses until it was shown all, or what is waited for is there."""
    thread = threading.Thread(target=witness.follow, args=(shown, shown.stopping), daemon=True)
    thread.start()
    until(lambda: wanted() or not thread.is_alive())
    shown.stopping.set()
    thread.join()


def refused(hub: Hub) -> list[str]:
    """What the site's log and its kept refusals say."""
    log = verify_log(hub.site("brand").log, SigningKey.load(hub.site("brand").node_key).verifier)
    entries = [str(entry.detail) for entry in log.entries if entry.type is EventType.WITNESS_REFUSED]
    assert len(entries) == len(list(kept(hub.site("brand"))))
    return entries


@pytest.mark.parametrize("sizes", [(2, 5, 9), (5, 9)])
def test_the_other_process_was_quicker(hub: Hub, sizes: tuple[int, ...]) -> None:
    """The checkpoint was on its way when the other process cosigned a larger one."""
    log = hub.open_log()
    *earlier, newest = grown(log, *sizes)
    mine, other = hub.witness("brand"), hub.witness("brand")
    shown, quicker = Shown(log, earlier), Shown(log, [newest])
    quicker.stopping.set()

    def overtake() -> None:
        if shown.asked == 1 and shown.notes[-1] == earlier[-1]:
            other._answer(quicker, newest, 0)

    shown.before = overtake
    follow(mine, shown)
    assert shown.asked == 2
    assert refused(hub) == []
    mine.require_trusted()


def test_log_that_went_back_is_named_when_it_is_asked_again(hub: Hub) -> None:
    """What the other process cosigned binds this one, too."""
    log = hub.open_log()
    short, long = grown(log, 4, 9)
    other, mine = hub.witness("brand"), hub.witness("brand")
    shown = Shown(log, [short])

    def overtake() -> None:
        if shown.asked == 1:
            other._answer(Shown(log, []), long, 0)
        shown.log = hub_cut

    hub_cut = hub.open_log(hub.folder / "cut.db")
    grown(hub_cut, 4)
    shown.before = overtake
    follow(mine, shown, wanted=lambda: any(kept(hub.site("brand"))))
    assert refused(hub) == [RefusalKind.TRUNCATION]
