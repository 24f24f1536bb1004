"""A thousand withdrawals under full load, with one replica and with three: how late a score can come."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.scoring.many_callers import caller_names, site_with_callers
from tests.scoring.replica_drill import BYSTANDER, Drill, grant, running

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

TRIALS = int(os.environ.get("HANSE_SOAK_TRIALS", "1000"))
CALLERS = 8
BOUND_S = {1: 0.1, 3: 1.0}
"""By the number of replicas: what each is set to keep to."""
STREAMS = {1: 16, 3: 8}


@pytest.mark.parametrize("count", [1, 3])
def test_no_score_comes_later_than_the_bound(tmp_path: Path, count: int) -> None:
    site = site_with_callers(tmp_path, CALLERS)
    subjects = [f"leaver-{number}" for number in range(TRIALS)]
    grant(site, [*subjects, BYSTANDER])
    with running(site, ["north", "south", "west"][:count], withdrawal_bound_s=BOUND_S[count]) as replicas:
        drill = Drill(site, replicas, STREAMS[count], caller_names(CALLERS))
        asyncio.run(drill.run(subjects))
    report = drill.report(BOUND_S[count]) | {"load": os.getloadavg()[0]}
    _keep(report, count)
    assert drill.errors == []
    assert report["scores_to_calls_asked_after_the_commit"] == 0
    assert report["scores_that_left_after_the_bound"] == 0
    assert site.entries()  # every byte of the log, and every replica's numbers


def _keep(report: dict[str, Any], count: int) -> None:
    """Prints the figures, and writes them where the environment says (``HANSE_SOAK_REPORTS``)."""
    text = json.dumps(report, indent=2)
    print(text)  # noqa: T201 - the figures are what it is run for
    folder = os.environ.get("HANSE_SOAK_REPORTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, f"withdrawals-{count}.json").write_text(text)
