"""Vertical runs of real processes: each is killed in each phase, and connections are gone for a while."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.exchange.exchange_tools import Proxy
from tests.federation.conftest import Running
from tests.federation.kill_drill import Drill, Ended, Kill, chance
from tests.federation.vertical_sites import agreed_on_trees
from typer.testing import CliRunner

from hanse.cli.main import app
from hanse.client.vertical.parts import EVALUATED
from hanse.demo.federation import COORDINATOR
from hanse.demo.processes import Processes
from hanse.learning.vertical.runs.manifest import PART_FILE
from hanse.policies import open_agreement

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

MEMBERS = ("brand", "insurer")
PHASES = {"align": ("run.started", 0), "train": ("run.prepared", 0), "evaluate": ("round.aggregated", 1)}
"""After which event each begins."""

PEOPLE, TREES, PATIENCE_S = 20_000, 20, 120
CUT_S = 30.0
PHASE_S = 2.0
"""Not more than a phase takes."""


@pytest.fixture(scope="module")
def lines() -> Iterator[dict[str, list[Proxy]]]:
    """By member, the ways on which its node reaches the coordinator."""
    with ExitStack() as stack:
        made: dict[str, list[Proxy]] = {}
        yield made
        for proxies in made.values():
            for proxy in proxies:
                stack.callback(proxy.close)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, lines: dict[str, list[Proxy]]) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("vertical") / "federation"
    federation, agreement, note = agreed_on_trees(folder, PEOPLE, TREES, PATIENCE_S)
    for site in federation.sites:
        ports = federation.ports
        lines[site.data.name] = [Proxy(ports.fleet), Proxy(ports.people)]
        text = site.home.settings.read_text()
        for own, proxy in zip((ports.fleet, ports.people), lines[site.data.name], strict=True):
            text = text.replace(f"127.0.0.1:{own}", f"127.0.0.1:{proxy.port}")
        site.home.settings.write_text(text)
    with Processes(folder.parent / "output") as processes:
        federation.start(processes)
        yield Running(federation, agreement, open_agreement(note), processes)


def another_day(running: Running) -> None:
    """Starts the nodes without what they remember of earlier alignments, of which a day may have ten."""
    for site in running.federation.sites:
        running.processes.kill(site.data.name)
        for file in site.home.alignments.parent.glob(f"{site.home.alignments.name}*"):
            file.unlink()
        running.federation.start_node(running.processes, site)
    for site in running.federation.sites:
        running.processes.wait_until_ready(site.data.name)


def check(running: Running, drill: Drill, ended: Ended, *, after: bool = False) -> None:
    """The logs agree, and nothing is half-written; what a killed node has left is gone after the next run."""
    drill.check(ended)
    folder = running.federation.folder
    models = {path.name for path in (folder / COORDINATOR / "models").glob("*")}
    # A coordinator that is killed between the two entries has registered a model that the run does not name.
    registered = any(event.type == "model.registered" for event in ended.events)
    assert registered if ended.how == "finished" else not registered or ended.how == "run.interrupted"
    for name in MEMBERS:
        words = ["audit", "verify", "--home", str(folder / name)]
        words += ["--shared", str(folder / COORDINATOR / "state" / "audit.db"), "--json"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.stdout
        for part in (folder / name / "parts").glob("*"):
            files = sorted(path.name for path in part.iterdir())
            spare = part.name in models or files == ["alone"] or {PART_FILE, EVALUATED} <= set(files)
            assert spare or not after, (ended, part.name, files)
            assert part.name not in models or {PART_FILE, "registered.json"} <= set(files), files
            assert "unfinished" not in files or not (after or part.name in models), files
        assert not after or not list((folder / name / "parts").rglob(".*"))


def tell(what: str, ended: Ended) -> None:
    """One line for each run, to the file that HANSE_DRILL names."""
    file = os.environ.get("HANSE_DRILL")
    if file:
        left = {e.facts["member"]: e.facts["code"] for e in ended.events if e.type == "member.left"}
        line = {"what": what, "ended": ended.how, "took_s": round(ended.took_s, 1), "left": left}
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


def cut_off(ways: list[Proxy]) -> None:
    """Nothing gets through, for as long as the drill says."""
    for way in ways:
        way.down = True
        way.cut()
    time.sleep(CUT_S)
    for way in ways:
        way.down = False


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", [*MEMBERS, COORDINATOR])
def test_whoever_is_killed_the_run_goes_on_or_ends_by_name_and_the_next_one_works(
    running: Running, victim: str, phase: str
) -> None:
    another_day(running)
    drill = Drill(running)
    ended = drill.run(Kill(victim, *PHASES[phase], chance(PHASE_S)))
    tell(f"{victim} killed in {phase}", ended)
    check(running, drill, ended)
    if ended.resumed:  # the alignment is not gone on with
        assert phase != "align" or any(event.type == "run.prepared" for event in ended.events), ended
    again = drill.run()
    tell("the next", again)
    assert again.how == "finished", again
    check(running, drill, again, after=True)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("who", MEMBERS)
def test_a_connection_that_is_gone_for_half_a_minute(
    running: Running, lines: dict[str, list[Proxy]], who: str, phase: str
) -> None:
    another_day(running)
    drill, cuts = Drill(running), list[threading.Thread]()
    events = []
    began_s = time.monotonic()
    # Who watches has another way to the coordinator than the node.
    with running.client() as client:
        for event in client.start(client.submit(running.signed.note)):
            events.append(event)
            if (event.type, event.round) == PHASES[phase] and not cuts:
                cuts.append(threading.Thread(target=cut_off, args=(lines[who],)))
                cuts[0].start()
    cuts[0].join()
    how = "finished" if events[-1].type == "run.finished" else str(events[-1].facts["code"])
    auc = events[-1].facts.get("auc")
    ended = Ended((), how, 0, time.monotonic() - began_s, auc, events)
    tell(f"{who} cut off in {phase}", ended)
    check(running, drill, ended)
    again = drill.run()
    tell("the next", again)
    assert again.how == "finished", again
    check(running, drill, again, after=True)
