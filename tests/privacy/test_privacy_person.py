"""A person known to several members, runs over members, their charges and certificates."""

import json
from collections.abc import Callable
from pathlib import Path

import dp_accounting
import pytest
from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from hanse.crypto import canonical_json, parse_canonical_json
from hanse.errors import PrivacyError
from hanse.privacy import (
    Budget,
    ChargedReleases,
    GaussianRelease,
    LedgerKey,
    PrivacyLedger,
    SampledGaussian,
    epsilon,
    events_from_json,
    events_to_json,
    make_certificate,
    make_shared_plan,
    merge_events,
    person_epsilon,
)

DELTA = 1e-5
KEY = LedgerKey("customers", "propensity")


def test_a_person_pays_as_was_published() -> None:
    # privacy loss of noise 3.88, rate .05, 400 steps: measured with dp-accounting's own accountant.
    alone, shared = (SampledGaussian(3.88, 0.05, 400, shared=shared) for shared in (False, True))
    for event, expected in ((alone, [0.999, 1.453]), (shared, [0.999, 2.154])):
        found = [person_epsilon([event], [], DELTA, members) for members in (1, 2)]
        assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.slow
def test_a_shared_step_is_the_mixture_of_the_library() -> None:
    accountant = PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, 1e-3)
    rate, members = 0.2, 2
    chances = [(1 - rate) ** 2, 2 * rate * (1 - rate), rate**2]
    accountant.compose(dp_event.MixtureOfGaussiansDpEvent(4.0, [0.0, 1.0, 2.0], chances), 30)
    theirs = float(accountant.get_epsilon(DELTA))
    ours = person_epsilon([SampledGaussian(4.0, rate, 30, shared=True)], [], DELTA, members)
    assert ours == pytest.approx(theirs, abs=2e-3)


def test_the_worst_division_of_a_persons_records_counts() -> None:
    training, holdout = [GaussianRelease(5.0, shared=True)], [GaussianRelease(9.0)]
    both = epsilon([GaussianRelease(5.0), GaussianRelease(9.0)], DELTA)
    found = person_epsilon(training, holdout, DELTA, 2)
    assert found >= both
    assert found == pytest.approx(epsilon([GaussianRelease(2.5)], DELTA), abs=2e-3)
    assert person_epsilon([], [], DELTA, 3) == 0


@pytest.mark.parametrize("members", [0, 65])
def test_a_person_of_no_member_is_refused(members: int) -> None:
    with pytest.raises(PrivacyError):
        person_epsilon([], [], DELTA, members)


def test_shared_events_are_written_read_and_kept_apart() -> None:
    events = (
        GaussianRelease(2.0, 3),
        GaussianRelease(2.0, 1, shared=True),
        SampledGaussian(1.0, 0.1, 2, shared=True),
    )
    written = parse_canonical_json(canonical_json(events_to_json(events)))
    assert events_from_json(written) == events
    assert len(merge_events(events)) == 3
    record: dict[str, object] = {"kind": "gaussian", "noise_multiplier": 2.0, "count": 1}
    for wrong in (False, 1, "yes"):
        with pytest.raises(PrivacyError):
            events_from_json([record | {"shared": wrong}])  # type: ignore[list-item]


def test_a_shared_plan_uses_the_budget_and_no_more() -> None:
    plan = make_shared_plan(
        Budget(1.0, DELTA), steps=20, sample_rate=0.1, shared=True, count_cells=True, histograms=2
    )
    assert 0.97 < plan.training_epsilon <= 1.0
    assert 0.97 < plan.holdout_epsilon <= 1.0
    assert all(event.shared for event in (*plan.training_events, *plan.holdout_events))
    assert merge_events([plan.step] * 20) == (plan.gradients,)


def test_a_certificate_says_what_its_figure_is_about() -> None:
    events = [SampledGaussian(8.0, 0.1, 10, shared=True)]
    found = make_certificate(events, [], DELTA, members=10, honest_shares=8)
    assert found["unit"] == "record"
    assert found["adjacency"] == "add-or-remove-one"
    assert found["epsilon"] == epsilon(events, DELTA)
    assert found["person"] == {str(k): person_epsilon(events, [], DELTA, k) for k in (2, 3)}
    assert "2 of 10" in str(found["assumption"])
    assert events_from_json(found["training"]) == tuple(events)
    assert json.loads(canonical_json(found)) == found
    hopeless = make_certificate([GaussianRelease(0.1, 1000)], [], DELTA, members=2, honest_shares=1)
    assert hopeless["epsilon"] is None


class ChargeMachine(RuleBasedStateMachine):
    """Releases, aborts, crashes and restarts in any order: what has left was paid for, and never too much."""

    folder: Path
    clear: Callable[[], None]

    @initialize(ahead=st.integers(1, 7), planned=st.integers(1, 30))
    def start(self, ahead: int, planned: int) -> None:
        for file in self.folder.iterdir():
            file.unlink()
        self.planned, self.ahead = GaussianRelease(10.0, planned, shared=True), ahead
        self.left_the_member = 0
        self.crash()

    @rule()
    def crash(self) -> None:
        """Whatever the process knew is gone; the run is planned again, as after every restart."""
        self.ledger = PrivacyLedger(self.folder / "ledger.db")
        self.ledger.plan(KEY, "run", [self.planned], Budget(5.0, DELTA))
        self.charge = ChargedReleases(self.ledger, KEY, "run", {"step": self.planned}, self.ahead)

    @rule(times=st.integers(1, 9))
    def release(self, times: int) -> None:
        for _ in range(times):
            before = self.charge.left("step")
            try:
                self.charge("step")
            except PrivacyError:
                assert before == 0
                return
            assert self.charge.left("step") == before - 1
            self.left_the_member += 1  # whether the sum is completed afterwards or not

    @invariant()
    def everything_that_left_was_paid_and_no_more_than_planned(self) -> None:
        paid = sum(
            event.count for event in self.ledger.spent_events(KEY) if isinstance(event, GaussianRelease)
        )
        assert self.left_the_member <= paid <= self.planned.count
        assert (
            paid - self.left_the_member
            == self.charge.left("step") - (self.planned.count - paid) + self.lost()
        )

    def lost(self) -> int:
        """Paid for and never released: what crashes have left of blocks."""
        return self.planned.count - self.left_the_member - self.charge.left("step")


def test_no_order_of_crashes_releases_what_was_not_paid(tmp_path: Path) -> None:
    ChargeMachine.folder = tmp_path
    run_state_machine_as_test(
        ChargeMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_a_kind_that_was_not_planned_is_not_released(tmp_path: Path) -> None:
    ledger = PrivacyLedger(tmp_path / "ledger.db")
    ledger.plan(KEY, "run", [GaussianRelease(10.0)], Budget(5.0, DELTA))
    charge = ChargedReleases(ledger, KEY, "run", {"rows": GaussianRelease(10.0)})
    charge("rows")
    for kind in ("rows", "labels"):
        with pytest.raises(PrivacyError):
            charge(kind)
