"""The demo from its first step to its report; every step is one that a deployment makes too."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hanse.audit import VerifiedLog, verify_log
from hanse.client.algorithms import algorithm_of
from hanse.client.drafting import Draft
from hanse.client.models import fetch_model
from hanse.client.progress import RUN_FAILED, describe, failure
from hanse.client.remote import CoordinatorClient, RunEvent
from hanse.crypto import VerifierKey, write_atomic
from hanse.demo import summary
from hanse.demo.baselines import TrainedModel, compare, train_baselines
from hanse.demo.calls import Caller
from hanse.demo.data import DemoData, Rows, load
from hanse.demo.federation import CALLER, COORDINATOR, Federation, Site
from hanse.demo.interruption import heed
from hanse.demo.partition import partition
from hanse.demo.processes import Processes
from hanse.demo.report import write_report
from hanse.demo.results import DemoResult, ScoringCall
from hanse.demo.steps import Steps
from hanse.demo.tables import members_table, rounds_table, rules_table, summary_table
from hanse.errors import ConfigurationError
from hanse.learning import LoadedModel, Recommended, SecureRandom, recommend_for
from hanse.policies import (
    DEFAULT_PACKS,
    Agreement,
    Column,
    Identity,
    SignedAgreement,
    builtin_pack,
    open_agreement,
)
from hanse.server.home import CoordinatorHome

MARKER = ".hanse-demo"
PURPOSE = "joint_modelling.propensity"
SCORING_PURPOSE = "scoring.marketing"
FOREIGN_PURPOSE = "scoring.pricing"
DELTA = 1e-5
MINIMUM_ROWS = 100
SCORED_SUBJECTS = 8
SCORER = "scorer"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo is asked to do.

    Attributes:
        data: Folder of a data set; None for the bundled one.
        members: Number of members.
        epsilon: Budget per record and member; None trains without differential privacy.
        model: ``logistic``, ``mlp`` or ``trees``.
        folder: Folder for sites, logs and report; made anew.
        json_path: Where to write the results as JSON as well; None for nowhere.
    """

    data: Path | None
    members: int
    epsilon: float | None
    model: Recommended
    folder: Path
    json_path: Path | None = None


@dataclass(slots=True)
class DemoRun:
    """What has been found so far; :mod:`hanse.demo.summary` makes the result of it.

    Attributes:
        started_at: Start, UTC.
        started_s: Start, monotonic seconds.
        data: The data set.
        federation: The sites.
        signed: The agreement.
        events: The run's events, with the second at which each arrived.
        model: The registered model version.
        calls: Calls to the scorer.
        logs: Verified logs by owner.
        withdrawn: Name of the member where a subject withdrew during the run, and the round before it.
    """

    started_at: datetime
    started_s: float
    data: DemoData
    federation: Federation
    signed: SignedAgreement
    events: list[tuple[float, RunEvent]] = field(default_factory=list)
    model: LoadedModel | None = None
    calls: list[ScoringCall] = field(default_factory=list)
    logs: dict[str, VerifiedLog] = field(default_factory=dict)
    withdrawn: tuple[str, int] | None = None


def run_demo(options: DemoOptions, console: Console) -> DemoResult:
    """Runs the demo.

    Returns:
        Everything that it found; also printed, and written as a report.

    Raises:
        HanseError: When a step fails; all processes are stopped by then.
    """
    torch.set_num_threads(1)
    steps = Steps(console)
    prepare_folder(options.folder)
    with Processes(options.folder / "output") as processes:
        run = _set_up(options, steps)
        with steps.step(f"start the coordinator and {options.members} nodes, each a process of its own"):
            run.federation.start(processes)
        _train(run, steps)
        _score(run, processes, steps)
    with steps.step("verify every log from its first byte"):
        run.logs = verify_logs(run.federation)
    with steps.step("compare with members alone and with all rows pooled (possible only in a demo)"):
        result = _compare(run)
    _present(result, options, console)
    return result


def prepare_folder(folder: Path) -> None:
    """Makes the folder anew; one that no demo made is left alone."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise ConfigurationError(
                "config.exists", f"{folder} holds other files; name another with --folder"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / MARKER, b"")


def _set_up(options: DemoOptions, steps: Steps) -> DemoRun:
    started_at, started_s = datetime.now(UTC), time.monotonic()
    with steps.step("read the data and divide it by its natural key"):
        data = load(options.data)
        members = partition(data, options.members)
    steps.say(
        f"{data.dictionary.title}: {len(data.rows):,} rows; identifiers and consent events are generated"
    )
    federation = Federation(options.folder, members, started_at)
    with steps.step("make keys and certificates, exchange public identities"):
        federation.make_keys()
    with steps.step("import consent events at every member"):
        federation.write_data(PURPOSE, SCORING_PURPOSE, np.random.default_rng())
    with steps.step("draft the agreement, check it against the rules, sign it at every member"):
        agreement, note = federation.agree(_draft(options, data, members=len(members)))
    steps.say(f"agreement {agreement.digest[:16]}…, {_budget(agreement)}")
    return DemoRun(started_at, started_s, data, federation, open_agreement(note))


def _draft(options: DemoOptions, data: DemoData, members: int) -> Draft:
    dictionary = data.dictionary
    rows = int((~data.test).sum()) / members
    return Draft(
        identifier="propensity",
        title=f"Shared propensity model, {dictionary.title}",
        proposer="data scientist of the brand",
        auditor="external auditor",
        columns=_columns(options, data),
        label=dictionary.label,
        positive=dictionary.positive,
        training=recommend_for(options.model, dictionary.columns, rows, members, options.epsilon),
        epsilon=options.epsilon,
        delta=DELTA,
        minimum_rows=MINIMUM_ROWS,
        minimum_members=2,
        callers=[CALLER],
        assessment="impact assessment of the demo",
        assessor="data protection office",
        packs=[builtin_pack(name).reference for name in DEFAULT_PACKS],
    )


def _columns(options: DemoOptions, data: DemoData) -> Sequence[Column]:
    """What is used of a row: trees know no budget, without which rule P18 has no sensitive columns."""
    columns = data.dictionary.columns
    return [c for c in columns if options.model != "trees" or c.classification != "sensitive"]


def _budget(agreement: Agreement) -> str:
    privacy = agreement.privacy
    if privacy is None:
        return "no privacy budget: figures carry no noise"
    noise = "members share the noise of each sum" if agreement.secure_sums else "each adds all of the noise"
    unit = f"per {privacy.unit} ({privacy.adjacency})"
    return f"epsilon {privacy.epsilon:g}, delta {privacy.delta:g} {unit}; {noise}"


def _certified(model: LoadedModel) -> Iterator[str]:
    """What the model's certificate says, and what it does not."""
    found: dict[str, Any] | None = model.manifest.certificate
    if found is None:
        return
    known = ", ".join(f"{_figure(cost)} known to {k}" for k, cost in found["person"].items())
    yield (
        f"the run has cost a record epsilon {_figure(found['epsilon'])} at delta {found['delta']:g} "
        f"({found['adjacency']}); a person with a record at several members: {known}"
    )
    yield f"this assumes: {found['assumption']}. Exact row counts and scores are outside it"


def _figure(epsilon: float | None) -> str:
    return "no bound" if epsilon is None else f"{epsilon:.2f}"


def _train(run: DemoRun, steps: Steps) -> None:
    """``hanse run`` at the first member; half way, one subject of the second withdraws."""
    brand = run.federation.sites[0]
    address = f"127.0.0.1:{run.federation.ports.people}"
    with CoordinatorClient(brand.home, address) as client:
        digest = client.submit(run.signed.note)
        with _bar(steps.console, run.signed.agreement) as progress:
            for event in client.start(digest):
                heed()
                run.events.append((time.monotonic(), event))
                progress(event)
                if event.type == RUN_FAILED:
                    raise failure([seen for _, seen in run.events])
                if (
                    event.type == "round.aggregated"
                    and event.round == run.signed.agreement.training.rounds // 2
                ):
                    _withdraw_one(run, event.round)
        _, run.model = fetch_model(client, brand.home, str(run.events[-1][1].facts["model"]), run.signed)
    steps.console.print("[green]✓[/] trained, evaluated, registered and signed", highlight=False)
    for line in _certified(run.model):
        steps.say(line)
    if run.withdrawn is not None:
        steps.say(
            f"one subject of {run.withdrawn[0]} withdrew after round {run.withdrawn[1]}; "
            "the next round was without it"
        )


def _withdraw_one(run: DemoRun, round_number: int) -> None:
    site = run.federation.sites[1]
    consenting = site.written.subject_ids[site.written.consenting]
    run.federation.withdraw(site, str(consenting[0]), PURPOSE, datetime.now(UTC))
    run.withdrawn = (site.data.name, round_number)


@contextmanager
def _bar(console: Console, agreement: Agreement) -> Iterator["_Follow"]:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} rounds"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Follow(progress, agreement.training.rounds)


class _Follow:
    """Moves the bar by the run's events."""

    def __init__(self, progress: Progress, rounds: int) -> None:
        self._progress = progress
        self._task = progress.add_task("waiting for members", total=rounds)

    def __call__(self, event: RunEvent) -> None:
        completed = event.round if event.type == "round.aggregated" else None
        self._progress.update(self._task, description=describe(event), completed=completed)


def _score(run: DemoRun, processes: Processes, steps: Steps) -> None:
    """``hanse serve`` at the first member, and calls by its CRM: allowed, denied, and partly denied."""
    assert run.model is not None  # noqa: S101 - set by the step before
    site = run.federation.sites[0]
    caller = run.federation.make_callers([CALLER])[CALLER]
    reference = run.model.manifest.reference
    with steps.step("start the scorer and call it"):
        processes.start(SCORER, ["serve", reference, "--home", str(site.home.root)], {})
        address = processes.wait_until_ready(SCORER).split()[-1]
        subjects = _subjects_to_score(site)
        model = (run.model.manifest.name, str(run.model.manifest.version))
        crm = Caller(address, caller, site.home.serving_authority, model)
        for purpose in (SCORING_PURPOSE, FOREIGN_PURPOSE):
            run.calls.append(crm.score(purpose, subjects))
    for call in run.calls:
        what = (
            f"{call.scored} of {call.subjects} subjects scored"
            if call.allowed
            else f"{call.outcome} ({call.code})"
        )
        steps.say(f"{call.purpose}: {what}")


def _subjects_to_score(site: Site) -> list[str]:
    """Some subjects that consented to scoring, and one that did not."""
    granted = np.flatnonzero(site.written.profiles == "granted")[: SCORED_SUBJECTS - 1]
    refused = np.flatnonzero(site.written.profiles == "training-only")[:1]
    return [str(site.written.subject_ids[row]) for row in np.concatenate([granted, refused])]


def verify_logs(federation: Federation) -> dict[str, VerifiedLog]:
    """``hanse audit verify`` for the coordinator and every member."""
    homes = {COORDINATOR: federation.hub} | {site.data.name: site.home.root for site in federation.sites}
    logs = {}
    for name, home in homes.items():
        verifier = VerifierKey.decode(Identity.load(home / "identity.json").node_key)
        logs[name] = verify_log(home / "state" / "audit.db", verifier, origin=verifier.name)
    return logs


def _compare(run: DemoRun) -> DemoResult:
    members = [site.data for site in run.federation.sites]
    agreement = run.signed.agreement
    rows = {site.data.name: summary.training_rows(site, agreement) for site in run.federation.sites}
    baselines = train_baselines(agreement, rows, SecureRandom())
    assert run.model is not None  # noqa: S101 - set by an earlier step
    folder, transform = CoordinatorHome(run.federation.hub).runs / run.events[0][1].run, run.model.transform
    states = [path.read_bytes() for path in sorted(folder.glob("round-*.state"))]
    algorithm = algorithm_of(agreement)
    models = [
        TrainedModel(transform, algorithm.predictor(agreement.training, transform, state)) for state in states
    ]
    quality = compare(members, models[-1], baselines)
    test = Rows.concatenate(*(member.test for member in members))
    return summary.result_of(run, quality, models, test)


def _present(result: DemoResult, options: DemoOptions, console: Console) -> None:
    report = options.folder / "report.html"
    write_report(report, result)
    write_atomic(options.folder / "result.json", result.to_json())
    if options.json_path is not None:
        write_atomic(options.json_path, json.dumps(result.model_dump(mode="json"), indent=2).encode() + b"\n")
    for table in (
        rounds_table(result.rounds),
        members_table(result),
        rules_table(result),
        summary_table(result),
    ):
        console.print(table)
    console.print(f"report: [bold]{report}[/], sites and logs: [bold]{options.folder}[/]", highlight=False)
