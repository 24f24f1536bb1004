"""Whole vertical runs in one process that something goes wrong in, and what must be true of them afterwards.

Everything is real but Flower and the network between a member and the exchange: homes, logs, nodes, the
coordinator with its gRPC service, witnesses, the exchange, sealed channels.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from tests.conftest import LocalFederation, open_federation, utc_now
from tests.exchange.exchange_tools import MemoryDialler
from tests.federation.kill_drill import TRAINING
from tests.server.test_server_service import Served, serving
from tests.vertical.killed_nodes import Transport
from typer.testing import CliRunner
from typing_extensions import override

from hanse.alignment.history import AlignmentHistory
from hanse.cli.main import app
from hanse.client.exchange import ExchangeChannel
from hanse.client.progress import failure
from hanse.demo.federation import CALLER, Federation
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import car_story
from hanse.errors import CATALOGUE, HanseError, TrainingError
from hanse.learning.vertical.recipe import VerticalModel
from hanse.learning.vertical.runs.resuming import GONE
from hanse.policies import ConsentLedger
from hanse.privacy import PrivacyLedger

MEMBERS = ("brand", "insurer")
PURPOSES = ("joint_modelling.propensity", "scoring.marketing")
PHASES = {"align": "phase-0-1", "train": "phase-0-2", "evaluate": "phase-0-3"}
"""The exchange's name of each phase."""

WHERE = {"align": "in the preparation", "train": "in the training", "evaluate": "in the evaluation"}
"""What whoever started a run reads of the phase that it ended in."""

PATIENCE_S = 20
"""Of the agreement: how long anybody waits for anybody."""


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        run: Its name.
        code: Code of its error; empty if it finished.
        left: Code with which each member left that did.
        told: What whoever started the run gets to read.
    """

    run: str
    code: str
    left: dict[str, str]
    told: str
    facts: dict[str, Any] = field(default_factory=dict)


def build(
    folder: Path,
    people: int = 800,
    trees: int | None = 2,
    model: VerticalModel = "trees",
    changed: Mapping[str, Any] = MappingProxyType({}),
    **alignment: Any,
) -> tuple[Federation, bytes]:
    """Sites of brand and insurer, and the agreement that they signed.

    Args:
        folder: For all of it.
        people: In the story.
        trees: Of a model of trees.
        model: Its kind.
        changed: Other terms of the agreement's vertical part.
        alignment: Other terms of the alignment.
    """
    story = car_story(people, 2, np.random.default_rng(5))
    federation = Federation(folder, [site_of(story, holder) for holder in story.holders], utc_now())
    federation.make_keys()
    federation.write_data(*PURPOSES, np.random.default_rng(7))
    made = vertical_draft(story, trees if model == "trees" else None, CALLER, model)
    assert made.vertical is not None
    rules = made.vertical.alignment.model_copy(update={"minimum": 100, "runs": 1000} | alignment)
    draft = replace(
        made,
        minimum_rows=100,
        training=made.training.model_copy(update={"round_timeout_s": PATIENCE_S}),
        vertical=made.vertical.model_copy(update={"alignment": rules, **changed}),
    )
    return federation, federation.agree(draft)[1]


@contextmanager
def faulty(federation: Federation, note: bytes) -> "Iterator[Faulty]":
    """The sites' nodes and coordinator, working."""
    local = open_federation(federation, note)
    with local.hub, serving(local) as served:
        served.engine.transport = Transport(local.nodes)
        yield Faulty(local, served)


@dataclass
class Faulty:
    """See the module docstring."""

    local: LocalFederation
    served: Served
    runs: int = 0

    def run(self) -> Ended:
        """One run to its end."""
        self._begin()
        with self.served.client() as client:
            events = list(client.start(client.submit(self.local.signed.note)))
        last = events[-1]
        left = {str(e.facts["member"]): str(e.facts["code"]) for e in events if e.type == "member.left"}
        ended = last.type == "run.finished"
        code = "" if ended else str(last.facts["code"])
        told = "" if ended else str(failure(events))
        return Ended(last.run, code, left, told, last.facts)

    def command(self) -> Ended:
        """One run to its end, by ``hanse run`` at the brand."""
        self._begin()
        note = next(self.local.federation.folder.glob("*.agreement"))
        words = ["run", str(note), "--home", str(self.site("brand"))]
        environment = {"HANSE_NODE_COORDINATOR_ADDRESS": self.served.address}
        result = CliRunner().invoke(app, words, env=environment)
        assert isinstance(result.exception, HanseError), (result.output, result.exception)
        return Ended("", result.exception.code, {}, str(result.exception))

    def _begin(self) -> None:
        self.runs += 1
        for site in self.local.federation.sites:
            # Each is of another day: how many alignments a day there may be is not what is tested.
            place = site.home.alignments.with_name(f"alignments-{self.runs}.db")
            tools = self.local.nodes[site.data.name]._tools
            object.__setattr__(tools, "alignments", AlignmentHistory(place, bytes(32)))

    def site(self, name: str) -> Path:
        return self.local.federation.folder / name

    def node(self, name: str) -> Any:
        return self.local.nodes[name]

    def check(self, ended: Ended, phase: str = "", killed: str = "") -> None:
        """What must be true of every run, however it ended.

        Args:
            ended: The run.
            phase: In which it must have ended, and whoever started it must have read so; empty for any.
            killed: Member whose process was; what it has left is deleted when the next run begins.
        """
        codes = {ended.code, *ended.left.values()} - {""}
        assert codes <= set(CATALOGUE), ended
        assert "internal.error" not in codes, ended
        assert all(f"{name} left: " in ended.told for name in ended.left), ended
        assert not phase or f" {WHERE[phase]}: " in ended.told, ended
        self._check_kept(ended, killed)
        self._check_logs()
        self._check_ledgers()

    def check_next(self) -> None:
        """The same nodes and coordinator give a model; nothing that was left before is there any more."""
        ended = self.run()
        assert ended.code == "", ended
        self.check(ended)

    def _check_kept(self, ended: Ended, killed: str) -> None:
        """Nothing is half-written: a part only with a registered manifest, no model but of a finished run."""
        folder = self.local.federation.folder
        assert not [path for path in folder.rglob(".*") if path.is_file()]
        models = {path.name for path in (self.site("hub") / "models").glob("*")}
        for name in MEMBERS:
            parts = self.site(name) / "parts"
            found = {path.name: sorted(one.name for one in path.iterdir()) for path in parts.glob("*")}
            for part, files in found.items():
                # Who might have gone on, and was not told that nobody does, keeps it until the next run.
                gone = ended.left.get(name) in {*GONE, "exchange.timeout"}
                left = part == ended.run and (gone or name == killed)
                assert part in models or left or set(files) <= {"alone"}, found
                assert part not in models or {"part.note", "registered.json"} <= set(files), found
        if ended.code:
            assert str(ended.facts.get("model")) not in models
        else:
            assert ended.facts["model"] in models

    def _check_ledgers(self) -> None:
        """Consents are whole, and no privacy budget was touched."""
        for site in self.local.federation.sites:
            with ConsentLedger(site.home.consent) as ledger:
                ledger.verify()
            assert not PrivacyLedger(site.home.privacy).spent_events(TRAINING)

    def _check_logs(self) -> None:
        """``hanse audit verify`` of each log, and of the members' against the shared one."""
        logs = {name: self.site(name) / "state" / "audit.db" for name in (*MEMBERS, "hub")}
        for name in MEMBERS:
            words = [
                "audit",
                "verify",
                "--home",
                str(self.site(name)),
                "--shared",
                str(logs["hub"]),
                "--json",
            ]
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, (result.stdout, result.exception)
            assert json.loads(result.stdout)


class DeadCall:
    """A connection that does not come about."""

    def __iter__(self) -> Iterator[Any]:
        raise TrainingError("run.engine", "there is no way to the coordinator")

    def cancel(self) -> None:
        """There is nothing to break off."""


@dataclass
class Cable(MemoryDialler):
    """A way to the coordinator that can be cut for some time."""

    until_s: float = 0.0

    @override
    def dial(self, requests: Iterator[Any]) -> Any:
        if time.monotonic() < self.until_s:
            return DeadCall()
        return super().dial(requests)

    def cut(self, seconds: float) -> None:
        self.until_s = time.monotonic() + seconds
        for call in self.calls:
            call.cancel()


def cut_in(run: Faulty, member: str, phase: str, number: int, seconds: float) -> list[str]:
    """Cuts a member's connection when it has sent so many messages to the other one in a phase.

    Returns:
        The phases in which it was cut, once it was.
    """
    cables: dict[str, Cable] = {}
    cut: list[str] = []

    def dial(run_name: str, name: str) -> ExchangeChannel:
        cables[name] = Cable(run.local.hub, member, lambda _: None)
        return ExchangeChannel(cables[name], run_name, name)

    run.node(member)._vertical._dial = dial
    opened: Any = run.local.hub.open

    def open_watched(*args: Any, **more: Any) -> Any:
        exchange: Any = opened(*args, **more)
        hand_on, count = exchange._hand_on, 0

        def watched(body: bytes, source: str, target: str) -> bool:
            nonlocal count
            handed = bool(hand_on(body, source, target))
            if source == member and exchange.phase == phase and handed:
                count += 1
                if count == number:
                    cables[phase].cut(seconds)
                    cut.append(phase)
            return handed

        exchange._hand_on = watched
        return exchange

    run.local.hub.open = open_watched  # type: ignore[method-assign]
    return cut
