"""Consent events from files: a bad row is refused with its line, and no good row is lost."""

import csv
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.errors import ConfigurationError, PolicyError
from hanse.policies import ConsentEvent, ConsentLedger, IngestReport, Pseudonymiser
from hanse.policies.ledger.csv_rows import MAX_LINE_BYTES, CsvSource
from hanse.policies.ledger.intake import Intake

HEADER = (
    "event_id,subject_ref,state,purposes,given_at,expires_at,controller,recipients,categories,notice_version,"
    "notice_sha256,notice_published_at,method,preticked,bundled,jurisdiction,storage_country,legal_basis,"
    "conditional,guardian_ref,age_at_least,withdrawal_method,hidden_columns,hidden_categories"
)


def row(number: int, **cells: str) -> str:
    """One CSV line of a grant that admits."""
    values = {
        "event_id": f"e{number}",
        "subject_ref": f"{number:032x}",
        "state": "given",
        "purposes": "joint_modelling.propensity|scoring.marketing",
        "given_at": "2026-01-20T10:00:00Z",
        "expires_at": "2027-01-20T10:00:00Z",
        "controller": "Nordwagen AG",
        "recipients": "Hanse Versicherung Süd",
        "categories": "basic|behavioural",
        "notice_version": "2.1",
        "notice_sha256": "ab" * 32,
        "notice_published_at": "2026-01-01T00:00:00Z",
        "method": "active_click",
        "preticked": "false",
        "bundled": "false",
        "jurisdiction": "DE",
        "storage_country": "DE",
        "legal_basis": "consent",
        "conditional": "false",
        "guardian_ref": "",
        "age_at_least": "18",
        "withdrawal_method": "link in every message",
        "hidden_columns": "",
        "hidden_categories": "",
        **cells,
    }
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(values[name] for name in HEADER.split(","))
    return stream.getvalue()


@pytest.fixture
def ledger(file_ledger: ConsentLedger) -> ConsentLedger:
    return file_ledger


def ingest(
    ledger: ConsentLedger, data: bytes | str, now: datetime, key: Pseudonymiser | None = None
) -> IngestReport:
    with tempfile.TemporaryDirectory(prefix="hanse-ingest-") as folder:
        path = Path(folder) / "events.csv"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return ledger.ingest_csv(path, now, key)


def read(data: bytes, now: datetime) -> tuple[dict[int, str], dict[int, str]]:
    """Line number and event id of every event, and line number and reason of every other line."""
    intake = Intake(CsvSource(io.BytesIO(data)), now, None)
    events: dict[int, str] = {}
    reasons: dict[int, str] = {}
    for batch, refused in intake.batches(1000):
        events.update(zip(batch.numbers, batch.event_ids, strict=True))
        reasons.update(refused)
    return events, reasons


def test_a_good_file_stands(ledger: ConsentLedger, now: datetime) -> None:
    text = "\n".join([HEADER, *(row(i) for i in range(1000)), ""])
    report = ingest(ledger, text, now)
    assert (report.accepted, report.repeated, report.refused_total, report.refused) == (1000, 0, 0, ())
    standings = ledger.snapshot(now).standings["joint_modelling.propensity"]
    assert [standings[f"{i:032x}"].state for i in range(1000)] == ["given"] * 1000
    again = ingest(ledger, text, now)
    assert (again.accepted, again.repeated) == (0, 1000)
    ledger.verify()


# what a line says -> what the reason must name
HOSTILE: dict[str, tuple[bytes, str]] = {
    "not UTF-8": (row(900).encode().replace("ü".encode(), b"\xfc"), "UTF-8"),
    "UTF-16": (row(900).encode("utf-16-le"), ""),
    "formula": (
        row(900, controller="=HYPERLINK(1)").encode(),
        "controller: begins like a spreadsheet formula",
    ),
    "formula with plus": (row(900, notice_version="+1").encode(), "notice_version"),
    "formula with at": (row(900, recipients="@SUM").encode(), "recipients"),
    "open quote": (b'e900,"' + row(900).encode(), "quote marks"),
    "quote in the middle": (b'e900,"a"b' + b"," * 22, "quote marks"),
    "too few cells": (b"e900,abc", "has 2 cells"),
    "too many cells": (row(900).encode() + b",more", "has 25 cells"),
    "carriage return inside": (row(900).encode().replace(b"Nordwagen", b"Nord\rwagen"), ""),
    "NUL": (row(900, controller="Nord\0wagen").encode(), "controller"),
    "identifier in the place of a pseudonym": (
        row(900, subject_ref="erika@example.org").encode(),
        "pseudonym",
    ),
    "phone number": (row(900, subject_ref="49151234567").encode(), "pseudonym"),
    "future grant": (row(900, given_at="2026-03-01T12:00:01Z").encode(), "given_at is in the future"),
    "year 9999": (row(900, given_at="9999-12-31T23:59:59-14:00").encode(), "given_at"),
    "date without time": (row(900, given_at="2026-01-20").encode(), "given_at: write a time"),
    "unix time": (row(900, given_at="1768903200").encode(), "given_at: write a time"),
    "unknown state": (row(900, state="GIVEN").encode(), "state"),
    "unknown purpose": (row(900, purposes="joint_modelling|all").encode(), "purposes"),
    "empty purpose": (row(900, purposes="joint_modelling|").encode(), "purposes"),
    "no purpose": (row(900, purposes="").encode(), "purposes: is missing"),
    "flag as word": (row(900, preticked="no").encode(), "preticked: write true or false"),
    "flag as number": (row(900, bundled="0").encode(), "bundled: write true or false"),
    "digest cut": (row(900, notice_sha256="abcd").encode(), "notice_sha256"),
    "country name": (row(900, jurisdiction="Germany").encode(), "jurisdiction"),
    "id of another event": (row(1, preticked="true").encode(), "event_id: another event has it"),
    "very long": (b"x" * (3 * MAX_LINE_BYTES), "longer than"),
    "long to the byte": (b"x" * MAX_LINE_BYTES, "longer than"),
    "hidden text": (row(900, controller="Nord\u202ewagen").encode(), "controller: write visible text"),
}


@pytest.mark.parametrize(("line", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_bad_row_is_refused_by_line_and_its_neighbours_are_kept(
    ledger: ConsentLedger, now: datetime, line: bytes, reason: str
) -> None:
    data = b"\r\n".join([HEADER.encode(), row(1).encode(), line, b"", row(2).encode()])
    report = ingest(ledger, data, now)
    assert (report.accepted, report.repeated, report.refused_total) == (2, 0, 1)
    assert report.refused[0].line == 3
    assert reason in report.refused[0].reason
    assert "erika" not in report.refused[0].reason
    assert "49151234567" not in report.refused[0].reason
    assert ledger.snapshot(now).size == 2


def test_all_of_them_at_once_lose_no_good_row(ledger: ConsentLedger, now: datetime) -> None:
    lines = [HEADER.encode()]
    bad = []
    for i, (line, _) in enumerate(HOSTILE.values()):
        lines += [row(i).encode(), line]
        bad.append(len(lines))
    report = ingest(ledger, b"\n".join(lines), now)
    assert report.accepted == len(HOSTILE)
    assert [refusal.line for refusal in report.refused] == bad


def test_withdrawals_are_taken_whatever_their_clock_says(ledger: ConsentLedger, now: datetime) -> None:
    header = "event_id,subject_ref,state,purposes,given_at"
    lines = [
        header,
        f"w1,{1:032x},withdrawn,joint_modelling,2099-01-01T00:00:00Z",
        f"w2,{2:032x},withdrawn,scoring,",
    ]
    ingest(ledger, "\n".join([HEADER, row(1), row(2)]), now)
    report = ingest(ledger, "\n".join(lines), now)
    assert report.accepted == 2
    assert ledger.subject(f"{1:032x}")["joint_modelling.propensity"].state == "withdrawn"
    assert ledger.subject(f"{2:032x}")["scoring.marketing"].state == "withdrawn"


def test_identifiers_become_pseudonyms_on_the_way_in(
    ledger: ConsentLedger, tmp_path: Path, now: datetime
) -> None:
    key = Pseudonymiser(b"k" * 32)
    text = (
        "event_id,subject,state,purposes\ne1,C-1042,given,scoring\ne2,,given,scoring\ne3,  ,given,scoring\n"
    )
    report = ingest(ledger, text, now, key)
    assert report.accepted == 1
    assert [refusal.line for refusal in report.refused] == [3, 4]
    assert "scoring" in ledger.subject(key.ref("C-1042"))
    assert b"C-1042" not in b"".join(p.read_bytes() for p in tmp_path.glob("consent.db*"))
    with pytest.raises(PolicyError, match="subject_ref"):
        ingest(ledger, text, now)


BAD_HEADERS = {
    "empty file": b"",
    "no header": row(1).encode(),
    "required column missing": b"event_id,subject_ref,state\n",
    "unknown column": HEADER.encode() + b",phone\n",
    "column twice": HEADER.encode() + b",state\n",
    "recorded_at is ours": HEADER.encode() + b",recorded_at\n",
    "both names of the subject": HEADER.encode() + b",subject\n",
    "not UTF-8": HEADER.encode("utf-16"),
    "very long": b"x" * (2 * MAX_LINE_BYTES),
    "open quote": b'"event_id',
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_without_a_header_no_row_means_anything(ledger: ConsentLedger, now: datetime, header: bytes) -> None:
    with pytest.raises(PolicyError, match="line 1: the header must name") as refusal:
        ingest(ledger, header + b"\n" + row(1).encode(), now, Pseudonymiser(b"k" * 32))
    assert refusal.value.code == "policy.invalid"
    assert ledger.head() == 0


def test_a_byte_order_mark_is_no_part_of_the_header(ledger: ConsentLedger, now: datetime) -> None:
    assert ingest(ledger, b"\xef\xbb\xbf" + f"{HEADER}\n{row(1)}\n".encode(), now).accepted == 1


def test_a_missing_file_is_named(ledger: ConsentLedger, tmp_path: Path, now: datetime) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        ledger.ingest_csv(tmp_path / "nothing.csv", now)
    assert refusal.value.code == "config.missing-file"


def test_the_longest_line_is_still_a_line(now: datetime) -> None:
    longest = b"x" * (MAX_LINE_BYTES - 1)
    events, reasons = read(b"\n".join([HEADER.encode(), longest, longest + b"x", b"y"]), now)
    assert events == {}
    assert reasons == {
        2: "has 1 cells, the header has 24",
        3: f"longer than {MAX_LINE_BYTES} bytes",
        4: "has 1 cells, the header has 24",
    }


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_reading_rows_is_total_and_keeps_the_good_one(now: datetime, data: bytes) -> None:
    body = data.replace(b"\n", b" ")
    events, reasons = read(b"\n".join([HEADER.encode(), body, row(1).encode()]), now)
    assert events == {3: "e1"}
    assert reasons.keys() <= {2}


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_reading_any_file_is_total(now: datetime, data: bytes) -> None:
    with pytest.raises(PolicyError):
        read(data, now)


_MEMORY = """
import re, sys
from datetime import UTC, datetime
from pathlib import Path
from hanse.policies import ConsentLedger

def peak_kib():  # of this program alone; what getrusage says begins with the peak of whoever started it
    return int(re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1])

with ConsentLedger(Path(sys.argv[1])) as ledger:
    before = peak_kib()
    report = ledger.ingest_csv(Path(sys.argv[2]), datetime(2026, 3, 1, tzinfo=UTC))
    print(report.accepted, report.refused_total, len(report.refused),
          peak_kib() - before)
"""


def test_memory_stays_bounded_on_a_hostile_ten_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "hostile.csv"
    bad = b"x\n" * 50_000 + b"y" * 10_000_000 + b"\n"
    path.write_bytes(f"{HEADER}\n{row(1)}\n".encode() + bad + row(2).encode())
    command = [sys.executable, "-c", _MEMORY, str(tmp_path / "consent.db"), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    accepted, refused, listed, grown_kib = map(int, result.stdout.split())
    assert (accepted, refused, listed) == (2, 50_001, 10_000)
    assert grown_kib < 40_000


def test_every_column_has_its_place_in_the_header(grant: Callable[..., ConsentEvent]) -> None:
    assert set(HEADER.split(",")) == set(ConsentEvent.model_fields) - {"recorded_at"}
    assert grant().model_dump()["recorded_at"]
