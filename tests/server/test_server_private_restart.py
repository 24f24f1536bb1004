"""A private run in sums whose coordinator is started again between two rounds: the ledger is the same."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.server.test_server_phases import left
from tests.server.test_server_private import STEPS, plan_of, private, spent
from tests.server.test_server_resuming import KilledError, again, kill_at

__all__ = ["private"]

Federation = Callable[..., Any]


@pytest.mark.slow
def test_the_ledger_is_that_of_a_run_without_a_restart(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private()
    rounds, first = local.rounds(local.transport())
    # Two questions of the preparation, the steps and the scores of one round; then it dies with the next.
    kill_at(first, monkeypatch, "find", 2 + STEPS + 1)
    with pytest.raises(KilledError):
        rounds.conduct()
    rounds, record, resumed = again(local, first.run)
    assert resumed.done is not None
    assert (resumed.done.checkpoint.step, resumed.done.checkpoint.round) == ("aggregated", 1)
    outcome = rounds.conduct(resumed)
    rounds.finish("propensity@1", "0" * 64, "")
    members = tuple(sorted(local.nodes))
    assert (left(record), outcome.members) == ({}, members)
    plan = plan_of(local)
    for name in members:
        assert set(spent(local, name, "training")) == set(plan.training_events)
        assert spent(local, name, "holdout") == list(plan.holdout_events)
        assert outcome.epsilon[name] == pytest.approx(plan.epsilon)
    assert outcome.account.certificate is not None
    assert outcome.account.certificate["epsilon"] == pytest.approx(plan.epsilon)
