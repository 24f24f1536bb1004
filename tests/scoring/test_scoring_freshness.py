"""Whether a replica may answer: a thread that was not scheduled is no ledger that cannot be read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scoring.conftest import make_grant

from hanse.errors import ServingError
from hanse.policies import ConsentLedger, Pseudonymiser
from hanse.server.scoring.freshness import LedgerFollower

BOUND_S = 0.5
REF = Pseudonymiser(bytes(32)).ref("anna")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "consent.db"


@pytest.fixture
def ledger(place: Path) -> Iterator[ConsentLedger]:
    with ConsentLedger(place) as opened:
        opened.record([make_grant(REF)])
        yield opened


def stale(follower: LedgerFollower) -> bool:
    if follower.fresh:
        follower.require()
        return False
    with pytest.raises(ServingError) as caught:
        follower.require()
    assert caught.value.code == "scoring.stale"
    return True


def test_a_call_reads_the_ledger_when_the_thread_is_late(
    place: Path, ledger: ConsentLedger, clock: Clock
) -> None:
    follower = LedgerFollower(place, BOUND_S, ledger, clock)  # its thread never runs
    clock.now_s += BOUND_S
    assert not stale(follower)
    assert follower.age_s == BOUND_S
    clock.now_s += 3600
    assert not stale(follower)
    assert follower.age_s == 0


def test_a_ledger_that_is_gone_or_another_is_not_read_by_calls_either(
    place: Path, ledger: ConsentLedger, clock: Clock
) -> None:
    follower = LedgerFollower(place, BOUND_S, ledger, clock)
    clock.now_s += 2 * BOUND_S
    place.rename(place.with_name("away.db"))
    assert stale(follower)
    place.touch()
    assert stale(follower)
    place.with_name("away.db").rename(place)
    assert not stale(follower)


def test_a_ledger_that_lost_events_is_not_believed(place: Path, ledger: ConsentLedger, clock: Clock) -> None:
    with ConsentLedger(place.with_name("shorter.db")) as shorter:
        follower = LedgerFollower(place, BOUND_S, ledger, clock)
        clock.now_s += 2 * BOUND_S
        assert not stale(follower)
        # The same file, as far as anybody sees, with fewer events in it.
        follower._ledger = shorter
        clock.now_s += 2 * BOUND_S
        assert stale(follower)


def test_nobody_but_the_thread_waits_for_a_database(ledger: ConsentLedger, clock: Clock) -> None:
    follower = LedgerFollower("postgresql+psycopg://nowhere/x", BOUND_S, ledger, clock)
    assert not stale(follower)
    clock.now_s += BOUND_S + 0.001
    assert stale(follower)


def test_what_was_read_counts_for_the_bound(place: Path, ledger: ConsentLedger, clock: Clock) -> None:
    follower = LedgerFollower(place, BOUND_S, ledger, clock)
    read_at = clock()
    clock.now_s += BOUND_S / 2
    assert follower.settled(read_at)
    clock.now_s += BOUND_S / 2
    assert not follower.settled(read_at)
    assert follower.counts(read_at)
    clock.now_s += 0.001
    assert not follower.counts(read_at)
