"""The ledger keeps its grant under any order of steps, restarts, other processes and tampering."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from hanse.errors import PrivacyError
from hanse.privacy import (
    Budget,
    GaussianRelease,
    LedgerHead,
    LedgerKey,
    PrivacyEvent,
    PrivacyLedger,
    SampledGaussian,
    epsilon,
)

DELTA = 1e-5
KEY = LedgerKey("customers:training", "joint_modelling")
GRANT = Budget(3.0, DELTA)
STEP = GaussianRelease(10.0)  # six of them cost 1.0, fifty 3.1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "privacy.db"


def raw(path: Path, *statements: str) -> None:
    """What somebody with write access to the file can do."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("DROP TRIGGER entries_keep", "DROP TRIGGER entries_stay", *statements):
            connection.execute(statement)
        connection.commit()


def filled(path: Path) -> PrivacyLedger:
    ledger = PrivacyLedger(path)
    ledger.plan(KEY, "run-1", [GaussianRelease(10.0, 4)], GRANT)
    ledger.spend(KEY, "run-1", [STEP])
    ledger.spend(KEY, "run-1", [STEP])
    return ledger


def test_a_plan_reserves_and_a_spend_counts(path: Path) -> None:
    ledger = PrivacyLedger(path)
    planned: list[PrivacyEvent] = [GaussianRelease(10.0, 4), SampledGaussian(2.0, 0.1, 20)]
    assert ledger.plan(KEY, "run-1", planned, GRANT) == epsilon(planned, DELTA)
    assert ledger.spent(KEY, DELTA) == 0
    ledger.spend(KEY, "run-1", [STEP, SampledGaussian(2.0, 0.1, 10)])
    ledger.spend(KEY, "run-1", [STEP])
    assert ledger.spent_events(KEY) == (GaussianRelease(10.0, 2), SampledGaussian(2.0, 0.1, 10))
    assert ledger.spent(KEY, DELTA) == epsilon(ledger.spent_events(KEY), DELTA)


def test_spending_survives_a_new_process_and_is_never_reset(path: Path) -> None:
    before = filled(path).spent(KEY, DELTA)
    again = PrivacyLedger(path)
    assert again.spent(KEY, DELTA) == before > 0
    again.close_run(KEY, "run-1")
    assert PrivacyLedger(path).spent(KEY, DELTA) == before
    with pytest.raises(PrivacyError) as caught:
        again.plan(KEY, "run-1", [GaussianRelease(10.0, 4)], GRANT)
    assert caught.value.code == "privacy.run-state"


def test_a_run_that_does_not_fit_is_refused_and_leaves_nothing(path: Path) -> None:
    ledger = filled(path)
    head = ledger.head()
    with pytest.raises(PrivacyError) as caught:
        ledger.plan(KEY, "run-2", [GaussianRelease(10.0, 60)], GRANT)
    assert (caught.value.code, caught.value.rule) == ("privacy.exhausted", "P18")
    assert ledger.head() == head


def test_what_was_reserved_and_not_spent_is_free_after_the_run_and_not_before(path: Path) -> None:
    ledger = PrivacyLedger(path)
    ledger.plan(KEY, "run-1", [GaussianRelease(10.0, 40)], GRANT)
    ledger.spend(KEY, "run-1", [STEP])
    with pytest.raises(PrivacyError):
        ledger.plan(KEY, "run-2", [GaussianRelease(10.0, 40)], GRANT)
    ledger.close_run(KEY, "run-1")
    ledger.close_run(KEY, "run-1")
    ledger.plan(KEY, "run-2", [GaussianRelease(10.0, 40)], GRANT)


def test_what_was_not_reserved_cannot_be_spent(path: Path) -> None:
    ledger = filled(path)
    for events in ([GaussianRelease(10.0, 3)], [GaussianRelease(9.0)], [SampledGaussian(10.0, 1.0, 1)]):
        with pytest.raises(PrivacyError) as caught:
            ledger.spend(KEY, "run-1", events)
        assert caught.value.code == "privacy.exhausted"
    assert ledger.spent_events(KEY) == (GaussianRelease(10.0, 2),)


def test_a_run_that_was_not_planned_or_has_ended_cannot_spend(path: Path) -> None:
    ledger = filled(path)
    ledger.close_run(KEY, "run-1")
    for run in ("run-1", "run-2"):
        with pytest.raises(PrivacyError) as caught:
            ledger.spend(KEY, run, [STEP])
        assert caught.value.code == "privacy.run-state"
    with pytest.raises(PrivacyError):
        ledger.close_run(KEY, "run-2")


def test_planning_again_after_a_restart_changes_nothing_but_another_plan_is_refused(path: Path) -> None:
    ledger = filled(path)
    head = ledger.head()
    total = PrivacyLedger(path).plan(KEY, "run-1", [GaussianRelease(10.0, 4)], GRANT)
    assert total == epsilon([GaussianRelease(10.0, 4)], DELTA)
    assert ledger.head() == head
    with pytest.raises(PrivacyError):
        ledger.plan(KEY, "run-1", [GaussianRelease(10.0, 5)], GRANT)
    with pytest.raises(PrivacyError):
        ledger.plan(KEY, "run-1", [GaussianRelease(10.0, 4)], Budget(2.0, DELTA))


def test_runs_that_a_dead_process_left_open_are_ended_but_their_spending_stays(path: Path) -> None:
    filled(path).plan(LedgerKey("other", "scoring"), "run-2", [STEP], GRANT)
    ledger = PrivacyLedger(path)
    spent = ledger.spent(KEY, DELTA)
    assert ledger.close_abandoned(keep=["run-2"]) == ("run-1",)
    assert ledger.close_abandoned() == ("run-2",)
    assert ledger.close_abandoned() == ()
    assert ledger.spent(KEY, DELTA) == spent
    ledger.plan(KEY, "run-3", [GaussianRelease(10.0, 40)], GRANT)


def test_populations_and_purposes_do_not_mix(path: Path) -> None:
    ledger = filled(path)
    for other in (LedgerKey("customers:holdout", KEY.purpose), LedgerKey(KEY.population, "scoring")):
        assert ledger.spent(other, DELTA) == 0
        ledger.plan(other, "run-1", [GaussianRelease(10.0, 40)], GRANT)


def test_figures_of_one_run(path: Path) -> None:
    ledger = filled(path)
    ledger.plan(KEY, "run-2", [GaussianRelease(20.0)], GRANT)
    ledger.spend(KEY, "run-2", [GaussianRelease(20.0)])
    assert ledger.spent_events(KEY, "run-2") == (GaussianRelease(20.0),)
    assert ledger.spent_events(KEY, "run-1") == (GaussianRelease(10.0, 2),)


def test_two_objects_on_one_file_see_each_other(path: Path) -> None:
    one, two = filled(path), PrivacyLedger(path)
    two.spend(KEY, "run-1", [STEP])
    one.spend(KEY, "run-1", [STEP])
    with pytest.raises(PrivacyError):
        two.spend(KEY, "run-1", [STEP])
    assert one.head() == two.head()


def test_threads_never_spend_more_than_was_reserved(path: Path) -> None:
    ledger = PrivacyLedger(path)
    ledger.plan(KEY, "run", [GaussianRelease(10.0, 5)], GRANT)
    accepted: list[int] = []

    def spend(own: PrivacyLedger) -> None:
        for _ in range(4):
            try:
                own.spend(KEY, "run", [STEP])
            except PrivacyError:
                continue
            accepted.append(1)

    threads = [threading.Thread(target=spend, args=(own,)) for own in (ledger, ledger, PrivacyLedger(path))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == 5
    assert ledger.spent_events(KEY) == (GaussianRelease(10.0, 5),)


def test_the_table_refuses_change_and_deletion(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("UPDATE entries SET body = '{}'", "DELETE FROM entries"):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = replace(body, '10.0', '90.0') WHERE seq = 2",
        "UPDATE entries SET digest = replace(digest, 'a', 'b')",
        "DELETE FROM entries WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 1",
        "INSERT INTO entries VALUES (9, '{}', 'x')",
    ],
)
def test_a_changed_row_is_found_on_opening(path: Path, statement: str) -> None:
    filled(path)
    raw(path, statement)
    with pytest.raises(PrivacyError) as caught:
        PrivacyLedger(path)
    assert caught.value.code == "privacy.ledger"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"not json",
        b'{"kind":"close","population":"p","purpose":"q","run":"r"}',
        b'{"events":[{"kind":"gdp"}],"kind":"spend","population":"p","purpose":"q","run":"r"}',
    ],
)
def test_a_well_chained_row_of_no_known_kind_is_refused(path: Path, body: bytes) -> None:
    from hanse.privacy.ledger import _chain

    PrivacyLedger(path)
    digest = _chain("0" * 64, body)
    raw(path, f"INSERT INTO entries VALUES (1, '{body.decode()}', '{digest}')")  # noqa: S608
    with pytest.raises(PrivacyError) as caught:
        PrivacyLedger(path)
    assert caught.value.code == "privacy.ledger"


def test_a_ledger_that_lost_rows_is_found_by_its_head_or_while_in_use(path: Path) -> None:
    ledger = filled(path)
    head = ledger.head()
    ledger.spend(KEY, "run-1", [STEP])
    ledger.check_contains(head)
    ledger.check_contains(LedgerHead(0, "0" * 64))
    raw(path, "DELETE FROM entries WHERE seq > 2")
    with pytest.raises(PrivacyError):
        ledger.spent(KEY, DELTA)
    fresh = PrivacyLedger(path)
    with pytest.raises(PrivacyError) as caught:
        fresh.check_contains(head)
    assert caught.value.code == "privacy.ledger"


def test_another_ledger_in_its_place_is_found(path: Path, tmp_path: Path) -> None:
    head = filled(path).head()
    other = PrivacyLedger(tmp_path / "other.db")
    other.plan(KEY, "run-1", [GaussianRelease(10.0, 9)], GRANT)
    other.spend(KEY, "run-1", [STEP])
    other.spend(KEY, "run-1", [STEP])
    with pytest.raises(PrivacyError):
        other.check_contains(head)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(PrivacyError) as caught:
        PrivacyLedger(path)
    assert caught.value.code == "privacy.ledger"
    with pytest.raises(PrivacyError):
        PrivacyLedger(path / "below" / "a file")


class LedgerMachine(RuleBasedStateMachine):
    """Plans, spends and ends in any order, by two processes that restart; a model knows what was told."""

    path: Path

    @initialize()
    def start(self) -> None:
        for file in self.path.parent.glob(f"{self.path.name}*"):
            file.unlink()
        self.ledger = PrivacyLedger(self.path)
        self.other = PrivacyLedger(self.path)
        self.reserved: dict[str, int] = {}
        self.spent: dict[str, int] = {}
        self.closed: set[str] = set()

    runs = st.sampled_from(["a", "b", "c"])

    @rule(run=runs, count=st.integers(1, 40))
    def plan(self, run: str, count: int) -> None:
        try:
            self.ledger.plan(KEY, run, [GaussianRelease(10.0, count)], GRANT)
        except PrivacyError:
            return
        assert run not in self.closed
        assert self.reserved.setdefault(run, count) == count

    @rule(run=runs, count=st.integers(1, 20))
    def spend(self, run: str, count: int) -> None:
        allowed = run not in self.closed and self.spent.get(run, 0) + count <= self.reserved.get(run, 0)
        try:
            self.ledger.spend(KEY, run, [GaussianRelease(10.0, count)])
        except PrivacyError:
            assert not allowed
            return
        assert allowed
        self.spent[run] = self.spent.get(run, 0) + count

    @rule(run=runs)
    def close(self, run: str) -> None:
        if run in self.reserved:
            self.ledger.close_run(KEY, run)
            self.closed.add(run)

    @rule(keep=st.sets(runs))
    def abandon(self, keep: set[str]) -> None:
        """What a node does when a run begins: whatever an earlier process left is over."""
        ended = self.ledger.close_abandoned(keep)
        assert set(ended) == self.reserved.keys() - self.closed - keep
        self.closed.update(ended)

    @rule()
    def restart(self) -> None:
        head = self.ledger.head()
        self.ledger = PrivacyLedger(self.path)
        self.ledger.check_contains(head)

    @rule()
    def go_on_in_the_other_process(self) -> None:
        """One whose memory is of the last time that it was asked."""
        self.ledger, self.other = self.other, self.ledger

    @rule(run=runs, count=st.integers(1, 20))
    def retry(self, run: str, count: int) -> None:
        """A step whose answer is not known to have left is charged anew, by a process that knows nothing."""
        self.spend(run, count)
        self.restart()
        self.spend(run, count)

    @invariant()
    def spending_is_what_was_acknowledged_and_within_the_grant(self) -> None:
        total = sum(self.spent.values())
        expected: tuple[PrivacyEvent, ...] = (GaussianRelease(10.0, total),) if total else ()
        assert self.ledger.spent_events(KEY) == expected
        charged = total + sum(
            self.reserved[run] - self.spent.get(run, 0) for run in self.reserved if run not in self.closed
        )
        assert not charged or epsilon([GaussianRelease(10.0, charged)], DELTA) <= GRANT.epsilon


def test_no_order_of_steps_exceeds_the_grant(tmp_path: Path) -> None:
    LedgerMachine.path = tmp_path / "machine.db"
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
