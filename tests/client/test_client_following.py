"""Whoever follows a run sees each event once, also when the coordinator is gone for a while."""

from collections.abc import Iterator

import pytest

from hanse.client.following import WAIT_S, start_and_follow
from hanse.client.progress import describe
from hanse.client.remote import RunEvent
from hanse.errors import HanseError

TYPES = ("run.started", "run.prepared", "round.aggregated", "run.resumed", "run.evaluated", "run.finished")
EVENTS = [RunEvent("run-1", f"2026-01-01T00:00:0{n}Z", kind, 0, {}) for n, kind in enumerate(TYPES)]


class Coordinator:
    """Tells so many events of a run in each connection, then breaks off; None: it does not answer."""

    def __init__(self, *tells: int | None, code: str = "run.engine") -> None:
        self._tells = list(tells)
        self._code = code
        self.now_s = 0.0

    def start(self, agreement_digest: str) -> Iterator[RunEvent]:
        del agreement_digest
        return self._tell()

    def watch(self, run: str) -> Iterator[RunEvent]:
        assert run == "run-1"
        return self._tell()

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def _tell(self) -> Iterator[RunEvent]:
        count = self._tells.pop(0) if self._tells else None
        yield from EVENTS[: count or 0]
        if count is None or count < len(EVENTS):
            raise HanseError(self._code, "gone")

    def follow(self) -> tuple[list[RunEvent], list[str]]:
        said: list[str] = []
        return list(start_and_follow(self, "0" * 64, said.append, lambda: self.now_s, self.sleep)), said


def test_events_come_once_across_restarts() -> None:
    events, said = Coordinator(2, None, None, 2, 5, len(EVENTS)).follow()
    assert events == EVENTS
    told = ["broke", "connected again", "broke", "connected again", "broke", "connected again"]
    assert [word in text for word, text in zip(told, said, strict=True)] == [True] * len(told)


def test_waiting_ends() -> None:
    coordinator = Coordinator(3)
    with pytest.raises(HanseError, match=f"gone for {WAIT_S:.0f} s; run-1 may go on"):
        coordinator.follow()
    assert WAIT_S < coordinator.now_s < WAIT_S + 10


def test_what_the_coordinator_answers_is_no_break() -> None:
    with pytest.raises(HanseError, match=r"run\.unknown"):
        Coordinator(2, code="run.unknown").follow()
    with pytest.raises(HanseError, match="gone"):  # nobody knows whether a run was begun
        Coordinator(None, 6).follow()


def test_what_goes_on_is_said() -> None:
    facts = {"seconds": 2.5, "auc": 0.75, "auc_standard_error": 0.01, "next": "evaluation"}
    assert describe(RunEvent("run-1", "", "run.prepared", 0, facts)) == "prepared in 2.5 s; round 1 goes on"
    assert describe(RunEvent("run-1", "", "round.aggregated", 3, facts)).endswith("going in; evaluating")
    gone = {"attempt": 1, "gone": "insurer", "wait_s": 90.0}
    said = describe(RunEvent("run-1", "", "run.resumed", 0, gone))
    assert (
        said == "insurer is gone; going on, attempt 1, waits up to 90 s: start its node again (hanse client)"
    )
    assert describe(RunEvent("run-1", "", "run.resumed", 0, {"attempt": 2})).endswith("waiting for members")
    assert "round 4 goes on" in describe(RunEvent("run-1", "", "round.aggregated", 3, {"next": "round"}))
