"""The real processes over data full of canaries: none in a log, an export, a metric or on a console."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.canaries.conftest import Places, canaries_of, mail, person, seed
from tests.canaries.test_canaries_run import hostile_rows

from hanse.client.models import fetch_model
from hanse.client.remote import RunEvent
from hanse.demo.calls import Caller

pytestmark = [pytest.mark.federation, pytest.mark.slow, pytest.mark.timeout(420)]


def hanse(places: Places, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a command in a process of its own; keeps what it prints."""
    command = [sys.executable, "-m", "hanse.cli", *words]
    done = subprocess.run(command, capture_output=True, check=False)
    places.add(f"stdout of {words[0]} {words[1]}", done.stdout)
    places.add(f"stderr of {words[0]} {words[1]}", done.stderr)
    return done


def interrupted_run(running: Any) -> None:
    """A node that is killed in a round: the run fails."""
    lost = running.federation.sites[1]

    def kill(event: RunEvent) -> None:
        if event.type == "round.aggregated" and event.round == 1:
            running.processes.kill(lost.data.name)

    events = [event.type for event in running.run(kill)]
    assert events[-1] == "run.failed"
    assert "round.aggregated" in events
    running.federation.start_node(running.processes, lost)
    running.processes.wait_until_ready(lost.data.name)


def finished_run(running: Any, subject: str, places: Places) -> str:
    """A run in which a subject withdraws; returns the model."""
    brand = running.federation.sites[0].home

    def withdraw(event: RunEvent) -> None:
        if event.type == "round.aggregated" and event.round == 1:
            words = ("consent", "withdraw", subject, "--purpose", "joint_modelling")
            assert hanse(places, *words, "--home", str(brand.root)).returncode == 0

    events = running.run(withdraw)
    assert events[-1].type == "run.finished", [(e.type, e.facts.get("code")) for e in events]
    places.add("events as a member sees them", repr(events))
    return str(events[-1].facts["model"])


def scoring(running: Any, model: str, places: Places) -> None:
    """A scorer that is asked rightly, and wrongly in several ways."""
    site = running.federation.sites[0]
    with running.client() as client:
        fetch_model(client, site.home, model, running.signed)
    caller = running.federation.make_callers(["crm"])["crm"]
    running.processes.start("scorer", ["serve", model, "--home", str(site.home.root)], {})
    address = running.processes.wait_until_ready("scorer").split()[-1]
    chosen = [row for row, kind in enumerate(site.written.profiles) if kind == "granted"][1:5]
    ids = [str(site.written.subject_ids[row]) for row in chosen]
    strangers = [mail("brand", row) for row in chosen]
    name, _, version = model.rpartition("@")
    allowed = []
    for purpose, subjects, asked in (
        ("scoring.marketing", ids, (name, version)),
        ("scoring.marketing", strangers, (name, version)),
        (person("brand", 1), ids, (name, version)),
        ("scoring.pricing", ids, (name, version)),
        ("scoring.marketing", ids, (mail("brand", 1), version)),
        ("scoring.marketing", ids[:1] * 4, (name, version)),
    ):
        try:
            call = Caller(address, caller, site.home.serving_authority, asked).score(purpose, subjects)
        except UnicodeEncodeError:
            continue  # the client itself refuses to send it
        allowed.append(call.allowed)
        places.add("answers of the scorer", f"{call.outcome} {call.rule} {call.scored}")
    assert allowed[0]
    assert not all(allowed)


def test_no_canary_comes_out_of_the_processes(
    start: Callable[..., Any], places: Places, tmp_path: Path
) -> None:
    running = start(members=2, rounds=3, round_timeout_s=25, nodes=False)
    sites = running.federation.sites
    ids = {site.data.name: seed(site.home) for site in sites}
    running.federation.start(running.processes)
    brand, hub = sites[0].home, running.federation.hub
    hostile = str(hostile_rows(brand, ids["brand"]))
    assert hanse(places, "consent", "import", hostile, "--home", str(brand.root)).returncode in {0, 3}

    interrupted_run(running)
    granted = sites[0].written
    consenting = [str(value) for value in granted.subject_ids[granted.profiles == "granted"]]
    scoring(running, finished_run(running, consenting[0], places), places)
    metrics, package = tmp_path / "brand.prom", tmp_path / "brand.zip"
    hanse(places, "policy", "watch", "--home", str(brand.root), "--metrics", str(metrics))
    hanse(places, "audit", "export", "--home", str(brand.root), "--out", str(package))
    hanse(places, "audit", "show", "--home", str(hub), "--last", "500", "--json")
    shared = str(hub / "state" / "audit.db")
    told = hanse(places, "audit", "verify", "--home", str(brand.root), "--shared", shared, "--json")
    found = json.loads(told.stdout)["findings"]
    scanned = hanse(places, "audit", "scan", str(package), "--home", str(brand.root), "--column", "email")

    assert [finding for finding in found if not finding["note"]] == []
    assert (told.returncode, scanned.returncode) == (0, 0)
    places.add("metrics", metrics.read_bytes())
    places.add_archive("package", package)
    places.add_folder("processes", tmp_path / "output")
    places.add_folder("coordinator", hub)
    places.add_log("shared log", hub / "state" / "audit.db")
    for site in sites:
        places.add_log(f"log of {site.data.name}", site.home.log)
    assert b'"score.answered"' in places.data["log of brand: entries"]
    assert b'"score.denied"' in places.data["log of brand: entries"]
    rows = sorted({*range(12), *(ids["brand"].index(subject) for subject in consenting[:100])})
    places.canaries = [c for site in sites for c in canaries_of(site.home, ids[site.data.name], rows)]
    assert places.found() == {}
