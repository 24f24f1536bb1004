"""``hanse run --trials``: runs over the settings that an agreement lets be tried; the best model is kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hanse.cli.output import console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.client.models import fetch_model
from hanse.client.progress import RUN_FAILED, RUN_FINISHED, auc_text, describe, kept_model
from hanse.client.remote import CoordinatorClient, RunEvent
from hanse.policies import SignedAgreement, trainings_of


def sweep(home: MemberHome, address: str, signed: SignedAgreement, trials: int, *, as_json: bool) -> None:
    """Starts a sweep, follows it to its end, and fetches and checks the model that is kept.

    Args:
        home: The member's folder.
        address: Of the coordinator.
        signed: The agreement.
        trials: How many.
        as_json: Whether to print one JSON document instead of tables.

    Raises:
        HanseError: The error that the sweep ended with; ``policy.denied`` if the agreement allows no such
            sweep.
    """
    trainings_of(signed, trials)  # refused here rather than there
    with CoordinatorClient(home, address) as client:
        events = follow(client.start(client.submit(signed.note), trials), trials, quiet=as_json)
        reference, results = kept_model(events)
        folder, model = fetch_model(client, home, reference, signed)
    if as_json:
        document = {"model": str(folder), "manifest_digest": model.digest, "trials": results}
        print_json({**document, "events": [asdict(event) for event in events]})
        return
    console().print(trials_table(results))
    say(f"model {folder.name} is in {folder}. Next: hanse serve {folder.name} --home {home.root}")


def follow(events: Iterable[RunEvent], trials: int, *, quiet: bool) -> list[RunEvent]:
    """Collects a sweep's events under a progress bar over its trials."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} trials"),
        TimeElapsedColumn(),
    )
    collected: list[RunEvent] = []
    over: set[str] = set()
    with Progress(*columns, disable=quiet, transient=False) as progress:
        task = progress.add_task("waiting for members", total=trials)
        for event in events:
            if event.run not in {each.run for each in collected} and not quiet:
                say(event.run)
            collected.append(event)
            over |= {event.run} if event.type in (RUN_FINISHED, RUN_FAILED) else set()
            progress.update(task, description=describe(event), completed=len(over))
    return collected


def trials_table(results: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401 - a rich table
    """What each trial gave."""
    names = list(results[0]["settings"]) if results else []
    rows = [
        (
            result["number"],
            *(f"{result['settings'][name]:g}" for name in names),
            auc_text(result) if result["code"] is None else "",
            "" if result["log_loss"] is None else f"{result['log_loss']:.4f}",
            result["run"],
            "kept" if result["kept"] else result["code"] or "",
        )
        for result in results
    ]
    title = "Trials (held-out rows of all members; the best of several promises a little too much)"
    return table(title, ("trial", *names, "AUC", "log loss", "run", ""), rows, whole=("run",))
