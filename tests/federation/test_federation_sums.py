"""A run in secure sums over Flower, the exchange and mutual TLS, with the real processes."""

from collections.abc import Callable
from typing import Any

import pytest

from hanse.demo.data import load

pytestmark = [pytest.mark.federation, pytest.mark.timeout(240)]


def test_three_members_train_in_sums_alone(start: Callable[..., Any]) -> None:
    columns = [column for column in load().dictionary.columns if column.classification != "sensitive"]
    running = start(members=3, epsilon=None, rounds=1, columns=columns)
    events = running.run()
    assert events[-1].type == "run.finished", [(e.type, dict(e.facts)) for e in events][-4:]
    assert events[-1].facts["auc"] > 0.6
    assert "member.left" not in {event.type for event in events}
    for site in running.federation.sites:
        steps = [entry.type.value for entry in running.log(site.data.name)]
        assert steps.index("round.admitted") < steps.index("run.prepared") < steps.index("round.trained")
    running.logs_verify()
