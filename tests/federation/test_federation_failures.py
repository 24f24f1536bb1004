"""Processes that are killed: the run ends with a named error, and everything opens and verifies again."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from hanse.client.remote import RunEvent
from hanse.demo.federation import COORDINATOR
from hanse.errors import HanseError
from hanse.policies import ConsentLedger
from hanse.privacy import LedgerKey, PrivacyLedger

pytestmark = [pytest.mark.federation, pytest.mark.timeout(240)]

PURPOSE = "joint_modelling.propensity"
TRAINING = LedgerKey("customers:training", PURPOSE)


def stores_open(running: Any) -> None:
    """Every store of every member opens, and its history verifies."""
    for site in running.federation.sites:
        with ConsentLedger(site.home.consent) as ledger:
            ledger.verify()
        PrivacyLedger(site.home.privacy)
    running.logs_verify()


def test_one_of_two_members_gone_leaves_no_aggregate(start: Callable[..., Any]) -> None:
    running = start(members=2, rounds=4, round_timeout_s=25)
    lost = running.federation.sites[1].data.name

    def kill_in_the_second_round(event: RunEvent) -> None:
        if event.type == "round.aggregated" and event.round == 1:
            running.processes.kill(lost)

    events = running.run(kill_in_the_second_round)

    assert events[-1].type == "run.failed"
    assert events[-1].facts["code"] == "run.insufficient-members"
    aggregated = [event for event in events if event.type == "round.aggregated"]
    # A second one only if the member's answer was on its way when it was killed; never one without it.
    assert all(len(event.facts["members"]) == 2 for event in aggregated)
    assert [e.type.value for e in running.log(COORDINATOR)].count("round.aggregated") == len(aggregated) < 4
    assert not list((running.federation.hub / "models").iterdir())
    stores_open(running)
    # What the survivor had spent stays spent; what it had only reserved is free again.
    survivor = running.federation.sites[0]
    ledger = PrivacyLedger(survivor.home.privacy)
    assert 0 < ledger.spent(TRAINING, 1e-5) < 3.0


def test_a_killed_node_comes_back_and_the_run_went_on_without_it(start: Callable[..., Any]) -> None:
    running = start(members=3, rounds=3, round_timeout_s=25)
    lost = running.federation.sites[2]

    def kill_it(event: RunEvent) -> None:
        if event.type == "round.aggregated" and event.round == 1:
            running.processes.kill(lost.data.name)

    events = running.run(kill_it)

    assert events[-1].type == "run.finished"
    assert [e for e in events if e.type == "member.left" and e.facts["member"] == lost.data.name]
    running.federation.start_node(running.processes, lost)
    running.processes.wait_until_ready(lost.data.name)
    stores_open(running)


def test_a_killed_coordinator_closes_its_run_by_name(start: Callable[..., Any]) -> None:
    running = start(members=2, rounds=6)
    begun = threading.Event()

    def follow() -> None:
        with pytest.raises(HanseError):
            running.run(lambda event: begun.set() if event.type == "round.aggregated" else None)

    follower = threading.Thread(target=follow)
    follower.start()
    assert begun.wait(120)
    running.processes.kill(COORDINATOR)
    follower.join(60)
    arguments = [
        "--fleet-port",
        str(running.federation.ports.fleet),
        "--port",
        str(running.federation.ports.people),
    ]
    running.processes.start(COORDINATOR, ["server", "--home", str(running.federation.hub), *arguments], {})
    running.processes.wait_until_ready(COORDINATOR)

    last = running.log(COORDINATOR)[-1]
    assert (last.type.value, last.reasons) == ("run.failed", ("run.interrupted",))
    # The nodes were not restarted: they find the coordinator again. What the lost run had spent stays spent,
    # what it had only reserved is free, and the new run makes do with the rest of the budget.
    events = running.run()
    assert events[-1].type == "run.finished"
    assert all(0 < epsilon <= 3.0 for epsilon in events[-1].facts["epsilon"].values())
    for site in running.federation.sites:
        ends = [e for e in running.log(site.data.name) if e.type.value == "run.failed"]
        assert [e.reasons for e in ends] == [("run.interrupted",)]
        spent = PrivacyLedger(site.home.privacy).spent_events(TRAINING)
        assert len({event.noise_multiplier for event in spent}) == 4  # counts and steps of two runs
    stores_open(running)
