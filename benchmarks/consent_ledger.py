"""How fast consent comes into the ledger, how soon a withdrawal is durable, how fast everything is read."""

import hashlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
from rich.console import Console

from common import Figure, Options
from hanse.client.consents import open_events
from hanse.policies import ConsentLedger, Pseudonymiser

EVENTS = 1_000_000
QUICK_EVENTS = 300_000
WITHDRAWALS = 200
TRIES, QUICK_TRIES = 3, 2
BAR_INGEST_US = 10.0  # 100,000 events a second
BAR_WITHDRAWAL_MS = 10.0
BAR_ROWS_S = 8.0

PURPOSE = "joint_modelling.propensity"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HEADER = (
    "event_id,{subject},state,purposes,given_at,expires_at,controller,recipients,categories,notice_version,"
    "notice_sha256,notice_published_at,method,preticked,bundled,jurisdiction,storage_country,legal_basis,"
    "conditional,guardian_ref,age_at_least,withdrawal_method,hidden_columns,hidden_categories"
)
FORM = (
    f"Nordwagen AG,Hanse Versicherung Süd,basic|behavioural,{{notice}}.1,{'ab' * 32},2026-01-01T00:00:00Z,"
    "active_click,false,false,DE,DE,consent,false,,18,link in every message,,"
)


def figures(options: Options) -> list[Figure]:
    """Measures everything of the ledger."""
    events = QUICK_EVENTS if options.quick else EVENTS
    tries = QUICK_TRIES if options.quick else TRIES
    with tempfile.TemporaryDirectory(prefix="hanse-consent-") as name:
        folder = Path(name)
        refs, customers = folder / "refs.csv", folder / "customers.csv"
        write_events(refs, "subject_ref", events, lambda n: pseudonym(n).hex())
        write_events(customers, "subject", events, lambda n: f"C-{n}")
        parquet = folder / "refs.parquet"
        duckdb.sql(f"COPY (FROM read_csv('{refs}', all_varchar = true)) TO '{parquet}'")
        measured = {
            "a Parquet file with pseudonyms": _best(folder, parquet, events, tries),
            "a CSV file with identifiers, pseudonymised on the way": _best(folder, customers, events, 1),
            "a CSV file with pseudonyms": _best(folder, refs, events, tries),
        }
        withdrawal_ms, rows_s = _use(folder / "consent.db", events)
    found = [
        Figure(
            f"import of {events:,} events from {what}",
            us,
            "µs/event",
            BAR_INGEST_US if "pseudonyms" in what else None,
        )
        for what, us in measured.items()
    ]
    return [
        *found,
        Figure("withdrawal, durable on return, median", withdrawal_ms, "ms", BAR_WITHDRAWAL_MS),
        Figure(f"every standing of {events:,} subjects, read as rows", rows_s, "s", BAR_ROWS_S),
    ]


def pseudonym(number: int) -> bytes:
    """A pseudonym as good as a keyed one: without order."""
    return hashlib.sha256(str(number).encode()).digest()[:16]


def write_events(path: Path, subject: str, count: int, name: Callable[[int], str]) -> None:
    """Writes one grant for each of many subjects, on two notices, each at a time of its own."""
    start = datetime(2026, 1, 20, tzinfo=UTC)
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER.format(subject=subject) + "\n")
        for number in range(count):
            given = f"{start + timedelta(seconds=number * 7 % 9_000_000):%Y-%m-%dT%H:%M:%SZ}"
            form = FORM.format(notice=2 + number % 2)
            row = f"evt-{number:08d},{name(number)},given,{PURPOSE},{given},2027-{given[5:]},{form}"
            file.write(row + "\n")


def _best(folder: Path, source: Path, events: int, tries: int) -> float:
    """Microseconds per event of the fastest of several imports: other work on a machine only slows them."""
    return min(_ingest(folder, source, events) for _ in range(tries))


def _ingest(folder: Path, source: Path, events: int) -> float:
    """Microseconds per event, from opening the file to the last commit; the ledger stays in the folder."""
    with _ledger(folder) as ledger:
        started = time.perf_counter()
        with open_events(source) as rows:
            report = ledger.ingest(rows, NOW, Pseudonymiser(b"k" * 32))
        seconds = time.perf_counter() - started
    if report.accepted != events:
        raise SystemExit(f"{source.name}: {report.accepted} of {events} events were taken")
    Console(highlight=False).print(
        f"{source.name}: {events / seconds:,.0f} events/s (load {os.getloadavg()[0]:.1f})"
    )
    return seconds / events * 1e6


@contextmanager
def _ledger(folder: Path) -> Iterator[ConsentLedger]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "consent.db"
        with ConsentLedger(path) as ledger:
            yield ledger
        shutil.move(path, folder / path.name)


def _use(path: Path, events: int) -> tuple[float, float]:
    """Median milliseconds of a withdrawal from a large ledger, and seconds to read all of it."""
    with ConsentLedger(path) as ledger:
        started = time.perf_counter()
        if sum(1 for _ in ledger.standing_rows().rows) != events:
            raise SystemExit("a subject is missing")
        rows_s = time.perf_counter() - started
        taken = []
        for number in range(WITHDRAWALS):
            started = time.perf_counter()
            ledger.withdraw(pseudonym(number * 37 % events).hex(), "joint_modelling", NOW)
            taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e3, rows_s
