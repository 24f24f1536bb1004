"""A process that is killed for good: the run ends with a named error, and everything opens and verifies."""

from collections.abc import Callable
from typing import Any

import pytest

from hanse.client.remote import RunEvent
from hanse.demo.federation import COORDINATOR
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
