"""``hanse run``: train under a signed agreement, and take the model home."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hanse.cli.common import Home
from hanse.cli.output import Json, console, print_json, say, table
from hanse.cli.sweep import sweep
from hanse.cli.vertical_run import show_vertical
from hanse.client.following import start_and_follow
from hanse.client.home import MemberHome
from hanse.client.kept import RunFile
from hanse.client.leaving import LeftRuns
from hanse.client.models import fetch_model
from hanse.client.progress import (
    ROUND_AGGREGATED,
    RUN_EVALUATED,
    RUN_FINISHED,
    auc_text,
    describe,
    registered_model,
    seconds_text,
)
from hanse.client.remote import CoordinatorClient, RunEvent
from hanse.client.run_report import Removed, removed
from hanse.client.settings import NodeSettings
from hanse.client.vertical.fetching import fetch_vertical
from hanse.learning.robustness import RobustnessReport
from hanse.policies import RULES, SignedAgreement, open_agreement
from hanse.policies.agreement.training import MOST_TRIALS


def run(
    agreement: Annotated[
        Path, typer.Argument(help="The agreement that every member has signed.", exists=True, dir_okay=False)
    ],
    home: Home = Path(),
    trials: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_TRIALS,
            help="Try so many of the agreement's training.trials, and keep the best model. 0: no sweep.",
        ),
    ] = 0,
    *,
    as_json: Json = False,
    as_events: Annotated[
        bool,
        typer.Option("--events", help="Print each event of a single run as a line of JSON when it comes."),
    ] = False,
) -> None:
    """Start a run, follow it to its end, and fetch and check the model.

    Example: [bold]hanse run deal.agreement --home brand[/], or a sweep over six of the settings that the
    agreement names in training.trials: [bold]hanse run deal.agreement --home brand --trials 6[/]

    A run that fails ends with a named error and exit code 7; its entries are in the logs of all who took
    part. If the coordinator is started again meanwhile, the command waits for it up to ten minutes and goes
    on. Every trial of a sweep is a run of its own. A privacy budget pays for all trials: each has more noise
    than a run by itself.
    """
    site = MemberHome(home)
    settings = NodeSettings.load(home)
    signed = open_agreement(agreement.read_bytes())
    if trials:
        sweep(site, settings.coordinator_address, signed, trials, as_json=as_json)
        return
    with CoordinatorClient(site, settings.coordinator_address) as client:
        digest = client.submit(signed.note)
        coming = start_and_follow(client, digest, _aside)
        events = follow(_printed(coming) if as_events else coming, signed, quiet=as_json or as_events)
        if signed.agreement.vertical is not None:
            fetched = fetch_vertical(client, site, registered_model(events), signed)
            show_vertical(fetched, events, as_json=as_json, quiet=as_events)
            return
        folder, model = fetch_model(client, site, registered_model(events), signed)
    if as_json:
        print_json(
            {
                "model": str(folder),
                "manifest_digest": model.digest,
                "removed": asdict(removed(events)),
                "events": [asdict(event) for event in events],
            }
        )
        return
    if as_events:
        return
    console().print(rounds_table(events))
    console().print(removed_table(removed(events), signed.agreement.cohort.suppress_below))
    if model.manifest.robustness is not None and model.manifest.robustness.findings:
        console().print(findings_table(model.manifest.robustness))
    if model.manifest.rounds is not None:
        say(f"it is the state after round {model.manifest.rounds.kept} of {model.manifest.rounds.done}")
    say(f"model {folder.name} is in {folder}. Next: hanse serve {folder.name} --home {home}")


def cancel(
    name: Annotated[str, typer.Argument(help="The run, as `hanse run` and this site's log name it.")],
    home: Home = Path(),
) -> None:
    """Ask the coordinator to end a run; any member of its agreement may.

    Example: [bold]hanse cancel run-20260301-120000-a1b2c3 --home brand[/]

    It ends within seconds, whatever it is waiting for: `run.failed` with the code `run.cancelled`. What was
    spent of a privacy budget stays spent, the rest is free again.
    """
    settings = NodeSettings.load(home)
    with CoordinatorClient(MemberHome(home), settings.coordinator_address) as client:
        client.cancel(name)
    say(f"{name} will end; its last entry in the log says so: hanse audit show --home {home}")


def leave(
    name: Annotated[str, typer.Argument(help="The run, as `hanse run` and this site's log name it.")],
    home: Home = Path(),
) -> None:
    """Take this site out of a run for good; the others go on if enough of them are left.

    Example: [bold]hanse leave run-20260301-120000-a1b2c3 --home brand[/]

    Give it where the node works, whether it runs or not. From now on the node refuses whatever it is asked
    for this run (`run.left`), in the middle of a round too; both logs say so, and what was reserved of a
    privacy budget is free again. What the site has sent before stays in the model. It cannot be taken back.
    """
    site = MemberHome(home)
    LeftRuns(site.left).leave(name, RunFile(site.run))
    say(f"this site has left {name}; it is in the logs as soon as the coordinator asks for anything")


def follow(events: Iterable[RunEvent], signed: SignedAgreement, *, quiet: bool) -> list[RunEvent]:
    """Collects a run's events under a progress bar."""
    rounds = signed.agreement.training.rounds
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} rounds"),
        TimeElapsedColumn(),
    )
    collected: list[RunEvent] = []
    with Progress(*columns, disable=quiet, transient=False) as progress:
        task = progress.add_task("waiting for members", total=rounds)
        for event in events:
            if not collected and not quiet:
                say(event.run)
            collected.append(event)
            progress.update(task, description=describe(event), completed=_completed(event, rounds))
    return collected


def _aside(text: str) -> None:
    """Says something beside the results, which may be for a machine."""
    typer.echo(text, err=True)


def _printed(events: Iterable[RunEvent]) -> Iterator[RunEvent]:
    """Prints each event as a line of JSON."""
    for event in events:
        typer.echo(json.dumps(asdict(event), sort_keys=True))
        yield event


def _completed(event: RunEvent, rounds: int) -> int | None:
    if event.type == ROUND_AGGREGATED:
        return event.round
    return rounds if event.type == RUN_FINISHED else None


def rounds_table(events: Iterable[RunEvent]) -> Any:  # noqa: ANN401 - a rich table
    """Per evaluated model: AUC with its standard error, loss, members and the largest epsilon."""
    rows = []
    for event in events:
        if event.type in (ROUND_AGGREGATED, RUN_EVALUATED):
            facts = event.facts
            epsilon = facts.get("epsilon") or {}
            spent = f"{max(epsilon.values()):.3f}" if epsilon else "no budget"
            rows.append((facts["evaluated_round"], auc_text(facts), _loss(facts), spent, seconds_text(facts)))
    note = "held-out rows of all members; AUC ± standard error, privacy noise included"
    heads = ("after round", "AUC", "log loss", "largest epsilon spent", "evaluated within")
    return table(f"Models after each round ({note})", heads, rows)


def removed_table(found: Removed, suppress_below: int) -> Any:  # noqa: ANN401 - a rich table
    """Rows and values that each rule removed in the last round, by member."""
    kinds = (("rows left out", found.rows), ("values hidden", found.values))
    rows = [
        (rule, RULES[rule].message.en if rule in RULES else "", what, *_counts(found, counts))
        for what, by_rule in kinds
        for rule, counts in by_rule.items()
    ]
    rows += [
        ("", f"column {name}", "hidden in rows", *_counts(found, own)) for name, own in found.columns.items()
    ]
    title = f"What the rules removed in the last round (fewer than {suppress_below} are not told)"
    return table(title, ("rule", "because", "what", *found.members), rows, whole=("rule",))


def findings_table(report: RobustnessReport) -> Any:  # noqa: ANN401 - a rich table
    """Updates that were not taken as they were."""
    rows = [
        (
            finding.round,
            ", ".join(finding.members),
            finding.kind,
            f"{finding.measure:.3g}",
            f"{finding.threshold:.3g}",
            "left the run" if finding.members[0] in report.excluded else "stayed",
        )
        for finding in report.findings
    ]
    heads = ("round", "member", "found", "measured", "bound", "member then")
    return table("Updates that were not taken as they were (docs: Robustness)", heads, rows)


def _counts(found: Removed, counts: Mapping[str, int]) -> list[str]:
    return [f"{counts[member]:,}" if member in counts else "not told" for member in found.members]


def _loss(facts: dict[str, Any]) -> str:
    return "not known" if facts.get("log_loss") is None else f"{facts['log_loss']:.4f}"
