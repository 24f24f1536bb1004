"""Runs that stop when nothing is gained any more: which state is kept, who says so, and what it cost."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import PLAIN
from tests.server.test_server_resuming import KilledError, again, entries, kill_at
from tests.server.test_server_trees import TRAINING as TREES

from hanse.audit.completeness import check_shared
from hanse.crypto import sha256_hex
from hanse.privacy import LedgerKey, PrivacyLedger, SampledGaussian, make_plan
from hanse.server.best import Best, better
from hanse.server.findings import run_contributions
from hanse.server.rounds import Rounds

Federation = Callable[..., Any]
FALLING_ONCE = (0.6, 0.5, 0.55, 0.52)
"""Losses of the start and of each round's state: the best is that of the first round."""


def judged(rounds: Rounds, losses: Sequence[float]) -> list[int]:
    """Lets the steps of a run find these losses, and tells which states were evaluated."""
    steps, seen = rounds._steps, list[int]()
    train, evaluate = steps.train, steps.evaluate
    digests: dict[str, int] = {}

    def trained(number: int, algorithm: Any, state: bytes, transform: Any) -> Any:
        digests.setdefault(sha256_hex(state), number - 1)
        seen.append(number - 1)
        done = train(number, algorithm, state, transform)
        digests.setdefault(sha256_hex(done.state), number)
        return replace(done, metrics=replace(done.metrics, log_loss=losses[number - 1]))

    def evaluated(state: bytes, transform: Any) -> Any:
        number = digests.get(sha256_hex(state), -1)
        seen.append(number)
        return replace(evaluate(state, transform), log_loss=losses[number])

    steps.train, steps.evaluate = trained, evaluated  # type: ignore[method-assign]
    return seen


def states(local: Any, record: Any) -> dict[int, str]:
    folder = local.home.runs / record.run
    return {int(p.stem[-4:]): sha256_hex(p.read_bytes()) for p in folder.glob("round-*.state")}


def said(local: Any) -> Any:
    """The entry of the shared log about the evaluation."""
    return next(entry for entry in entries(local) if entry.type == "run.evaluated")


@pytest.mark.parametrize("trees", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_run_in_sums_keeps_its_best_round(federation: Federation, trees: bool) -> None:
    terms = {"rounds": 5, "patience": 1}
    changes = {"training": TREES.model_copy(update=terms)} if trees else terms
    local = federation(3, None, columns=PLAIN, **changes)
    rounds, record = local.rounds(local.transport())
    seen = judged(rounds, FALLING_ONCE)
    outcome = rounds.conduct()
    rounds.finish("propensity@1", "0" * 64, "")
    assert seen == [0, 1, 2, 3]
    assert outcome.kept is not None
    assert (outcome.kept.round, outcome.rounds) == (1, 3)
    digests = states(local, record)
    assert outcome.kept.state == digests[1] == said(local).model_out
    assert said(local).round == 1
    assert outcome.metrics.log_loss == 0.5
    assert record._events[-1].facts["kept_round"] == 1
    kinds = {finding.kind for finding in check_shared(entries(local)) if not finding.is_note}
    assert kinds <= {"agreement-unaccepted", "model-unregistered"}, kinds


def test_who_stops_early_has_spent_less_and_a_resumed_run_keeps_the_same(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = federation(2, 3.0, rounds=9, local_steps=2, patience=1)
    make_plan(local.agreement.training, local.agreement.privacy, len(local.agreement.columns))
    rounds, record = local.rounds(local.transport())
    judged(rounds, FALLING_ONCE)
    kill_at(record, monkeypatch, "save", 3)
    with pytest.raises(KilledError):
        rounds.conduct()
    rounds, record, resumed = again(local, record.run)
    judged(rounds, FALLING_ONCE)
    outcome = rounds.conduct(resumed)
    rounds.finish("propensity@1", "0" * 64, "")
    assert outcome.kept is not None
    assert outcome.account.certificate is not None
    assert (outcome.kept.round, outcome.kept.state) == (1, states(local, record)[1])
    assert said(local).model_out == outcome.kept.state
    for site in local.federation.sites:
        ledger = PrivacyLedger(site.home.privacy)
        key = LedgerKey("customers:training", "joint_modelling.propensity")
        (steps,) = [event for event in ledger.spent_events(key) if isinstance(event, SampledGaussian)]
        assert steps.steps == 3 * 2
        # What was not used is free again, and no other than what was planned was made.
        assert outcome.epsilon[site.data.name] < outcome.account.certificate["epsilon"] <= 3.0


def test_contributions_end_with_the_state_that_is_kept() -> None:
    halves = {"ann": 0.5, "bob": 0.5}
    told = {
        "round.aggregated": [
            {"evaluated_round": number, "log_loss": loss, "shares": halves}
            for number, loss in enumerate(FALLING_ONCE)
        ],
        "run.evaluated": [{"evaluated_round": 4, "log_loss": 0.51, "kept_round": 1}],
    }
    agreement = SimpleNamespace(
        contributions=True, members=[SimpleNamespace(name=name) for name in ("ann", "bob")]
    )
    divided = run_contributions(SimpleNamespace(told=told.__getitem__), agreement)  # type: ignore[arg-type]
    assert divided is not None
    assert (divided.rounds, divided.first_loss, divided.last_loss) == (1, 0.6, 0.5)


def test_the_better_state() -> None:
    def state(number: int, loss: float | None) -> Best:
        return Best(round=number, state="0" * 64, metrics={"log_loss": loss})

    assert better(None, state(0, None), 0) is None
    lost = better(None, state(0, None), 3)
    assert lost is not None
    found = better(lost, state(1, 0.7), 3)
    assert found is not None
    assert found.round == 1
    assert better(found, state(2, None), 3) == found
    assert not found.over(3, 3)
    assert found.over(3, 4)
