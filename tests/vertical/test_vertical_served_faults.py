"""Vertical models served when things go wrong: partners that are killed, come back, or fall silent."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from tests.vertical.serving_sites import (
    ANSWERS,
    DEADLINE_S,
    PURPOSES,
    Caller,
    Trained,
    Waiting,
    asked,
    eventually,
    free_address,
    hand_link,
    mark_of,
    now,
    serving_part,
    serving_scorer,
    start_part,
    train,
)

from hanse.api.v1 import scoring_pb2 as pb
from hanse.api.v1.scoring_pb2_grpc import ScoringStub
from hanse.audit import EventType
from hanse.audit.completeness import check_member
from hanse.demo.federation import Site
from hanse.demo.processes import Processes
from hanse.server.parts import PartData
from hanse.server.scoring.lease_store import LeaseStore
from hanse.server.scoring.vertical import model
from hanse.server.scoring.vertical.partner import UNHEARD_S

BOUND_S = UNHEARD_S + 2.0
"""What is promised, and what a machine with other work may take."""
BOTH = ("joint", "own_columns")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("faults"))


@contextmanager
def calling(trained: Trained, **changes: Any) -> Iterator[Caller]:
    """A scorer, and a calling system of it."""
    with serving_scorer(trained, **changes) as scorer:
        caller = Caller(trained, scorer.address)
        try:
            yield caller
        finally:
            caller.close()


@contextmanager
def part_process(trained: Trained, site: Site, folder: Path, address: str) -> Iterator[Processes]:
    """A feature holder's process."""
    with Processes(folder) as processes:
        start_part(processes, trained, site, address)
        yield processes


def scored(trained: Trained, caller: Caller, wanted: int) -> list[Any]:
    """Calls about one person each, whom both members let be scored."""
    places = list(range(60))
    request = asked(trained, caller, places)
    eventually(lambda: mark_of(caller, request) == "joint", 20.0)
    answered = caller.ask(request, DEADLINE_S)
    found = [place for place in places if answered.basis[place] == "joint"]
    assert len(found) >= wanted
    return [asked(trained, caller, [place]) for place in found[:wanted]]


@pytest.mark.slow
def test_two_partners_are_asked_side_by_side(tmp_path: Path) -> None:
    # Trees enough that both are needed: of five, with noise, one partner's columns may be in none.
    three = train(tmp_path, members=3, trees=20)
    _, insurer, media = three.federation.sites
    meeting = asyncio.Barrier(2)

    def meet(data: PartData) -> PartData:
        return Waiting(data, meeting.wait)

    with (
        serving_part(three, insurer, free_address(), seen_as=meet, keep_s=0),
        serving_part(three, media, free_address(), seen_as=meet, keep_s=0),
        # Neither has answered before both are asked: one after the other, the first would never answer.
        calling(three, patience_s=DEADLINE_S) as caller,
    ):
        answered = caller.ask(asked(three, caller, list(range(60))), 2 * DEADLINE_S)
    assert answered.mark == "joint"
    assert sum(basis == "joint" for basis in answered.basis) > 10
    assert np.isfinite(answered.scores[[basis == "joint" for basis in answered.basis]]).all()
    heard = three.of_type(three.brand, EventType.PART_HEARD)
    assert {entry.peer for entry in heard} == {"insurer", "media"}
    for site in three.federation.sites:
        assert check_member(three.entries(site), site.data.name) == []


@pytest.mark.federation
def test_a_partner_that_is_killed_under_load_is_answered_for_and_heard_again(
    trained: Trained, tmp_path: Path
) -> None:
    insurer, address = trained.federation.sites[1], free_address()
    with part_process(trained, insurer, tmp_path, address) as processes, calling(trained) as caller:
        requests = scored(trained, caller, 8)
        with Load(caller, requests) as load:
            load.until(lambda: load.count("joint") > 20)
            processes.kill(insurer.data.name)
            before = load.count("own_columns")
            load.until(lambda: load.count("own_columns") > before + 20)
            start_part(processes, trained, insurer, address)
            before = load.count("joint")
            load.until(lambda: load.count("joint") > before + 20)
        # Everybody was answered, by the deadline, and every answer says what it rests on.
        assert set(load.marks) == set(BOTH)
    assert check_member(trained.entries(trained.brand), "brand") == []


class Load:
    """Four callers that ask all the time."""

    def __init__(self, caller: Caller, requests: Sequence[Any]) -> None:
        self.marks: list[str] = []
        self._caller = caller
        self._requests = requests
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(place,)) for place in range(4)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def count(self, mark: str) -> int:
        return self.marks.count(mark)

    def until(self, done: Callable[[], bool]) -> None:
        eventually(done, 60.0)

    def _ask(self, place: int) -> None:
        while not self._over.is_set():
            self.marks.append(mark_of(self._caller, self._requests[place % len(self._requests)]))
            place += 1


@pytest.mark.federation
def test_without_a_fallback_the_error_has_a_name_and_the_log_says_whose(tmp_path: Path) -> None:
    strict = train(tmp_path / "sites", answers=ANSWERS.model_copy(update={"fallback": "none", "keep_s": 0}))
    insurer, address = strict.federation.sites[1], free_address()
    with part_process(strict, insurer, tmp_path / "out", address) as processes, calling(strict) as caller:
        (request,) = scored(strict, caller, 1)
        processes.kill(insurer.data.name)
        eventually(lambda: mark_of(caller, request) == "scoring.partner-unavailable", 20.0)
        start_part(processes, strict, insurer, address)
        eventually(lambda: mark_of(caller, request) == "joint", 20.0)
        # One that is there and says nothing: the time of the wait is over, not that of the call.
        processes.signal(insurer.data.name, signal.SIGSTOP)
        assert mark_of(caller, request) == "scoring.partner-timeout"
        processes.signal(insurer.data.name, signal.SIGCONT)
        eventually(lambda: mark_of(caller, request) == "joint", 20.0)
    missed = strict.of_type(strict.brand, EventType.PART_MISSED)
    assert {entry.peer for entry in missed} == {"insurer"}
    assert {entry.reasons for entry in missed} == {
        ("scoring.partner-unavailable",),
        ("scoring.partner-timeout",),
    }


@pytest.mark.federation
def test_a_withdrawal_at_a_partner_that_has_fallen_silent_reaches_what_is_kept(
    trained: Trained, tmp_path: Path
) -> None:
    insurer, address = trained.federation.sites[1], free_address()
    with part_process(trained, insurer, tmp_path, address) as processes, calling(trained) as caller:
        request = scored(trained, caller, 3)[2]
        eventually(lambda: reused(trained, caller, request), 20.0)
        # Nothing is heard of the withdrawal, nor of anything else.
        processes.signal(insurer.data.name, signal.SIGSTOP)
        subject = request.inputs[0].contents.bytes_contents[0].decode()
        (place,) = [at for at, one in enumerate(trained.people(trained.brand)) if one == subject]
        trained.federation.withdraw(insurer, trained.people(insurer)[place], PURPOSES[1], now())
        time.sleep(BOUND_S)
        count = len(trained.of_type(trained.brand, EventType.PART_REUSED))
        assert mark_of(caller, request) == "own_columns"
        assert len(trained.of_type(trained.brand, EventType.PART_REUSED)) == count
        processes.signal(insurer.data.name, signal.SIGCONT)
        eventually(lambda: mark_of(caller, request) == "policy.denied", 20.0)


@pytest.mark.slow
def test_who_withdraws_at_a_partner_is_not_scored_again_while_many_ask(trained: Trained) -> None:
    insurer = trained.federation.sites[1]
    with serving_part(trained, insurer, free_address()), calling(trained) as caller:
        request = scored(trained, caller, 6)[5]
        eventually(lambda: reused(trained, caller, request), 20.0)
        subject = request.inputs[0].contents.bytes_contents[0].decode()
        (place,) = [at for at, one in enumerate(trained.people(trained.brand)) if one == subject]
        with Load(caller, [request]) as load:
            load.until(lambda: load.count("joint") > 20)
            trained.federation.withdraw(insurer, trained.people(insurer)[place], PURPOSES[1], now())
            time.sleep(BOUND_S)
            later = len(load.marks)
            load.until(lambda: len(load.marks) > later + 20)
    # Of a call that was under way at the bound the answer may come a moment after it: four callers.
    assert set(load.marks[later + 4 :]) == {"policy.denied"}
    assert set(load.marks) == {"joint", "policy.denied"}


def reused(trained: Trained, caller: Caller, request: Any) -> bool:
    """Whether a call was answered from what was kept."""
    count = len(trained.of_type(trained.brand, EventType.PART_REUSED))
    assert caller.ask(request, DEADLINE_S).mark == "joint"
    return len(trained.of_type(trained.brand, EventType.PART_REUSED)) > count


@pytest.mark.slow
def test_the_deadline_of_our_own_service_reaches_the_partner_too(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that stands still for a quarter of a second would miss the deadline otherwise.
    monkeypatch.setattr(model, "_LONGEST_RESERVE_S", 2.0)
    insurer = trained.federation.sites[1]
    name, _, version = trained.model.partition("@")
    with (
        serving_part(
            trained, insurer, free_address(), seen_as=lambda data: Waiting(data, asyncio.Barrier(99).wait)
        ),
        # As patient as may be: only the call's own deadline ends the wait.
        calling(trained, patience_s=60.0) as caller,
    ):
        stub = ScoringStub(caller.channel)
        subjects = trained.people(trained.brand)[60:90]
        what: Mapping[str, Any] = {"purpose": PURPOSES[1], "model": name, "version": version}
        response = stub.Score(pb.ScoreRequest(subject_ids=subjects, **what), timeout=DEADLINE_S)
        basis = {output.name: output.texts for output in response.results.outputs}["basis"]
        assert {"own_columns"} <= set(basis) <= {"own_columns", ""}
        opening = pb.StreamOpening(first_sequence=0, **what)
        chunk = pb.StreamChunk(sequence=0, subject_ids=subjects)
        messages = [pb.ScoreStreamRequest(opening=opening), pb.ScoreStreamRequest(chunk=chunk)]
        (streamed,) = stub.ScoreStream(iter(messages), timeout=DEADLINE_S)
        assert streamed.results.scores == pytest.approx(response.results.scores, nan_ok=True)
    missed = trained.of_type(trained.brand, EventType.PART_MISSED)[-2:]
    assert [entry.reasons for entry in missed] == [("scoring.partner-timeout",)] * 2


@pytest.mark.slow
def test_own_columns_answer_for_a_partner_that_is_slower_than_consents_count(trained: Trained) -> None:
    insurer = trained.federation.sites[1]
    with (
        serving_part(
            trained, insurer, free_address(), seen_as=lambda data: Waiting(data, asyncio.Barrier(99).wait)
        ),
        calling(trained, bound_s=3.0, patience_s=4.0) as caller,
    ):
        # The label holder's own consents are read again; the partner's are in no answer.
        answered = caller.ask(asked(trained, caller, list(range(30))), 4 * DEADLINE_S)
    assert answered.mark == "own_columns"


@pytest.mark.slow
def test_the_people_of_a_day_are_counted_on_after_a_restart(tmp_path: Path) -> None:
    limit = 100
    answers = ANSWERS.model_copy(update={"daily_people": limit, "keep_s": 0, "fallback": "none"})
    counted = train(tmp_path, answers=answers)
    insurer, address = counted.federation.sites[1], free_address()
    hand_link(counted, insurer, address)
    codes = ["joint"]
    with calling(counted) as caller:
        request = asked(counted, caller, list(range(40)))
        while codes[-1] == "joint":
            with serving_part(counted, insurer, address):
                codes.append(mark_when_there(caller, request))
    assert codes[-1] == "scoring.partner-quota"
    people = [
        entry.counts.rows_in for entry in counted.of_type(insurer, EventType.PART_ANSWERED) if entry.counts
    ]
    assert len(people) > 1
    assert sum(map(int, people)) <= limit < sum(map(int, people)) + int(people[0])
    (usage,) = LeaseStore(insurer.home.quotas).usage(now().date())
    assert (usage.account.caller, usage.quota, usage.out) == ("brand", limit, sum(map(int, people)))


def mark_when_there(caller: Caller, request: Any) -> str:
    """As :func:`mark_of`, once the partner is reached."""
    marks = ["scoring.partner-unavailable"]

    def is_there() -> bool:
        marks.append(mark_of(caller, request))
        return marks[-1] != marks[0]

    eventually(is_there, 20.0)
    return marks[-1]
