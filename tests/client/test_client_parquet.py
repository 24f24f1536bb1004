"""Consent events from Parquet files: typed columns, and bytes that mean harm."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.client import parquet
from hanse.client.parquet import open_parquet
from hanse.errors import ConfigurationError, HanseError, PolicyError
from hanse.policies import ConsentLedger, IngestReport, Pseudonymiser

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REF = "0" * 32


def write(path: Path, select: str) -> Path:
    duckdb.sql(f"SET TimeZone = 'UTC'; COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


def ingest(ledger: ConsentLedger, path: Path, key: Pseudonymiser | None = None) -> IngestReport:
    with open_parquet(path) as source:
        return ledger.ingest(source, NOW, key)


@pytest.fixture
def ledger(tmp_path: Path) -> ConsentLedger:
    return ConsentLedger(tmp_path / "consent.db")


def test_columns_of_every_type(ledger: ConsentLedger, tmp_path: Path) -> None:
    select = """
        SELECT 'e' || i AS event_id, lpad(i::VARCHAR, 32, '0') AS subject_ref, 'given' AS state,
            ['joint_modelling', 'scoring'] AS purposes, TIMESTAMPTZ '2026-01-20 10:00:00.5+00' AS given_at,
            '2027-01-20T10:00:00Z' AS expires_at, TIMESTAMPTZ '2026-01-01 00:00:00+00' AS notice_published_at,
            ['Hanse | Süd', 'B, C'] AS recipients, 'basic|behavioural' AS categories, false AS preticked,
            'false' AS bundled, 18 AS age_at_least, NULL::VARCHAR AS controller
        FROM range(3000) t(i)"""
    report = ingest(ledger, write(tmp_path / "a.parquet", select))
    assert (report.accepted, report.refused, report.stopped) == (3000, (), None)
    standing = ledger.subject("1".zfill(32))["joint_modelling.propensity"]
    assert (standing.given_ms, standing.age_at_least) == (1_768_903_200_500, 18)
    terms = standing.terms
    assert terms is not None
    assert (terms.recipients, terms.categories) == (("Hanse | Süd", "B, C"), ("basic", "behavioural"))
    assert (terms.preticked, terms.bundled, terms.controller) == (False, False, None)
    assert terms.notice_published_ms == 1_767_225_600_000
    assert ledger.snapshot(NOW).synced_at == NOW


def test_a_large_file_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_MEMORY_MIB", 48)
    select = (
        "SELECT 'e' || i AS event_id, md5(i::VARCHAR) AS subject_ref, 'given' AS state,"
        " 'scoring' AS purposes,"
        " 'Nordwagen AG' AS controller, repeat('x', 300) || (i % 7) AS withdrawal_method"
        " FROM range(400000) t(i)"
    )
    path = write(tmp_path / "large.parquet", select)
    with open_parquet(path) as source:
        assert sum(len(block.numbers) for block in source.blocks()) == 400_000


def test_bad_rows_are_refused_by_number(ledger: ConsentLedger, tmp_path: Path) -> None:
    rows = [
        ("e1", REF, "scoring", "2026-01-20 10:00:00+00", "Nordwagen AG"),
        ("e2", REF, "nothing", "2026-01-20 10:00:00+00", "Nordwagen AG"),
        ("e3", "erika@example.org", "scoring", "2026-01-20 10:00:00+00", "Nordwagen AG"),
        ("e4", REF, "scoring", "infinity", "Nordwagen AG"),
        ("e5", REF, "scoring", "2026-12-31 10:00:00+00", "Nordwagen AG"),
        ("e6", REF, "scoring", "290000-01-01 10:00:00+00", "Nordwagen AG"),
        ("e7", REF, "scoring", "2026-01-20 10:00:00+00", "=cmd"),
        ("e8", REF, "scoring", "2026-01-20 10:00:00+00", "Nord\x1fwagen"),
        ("e9", REF, "scoring", "2026-01-20 10:00:00+00", "x" * 70_000),
        ("x" * 70_000, REF, "scoring", "2026-01-20 10:00:00+00", "Nordwagen AG"),
        ("e11", REF, "scoring", None, None),
        (None, REF, "scoring", None, None),
    ]
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        "CREATE TABLE t (event_id VARCHAR, subject_ref VARCHAR, purposes VARCHAR,"
        " given_at TIMESTAMPTZ, controller VARCHAR, state VARCHAR DEFAULT 'given')"
    )
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, DEFAULT)", rows)
    connection.execute(f"COPY t TO '{tmp_path / 'b.parquet'}' (FORMAT parquet)")
    report = ingest(ledger, tmp_path / "b.parquet")
    assert report.accepted == 2
    assert [refusal.line for refusal in report.refused] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
    reasons = {refusal.line: refusal.reason for refusal in report.refused}
    for line, word in {2: "purposes", 3: "pseudonym", 4: "given_at", 5: "future", 7: "formula"}.items():
        assert word in reasons[line]
    assert "erika" not in str(reasons)


def test_identifiers_become_pseudonyms(ledger: ConsentLedger, tmp_path: Path) -> None:
    key = Pseudonymiser(b"k" * 32)
    select = "SELECT 'e1' AS event_id, 'C-1' AS subject, 'given' AS state, 'scoring' AS purposes"
    path = write(tmp_path / "a.parquet", select)
    assert ingest(ledger, path, key).accepted == 1
    assert ledger.subject(key.ref("C-1"))
    with pytest.raises(PolicyError, match="subject_ref"):
        ingest(ledger, path)


GOOD = "'e1' AS event_id, 'a' AS subject_ref, 'given' AS state, 'scoring' AS purposes"
WRONG = {
    "a number for an id": GOOD.replace("'e1'", "1"),
    "bytes for a pseudonym": GOOD.replace("'a'", "'a'::BLOB"),
    "a number for a flag": f"{GOOD}, 0 AS preticked",
    "a time without zone": f"{GOOD}, TIMESTAMP '2026-01-20 10:00:00' AS given_at",
    "a date": f"{GOOD}, DATE '2026-01-20' AS given_at",
    "a structure": f"{GOOD}, {{'a': 1}} AS controller",
    "a list of numbers": GOOD.replace("'scoring'", "[1]"),
    "a fraction": f"{GOOD}, 18.5 AS age_at_least",
    "a column that nobody knows": f"{GOOD}, 'x' AS phone",
    "a column missing": "'e1' AS event_id",
}


@pytest.mark.parametrize("columns", WRONG.values(), ids=WRONG)
def test_columns_that_mean_nothing_are_refused(ledger: ConsentLedger, tmp_path: Path, columns: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        ingest(ledger, write(tmp_path / "a.parquet", f"SELECT {columns}"))
    assert refusal.value.code == "policy.invalid"
    assert ledger.head() == 0


def test_what_is_no_parquet_file(ledger: ConsentLedger, tmp_path: Path) -> None:
    good = write(tmp_path / "a.parquet", f"SELECT {GOOD} FROM range(5000)").read_bytes()  # noqa: S608
    for data in (b"", b"PAR1", good[:-100], good[:100] + good[-100:], b"event_id,subject_ref\n"):
        (tmp_path / "bad.parquet").write_bytes(data)
        with pytest.raises(ConfigurationError) as refusal:
            ingest(ledger, tmp_path / "bad.parquet")
        assert refusal.value.code == "config.bad-data"
    with pytest.raises(ConfigurationError) as missing:
        ingest(ledger, tmp_path / "nothing.parquet")
    assert missing.value.code == "config.missing-file"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1), data=st.binary(max_size=30))
def test_reading_any_file_is_total(tmp_path: Path, position: float, data: bytes) -> None:
    path = tmp_path / "fuzzed.parquet"
    if not (tmp_path / "whole.parquet").exists():
        write(tmp_path / "whole.parquet", f"SELECT {GOOD} FROM range(3000)")  # noqa: S608
    whole = (tmp_path / "whole.parquet").read_bytes()
    place = int(position * len(whole))
    path.write_bytes(whole[:place] + data + whole[place + len(data) :])
    try:
        with open_parquet(path) as source:
            for block in source.blocks():
                assert len(block.numbers) <= 2048
    except HanseError:
        pass


def test_a_file_of_more_rows_than_its_size_can_hold(
    ledger: ConsentLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MAX_ROWS", 10_000)
    path = write(
        tmp_path / "a.parquet",
        f"SELECT {GOOD.replace(chr(39) + 'a' + chr(39), repr(REF))} FROM range(200000)",  # noqa: S608
    )
    report = ingest(ledger, path)
    assert report.stopped is not None
    assert "more than its size can hold" in report.stopped
    assert report.accepted == 1  # all of them are the same event
    assert ledger.snapshot(NOW).synced_at is None


def test_a_row_group_that_is_too_large_ends_the_import(
    ledger: ConsentLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MAX_CHUNK_BYTES", 100_000)
    path = tmp_path / "groups.parquet"
    select = (
        f"SELECT 'e' || i AS event_id, '{REF}' AS subject_ref, 'given' AS state, 'scoring' AS purposes,"  # noqa: S608
        " CASE WHEN i < 4096 THEN 'x' ELSE md5(i::VARCHAR) END AS controller FROM range(10000) t(i)"
    )
    duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 4096)")
    report = ingest(ledger, path)
    assert report.accepted == 4096
    assert report.stopped is not None
    assert report.stopped.startswith("row 4097: ")


_BOMB = """
import re, sys
from datetime import UTC, datetime
from pathlib import Path
from hanse.client.parquet import open_parquet
from hanse.errors import ConfigurationError
from hanse.policies import ConsentLedger

def peak_kib():  # of this program alone; what getrusage says begins with the peak of whoever started it
    return int(re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1])

with ConsentLedger(Path(sys.argv[1])) as ledger, open_parquet(Path(sys.argv[2])) as source:
    report = ledger.ingest(source, datetime(2026, 3, 1, tzinfo=UTC))
    print(report.accepted, report.stopped is not None or report.refused_total > 0,
          peak_kib() // 1024)
"""


def test_a_bomb_is_held_within_bounds(tmp_path: Path) -> None:
    """A thousand cells of a mebibyte each, in a file of some kilobytes."""
    path = tmp_path / "bomb.parquet"
    select = (
        f"SELECT 'e' || i AS event_id, '{REF}' AS subject_ref, 'given' AS state, 'scoring' AS purposes,"  # noqa: S608
        " CASE WHEN i < 10 THEN 'x' ELSE repeat('y', 1 << 20) || (i % 2) END AS controller"
        " FROM range(1024) t(i)"
    )
    duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    assert path.stat().st_size < 1 << 20
    command = [sys.executable, "-c", _BOMB, str(tmp_path / "consent.db"), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    accepted, told, peak_mib = result.stdout.split()
    assert told == "True"
    assert int(accepted) == 10
    assert int(peak_mib) < parquet.MAX_MEMORY_MIB + 400
