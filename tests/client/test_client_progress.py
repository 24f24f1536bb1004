"""What a person reads of a run that has ended: in which step, and who left."""

from typing import Any

import pytest

from hanse.client.progress import failure
from hanse.client.remote import RunEvent

CODE = "run.insufficient-members"


def event(kind: str, number: int = 0, run: str = "run-1", **facts: Any) -> RunEvent:
    return RunEvent(run, "", kind, number, facts)


STARTED, PREPARED = event("run.started"), event("run.prepared")
ALIGNED = event("run.prepared", aligned=900)
FIRST = event("round.aggregated", 1, next="round")
LAST = event("round.aggregated", 2, next="evaluation")


@pytest.mark.parametrize(
    ("events", "where"),
    [
        ([STARTED], "in the preparation"),
        ([STARTED, PREPARED], "in round 1"),
        ([STARTED, ALIGNED], "in the training"),
        ([STARTED, PREPARED, FIRST], "in round 2"),
        ([STARTED, PREPARED, FIRST, LAST], "in the evaluation"),
        ([STARTED, PREPARED, FIRST, LAST, event("run.evaluated")], "in the registration"),
    ],
)
def test_the_step_that_a_run_ended_in_is_named(events: list[RunEvent], where: str) -> None:
    left = event("member.left", member="insurer", code="sealed.broken", step="trained")
    told = str(failure([*events, left, event("run.failed", code=CODE, message="too few")]))
    assert f"run run-1 ended {where}: too few; insurer left: sealed.broken (" in told


def test_a_model_that_leaked_was_trained_and_nothing_more() -> None:
    told = str(failure([STARTED, ALIGNED, LAST, event("run.failed", code="policy.leakage")]))
    assert "run-1 ended after the training: " in told


def test_a_sweep_is_in_no_step_of_its_trials() -> None:
    ended = event("run.failed", run="sweep", code=CODE, message="too few")
    assert "sweep ended: too few" in str(failure([STARTED, PREPARED, ended]))
