"""Vertical runs between processes: as ``hanse demo --vertical`` starts them, and with one that is killed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.conftest import utc_now
from tests.federation.conftest import Running, failed
from tests.federation.kill_drill import Drill, Ended
from tests.soak.test_soak_vertical import check

from hanse.audit import EventType
from hanse.audit.completeness import check_shared
from hanse.client.remote import RunEvent
from hanse.client.vertical.fetching import fetch_vertical
from hanse.crypto import VerifierKey
from hanse.demo.federation import CALLER, COORDINATOR, Federation
from hanse.demo.orchestrate import PURPOSE, SCORING_PURPOSE
from hanse.demo.processes import Processes
from hanse.demo.vertical.orchestrate import VerticalOptions, run_vertical
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import car_story
from hanse.learning.vertical.recipe import VerticalModel
from hanse.learning.vertical.runs.manifest import PART_FILE, open_part
from hanse.policies import Identity, SignedAgreement, open_agreement

pytestmark = [pytest.mark.federation, pytest.mark.slow, pytest.mark.timeout(400)]

PHASES_OF_A_RUN = 3
PATIENCE_S = 20
"""Of the agreements: how long a run waits for whoever is gone."""


@pytest.mark.parametrize("model", ["trees", "scorecard"])
def test_members_learn_together_and_the_logs_tell_one_story(tmp_path: Path, model: VerticalModel) -> None:
    options = VerticalOptions(None, 2, 2000, 8, tmp_path / "demo", tmp_path / "result.json", model)
    result = run_vertical(options, Console(quiet=True))
    manifest = result.model.manifest
    assert manifest.aligned == result.rivals.people > 0
    assert set(manifest.parts) == {"brand", "insurer"}
    assert result.model.part is not None
    assert result.findings == ()
    told = json.loads((tmp_path / "result.json").read_text())
    # The same model as in one place, up to bins that were merged to hide few people, and whole points.
    assert abs(told["auc"]["joint"] - told["auc"]["pooled"]) < 0.1
    assert [one["party"] for one in told["leakage"]] == ["insurer"]
    assert all(one["sent"][0] + one["sent"][1] > 0 for one in told["conversations"])


KINDS: dict[VerticalModel, str] = {"late_fusion": "insurer", "split_network": "brand"}
"""Who is killed in the training of which kind."""


@contextmanager
def started(folder: Path) -> Iterator[dict[VerticalModel, Running]]:
    """Coordinator, brand and insurer, a process each, and an agreement of theirs about each kind of model."""
    story = car_story(3000, 2, np.random.default_rng(5))
    folder.mkdir()
    federation = Federation(folder, [site_of(story, holder) for holder in story.holders], utc_now())
    federation.make_keys()
    federation.write_data(PURPOSE, SCORING_PURPOSE, np.random.default_rng(7))
    signed: dict[VerticalModel, SignedAgreement] = {}
    for model in KINDS:
        draft = vertical_draft(story, None, CALLER, model)
        assert draft.vertical is not None
        training = draft.training.model_copy(update={"round_timeout_s": PATIENCE_S})
        # Of few people, a flipped label may by chance look like more than it is.
        vertical = draft.vertical.model_copy(
            update={"maximum_leakage": 0.95} if model == "late_fusion" else {}
        )
        named = replace(draft, identifier=model.replace("_", "-"), training=training, vertical=vertical)
        signed[model] = open_agreement(federation.agree(named)[1])
    with Processes(folder.parent / "output") as processes:
        federation.start(processes)
        yield {kind: Running(federation, one.agreement, one, processes) for kind, one in signed.items()}


def test_whoever_is_killed_the_run_of_each_kind_ends_by_name_and_the_next_one_gives_a_model(
    tmp_path: Path,
) -> None:
    with started(tmp_path / "federation") as kinds:
        for model, running in kinds.items():
            drill, victim = Drill(running), KINDS[model]

            def kill(event: RunEvent, victim: str = victim, running: Running = running) -> None:
                if event.type == "run.prepared":
                    running.processes.kill(victim)

            events = running.run(kill)
            assert failed(events) == "run.insufficient-members"
            left = [event.facts["member"] for event in events if event.type == "member.left"]
            assert left == [victim]
            check(running, drill, Ended((), "run.insufficient-members", 0, 0.0, None, events))
            running.federation.start_node(running.processes, drill.sites[victim])
            running.processes.wait_until_ready(victim)
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
