"""Processes that are killed in the middle of a run: it goes on, costs the same, and all verifies.

With the drills that repeat: ``tests/server/test_server_resuming.py`` has what happens to each part of it.
"""

from collections.abc import Callable
from typing import Any

import pytest
from tests.federation.kill_drill import Drill, Kill

from hanse.demo.federation import COORDINATOR

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


def test_a_run_with_a_budget_survives_its_coordinator_and_then_a_node(start: Callable[..., Any]) -> None:
    running = start(members=2, rounds=4, round_timeout_s=60)
    drill = Drill(running)
    node = running.federation.sites[1].data.name
    ended = drill.run(Kill(COORDINATOR, "round.aggregated", 1, 0.3), Kill(node, "round.aggregated", 2, 0.2))
    assert (ended.how, ended.resumed) == ("finished", 1), ended
    drill.check(ended)
