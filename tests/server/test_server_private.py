"""Runs in sums with a budget, over real nodes, ledgers and sessions: what leaves, what it costs."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.server.test_server_phases import entries, left, listen, own_entries

from hanse.audit.completeness import check_member, check_shared
from hanse.errors import PolicyError, TrainingError
from hanse.learning.shared_run import NoiseLevels, PrivateState, SharedRun
from hanse.privacy import Budget, LedgerKey, PrivacyLedger, SampledGaussian, Spent, make_shared_plan
from hanse.server.algorithms import algorithm_of

Federation = Callable[..., Any]

PURPOSE = "joint_modelling.propensity"
ROUNDS, STEPS = 2, 4


@pytest.fixture
def private(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> Federation:
    """Members under an agreement with a budget whose figures leave in sums."""
    # What a person pays takes seconds to compute, and is tested where it is.
    monkeypatch.setattr("hanse.privacy.certificate._SHOWN_MEMBERS", ())

    def build(members: int = 3) -> Any:
        local = federation(members, 3.0, mode="secure", rounds=ROUNDS, local_steps=STEPS)
        plan_of(local)
        return local

    return build


def plan_of(local: Any, spent: Spent | None = None) -> Any:
    """The plan of every member; made here first, so that not all of them make its figures at once."""
    return make_shared_plan(
        Budget(3.0, 1e-5),
        steps=ROUNDS * STEPS,
        sample_rate=local.agreement.training.sample_rate,
        shared=True,
        histograms=ROUNDS + 1,
        spent=spent,
    )


def ledger_of(local: Any, name: str) -> PrivacyLedger:
    site = next(site for site in local.federation.sites if site.data.name == name)
    return PrivacyLedger(site.home.privacy)


def spent(local: Any, name: str, part: str) -> list[Any]:
    population = local.nodes[name]._tools.population
    return list(ledger_of(local, name).spent_events(LedgerKey(f"{population}:{part}", PURPOSE)))


def steps_of(outcome: Any) -> Any:
    return next(event for event in outcome.account.certificate["training"] if "steps" in event)


def vanishing(after: int) -> Callable[[str, str], None]:
    """One member refuses the gradient after so many of its own."""
    asked: list[str] = []

    def act(member: str, kind: str) -> None:
        if (member, kind) == ("media", "sgd.gradient"):
            asked.append(kind)
            if len(asked) > after:
                raise PolicyError("policy.cohort", "gone", rule="P15")

    return act


def test_a_private_run_in_sums_spends_what_was_planned(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private()
    heard = listen(monkeypatch)
    rounds, record = local.rounds(local.transport())
    outcome = rounds.conduct()
    rounds.finish("propensity@1", "0" * 64, "")

    members = tuple(sorted(local.nodes))
    assert (left(record), outcome.members) == ({}, members)
    assert outcome.transform == SharedRun(local.agreement).transform
    # Nothing is asked but noised sums; the preparation asks for the levels and the number of records.
    kinds = Counter(one.query.kind.partition("/")[2] for one in heard)
    asked = {
        "noise.plan": 1,
        "sgd.rows": 1,
        "sgd.gradient": ROUNDS * STEPS,
        "evaluation.scores": ROUNDS + 1,
    }
    assert kinds == {kind: len(members) * number for kind, number in asked.items()}

    # What is spent is what was planned, at every member, and durable.
    plan = plan_of(local)
    for name in members:
        assert set(spent(local, name, "training")) == set(plan.training_events)
        assert spent(local, name, "holdout") == list(plan.holdout_events)
        assert outcome.epsilon[name] == pytest.approx(plan.epsilon)
        log = own_entries(local, name)
        assert [entry.type.value for entry in log[-10:]] == [
            *("budget.planned", "round.admitted", "run.prepared"),
            *("round.admitted", "round.trained") * 2,
            *("round.admitted", "run.evaluated", "run.finished"),
        ]
        findings = {finding.kind for finding in check_member(log, name)}
        assert not {"budget-unplanned", "budget-overspent", "step-unadmitted", "rows-differ"} & findings
        said = [entry.privacy.epsilon for entry in log if entry.type == "round.trained"]
        assert 0 < said[0] < said[1] <= plan.epsilon
    assert "step-unstated" not in {finding.kind for finding in check_shared(entries(local))}

    certificate = outcome.account.certificate
    assert certificate["epsilon"] == pytest.approx(plan.epsilon)
    assert (certificate["unit"], certificate["honest_shares"], certificate["members"]) == ("record", 2, 3)
    rows = next(e.facts["rows"] for e in record._events if e.type == "run.prepared")
    exact = sum(one["training"] for one in rows.values())
    assert 0 < abs(outcome.account.rows - exact) < 6 * plan.rows.noise_multiplier * (3 / 2) ** 0.5

    # Another run finds the budget spent, and touches no row.
    heard.clear()
    rounds, record = local.rounds(local.transport())
    with pytest.raises(TrainingError):
        rounds.conduct()
    assert set(left(record).values()) == {"privacy.exhausted"}
    assert heard == []
    assert own_entries(local, "media")[-1].reasons[0] == "privacy.exhausted"


def test_of_three_members_none_may_vanish(private: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    local = private()
    heard = listen(monkeypatch, vanishing(1))
    rounds, _ = local.rounds(local.transport())
    with pytest.raises(TrainingError) as error:
        rounds.conduct()
    assert error.value.code == "run.insufficient-members"
    gradients = Counter(one.member for one in heard if one.query.kind.endswith("sgd.gradient"))
    assert gradients["media"] == 1
    # A round is charged as a whole, before its first answer.
    (charged,) = [event for event in spent(local, "media", "training") if isinstance(event, SampledGaussian)]
    assert charged.steps == STEPS


@pytest.mark.slow
def test_a_member_answers_with_the_noise_that_it_has_reserved_alone(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private()
    rounds, record = local.rounds(local.transport())
    prepared = rounds._steps.prepare()
    other = NoiseLevels(9.0, 9.0, 9.0)
    state = PrivateState(other, 100.0, SharedRun(local.agreement).zeros()).to_bytes()
    algorithm = algorithm_of(local.agreement, prepared.transform, record.run, prepared.opening)
    with pytest.raises(TrainingError):
        rounds._steps.train(1, algorithm, state, prepared.transform)
    assert set(left(record).values()) == {"policy.denied"}

    loudest = NoiseLevels.loudest

    def quieter(levels: Any) -> NoiseLevels:
        found = loudest(levels)
        return NoiseLevels(found.gradients * 0.99, found.rows, found.histograms)

    monkeypatch.setattr(NoiseLevels, "loudest", quieter)
    heard = listen(monkeypatch)
    rounds, record = local.rounds(local.transport())
    with pytest.raises(TrainingError):
        rounds.conduct()
    assert set(left(record).values()) == {"privacy.exhausted"}
    assert heard == []


@pytest.mark.slow
def test_a_run_goes_on_with_what_a_broken_one_has_left(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private()
    with monkeypatch.context() as patched:
        listen(patched, vanishing(1))
        rounds, _ = local.rounds(local.transport())
        with pytest.raises(TrainingError):
            rounds.conduct()
        rounds.finish("", "", "run.insufficient-members")
    plan_of(local, Spent(*(tuple(spent(local, "media", part)) for part in ("training", "holdout"))))
    rounds, _ = local.rounds(local.transport())
    outcome = rounds.conduct()
    # More noise than the first had, and within the budget together.
    assert steps_of(outcome)["noise_multiplier"] > plan_of(local).gradients.noise_multiplier
    assert max(outcome.epsilon.values()) <= 3.0


@pytest.mark.slow
def test_sums_have_the_noise_of_the_certificate_when_one_of_eight_has_vanished(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private(8)
    shared = SharedRun(local.agreement)
    nothing = np.zeros(shared.private(NoiseLevels(1.0, 1.0, 1.0)).size)
    monkeypatch.setattr("hanse.learning.private_gradients.clipped_gradient", lambda *_: nothing.copy())
    heard = listen(monkeypatch, vanishing(0))
    rounds, record = local.rounds(local.transport())
    outcome = rounds.conduct()
    assert left(record) == {"media": "policy.cohort"}
    assert (len(outcome.members), outcome.account.certificate["honest_shares"]) == (7, 6)

    by_step: dict[bytes, list[Any]] = {}
    for one in heard:
        if one.query.kind.endswith("sgd.gradient"):
            by_step.setdefault(one.query.body, []).append(one.values)
    assert {len(values) for values in by_step.values()} == {7}
    wanted = steps_of(outcome)["noise_multiplier"] * local.agreement.training.clip_norm
    # To one of the seven, who knows its own share, the other six are the noise that is accounted for.
    for without in range(7):
        others = np.array([np.sum(np.delete(v, without, axis=0), axis=0) for v in by_step.values()])
        assert others.std() == pytest.approx(wanted, rel=0.12)
    total = np.array([np.sum(values, axis=0) for values in by_step.values()])
    assert total.std() == pytest.approx(wanted * (7 / 6) ** 0.5, rel=0.12)
