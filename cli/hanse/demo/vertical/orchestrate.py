"""The vertical demo from its first step to its tables; every step is one that a deployment makes too."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hanse.audit import VerifiedLog
from hanse.audit.completeness import check_against, check_member, check_shared, roots_at, stated_sizes
from hanse.client.progress import RUN_FAILED, failure
from hanse.client.remote import CoordinatorClient, RunEvent
from hanse.client.vertical.fetching import FetchedVertical, fetch_vertical
from hanse.crypto import write_atomic
from hanse.demo.federation import CALLER, COORDINATOR, Federation
from hanse.demo.interruption import heed
from hanse.demo.orchestrate import PURPOSE, SCORING_PURPOSE, prepare_folder, verify_logs
from hanse.demo.processes import Processes
from hanse.demo.results import LogFacts
from hanse.demo.steps import Steps
from hanse.demo.vertical.facts import (
    Scored,
    VerticalFacts,
    assumption_of,
    attacks_of,
    learned_of,
    parties_of,
    quality_of,
    sent_of,
)
from hanse.demo.vertical.real import real_story
from hanse.demo.vertical.report import write_report
from hanse.demo.vertical.rivals import Rivals, compare_vertical
from hanse.demo.vertical.serving import score_together
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import Story, car_story
from hanse.demo.vertical.tables import (
    asked_table,
    attacks_table,
    learned_table,
    quality_table,
    sent_table,
)
from hanse.learning.vertical.recipe import VerticalModel
from hanse.policies import SignedAgreement, open_agreement

PHASES: Final = {
    "run.started": (0, "finding the people in common"),
    "run.prepared": (1, "training over everybody's columns"),
    "round.aggregated": (2, "scoring the held-out people together"),
    "run.evaluated": (3, "waiting for the witnesses"),
    "run.finished": (4, "done"),
}
"""What comes after an event, and how many of four steps are done then."""


@dataclass(frozen=True, slots=True)
class VerticalOptions:
    """What the demo is asked to do.

    Attributes:
        data: Folder of a data set whose ``spec.json`` says which party has which columns; None for the story.
        members: 2, or 3 with the media house; of a data set always 2.
        people: Customers of the brand in the story.
        trees: Of a model of trees.
        folder: Folder for sites, logs and results; made anew.
        json_path: Where to write the results as JSON as well; None for nowhere.
        model: Kind of the model.
    """

    data: Path | None
    members: int
    people: int
    trees: int
    folder: Path
    json_path: Path | None = None
    model: VerticalModel = "trees"


@dataclass(frozen=True, slots=True)
class VerticalResult:
    """What the demo found.

    Attributes:
        story: Who had what.
        agreement: What they signed.
        events: The run's events, with the second at which each arrived.
        model: The registered model.
        rivals: What it is held against.
        facts: What is shown of all this, and of what was done with the model.
    """

    story: Story
    signed: SignedAgreement
    events: tuple[tuple[float, RunEvent], ...]
    model: FetchedVertical
    rivals: Rivals
    facts: VerticalFacts

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        manifest = self.model.manifest
        return {
            "story": self.story.title,
            "left_out": {holder.name: dict(holder.left_out) for holder in self.story.holders},
            "people": {
                "in_common": manifest.aligned,
                "by_a_plain_join": self.rivals.people,
                "held_out": self.rivals.held_out,
                **{f"rows_of_{holder.name}": len(holder.person) for holder in self.story.holders},
            },
            "auc": {
                "alone": manifest.metrics.get("auc_alone"),
                "joint": manifest.metrics.get("auc"),
                "joint_standard_error": manifest.metrics.get("auc_standard_error"),
                "late_fusion": self.rivals.late_fusion,
                "pooled": self.rivals.pooled,
                "partners_alone": dict(self.rivals.partners),
            },
            "seconds": self._seconds(),
            "conversations": [one.model_dump(mode="json") for one in manifest.conversations],
            "dealt_bytes": manifest.dealt,
            "leakage": [report.model_dump(mode="json") for report in manifest.leakage],
            "parts": manifest.parts,
            "calls": [one.model_dump(mode="json") for one in self.facts.scored.calls],
            "withdrawal_seconds": round(self.facts.scored.withdrawal_s, 3),
            "manifest_digest": self.model.digest,
            "log_entries": {log.owner: log.entries for log in self.facts.logs},
            "log_findings": list(self.facts.findings),
        }

    def _seconds(self) -> dict[str, float]:
        """Of each phase, from event to event."""
        known = [(at, event.type) for at, event in self.events if event.type in PHASES]
        return {
            name: round(after - before, 2)
            for (before, _), (after, kind) in pairwise(known)
            for name in [{"run.prepared": "align", "round.aggregated": "train"}.get(kind, kind)]
        }


def run_vertical(options: VerticalOptions, console: Console) -> VerticalResult:
    """Runs the demo.

    Returns:
        Everything that it found; also printed, and written to ``result.json``.

    Raises:
        HanseError: When a step fails; all processes are stopped by then.
    """
    steps, started_at, started_s = Steps(console), datetime.now(UTC), time.monotonic()
    trees = options.model == "trees"
    prepare_folder(options.folder)
    rng = np.random.default_rng()
    with steps.step("make up what each party knows, and how it writes its identifiers"):
        story = (
            car_story(options.people, options.members, rng)
            if options.data is None
            else real_story(options.data, rng)
        )
    _tell_story(story, steps)
    federation = Federation(options.folder, [site_of(story, holder) for holder in story.holders], started_at)
    with steps.step("make keys and certificates, exchange public identities"):
        federation.make_keys()
    with steps.step("import consent events at every member"):
        federation.write_data(PURPOSE, SCORING_PURPOSE, rng)
    with steps.step("draft the agreement, check it against the rules, sign it at every member"):
        agreement, note = federation.agree(
            vertical_draft(story, options.trees if trees else None, CALLER, options.model)
        )
    signed = open_agreement(note)
    relied = assumption_of(agreement)
    steps.say(f"agreement {agreement.digest[:16]}…, which everybody signs relying on this: {relied}")
    with Processes(options.folder / "output") as processes:
        with steps.step(f"start the coordinator and {len(story.holders)} nodes, each a process of its own"):
            federation.start(processes)
        events, model = _train(federation, signed, steps)
        with steps.step("start the scorer, and every other member's service for its part; ask for scores"):
            scored = score_together(federation, story, model.manifest.reference, processes)
    steps.say(_withdrawn(scored))
    with steps.step("verify every log from its first byte, and that none leaves anything out"):
        logs = verify_logs(federation)
        findings = tuple(_findings(logs))
    with steps.step("compare with alone, late fusion and all columns in one place (possible only in a demo)"):
        rivals = compare_vertical(story, federation.sites, agreement, model.part)
    facts = VerticalFacts(
        version=version("hanse"),
        started_at=started_at,
        duration_s=time.monotonic() - started_s,
        title=story.title,
        model=agreement.training.model,
        agreement_id=agreement.id,
        agreement_digest=agreement.digest,
        assumption=relied,
        parties=parties_of(story),
        common=model.manifest.aligned,
        held_out=rivals.held_out,
        quality=quality_of(model.manifest, rivals),
        sent=sent_of(model.manifest),
        learned=learned_of(model.manifest),
        attacks=tuple(attacks_of(model.manifest)),
        scored=scored,
        logs=tuple(LogFacts.of(owner, log) for owner, log in logs.items()),
        findings=findings,
    )
    result = VerticalResult(story, signed, tuple(events), model, rivals, facts)
    _present(result, options, console)
    return result


def _tell_story(story: Story, steps: Steps) -> None:
    steps.say(f"{story.title}: identifiers and consent events are generated")
    for place, holder in enumerate(story.holders):
        role = "has the label" if place == 0 else "has other columns of the same people"
        steps.say(f"{holder.name}: {len(holder.person):,} people, {len(holder.columns)} columns, {role}")
        for reason in dict.fromkeys(holder.left_out.values()):
            names = ", ".join(name for name, why in holder.left_out.items() if why == reason)
            steps.say(f"{holder.name} leaves out {names}: {reason}")


def _train(
    federation: Federation, signed: SignedAgreement, steps: Steps
) -> tuple[list[tuple[float, RunEvent]], FetchedVertical]:
    """``hanse run`` at the label holder."""
    brand = federation.sites[0]
    events: list[tuple[float, RunEvent]] = []
    with CoordinatorClient(brand.home, f"127.0.0.1:{federation.ports.people}") as client:
        digest = client.submit(signed.note)
        with _bar(steps.console) as progress:
            for event in client.start(digest):
                heed()
                events.append((time.monotonic(), event))
                progress(event)
                if event.type == RUN_FAILED:
                    raise failure([seen for _, seen in events])
        model = fetch_vertical(client, brand.home, str(events[-1][1].facts["model"]), signed)
    steps.console.print("[green]✓[/] aligned, trained, evaluated, registered and signed", highlight=False)
    return events, model


def _withdrawn(scored: Scored) -> str:
    return (
        "one person withdrew at another member: refused "
        f"{1000 * scored.withdrawal_s:.0f} ms after the withdrawal was recorded"
    )


def _findings(logs: Mapping[str, VerifiedLog]) -> Iterator[str]:
    """What the logs do not account for, each by itself and a member's against the shared one."""
    shared = logs[COORDINATOR]
    yield from (f"{COORDINATOR}: {one.kind}" for one in check_shared(shared.entries))
    for name, log in logs.items():
        if name != COORDINATOR:
            roots = roots_at(log.leaves, stated_sizes(shared.entries, name))
            found = check_member(log.entries, name)
            found += check_against(shared.entries, name, log.entries, roots.__getitem__, log.keys)
            yield from (f"{name}: {one.kind} ({one.detail})" for one in found)


@contextmanager
def _bar(console: Console) -> Iterator["_Follow"]:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Follow(progress)


class _Follow:
    """Moves the bar as the run's events arrive."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("waiting for members", total=len(PHASES) - 1)

    def __call__(self, event: RunEvent) -> None:
        if event.type in PHASES:
            done, after = PHASES[event.type]
            self._progress.update(self._task, description=after, completed=done)


def _present(result: VerticalResult, options: VerticalOptions, console: Console) -> None:
    document = json.dumps(result.as_json(), indent=2).encode() + b"\n"
    write_atomic(options.folder / "result.json", document)
    if options.json_path is not None:
        write_atomic(options.json_path, document)
    facts, report = result.facts, options.folder / "report.html"
    write_report(report, facts)
    console.print(quality_table(facts))
    console.print(sent_table(facts.sent))
    console.print(learned_table(facts.learned))
    console.print(attacks_table(facts.attacks, facts.joint.auc))
    console.print(asked_table(facts.scored))
    found = ", ".join(facts.findings) or "nothing is left out"
    entries = ", ".join(f"{log.owner} {log.entries}" for log in facts.logs)
    console.print(f"logs verified ({entries} entries): {found}", highlight=False)
    console.print(f"the brand's part of the model: [bold]{result.model.part}[/]", highlight=False)
    console.print(f"report: [bold]{report}[/], sites and logs: [bold]{options.folder}[/]", highlight=False)
