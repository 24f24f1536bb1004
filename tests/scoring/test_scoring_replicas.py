"""Several scorers of one member: one quota, one log, and no answer when withdrawals cannot be learned of."""

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import create_engine, text
from tests.scoring.conftest import (
    CALLER,
    GRANTED,
    NOW,
    OTHER_CALLER,
    Keys,
    MemberSite,
    RunningScorer,
    make_agreement,
    make_grant,
    make_site,
)
from tests.scoring.replica_drill import BYSTANDER, Drill, Replica, grant, request_for, running

from hanse.api.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from hanse.audit import Entry, EventType
from hanse.audit.completeness import check_member
from hanse.policies import ConsentLedger
from hanse.server.scoring import Local
from hanse.server.scoring.lease_store import LeaseStore

STALE = (grpc.StatusCode.UNAVAILABLE, "scoring.stale")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
BOUND_S = 1.0


def site_with(root: Path, **quotas: int) -> MemberSite:
    """A site whose callers have these quotas."""
    terms = make_agreement(Keys()).scoring.model_dump(mode="json")
    (listed,) = terms["callers"]
    callers = [listed | {"name": name, "daily_quota": rows} for name, rows in quotas.items()]
    return make_site(root, scoring=terms | {"callers": callers})


def ask(site: MemberSite, address: str, *subjects: str, caller: str = CALLER) -> tuple[grpc.StatusCode, str]:
    """Status of a call, and its code; OK and how many were scored."""
    with grpc.secure_channel(address, site.credentials(caller)) as channel:
        try:
            answer = GRPCInferenceServiceStub(channel).ModelInfer(request_for(*subjects), timeout=30)
        except grpc.RpcError as error:
            trailers: Any = error.trailing_metadata()
            return error.code(), dict(trailers).get("hanse-error-code", "")
    scored = np.isfinite(answer.outputs[0].contents.fp32_contents).sum()
    return grpc.StatusCode.OK, str(scored)


def health(site: MemberSite, address: str) -> Any:
    with grpc.secure_channel(address, site.credentials(CALLER)) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def used(site: MemberSite) -> dict[str, int]:
    usages = LeaseStore(site.settings.quotas).usage(datetime.now(UTC).date() - timedelta(days=1))
    return {usage.account.caller: usage.out for usage in usages}


def require_whole(entries: list[Entry]) -> None:
    """Nothing is missing or contradicted, beyond what the fixture leaves out."""
    found = check_member(entries, "brand", now=datetime.now(UTC))
    assert {finding.kind for finding in found} <= {"log-headless", "consent-unlogged"}


def test_two_scorers_share_one_quota_and_one_log(tmp_path: Path) -> None:
    site = site_with(tmp_path, campaign=20)
    north, south = (site.settings.model_copy(update={"replica": name}) for name in ("north", "south"))
    with RunningScorer(north) as one, RunningScorer(south) as two:
        assert ask(site, one.address, *GRANTED) == (grpc.StatusCode.OK, "8")
        assert ask(site, two.address, *GRANTED[:6], "nobody", "no one") == (grpc.StatusCode.OK, "6")
        # Neither is charged: one is wrong in form, the other is not answered.
        assert ask(site, one.address)[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert ask(site, two.address, *GRANTED) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "scoring.quota")
        # All are denied, which is an answer about each.
        assert ask(site, one.address, "nobody", "no one")[0] is grpc.StatusCode.PERMISSION_DENIED
        assert ask(site, two.address, *GRANTED[:2]) == (grpc.StatusCode.OK, "2")
        assert ask(site, one.address, GRANTED[0]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "scoring.quota")
    assert used(site) == {CALLER: 20}
    entries = site.entries()
    require_whole(entries)
    refused = [entry for entry in entries if "P27" in entry.reasons]
    assert [(entry.reasons, entry.counts) for entry in refused] == [(("scoring.quota", "P27"), None)] * 2
    calls = Counter(entry.actor.role for entry in entries if entry.request is not None)
    assert calls == {"scorer.north": 4, "scorer.south": 3}


def test_a_scorer_that_cannot_read_the_ledger_answers_nobody_until_it_can(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    ledger, away = site.settings.consent_ledger, tmp_path / "away.db"
    settings = site.settings.model_copy(update={"withdrawal_bound_s": 0.2})
    with RunningScorer(settings) as scorer:
        assert health(site, scorer.address) == SERVING
        ledger.rename(away)
        wait_for(lambda: health(site, scorer.address) == NOT_SERVING)
        assert ask(site, scorer.address, *GRANTED) == STALE
        # Another ledger at its place is none that this process has read.
        with ConsentLedger(ledger) as other:
            other.record([make_grant(site.ref(GRANTED[0]))])
            other.heartbeat(NOW)
        time.sleep(0.3)
        assert ask(site, scorer.address, *GRANTED) == STALE
        away.rename(ledger)
        wait_for(lambda: health(site, scorer.address) == SERVING)
        assert ask(site, scorer.address, *GRANTED) == (grpc.StatusCode.OK, "8")
    assert used(site) == {CALLER: 8}
    refused = [entry for entry in site.entries() if entry.type is EventType.SCORE_DENIED]
    assert [entry.reasons for entry in refused] == [("scoring.stale",)] * 2


@pytest.mark.parametrize(
    ("leaver", "outcome"),
    [
        (None, (grpc.StatusCode.OK, "7")),
        (GRANTED[7], (grpc.StatusCode.OK, "7")),
        (GRANTED[0], STALE),
    ],
)
def test_an_answer_that_waited_too_long_for_the_log_is_decided_again(
    tmp_path: Path, leaver: str | None, outcome: tuple[grpc.StatusCode, str]
) -> None:
    site = make_site(tmp_path)
    settings = site.settings.model_copy(update={"withdrawal_bound_s": 0.3, "calls_per_caller": 1})
    outcomes: list[tuple[grpc.StatusCode, str]] = []
    admitted: list[object] = []
    with RunningScorer(settings, local=Local(None, admitted.append)) as scorer:
        assert ask(site, scorer.address, *GRANTED[:7]) == (grpc.StatusCode.OK, "7")
        blocker = sqlite3.connect(settings.log, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        calls = [
            threading.Thread(target=lambda: outcomes.append(ask(site, scorer.address, *GRANTED[:7])))
            for _ in range(2)
        ]
        for call in calls:
            call.start()
        # One waits for the log soon; the other is one too many.
        wait_for(lambda: len(admitted) == 3)
        time.sleep(0.5)
        if leaver is not None:
            with site.ledger as ledger:
                ledger.withdraw(site.ref(leaver), "scoring", datetime.now(UTC))
        blocker.execute("ROLLBACK")
        blocker.close()
        for call in calls:
            call.join(30)
        assert ask(site, scorer.address, GRANTED[1])[0] is grpc.StatusCode.OK
    assert sorted(outcomes, key=str) == sorted(
        [outcome, (grpc.StatusCode.RESOURCE_EXHAUSTED, "scoring.busy")], key=str
    )
    # The log says what was decided and what the caller may have been told.
    kinds = Counter(entry.type for entry in site.entries() if entry.request is not None)
    assert kinds == {EventType.SCORE_ANSWERED: 3, EventType.SCORE_DENIED: 1}


@pytest.mark.slow
def test_a_scorer_finds_its_database_again(tmp_path: Path, database: str) -> None:
    site = make_site(tmp_path)
    with ConsentLedger(database) as ledger:
        ledger.record(make_grant(site.ref(subject)) for subject in GRANTED)
        ledger.heartbeat(NOW)
    settings = site.settings.model_copy(update={"consent_url": database, "withdrawal_bound_s": 0.5})
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with RunningScorer(settings) as scorer:
        assert ask(site, scorer.address, *GRANTED) == (grpc.StatusCode.OK, "8")
        with engine.connect() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            )
        assert ask(site, scorer.address, GRANTED[0]) in {STALE, (grpc.StatusCode.OK, "1")}
        wait_for(lambda: ask(site, scorer.address, GRANTED[0]) == (grpc.StatusCode.OK, "1"))
        with ConsentLedger(database) as ledger:
            ledger.withdraw(site.ref(GRANTED[0]), "scoring", datetime.now(UTC))
        # Each of its connections notices by itself, and meanwhile nothing is answered.
        answers = (ask(site, scorer.address, GRANTED[0]) for _ in range(20))
        seen = list(takewhile(lambda answer: answer == STALE, answers))
        assert len(seen) < 20
        assert ask(site, scorer.address, GRANTED[0])[0] is grpc.StatusCode.PERMISSION_DENIED
    engine.dispose()


@contextmanager
def frozen(database: str) -> Iterator[None]:
    """Every process of the server stands still; its machine goes on to acknowledge what is sent to it."""
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        folder = connection.execute(text("SHOW data_directory")).scalar_one()
        backends = connection.execute(text("SELECT pid FROM pg_stat_activity")).scalars().all()
    engine.dispose()
    server = int((Path(folder) / "postmaster.pid").read_text().splitlines()[0])
    try:
        tell([server, *backends], signal.SIGSTOP)
        yield
    finally:
        tell([server, *backends], signal.SIGCONT)


def tell(processes: Iterable[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # the one that was asked for the others
            os.kill(process, number)


@pytest.mark.slow
def test_a_scorer_whose_database_is_frozen_answers_nobody(tmp_path: Path, database: str) -> None:
    site = make_site(tmp_path)
    with ConsentLedger(database) as ledger:
        ledger.record(make_grant(site.ref(subject)) for subject in GRANTED)
        ledger.heartbeat(NOW)
    with running(site, ["north"], consent_url=database, withdrawal_bound_s=1.0) as (replica,):
        wait_for(lambda: ask(site, replica.address, GRANTED[0]) == (grpc.StatusCode.OK, "1"))
        with frozen(database):
            wait_for(lambda: health(site, replica.address) == NOT_SERVING)
            # Not held up: what waits for the database is a thread that nobody waits for.
            for _ in range(3):
                assert ask(site, replica.address, GRANTED[0]) == STALE
        wait_for(lambda: ask(site, replica.address, GRANTED[0]) == (grpc.StatusCode.OK, "1"))
        wait_for(lambda: health(site, replica.address) == SERVING)
    refused = [entry for entry in site.entries() if entry.type is EventType.SCORE_DENIED]
    assert {entry.reasons for entry in refused} == {("scoring.stale",)}


@pytest.mark.slow
def test_no_score_comes_after_the_bound_and_no_quota_is_exceeded(tmp_path: Path) -> None:
    site = site_with(tmp_path, campaign=1_000_000, billing=300)
    subjects = [f"leaver-{number}" for number in range(30)]
    grant(site, [*subjects, BYSTANDER])
    with running(site, ["north", "south", "west"], withdrawal_bound_s=BOUND_S) as replicas:
        drill = Drill(site, replicas, streams=1)
        asyncio.run(drill.run(subjects))
        assert drill.errors == []
        answered = kill_one_while_all_answer(site, replicas)
    assert drill.asked_after() == 0
    assert max(drill.left_s()) <= BOUND_S
    assert 290 <= answered <= 300
    entries = site.entries()
    require_whole(entries)
    charged = sum(
        int(entry.counts.rows_in)
        for entry in entries
        if entry.peer == OTHER_CALLER and entry.counts is not None and entry.counts.rows_in is not None
    )
    assert answered <= charged <= used(site)[OTHER_CALLER] <= 300


def kill_one_while_all_answer(site: MemberSite, replicas: list[Replica]) -> int:
    """Three callers use a quota up, and one replica is killed meanwhile; how many rows were answered."""
    answered: Counter[str] = Counter()
    others: Counter[str] = Counter()

    def use_up(replica: Replica) -> None:
        with grpc.secure_channel(replica.address, site.credentials(OTHER_CALLER)) as channel:
            stub = GRPCInferenceServiceStub(channel)
            while True:
                try:
                    stub.ModelInfer(request_for(BYSTANDER), timeout=30)
                except grpc.RpcError as error:
                    others[f"{replica.name} {error.code().name}"] += 1
                    return
                answered[replica.name] += 1

    threads = [threading.Thread(target=use_up, args=(replica,)) for replica in replicas]
    for thread in threads:
        thread.start()
    wait_for(lambda: answered[replicas[0].name] >= 20)
    replicas[0].process.kill()
    for thread in threads:
        thread.join(60)
    assert others == {
        f"{replicas[0].name} UNAVAILABLE": 1,
        **{f"{replica.name} RESOURCE_EXHAUSTED": 1 for replica in replicas[1:]},
    }
    return answered.total()
