"""Vertical runs between processes: as ``hanse demo --vertical`` starts them, and with one that is killed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from tests.federation.conftest import Running
from tests.federation.kill_drill import Drill, Kill
from tests.federation.vertical_sites import agreed_on
from tests.soak.test_soak_vertical import check

from hanse.audit import EventType
from hanse.audit.completeness import check_shared
from hanse.client.progress import failure
from hanse.client.vertical.fetching import fetch_vertical
from hanse.crypto import VerifierKey
from hanse.demo.federation import COORDINATOR
from hanse.demo.processes import Processes
from hanse.demo.vertical.orchestrate import VerticalOptions, run_vertical
from hanse.learning.vertical.recipe import VerticalModel
from hanse.learning.vertical.runs.manifest import PART_FILE, open_part
from hanse.policies import Identity

pytestmark = [pytest.mark.federation, pytest.mark.slow, pytest.mark.timeout(400)]

PHASES_OF_A_RUN = 3
PEOPLE = 6000
"""Some fifty of those held out then have the label; with a third of that, areas differ by .1 now and then."""
PATIENCE_S = 60
"""Of the agreements: how long a run waits for whoever is gone."""


@pytest.mark.parametrize("model", ["trees", "scorecard"])
def test_members_learn_together_and_the_logs_tell_one_story(tmp_path: Path, model: VerticalModel) -> None:
    options = VerticalOptions(None, 2, PEOPLE, 8, tmp_path / "demo", tmp_path / "result.json", model)
    result = run_vertical(options, Console(quiet=True))
    manifest = result.model.manifest
    assert manifest.aligned == result.rivals.people > 0
    assert set(manifest.parts) == {"brand", "insurer"}
    assert result.model.part is not None
    assert result.facts.findings == ()
    told = json.loads((tmp_path / "result.json").read_text())
    # The same model as in one place, up to bins that were merged to hide few people, and whole points.
    assert abs(told["auc"]["joint"] - told["auc"]["pooled"]) < 0.1
    assert [one["party"] for one in told["leakage"]] == ["insurer"]
    assert all(one["sent"][0] + one["sent"][1] > 0 for one in told["conversations"])
    people, withdrawn, alone, foreign = told["calls"]
    assert people["joint"] > 0
    assert people["own_columns"] > 0
    assert set(people["denied"]) == {"P26"}
    assert (withdrawn["people"], withdrawn["joint"], withdrawn["own_columns"]) == (1, 0, 0)
    assert alone["joint"] == 0
    assert alone["own_columns"] > people["own_columns"]
    assert (foreign["code"], foreign["joint"], foreign["own_columns"]) == ("policy.denied", 0, 0)


KINDS: dict[VerticalModel, str] = {
    "late_fusion": "insurer",
    "split_network": "brand",
    "scorecard": COORDINATOR,
}
"""Who is killed in the training of which kind."""


@contextmanager
def started(folder: Path) -> Iterator[dict[VerticalModel, Running]]:
    """Coordinator, brand and insurer, a process each, and an agreement of theirs about each kind of model."""
    federation, signed = agreed_on(folder, 3000, dict.fromkeys(KINDS), PATIENCE_S)
    with Processes(folder.parent / "output") as processes:
        federation.start(processes)
        yield {kind: Running(federation, one.agreement, one, processes) for kind, one in signed.items()}


def test_whoever_is_killed_the_run_of_each_kind_ends_by_name_and_the_next_one_gives_a_model(
    tmp_path: Path,
) -> None:
    with started(tmp_path / "federation") as kinds:
        for model, running in kinds.items():
            drill, victim = Drill(running), KINDS[model]
            ended = drill.run(Kill(victim, "run.prepared", 0, 0.0))
            left = [event.facts["member"] for event in ended.events if event.type == "member.left"]
            if victim == COORDINATOR:
                assert (ended.how, left) == ("run.interrupted", [])
            else:
                assert (ended.how, left) == ("run.insufficient-members", [victim])
            assert " ended in the training: " in str(failure(ended.events))
            check(running, drill, ended)
            ended = drill.run()
            assert ended.how == "finished", ended
            check(running, drill, ended, after=True)
            check_kept(running, str(ended.events[-1].facts["model"]), model)


def check_kept(running: Running, reference: str, model: VerticalModel) -> None:
    """Each has its signed part of the kind, all logs tell one story, and the label holder gets the model."""
    logs = {name: running.log(name) for name in (COORDINATOR, "brand", "insurer")}
    assert check_shared(logs[COORDINATOR]) == []
    for site in running.federation.sites:
        name = site.data.name
        key = VerifierKey.decode(Identity.load(site.home.identity).node_key)
        part = open_part((site.home.parts / reference / PART_FILE).read_bytes(), key)
        assert (part.model, part.member) == (model, name)
    brand = running.federation.sites[0]
    with running.client() as client:
        fetched = fetch_vertical(client, brand.home, reference, running.signed)
    assert fetched.part is not None
    assert set(fetched.manifest.parts) == {"brand", "insurer"}
    assert [report.party for report in fetched.manifest.leakage] == ["insurer"]
    heard = [
        {entry.conversation for entry in logs[name] if entry.type is EventType.PEER_HEARD}
        for name in ("brand", "insurer")
    ]
    assert len(heard[0] & heard[1]) >= PHASES_OF_A_RUN
