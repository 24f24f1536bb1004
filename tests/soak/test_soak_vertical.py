"""Vertical runs of real processes: each is killed in each phase, and connections are gone for a while."""

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.exchange.exchange_tools import Proxy
from tests.federation.conftest import Running
from tests.federation.kill_drill import Drill, Ended, Kill, chance
from tests.federation.vertical_sites import agreed_on
from typer.testing import CliRunner

from hanse.cli.main import app
from hanse.client.progress import failure
from hanse.client.remote import RunEvent
from hanse.client.vertical.parts import EVALUATED
from hanse.demo.federation import COORDINATOR
from hanse.demo.processes import Processes
from hanse.learning.vertical.recipe import VerticalModel
from hanse.learning.vertical.runs.manifest import PART_FILE

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

PHASES = {"align": ("run.started", 0), "train": ("run.prepared", 0), "evaluate": ("round.aggregated", 1)}
"""After which event each begins."""

PEOPLE, PATIENCE_S = 20_000, 120
CUT_S = 30.0

PAIR: dict[VerticalModel, int | None] = {
    "trees": 20,
    "scorecard": None,
    "late_fusion": None,
    "split_network": None,
}
"""Kinds of models of brand and insurer, and trees or steps of each."""

THREE: dict[VerticalModel, int | None] = {"trees": 20}
"""Of brand, insurer and media house."""

GONE_ON_WITH = frozenset({"trees"})
"""Kinds of which a run goes on after an interruption in its training or evaluation."""


@dataclass
class Drilled:
    """A federation whose processes are killed, and whose connections are cut.

    Attributes:
        runnings: It, under the agreement about each kind.
        lines: By member, the ways on which its node reaches the coordinator.
        lasts_s: How long a phase of each kind takes that nobody interrupts.
    """

    runnings: dict[VerticalModel, Running]
    lines: dict[str, list[Proxy]]
    lasts_s: dict[tuple[VerticalModel, str], float] = field(default_factory=dict)

    def measure(self, kind: VerticalModel) -> None:
        """Runs a kind once, with the clock in hand."""
        if (kind, "align") in self.lasts_s:
            return
        seen: dict[str, float] = {}
        events = self.runnings[kind].run(lambda event: seen.update({event.type: time.monotonic()}))
        assert events[-1].type == "run.finished", events[-1]
        steps = [*(event for event, _ in PHASES.values()), "run.evaluated"]
        for phase, begins, ends in zip(PHASES, steps, steps[1:], strict=False):
            self.lasts_s[kind, phase] = seen[ends] - seen[begins]
        tell(f"{kind}: {self.name}, nobody is killed", events, lasts_s=self.took(kind))

    @property
    def name(self) -> str:
        """How many members there are."""
        return f"{len(self.lines)} members"

    def took(self, kind: VerticalModel) -> dict[str, float]:
        """Seconds of each phase, rounded."""
        return {phase: round(self.lasts_s[kind, phase], 2) for phase in PHASES}


@contextmanager
def drilled(folder: Path, kinds: Mapping[VerticalModel, int | None], members: int) -> Iterator[Drilled]:
    federation, signed = agreed_on(folder, PEOPLE, kinds, PATIENCE_S, members)
    with ExitStack() as stack:
        lines: dict[str, list[Proxy]] = {}
        for site in federation.sites:
            ports = federation.ports
            lines[site.data.name] = [Proxy(ports.fleet), Proxy(ports.people)]
            text = site.home.settings.read_text()
            for own, proxy in zip((ports.fleet, ports.people), lines[site.data.name], strict=True):
                text = text.replace(f"127.0.0.1:{own}", f"127.0.0.1:{proxy.port}")
                stack.callback(proxy.close)
            site.home.settings.write_text(text)
        processes = stack.enter_context(Processes(folder.parent / "output"))
        federation.start(processes)
        made: dict[VerticalModel, Running] = {
            kind: Running(federation, one.agreement, one, processes) for kind, one in signed.items()
        }
        yield Drilled(made, lines)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drilled]:
    with drilled(tmp_path_factory.mktemp("pair") / "federation", PAIR, 2) as made:
        yield made


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drilled]:
    with drilled(tmp_path_factory.mktemp("three") / "federation", THREE, 3) as made:
        yield made


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
    for name in drill.sites:
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


def tell(what: str, events: Sequence[RunEvent], **more: object) -> None:
    """One line for each run, to the file that HANSE_DRILL names."""
    file = os.environ.get("HANSE_DRILL")
    if file:
        told = "finished" if events[-1].type == "run.finished" else str(failure(events))
        resumed = [event.type for event in events].count("run.resumed")
        line = {"what": what, "ended": told.partition("run ")[2] or told, "resumed": resumed, **more}
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


def kill_in(site: Drilled, kind: VerticalModel, victim: str, phase: str) -> None:
    """Whoever is killed, the run goes on or ends by name, and the next one gives a model."""
    running = site.runnings[kind]
    another_day(running)
    site.measure(kind)
    drill = Drill(running)
    # In its first half: phases are shorter when the machine has less to do than when they were measured.
    ended = drill.run(Kill(victim, *PHASES[phase], chance(site.lasts_s[kind, phase] / 2)))
    tell(
        f"{kind}: {site.name}, {victim} killed in {phase}",
        ended.events,
        after_s=round(ended.kills[0].delay_s, 2),
        took_s=round(ended.took_s, 1),
    )
    check(running, drill, ended)
    if ended.resumed:  # the alignment is not gone on with
        assert kind in GONE_ON_WITH, ended
        assert any(event.type == "run.prepared" for event in ended.events), ended
    elif ended.how != "finished" and victim != COORDINATOR:
        left = {event.facts["member"] for event in ended.events if event.type == "member.left"}
        assert left == {victim}, ended
    check_next(site, kind, drill)


def check_next(site: Drilled, kind: VerticalModel, drill: Drill) -> None:
    again = drill.run()
    tell(f"{kind}: the next", again.events, took_s=round(again.took_s, 1))
    assert again.how == "finished", again
    check(site.runnings[kind], drill, again, after=True)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", ["brand", "insurer", COORDINATOR])
@pytest.mark.parametrize("kind", PAIR)
def test_whoever_of_two_is_killed(pair: Drilled, kind: VerticalModel, victim: str, phase: str) -> None:
    kill_in(pair, kind, victim, phase)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", ["brand", "insurer", "media", COORDINATOR])
def test_whoever_of_three_is_killed(three: Drilled, victim: str, phase: str) -> None:
    kill_in(three, "trees", victim, phase)


def cut_in(site: Drilled, kind: VerticalModel, who: str, phase: str) -> None:
    """A connection that is gone for half a minute is waited for, or the run ends by name."""
    running = site.runnings[kind]
    another_day(running)
    drill, cuts = Drill(running), list[threading.Thread]()
    began_s = time.monotonic()

    # Who watches has another way to the coordinator than the node.
    def hear(event: RunEvent) -> None:
        if (event.type, event.round) == PHASES[phase] and not cuts:
            cuts.append(threading.Thread(target=cut_off, args=(site.lines[who],)))
            cuts[0].start()

    events = running.run(hear)
    cuts[0].join()
    how = "finished" if events[-1].type == "run.finished" else str(events[-1].facts["code"])
    took_s = time.monotonic() - began_s
    tell(f"{kind}: {site.name}, {who} cut off in {phase}", events, took_s=round(took_s, 1))
    check(running, drill, Ended((), how, 0, took_s, events[-1].facts.get("auc"), events))
    check_next(site, kind, drill)


CUTS = [("trees", who, phase) for who in ("brand", "insurer") for phase in PHASES]
CUTS += [(kind, "insurer", phase) for kind in PAIR if kind != "trees" for phase in ("train", "evaluate")]


@pytest.mark.parametrize(("kind", "who", "phase"), CUTS)
def test_a_connection_of_one_of_two_that_is_gone_for_half_a_minute(
    pair: Drilled, kind: VerticalModel, who: str, phase: str
) -> None:
    cut_in(pair, kind, who, phase)


@pytest.mark.parametrize("phase", PHASES)
def test_a_connection_of_one_of_three_that_is_gone_for_half_a_minute(three: Drilled, phase: str) -> None:
    cut_in(three, "trees", "media", phase)
