"""A withdrawal against the opening of a round: what was committed before is out, what came after is out next.

The order is that of the ledger: a round names the last event that it knows. No clock decides.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.enforcement.enforcement_population import NOW, PURPOSE, PURPOSES, agreement, good_terms, job

from hanse.enforcement import ConsentColumns, decide
from hanse.policies import ConsentEvent, ConsentLedger, prepare_training
from hanse.policies.fields import from_ms

if TYPE_CHECKING:
    from collections.abc import Callable

TRIALS = 1_000
SUBJECTS = 250


def ref_of(number: int) -> str:
    return f"{number:032x}"


def grant(number: int, purpose: str) -> ConsentEvent:
    terms = good_terms(purpose)
    assert terms.notice_published_ms is not None
    return ConsentEvent(
        event_id=f"grant-{number}-{purpose}",
        recorded_at=NOW,
        subject_ref=ref_of(number),
        state="given",
        purposes=terms.purposes,
        given_at=from_ms(terms.notice_published_ms + 1),
        expires_at=NOW.replace(year=2028),
        controller=terms.controller,
        recipients=terms.recipients,
        categories=("basic", "behavioural", "sensitive"),
        notice_version=terms.notice_version,
        notice_sha256=terms.notice_sha256,
        notice_published_at=from_ms(terms.notice_published_ms),
        method="active_click",
        preticked=False,
        bundled=False,
        jurisdiction="DE",
        storage_country="DE",
        legal_basis="consent",
        conditional=False,
        age_at_least=18,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "consent.db"
    with ConsentLedger(place) as ledger:
        ledger.record(grant(number, purpose) for number in range(SUBJECTS) for purpose in PURPOSES)
        ledger.heartbeat(NOW)
    return place


class Rounds:
    """Opens rounds as the gate does, with the same copy of the ledger all along."""

    def __init__(self, ledger: ConsentLedger) -> None:
        self.ledger = ledger
        self.columns = ConsentColumns()
        self.refs = [ref_of(number) for number in range(SUBJECTS)]

    def open(self) -> tuple[int, set[int]]:
        """The last event that the round knows, and who is admitted."""
        opening_head = self.ledger.head()
        self.columns.refresh(self.ledger, NOW)
        screening = prepare_training(replace(job(agreement()), opening_head=opening_head), self.columns)
        decision, _ = decide(screening, self.columns, self.columns.places(self.refs))
        assert decision.snapshot_head >= opening_head
        return decision.snapshot_head, set(decision.rows.tolist())


def withdraw(ledger: ConsentLedger, number: int, moment: datetime) -> int:
    """Withdraws durably; gives the number of the event."""
    ledger.withdraw(ref_of(number), PURPOSE, moment)
    decided = ledger.decision(ref_of(number), PURPOSE)
    assert decided is not None
    return decided[0]


def restore(ledger: ConsentLedger, moment: datetime) -> None:
    """Everybody grants anew, after the withdrawals."""
    ledger.record(
        grant(number, PURPOSE).model_copy(
            update={"event_id": f"again-{moment:%H%M%S}-{number}", "given_at": moment}
        )
        for number in range(SUBJECTS)
    )


def race(rounds: Rounds, start: Callable[[int, datetime], None], finished: Callable[[], int]) -> None:
    """Each trial lets one withdrawal loose while a round opens."""
    rng = np.random.default_rng(7)
    gone: set[int] = set()
    early = 0
    for trial in range(TRIALS):
        number, lap = trial % SUBJECTS, trial // SUBJECTS
        if number == 0 and lap:
            restore(rounds.ledger, NOW - timedelta(hours=2) + timedelta(seconds=2 * lap - 1))
            gone.clear()
        start(number, NOW - timedelta(hours=2) + timedelta(seconds=2 * lap))
        if rng.random() < 0.5:
            threading.Event().wait(float(rng.random()) * 0.01)
        head, admitted = rounds.open()
        event = finished()
        # Whoever withdrew in an earlier trial is out of this one, and nobody else but the racer can be.
        assert admitted | {number} == set(range(SUBJECTS)) - gone
        assert (number in admitted) == (head < event)
        early += head >= event
        gone.add(number)
    # Both orders must have happened, or there was no race.
    assert 0 < early < TRIALS


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_threads(path: Path) -> None:
    with ConsentLedger(path) as reading, ConsentLedger(path) as writing:
        events: list[int] = []
        threads: list[threading.Thread] = []

        def start(number: int, moment: datetime) -> None:
            threads.append(threading.Thread(target=lambda: events.append(withdraw(writing, number, moment))))
            threads[-1].start()

        def finished() -> int:
            threads[-1].join()
            return events[-1]

        race(Rounds(reading), start, finished)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_processes(path: Path) -> None:
    command = [sys.executable, str(Path(__file__).parent / "consent_withdrawer.py"), str(path)]
    with (
        ConsentLedger(path) as ledger,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        told, heard = process.stdin, process.stdout
        assert told is not None
        assert heard is not None

        def start(number: int, moment: datetime) -> None:
            told.write(f"{ref_of(number)} {PURPOSE} {moment.isoformat()}\n")
            told.flush()

        def finished() -> int:
            return int(heard.readline())

        race(Rounds(ledger), start, finished)
        told.close()
        assert process.wait(10) == 0
