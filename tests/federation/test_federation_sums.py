"""A run in secure sums over Flower, the exchange and mutual TLS, with the real processes; a change of key."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.command import Command, command_for

from hanse.audit import LogReader
from hanse.client.remote import RunEvent
from hanse.demo.data import load
from hanse.demo.federation import COORDINATOR
from hanse.policies import Identity

pytestmark = [pytest.mark.federation, pytest.mark.timeout(240)]


def test_three_members_train_in_sums_and_witness_on_under_another_key_of_the_coordinator(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = [column for column in load().dictionary.columns if column.classification != "sensitive"]
    running = start(members=3, epsilon=None, rounds=1, columns=columns)
    _is_good(running.run())
    for site in running.federation.sites:
        steps = [entry.type.value for entry in running.log(site.data.name)]
        assert steps.index("round.admitted") < steps.index("run.prepared") < steps.index("round.trained")
    running.logs_verify()
    _another_key(running, command_for(monkeypatch, capsys))


def _is_good(events: list[RunEvent]) -> None:
    assert events[-1].type == "run.finished", [(e.type, dict(e.facts)) for e in events][-4:]
    assert events[-1].facts["auc"] > 0.6
    assert "member.left" not in {event.type for event in events}


def _another_key(running: Any, hanse: Command) -> None:
    """The members' nodes run on, with the old key pinned, and follow the log to the new one."""
    folder, hub = running.federation.folder, running.federation.hub
    homes = {site.data.name: site.home.root for site in running.federation.sites}
    saved, shared = folder / "before.checkpoint", hub / "state" / "audit.db"
    assert hanse("audit", "verify", "--home", hub, "--save", saved).code == 0
    running.processes.kill(COORDINATOR)
    told = hanse("audit", "rotate-key", "--home", hub, "--json").json
    running.start_coordinator()
    _wait_for_witnesses(running, told["entry"] + 1, set(homes))
    for key in (told["old_key"], told["new_key"]):
        verified = hanse("audit", "verify", "--log", shared, "--key", key, "--since", saved, "--json")
        assert (verified.code, verified.json["findings"]) == (0, [])

    for home in homes.values():
        # Pinned there is the old key still.
        assert Identity.load(home / "peers" / f"{COORDINATOR}.json").node_key == told["old_key"]
        verified = hanse("audit", "verify", "--home", home, "--shared", shared)
        assert verified.code == 0, verified.out


def _wait_for_witnesses(running: Any, size: int, names: set[str]) -> None:
    """Until every member has co-signed so much of the coordinator's log."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        with LogReader.open(running.federation.hub / "state" / "audit.db") as log:
            if log.note_at_least(
                size, lambda note: all(f"\N{EM DASH} {name}".encode() in note for name in names)
            ):
                return
        time.sleep(0.2)
    raise AssertionError("not every member has co-signed under the new key")
