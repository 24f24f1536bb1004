"""Quotas of rows: never more in a day than agreed, whatever replicas, clocks and crashes do."""

import asyncio
import os
import shutil
import tempfile
import threading
from collections import Counter
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.scoring.conftest import CALLER, Keys, make_agreement
from typing_extensions import override

from hanse.errors import PolicyError, ServingError
from hanse.policies import DEFAULT_PACKS, Job, builtin_pack, daily_rows, merge
from hanse.policies.rules import RULES, Level
from hanse.server.scoring.lease_store import KEPT_DAYS, LeaseStore
from hanse.server.scoring.leased import PATIENCE_S, LeasedQuota
from hanse.server.scoring.leases import Account, Lease, day_of, lease_rows

ACCOUNT = Account("propensity", CALLER)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUOTA = 40
MUCH = 2000
"""A hundredth of it is enough for several calls, so that leases are renewed."""


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "quota.db"
    url: str = request.getfixturevalue("database")
    return url


def charge(quota: LeasedQuota, rows: int, now: datetime = NOON, daily: int = QUOTA) -> bool:
    """Whether a call is let through; on return nothing is under way."""
    return asyncio.run(charged(quota, rows, now, daily))


async def charged(quota: LeasedQuota, rows: int, now: datetime, daily: int) -> bool:
    try:
        await quota.charge(ACCOUNT, daily, rows, now)
    except PolicyError:
        return False
    finally:
        await settled()
    return True


async def settled() -> None:
    """Waits for leases that are renewed."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


def used(store: LeaseStore) -> list[tuple[int, int]]:
    return [(usage.out, usage.leased) for usage in store.usage(NOON.date() - timedelta(days=400))]


def test_replicas_share_a_quota_and_refuse_whole_calls(place: Path | str) -> None:
    store = LeaseStore(place)
    one, two = LeasedQuota(store, "one"), LeasedQuota(LeaseStore(place), "two")
    assert charge(one, 25)
    assert not charge(two, 16)  # as a whole, and nothing of it is charged
    assert charge(two, 15)
    with pytest.raises(PolicyError) as caught:
        asyncio.run(one.charge(ACCOUNT, QUOTA, 1, NOON))
    assert (caught.value.code, caught.value.rule) == ("scoring.quota", "P27")
    assert charge(one, 25, NOON + timedelta(days=1))
    assert used(store) == [(25, 25), (40, 15)]
    # A clock that is behind opens no day that is over.
    assert charge(two, 15, NOON)
    assert not charge(two, 1, NOON)
    asyncio.run(one.close())
    asyncio.run(two.close())
    assert used(store) == [(40, 0), (40, 0)]


def test_a_clean_stop_gives_back_and_a_crash_does_not(place: Path | str) -> None:
    store = LeaseStore(place)
    stopped, killed = LeasedQuota(store), LeasedQuota(store)
    assert charge(stopped, 3, daily=1000)
    assert charge(killed, 3, daily=1000)
    assert used(store) == [(20, 20)]  # a hundredth each
    asyncio.run(stopped.close())
    asyncio.run(stopped.close())
    assert used(store) == [(13, 10)]


def test_a_lease_is_given_back_once(place: Path | str) -> None:
    store = LeaseStore(place)
    lease = store.take(ACCOUNT, 1000, 1, NOON.date())
    assert lease is not None
    lease.spent = 4
    store.give_back([lease])
    lease.spent = 0  # another attempt, with another number
    store.give_back([lease])
    assert used(store) == [(4, 0)]


def test_versions_of_an_agreement_count_together_and_the_lower_quota_holds(tmp_path: Path) -> None:
    quota = LeasedQuota(LeaseStore(tmp_path / "quota.db"))
    assert charge(quota, 10, daily=1000)
    assert not charge(quota, 1, daily=10)
    assert charge(quota, 10, daily=20)


def test_what_came_to_nobody_is_taken_back(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path / "quota.db")
    quota = LeasedQuota(store)
    assert charge(quota, 40)
    quota.take_back(ACCOUNT, 40, NOON)
    assert charge(quota, 40)
    assert not charge(quota, 1)
    quota.take_back(ACCOUNT, 40, NOON)  # of a lease that was put aside: stays charged
    assert not charge(quota, 1)


def test_a_clock_that_is_days_behind_is_told(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path / "quota.db")
    assert charge(LeasedQuota(store), 1)
    with pytest.raises(ServingError, match=r"2026-03-01.*2026-02-27"):
        charge(LeasedQuota(store), 1, NOON - timedelta(days=2))


def test_old_days_are_forgotten_but_not_the_newest(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path / "quota.db")
    later = NOON + timedelta(days=KEPT_DAYS + 1)
    assert charge(LeasedQuota(store), 40)
    assert charge(LeasedQuota(store), 1, later)
    assert [usage.day for usage in store.usage(date.min)] == [later.date()]


def test_without_the_record_nobody_is_scored(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path / "quota.db")
    quota = LeasedQuota(store)
    assert charge(quota, 1, daily=300)
    (tmp_path / "quota.db").rename(tmp_path / "away.db")
    assert charge(quota, 2, daily=300)  # leased before
    with pytest.raises(ServingError) as caught:
        charge(quota, 1, daily=300)
    assert caught.value.code == "scoring.quota-store"
    (tmp_path / "away.db").rename(tmp_path / "quota.db")
    assert charge(quota, 297, daily=300)
    assert not charge(quota, 1, daily=300)


class HeldStore(LeaseStore):
    """Takes time, in which other calls come and go."""

    @override
    def take(self, *args: Any, **options: Any) -> Lease | None:
        self.taken += 1
        return super().take(*args, **options)

    taken = 0


def test_calls_at_once_share_a_lease_and_a_cancelled_one_loses_none(tmp_path: Path) -> None:
    store = HeldStore(tmp_path / "quota.db")
    quota = LeasedQuota(store)

    async def run() -> list[object]:
        calls = [asyncio.create_task(quota.charge(ACCOUNT, 1000, 1, NOON)) for _ in range(12)]
        await asyncio.sleep(0)
        calls[0].cancel()
        ends: list[object] = list(await asyncio.gather(*calls, return_exceptions=True))
        await quota.close()
        return ends

    cancelled, *others = asyncio.run(run())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert others == [None] * 11
    assert store.taken <= 4
    ((out, leased),) = used(store)
    assert 11 <= out + leased <= 11 + 20  # at most what was taken for the call that was cancelled
    assert out >= 11


class SlowStore(LeaseStore):
    """Renews when it is told to; then it may fail, before anything is written or after all is, unseen."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.asked, self.told = threading.Event(), threading.Event()
        self.fails = ""

    @override
    def renew(self, *args: Any, **options: Any) -> Lease | None:
        self.asked.set()
        assert self.told.wait(30)
        lease = None if self.fails == "before" else super().renew(*args, **options)
        if self.fails:
            raise ServingError("scoring.quota-store", "the disk is gone")
        return lease


@pytest.mark.parametrize("fails", ["", "before", "after"])
def test_a_lease_that_runs_low_is_renewed_while_calls_spend_it(tmp_path: Path, fails: str) -> None:
    store = SlowStore(tmp_path / "quota.db")
    store.fails = fails
    quota = LeasedQuota(store)

    async def run() -> list[bool]:
        await quota.charge(ACCOUNT, 1000, 6, NOON)  # of a lease of 10
        await asyncio.to_thread(store.asked.wait, 30)
        during = quota.spend(ACCOUNT, 1000, 3, NOON)
        store.told.set()
        await settled()
        after = [quota.spend(ACCOUNT, 1000, rows, NOON) for rows in (7, 1)]
        await settled()
        return [during, *after]

    # 6 and 3 of the first; what is left of it and 6 more are 7, and no more is there without waiting.
    assert asyncio.run(run()) == ([True, False, True] if fails else [True, True, False])
    assert used(store) == [{"": (26, 10), "before": (10, 10), "after": (16, 10)}[fails]]
    asyncio.run(quota.close())
    assert used(store) == [{"": (16, 0), "before": (10, 0), "after": (16, 10)}[fails]]


def test_a_call_waits_a_moment_for_a_renewal_that_it_needs_and_for_no_other(tmp_path: Path) -> None:
    store = SlowStore(tmp_path / "quota.db")
    quota = LeasedQuota(store)

    async def run() -> list[bool]:
        loop, patient, told = asyncio.get_running_loop(), asyncio.Event(), []
        await quota.charge(ACCOUNT, 1000, 6, NOON)  # 4 are left, which do not cover another 6
        quota.when_ready("somebody", 9, lambda: told.append("somebody"))
        assert told == ["somebody"]
        began = loop.time()
        quota.when_ready(CALLER, 1, patient.set)
        assert not patient.is_set()
        await patient.wait()
        waited = loop.time() - began
        quota.when_ready(CALLER, 6, lambda: told.append("renewed"))
        store.told.set()
        await settled()
        quota.when_ready(CALLER, 6, lambda: told.append("at once"))
        await asyncio.sleep(2 * PATIENCE_S)
        assert sorted(told) == ["at once", "renewed", "somebody"]  # each of them once
        return [waited >= PATIENCE_S * 0.9, quota.spend(ACCOUNT, 1000, 10, NOON)]

    assert asyncio.run(run()) == [True, True]


def test_nothing_is_renewed_for_another_day_or_in_the_place_of_what_was_given_back(place: Path | str) -> None:
    store = LeaseStore(place)
    today, tomorrow = NOON.date(), NOON.date() + timedelta(days=1)
    lease = store.take(ACCOUNT, 1000, 1, today)
    assert lease is not None
    lease.spent = 9
    renewed = store.renew(ACCOUNT, lease, today)
    assert renewed is not None
    assert (renewed.rows, renewed.day) == (10, today)
    assert store.renew(ACCOUNT, lease, today) is None
    assert used(store) == [(19, 10)]
    renewed.spent = 9
    assert store.take(ACCOUNT, 1000, 980, today) is not None
    last = store.renew(ACCOUNT, renewed, today)
    assert last is not None
    assert last.rows == 2  # one is left of it, and one of the day
    last.spent = 1
    assert store.renew(ACCOUNT, last, today) is None
    assert used(store) == [(1000, 982)]
    assert store.take(ACCOUNT, 1000, 1, tomorrow) is not None
    last.spent = 0
    assert store.renew(ACCOUNT, last, today) is None


def test_renewing_leaves_the_whole_quota_to_be_spent(place: Path | str) -> None:
    quota = LeasedQuota(LeaseStore(place))

    async def run() -> int:
        answered = 0
        with suppress(PolicyError):
            for _ in range(1000):
                await quota.charge(ACCOUNT, 600, 5, NOON)
                answered += 5
        await quota.close()
        return answered

    assert asyncio.run(run()) == 600


def test_the_limit_is_where_the_rule_turns() -> None:
    """What is leased from is exactly the largest number for which rule P27 holds."""
    predicate = RULES["P27"].requires[Level.CALL]
    packs = [builtin_pack(name) for name in DEFAULT_PACKS]
    for daily in (500, 5_000_000):
        scoring = make_agreement(Keys()).scoring.model_dump(mode="json")
        scoring["callers"][0]["daily_quota"] = daily
        job = Job(
            make_agreement(Keys(), scoring=scoring), merge(packs), "scoring.marketing", NOON, "brand", 0
        )
        limit = daily_rows(job, CALLER)
        facts = {**job.policy.facts(), "scoring.output": "band", "caller.daily_quota": daily}
        assert predicate.holds(facts | {"call.subjects_today": limit})
        assert not predicate.holds(facts | {"call.subjects_today": limit + 1})
        assert daily_rows(job, "somebody") == 0


@pytest.mark.parametrize(("quota", "out", "wanted"), [(1, 0, 1), (1000, 995, 6), (1000, 995, 5), (5, 9, 1)])
def test_a_lease_never_exceeds_what_is_left(quota: int, out: int, wanted: int) -> None:
    rows = lease_rows(quota, out, wanted)
    assert rows == 0 if wanted > quota - out else wanted <= rows <= quota - out


class Replicas(RuleBasedStateMachine):
    """Replicas that take, renew, spend, stop, are killed, lose the store and have clocks of their own."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")  # noqa: S108 - a commit there waits for no disk
        self.folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
        self.store = FailingStore(self.folder / "quota.db")
        self.replicas = [LeasedQuota(self.store) for _ in range(3)]
        self.clocks = [NOON] * 3
        self.answered: Counter[date] = Counter()
        self.runner = asyncio.Runner()

    @override
    def teardown(self) -> None:
        self.runner.close()
        self.store.close()
        shutil.rmtree(self.folder)

    def charge(self, which: int, rows: int) -> bool:
        """Whether a call is let through; on return nothing is under way."""
        return self.runner.run(charged(self.replicas[which], rows, self.clocks[which], MUCH))

    @rule(which=st.integers(0, 2), rows=st.integers(1, 20), more=st.integers(1, 8), killed=st.booleans())
    def call_while_the_lease_is_renewed(self, which: int, rows: int, more: int, killed: bool) -> None:
        quota, now = self.replicas[which], self.clocks[which]

        async def call_twice() -> None:
            with suppress(PolicyError, ServingError):
                await quota.charge(ACCOUNT, MUCH, rows, now)
                self._count(which, rows)
            await asyncio.sleep(0)  # in which a renewal begins
            if quota.spend(ACCOUNT, MUCH, more, now):
                self._count(which, more)
            if killed:
                self.kill(which)
            await settled()

        self.runner.run(call_twice())

    @rule(which=st.integers(0, 2), rows=st.integers(1, 20) | st.integers(1, 400))
    def call(self, which: int, rows: int) -> None:
        now = self.clocks[which]
        usages = self.store.usage(date.min)
        today = max([now.date(), *(usage.day for usage in usages)])
        before = sum(usage.out for usage in usages if usage.day == today)
        try:
            answered = self.charge(which, rows)
        except ServingError:
            return
        if answered:
            self._count(which, rows)
        else:
            assert before + rows > MUCH, "refused although there was enough"

    @rule(which=st.integers(0, 2), rows=st.integers(1, 20))
    def call_that_comes_to_nobody(self, which: int, rows: int) -> None:
        try:
            if self.charge(which, rows):
                self.replicas[which].take_back(ACCOUNT, rows, self.clocks[which])
        except ServingError:
            return

    @rule(which=st.integers(0, 2), hours=st.sampled_from([-30, -13, -1, 1, 13]))
    def turn_the_clock(self, which: int, hours: int) -> None:
        self.clocks[which] += timedelta(hours=hours)

    @rule(which=st.integers(0, 2))
    def kill(self, which: int) -> None:
        self.replicas[which] = LeasedQuota(self.store)

    @rule(which=st.integers(0, 2))
    def stop(self, which: int) -> None:
        try:
            self.runner.run(self.replicas[which].close())
        except ServingError:
            return
        self.replicas[which] = LeasedQuota(self.store)

    @rule(how=st.sampled_from(["before", "after"]))
    def let_the_next_commit_fail(self, how: str) -> None:
        self.store.fails = how

    @precondition(lambda self: self.store.fails)
    @rule()
    def repair(self) -> None:
        self.store.fails = ""

    @invariant()
    def never_more_than_the_quota(self) -> None:
        assert all(rows <= MUCH for rows in self.answered.values()), self.answered
        could = self.answered.copy()
        for replica in self.replicas:
            lease = replica._purses[ACCOUNT].lease if replica._purses else None
            if lease is not None:
                could[lease.day] += lease.left
        for usage in self.store.usage(date.min):
            assert could[usage.day] <= usage.out <= MUCH

    def _count(self, which: int, rows: int) -> None:
        purse = self.replicas[which]._purses[ACCOUNT]
        assert purse.lease is not None
        self.answered[purse.lease.day] += rows
        assert purse.lease.day >= day_of(self.clocks[which])


class FailingStore(LeaseStore):
    """A store whose next commit fails: before anything is written, or after all is, unseen."""

    fails = ""

    @override
    def take(self, *args: Any, **options: Any) -> Lease | None:
        return self._perhaps(super().take, *args, **options)

    @override
    def renew(self, *args: Any, **options: Any) -> Lease | None:
        return self._perhaps(super().renew, *args, **options)

    def _perhaps(self, work: Any, *args: Any, **options: Any) -> Lease | None:
        fails, self.fails = self.fails, ""
        lease: Lease | None = None if fails == "before" else work(*args, **options)
        if fails:
            raise ServingError("scoring.quota-store", "the disk is gone")
        return lease


Replicas.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_replicas_never_answer_more_than_the_quota = Replicas.TestCase
