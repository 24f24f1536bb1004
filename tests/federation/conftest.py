"""The real processes on loopback: `hanse server`, `hanse client`, `hanse serve`, started for each test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.audit import Entry, verify_log
from hanse.client.drafting import Draft
from hanse.client.progress import RUN_FAILED
from hanse.client.remote import CoordinatorClient, RunEvent
from hanse.crypto import VerifierKey
from hanse.demo.data import load
from hanse.demo.federation import COORDINATOR, Federation
from hanse.demo.partition import partition
from hanse.demo.processes import Processes
from hanse.policies import Agreement, Identity, SignedAgreement, open_agreement


@dataclass
class Running:
    """A federation whose processes run."""

    federation: Federation
    agreement: Agreement
    signed: SignedAgreement
    processes: Processes

    def client(self) -> CoordinatorClient:
        return CoordinatorClient(self.federation.sites[0].home, f"127.0.0.1:{self.federation.ports.people}")

    def run(self, on_event: Callable[[RunEvent], None] = lambda _: None) -> list[RunEvent]:
        """Submits the agreement and follows one run to its end."""
        events = []
        with self.client() as client:
            for event in client.start(client.submit(self.signed.note)):
                events.append(event)
                on_event(event)
        return events

    def start_coordinator(self) -> None:
        """Starts it again on the ports that it had."""
        ports = self.federation.ports
        words = ["server", "--home", str(self.federation.hub)]
        words += ["--fleet-port", str(ports.fleet), "--port", str(ports.people)]
        self.processes.start(COORDINATOR, words, {})
        self.processes.wait_until_ready(COORDINATOR)

    def log(self, name: str) -> list[Entry]:
        """The verified entries of one site's log."""
        home = self.federation.folder / name
        verifier = VerifierKey.decode(Identity.load(home / "identity.json").node_key)
        return list(verify_log(home / "state" / "audit.db", verifier, origin=verifier.name).entries)

    def logs_verify(self) -> None:
        for name in (COORDINATOR, *(site.data.name for site in self.federation.sites)):
            self.log(name)


def failed(events: list[RunEvent]) -> str | None:
    """The code that a run ended with, None if it succeeded."""
    return next((str(event.facts["code"]) for event in events if event.type == RUN_FAILED), None)


@pytest.fixture
def start(tmp_path: Path, make_draft: Callable[..., Draft]) -> Iterator[Callable[..., Running]]:
    """Starts a federation over the bundled data: ``start(members=2, epsilon=3.0, rounds=3)``."""
    with Processes(tmp_path / "output") as processes:

        def build(
            members: int = 2, epsilon: float | None = 3.0, nodes: bool = True, **changes: Any
        ) -> Running:
            data = load()
            folder = tmp_path / "federation"
            folder.mkdir()
            federation = Federation(folder, partition(data, members), datetime.now(UTC))
            federation.make_keys()
            federation.write_data("joint_modelling.propensity", "scoring.marketing", np.random.default_rng(3))
            agreement, note = federation.agree(make_draft(data.dictionary, epsilon, **changes))
            if nodes:
                federation.start(processes)
            return Running(federation, agreement, open_agreement(note), processes)

        yield build
