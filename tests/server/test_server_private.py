"""Runs in sums with a budget, over real nodes, ledgers and sessions: what leaves, what it costs, who may go."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.server.test_server_phases import entries, left, listen, own_entries

from hanse.audit.completeness import check_member, check_shared
from hanse.errors import PolicyError, PrivacyError, TrainingError
from hanse.learning.shared_run import NoiseLevels, PrivateState, SharedRun
from hanse.privacy import Budget, LedgerKey, PrivacyLedger, SampledGaussian, make_shared_plan

Federation = Callable[..., Any]

PURPOSE = "joint_modelling.propensity"


def ledger_of(local: Any, name: str) -> PrivacyLedger:
    site = next(site for site in local.federation.sites if site.data.name == name)
    return PrivacyLedger(site.home.privacy)


def spent(local: Any, name: str, part: str) -> Any:
    population = local.nodes[name]._tools.population
    return ledger_of(local, name).spent_events(LedgerKey(f"{population}:{part}", PURPOSE))


@pytest.fixture
def private(federation: Federation) -> Federation:
    """Members under an agreement with a budget whose figures leave in sums; three by default."""
    return lambda members=3, **changes: federation(members, 3.0, mode="secure", rounds=2, **changes)


def test_a_private_run_in_sums_from_start_to_finish(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private()
    bodies: list[bytes] = []
    transport = local.transport()
    transport.tamper = lambda _, body: bodies.append(body) or body
    heard = listen(monkeypatch)
    rounds, record = local.rounds(transport)

    outcome = rounds.conduct()
    rounds.finish("propensity@1", "0" * 64, "")

    members, training = tuple(sorted(local.nodes)), local.agreement.training
    assert left(record) == {}
    assert outcome.members == members
    assert outcome.metrics.auc > 0.6
    # Nothing is asked but noised sums; the preparation asks for the levels and the number of records.
    kinds = Counter(one.query.kind.partition("/")[2] for one in heard)
    steps = training.rounds * training.local_steps
    asked = {"noise.plan": 1, "sgd.rows": 1, "sgd.gradient": steps, "evaluation.scores": training.rounds + 1}
    assert kinds == {kind: len(members) * number for kind, number in asked.items()}

    # What is spent is what was planned, at every member, and durable.
    plan = make_shared_plan(
        Budget(3.0, 1e-5),
        steps=steps,
        sample_rate=training.sample_rate,
        shared=True,
        histograms=training.rounds + 1,
    )
    for name in members:
        assert spent(local, name, "training") == tuple(sorted(plan.training_events, key=_kind))
        assert spent(local, name, "holdout") == plan.holdout_events
        assert outcome.epsilon[name] == pytest.approx(plan.epsilon)
        types = [entry.type.value for entry in own_entries(local, name)]
        assert types[-10:] == [
            *("budget.planned", "round.admitted", "run.prepared"),
            *("round.admitted", "round.trained") * 2,
            *("round.admitted", "run.evaluated", "run.finished"),
        ]
        findings = {finding.kind for finding in check_member(own_entries(local, name), name)}
        assert not {"budget-unplanned", "budget-overspent", "step-unadmitted", "rows-differ"} & findings
        said = [entry.privacy.epsilon for entry in own_entries(local, name) if entry.type == "round.trained"]
        assert 0 < said[0] < said[1] <= plan.epsilon
    assert "step-unstated" not in {finding.kind for finding in check_shared(entries(local))}

    certificate = outcome.account.certificate
    assert certificate["epsilon"] == pytest.approx(plan.epsilon)
    assert (certificate["unit"], certificate["honest_shares"], certificate["members"]) == ("record", 2, 3)
    assert certificate["person"]["2"] > certificate["epsilon"]
    rows = [e.facts["rows"] for e in record._events if e.type == "run.prepared"][0]
    exact = sum(one["training"] for one in rows.values())
    assert outcome.account.rows != exact
    assert abs(outcome.account.rows - exact) < 6 * plan.rows.noise_multiplier * (3 / 2) ** 0.5
    assert outcome.transform == SharedRun(local.agreement).transform


def _kind(event: Any) -> str:
    return type(event).__name__


def test_sums_have_the_noise_that_the_certificate_says(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private()
    nothing = np.zeros(SharedRun(local.agreement).private(NoiseLevels(1.0, 1.0, 1.0)).size)
    monkeypatch.setattr("hanse.learning.private_gradients.clipped_gradient", lambda *_: nothing.copy())
    heard = listen(monkeypatch)
    rounds, _ = local.rounds(local.transport())
    outcome = rounds.conduct()
    released = [event for event in outcome.account.certificate["training"] if "steps" in event]
    clip = local.agreement.training.clip_norm
    by_step: dict[str, list[Any]] = {}
    for one in heard:
        if one.query.kind.endswith("sgd.gradient"):
            by_step.setdefault(one.query.body.hex(), []).append(one.values)
    sums = np.array([np.sum(values, axis=0) for values in by_step.values()])
    honest = np.array([np.sum(values[:2], axis=0) for values in by_step.values()])
    wanted = released[0]["noise_multiplier"] * clip
    # 2 of 3 shares are the noise that is accounted for; the grid adds under 1 %.
    assert honest.std() == pytest.approx(wanted, rel=0.03)
    assert sums.std() == pytest.approx(wanted * (3 / 2) ** 0.5, rel=0.03)
    assert honest.std() >= wanted * 0.98


def test_who_vanishes_leaves_enough_noise_or_ends_the_run(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private(8)
    seen: list[str] = []

    def vanish(member: str, kind: str) -> None:
        if kind == "sgd.gradient":
            seen.append(member)
            if len(seen) > 60 and member in leaving:
                raise PolicyError("policy.cohort", "gone", rule="P15")

    leaving = {"media"}
    listen(monkeypatch, vanish)
    rounds, record = local.rounds(local.transport())
    outcome = rounds.conduct()
    assert left(record) == {"media": "policy.cohort"}
    certificate = outcome.account.certificate
    # Seven are left, one of whom looks: six shares are all that was promised.
    assert (len(outcome.members), certificate["honest_shares"]) == (7, 6)
    # What was charged for a round that it left stays charged.
    (steps,) = [event for event in spent(local, "media", "training") if isinstance(event, SampledGaussian)]
    assert steps.steps == local.agreement.training.local_steps


def test_of_three_members_none_may_vanish(private: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    local = private()

    def vanish(member: str, kind: str) -> None:
        if (member, kind) == ("media", "sgd.gradient"):
            raise PolicyError("policy.cohort", "gone", rule="P15")

    heard = listen(monkeypatch, vanish)
    rounds, _ = local.rounds(local.transport())
    with pytest.raises(TrainingError) as error:
        rounds.conduct()
    assert (error.value.code, error.value.rule) == ("run.insufficient-members", "P17")
    assert not [one for one in heard if one.member == "media" and one.query.kind.endswith("gradient")]


def test_an_exhausted_budget_is_refused_before_a_row_is_touched(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private()
    for _ in range(2):
        heard = listen(monkeypatch)
        rounds, record = local.rounds(local.transport())
        try:
            rounds.conduct()
        except TrainingError as error:
            assert error.code == "run.insufficient-members"
    assert set(left(record).values()) == {"privacy.exhausted"}
    assert heard == []
    for name in local.nodes:
        last = own_entries(local, name)[-1]
        assert (last.type, last.reasons[0]) == ("run.refused", "privacy.exhausted")


def test_a_run_goes_on_with_what_a_broken_one_has_left(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private()
    asked: list[str] = []

    def stop(member: str, kind: str) -> None:
        asked.append(kind)
        if member == "media" and asked.count("sgd.gradient") > 3:
            raise PolicyError("policy.cohort", "gone", rule="P15")

    listen(monkeypatch, stop)
    rounds, _ = local.rounds(local.transport())
    with pytest.raises(TrainingError):
        rounds.conduct()
    rounds.finish("", "", "run.insufficient-members")
    monkeypatch.undo()
    rounds, _ = local.rounds(local.transport())
    outcome = rounds.conduct()
    # More noise than the first had, within the budget together.
    fresh = make_shared_plan(
        Budget(3.0, 1e-5),
        steps=2 * local.agreement.training.local_steps,
        sample_rate=local.agreement.training.sample_rate,
        shared=True,
        histograms=3,
    )
    (steps,) = [event for event in outcome.account.certificate["training"] if "steps" in event]
    assert steps["noise_multiplier"] > fresh.gradients.noise_multiplier
    assert max(outcome.epsilon.values()) <= 3.0


def test_a_member_refuses_less_noise_than_it_needs(
    private: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = private()
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
    assert all(ledger_of(local, name).head().size <= 1 for name in local.nodes)  # the division, and no plan


def test_other_noise_than_was_reserved_is_refused(private: Federation) -> None:
    local = private()
    rounds, record = local.rounds(local.transport())
    steps = rounds._steps
    prepared = steps.prepare()
    shared = SharedRun(local.agreement)
    levels = NoiseLevels(*[2 * each for each in (1.0, 1.0, 1.0)])
    weights = shared.zeros()
    state = PrivateState(levels, 100.0, weights).to_bytes()
    from hanse.server.algorithms import algorithm_of

    algorithm = algorithm_of(local.agreement, prepared.transform, record.run, prepared.opening)
    with pytest.raises((TrainingError, PrivacyError)):
        steps.train(1, algorithm, state, prepared.transform)
    assert set(left(record).values()) == {"policy.denied"}
