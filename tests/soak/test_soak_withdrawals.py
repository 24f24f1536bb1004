"""A thousand withdrawals at random moments, three replicas under full load: how late a score can come."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.scoring.conftest import Keys, make_agreement, make_site
from tests.scoring.replica_drill import BYSTANDER, Drill, grant, running

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

TRIALS = 1000
BOUND_S = {1: 0.1, 3: 1.0}
"""By the number of replicas: what each is set to keep to."""
STREAMS = {1: 16, 3: 8}


@pytest.mark.parametrize("count", [1, 3])
def test_no_score_comes_later_than_the_bound(tmp_path: Path, count: int) -> None:
    site = make_site(tmp_path, scoring=_terms())
    subjects = [f"leaver-{number}" for number in range(TRIALS)]
    grant(site, [*subjects, BYSTANDER])
    with running(site, ["north", "south", "west"][:count], withdrawal_bound_s=BOUND_S[count]) as replicas:
        drill = Drill(site, replicas, streams=STREAMS[count])
        asyncio.run(drill.run(subjects))
    report = drill.report() | {"load": os.getloadavg()[0], "bound_ms": BOUND_S[count] * 1000}
    late = [late for trial in drill.trials for late in trial.late_s().values() if late > BOUND_S[count]]
    report["scores_after_the_bound"] = len(late)
    _keep(report, count)
    assert drill.errors == []
    assert late == []
    assert site.entries()  # every byte of the log, and every replica's numbers


def _terms() -> dict[str, Any]:
    terms: dict[str, Any] = make_agreement(Keys()).scoring.model_dump(mode="json")
    (caller,) = terms["callers"]
    return terms | {"callers": [caller | {"daily_quota": 1_000_000}]}


def _keep(report: dict[str, Any], count: int) -> None:
    """Prints the figures, and writes them where the environment says (``HANSE_SOAK_REPORTS``)."""
    text = json.dumps(report, indent=2)
    print(text)  # noqa: T201 - the figures are what it is run for
    folder = os.environ.get("HANSE_SOAK_REPORTS")
    if folder:
        Path(folder, f"withdrawals-{count}.json").write_text(text)
