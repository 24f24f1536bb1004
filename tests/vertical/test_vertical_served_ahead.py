"""The label holder's entry is written while a partner is asked; what the partner says may take it back."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import compress
from typing import Any

import pytest
from tests.vertical.serving_sites import (
    ANSWERS,
    Caller,
    Running,
    Trained,
    Waiting,
    asked,
    eventually,
    free_address,
    mark_of,
    serving_part,
    serving_scorer,
    train,
)

from hanse.audit import AuditLog, Entry, Event, EventType
from hanse.audit.completeness import check_member
from hanse.errors import AuditError
from hanse.server.parts import PartData

pytestmark = pytest.mark.slow
PATIENCE_S = 10.0
SCORE = {EventType.SCORE_ANSWERED, EventType.SCORE_DENIED, EventType.SCORE_WITHHELD}


class Gate:
    """Data that is read when the gate is open."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self.asked = 0
        self.open()

    def open(self) -> None:
        Running.loop().call_soon_threadsafe(self._open.set)

    def shut(self) -> None:
        Running.loop().call_soon_threadsafe(self._open.clear)

    def before(self, data: PartData) -> PartData:
        return Waiting(data, self.passed)

    async def passed(self) -> None:
        self.asked += 1
        await self._open.wait()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    answers = ANSWERS.model_copy(update={"fallback": "none", "keep_s": 0})
    return train(tmp_path_factory.mktemp("ahead"), answers=answers)


@contextmanager
def serving(trained: Trained, gate: Gate) -> Iterator[Caller]:
    """Both members' services, and a calling system; afterwards both logs leave nothing out."""
    insurer = trained.federation.sites[1]
    with (
        serving_part(trained, insurer, free_address(), seen_as=gate.before),
        serving_scorer(trained, patience_s=PATIENCE_S) as scorer,
    ):
        caller = Caller(trained, scorer.address)
        try:
            yield caller
        finally:
            gate.open()
            caller.close()
    for site in trained.federation.sites:
        assert check_member(trained.entries(site), site.data.name) == []


def people(trained: Trained, caller: Caller, basis: str) -> list[int]:
    """Places of people whom both members let be scored, or whom at least one does not."""
    places = list(range(len(trained.people(trained.brand))))
    answered = caller.ask(asked(trained, caller, places), PATIENCE_S)
    return list(compress(places, [one == basis for one in answered.basis]))


def refused_by_the_partner_alone(trained: Trained, caller: Caller) -> int:
    """The place of somebody about whom the partner is asked, and says nothing."""
    for place in people(trained, caller, ""):
        before = _heard(trained)
        assert mark_of(caller, asked(trained, caller, [place])) == "policy.denied"
        eventually(lambda: len(scores(trained)) > 0)
        if scores(trained)[-1].type is EventType.SCORE_WITHHELD:
            eventually(partial(_heard_more, trained, before))
            return place
    raise AssertionError("nobody")


def scores(trained: Trained, after: int = 0) -> list[Entry]:
    return [entry for entry in trained.entries(trained.brand)[after:] if entry.type in SCORE]


def _heard(trained: Trained) -> int:
    return len(trained.of_type(trained.brand, EventType.PART_HEARD))


def _heard_more(trained: Trained, before: int) -> bool:
    return _heard(trained) > before


def size(trained: Trained) -> int:
    return len(trained.entries(trained.brand))


def counted(entry: Entry) -> tuple[Any, Any, Mapping[str, Any]]:
    assert entry.counts is not None
    return entry.counts.rows_in, entry.counts.rows_out, dict(entry.counts.by_rule)


def held_up(trained: Trained, caller: Caller, gate: Gate, places: list[int]) -> tuple[int, Any]:
    """A call that waits for the partner: the size of the log before it, and the call."""
    before, questions = size(trained), gate.asked
    gate.shut()
    call = caller._infer.future(asked(trained, caller, places), timeout=PATIENCE_S)
    eventually(lambda: gate.asked > questions)
    eventually(lambda: bool(scores(trained, before)))
    return before, call


def test_the_entry_is_on_disk_before_the_partner_has_answered_and_is_the_one_that_is_named(
    trained: Trained,
) -> None:
    gate = Gate()
    with serving(trained, gate) as caller:
        both = people(trained, caller, "joint")[:3]
        before, call = held_up(trained, caller, gate, both)
        (ahead,) = scores(trained, before)
        assert ahead.type is EventType.SCORE_ANSWERED
        assert counted(ahead) == (3, 3, {})
        assert not call.done()
        heard = _heard(trained)
        gate.open()
        response = call.result()
        index = response.parameters["log_index"].int64_param
        assert trained.entries(trained.brand)[index] == ahead
        eventually(lambda: _heard(trained) == heard + 1)
        assert scores(trained, before) == [ahead]


def test_of_whom_the_partner_refuses_some_the_log_says_how_many_were_not_given(trained: Trained) -> None:
    with serving(trained, Gate()) as caller:
        nobody = refused_by_the_partner_alone(trained, caller)
        both = people(trained, caller, "joint")[:4]
        before = size(trained)
        request = asked(trained, caller, [*both, nobody])
        response = caller._infer(request, timeout=PATIENCE_S)
        answered, withheld = scores(trained, before)
        assert (answered.type, withheld.type) == (EventType.SCORE_ANSWERED, EventType.SCORE_WITHHELD)
        assert counted(answered) == (5, 5, {})
        assert counted(withheld) == (5, 4, {"P26": 1})
        assert withheld.decision == "permit"
        assert withheld.request == answered.request
        index = response.parameters["log_index"].int64_param
        assert trained.entries(trained.brand)[index] == withheld

        before = size(trained)
        assert mark_of(caller, asked(trained, caller, [nobody])) == "policy.denied"
        answered, withheld = scores(trained, before)
        assert (answered.decision, withheld.decision) == ("permit", "deny")
        assert counted(withheld) == (1, 0, {"P26": 1})
        assert withheld.reasons == ("policy.denied", "P26")


def test_a_call_that_is_given_up_while_the_partner_is_asked_is_taken_back(trained: Trained) -> None:
    gate = Gate()
    with serving(trained, gate) as caller:
        both = people(trained, caller, "joint")[:2]
        before, call = held_up(trained, caller, gate, both)
        call.cancel()
        eventually(lambda: len(scores(trained, before)) == 2)
        answered, withheld = scores(trained, before)
        assert (answered.type, withheld.type) == (EventType.SCORE_ANSWERED, EventType.SCORE_WITHHELD)
        assert (withheld.decision, withheld.reasons) == ("deny", ("scoring.abandoned",))
        assert counted(withheld) == (2, 2, {})


def test_nothing_is_answered_if_the_entry_cannot_be_written_meanwhile(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    with serving(trained, gate) as caller:
        request = asked(trained, caller, people(trained, caller, "joint")[:1])
        before, written = size(trained), AuditLog._entries

        def full(log: AuditLog, state: Any, events: Sequence[Event]) -> Any:
            if any(event.type is EventType.SCORE_ANSWERED for event in events):
                raise AuditError("audit.unavailable", "the disk is full")
            return written(log, state, events)

        monkeypatch.setattr(AuditLog, "_entries", full)
        assert mark_of(caller, request) == "audit.unavailable"
        monkeypatch.undo()
        (refused,) = scores(trained, before)
        assert (refused.type, refused.reasons) == (EventType.SCORE_DENIED, ("audit.unavailable",))
        assert mark_of(caller, request) == "joint"
