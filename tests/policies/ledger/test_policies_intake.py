"""The fast way in takes exactly what the model takes, and says of the rest what the model says."""

import csv
import gzip
import io
import re
import subprocess
import sys
from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from hanse.errors import ConfigurationError, HanseError, PolicyError
from hanse.policies import ConsentEvent, ConsentLedger, Pseudonymiser
from hanse.policies.fields import from_ms
from hanse.policies.ledger.csv_rows import CsvSource, open_csv
from hanse.policies.ledger.intake import Block, Intake, block_of, read_event
from hanse.policies.ledger.sql_rows import open_sql
from hanse.policies.ledger.tables import STATES

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Pseudonymiser(b"k" * 32)
EARLIEST_MS = -62_135_596_800_000  # year 1
LATEST_MS = 253_402_300_799_999  # year 9999
COLUMNS = [name for name in ConsentEvent.model_fields if name != "recorded_at"]

_TIMES = st.sampled_from(
    [
        "",
        "2026-01-20T10:00:00Z",
        "2026-01-20T10:00:00.123456Z",
        "2026-01-20T10:00:00+02:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59.999Z",
        "2026-02-30T00:00:00Z",
        "2026-01-20T24:00:00Z",
        "2026-01-20T23:59:60Z",
        "2026-01-20",
        "2026-01-20 10:00:00Z",
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00.001Z",
        "1768903200",
        "\uff12026-01-20T10:00:00Z",
        "2026-01-20T10:00:00Z ",
    ]
)
_WORDS = st.sampled_from(
    [
        "",
        " ",
        "DE",
        "given",
        "withdrawn",
        "narrowed",
        "scoring",
        "basic",
        "true",
        "14",
        "=1",
        "x|y",
        "ü",
        "\u202e",
    ]
)
_CELLS: dict[str, st.SearchStrategy[str]] = {
    "event_id": st.sampled_from(["e1", "", "e 1", "-e", "é", "e" * 64, "e" * 65, "=e", "e\u0660"]),
    "subject_ref": st.sampled_from(["0" * 32, "f" * 32, "F" * 32, "", "0" * 31, "\u0660" * 32, "0" * 33]),
    "state": st.sampled_from([*STATES, "", "GIVEN"]),
    "purposes": st.sampled_from(["scoring", "joint_modelling|scoring", "", "scoring|", "nothing"]),
    "given_at": _TIMES,
    "expires_at": _TIMES,
    "notice_published_at": _TIMES,
    "age_at_least": st.sampled_from(["", "0", "18", "120", "121", "-1", "1.5", "\u0663"]),
    "guardian_ref": st.sampled_from(["", "a" * 32, "A" * 32]),
    "hidden_columns": st.sampled_from(["", "km", "km|age", "km|", "=km"]),
    "legal_basis": st.sampled_from(["", "consent", "contract", "none"]),
}
_ROWS = st.fixed_dictionaries({name: _CELLS.get(name, _WORDS) for name in COLUMNS})
_GOOD = dict.fromkeys(COLUMNS, "") | {
    "event_id": "e1",
    "subject_ref": "0" * 32,
    "state": "given",
    "purposes": "scoring",
    "given_at": "2026-01-20T10:00:00Z",
}


def lines(rows: list[dict[str, str]]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def took(source: Any, key: Pseudonymiser | None = None) -> dict[int, Any]:
    """By line: act and terms of an event, or the reason why there is none."""
    found: dict[int, Any] = {}
    for batch, refused in Intake(source, NOW, key).batches(7):
        for number, row, form in zip(
            batch.numbers, batch.rows(range(len(batch.forms))), batch.terms, strict=True
        ):
            found[number] = (row.act, batch.forms[form])
        found.update(refused)
    return found


def says(cells: dict[str, Any], key: Pseudonymiser | None = None) -> Any:
    """The same from the model."""
    event = read_event(cells, NOW, key)
    return event if isinstance(event, str) else (event.act, event.terms)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(
        _ROWS | st.builds(lambda row: _GOOD | row, st.fixed_dictionaries({}, optional=_CELLS)), max_size=12
    )
)
@example(rows=[_GOOD, _GOOD | {"given_at": ""}, _GOOD | {"given_at": "2026-01-20"}])
def test_what_is_taken_is_what_the_model_takes(rows: list[dict[str, str]]) -> None:
    source = CsvSource(io.BytesIO(lines(rows)))
    typed = [source.cells(form_of(source, row)) for row in rows]
    expected = {}
    for number, (row, shared) in enumerate(zip(rows, typed, strict=True), start=2):
        own = {name: row[name] for name in ("event_id", "subject_ref", "given_at", "expires_at")}
        expected[number] = shared if isinstance(shared, str) else says({**shared, **own})
    assert took(source) == expected


def form_of(source: CsvSource, row: dict[str, str]) -> Hashable:
    """The key under which a source keeps the shared cells of a row."""
    (block,) = CsvSource(io.BytesIO(lines([row]))).blocks()
    assert source.has_identifiers is False
    return block.forms[0]


class Listed:
    """A source of rows that are there already."""

    has_identifiers = True

    def __init__(self, rows: list[tuple[int, Any, Any, Any, Any, Any]]) -> None:
        self._rows = rows

    def blocks(self) -> Iterator[Block]:
        yield block_of(self._rows, [])

    def cells(self, form: Hashable) -> dict[str, object]:
        assert form == "form"
        return {"state": "given", "purposes": ("scoring",)}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=4) | st.just("=1"),
            st.integers(-(1 << 62), 1 << 62) | st.just("") | _TIMES,
        ),
        max_size=8,
    )
)
def test_identifiers_and_numbers_of_milliseconds(cells: list[tuple[str, str | int]]) -> None:
    rows = [(n, f"e{n}", subject, given, "", "form") for n, (subject, given) in enumerate(cells)]
    found = took(Listed(rows), KEY)
    for number, event_id, subject, time, expires, _ in rows:
        shared = {"state": "given", "purposes": ("scoring",)}
        given_at = from_ms(time) if isinstance(time, int) and EARLIEST_MS <= time <= LATEST_MS else time
        own = {"event_id": event_id, "subject": subject, "given_at": given_at, "expires_at": expires}
        assert found[number] == says({**shared, **own}, KEY)


def test_events_of_ten_megabytes_with_bad_rows_among_them(tmp_path: Path) -> None:
    """Exactly the bad rows are refused, by line; no good row is lost; memory stays bounded."""
    tail = "given,scoring,2026-01-20T10:00:00Z,2027-01-20T10:00:00Z,Nordwagen AG,2.1,active_click,false,false"
    header = (
        "event_id,subject_ref,state,purposes,given_at,expires_at,controller,notice_version,method,preticked,"
        "bundled"
    )
    hostile = [
        b"\xff\xfe" + "ü".encode("utf-16"),
        b'stray " quote' + b"," * 10,
        b"e,\0,given,scoring" + b"," * 7,
        f"=1+1,{0:032x},{tail}".encode(),
        f"future,{0:032x},{tail}".replace("2026-01-20", "2026-12-31").encode(),
        b"y" * 70_000,
        f"g0,{1:032x},{tail}".encode(),  # an id that another event has
        b"one,two",
    ]
    bad: list[int] = []
    path = tmp_path / "hostile.csv"
    with path.open("wb") as file:
        file.write(header.encode() + b"\n")
        line = 1
        for n in range(60_000):
            file.write(f"g{n},{n:032x},{tail}\n".encode())
            line += 1
            if n % 600 == 0:
                file.write(hostile[n // 600 % len(hostile)] + b"\n")
                line += 1
                bad.append(line)
    assert path.stat().st_size > 9_000_000
    command = [sys.executable, "-c", _MEASURED, str(tmp_path / "consent.db"), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    accepted, refused, grown_kib = result.stdout.split(";")
    assert int(accepted) == 60_000
    assert [int(number) for number in refused.split(",")] == bad
    assert int(grown_kib) < 120_000  # two batches of events, and the database's cache


_MEASURED = """
import re, sys
from datetime import UTC, datetime
from pathlib import Path
from hanse.policies import ConsentLedger

def peak_kib():  # of this program alone; what getrusage says begins with the peak of whoever started it
    return int(re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1])

with ConsentLedger(Path(sys.argv[1])) as ledger:
    before = peak_kib()
    report = ledger.ingest_csv(Path(sys.argv[2]), datetime(2026, 3, 1, tzinfo=UTC))
    grown = peak_kib() - before
    print(report.accepted, ",".join(str(row.line) for row in report.refused), grown, sep=";")
"""


@pytest.mark.parametrize(
    "filler", [b"\0", pytest.param(b"\n", marks=pytest.mark.slow)], ids=["one line", "many lines"]
)
def test_a_bomb_ends_the_import_after_the_good_rows(tmp_path: Path, filler: bytes) -> None:
    """A gibibyte in a megabyte."""
    path = tmp_path / "bomb.csv.gz"
    member = gzip.compress(filler * (1 << 24), mtime=0)  # a gzip file may be many, one after the other
    path.write_bytes(gzip.compress(lines([_GOOD])) + member * 64)
    assert path.stat().st_size < 3_000_000
    command = [
        sys.executable,
        "-c",
        _MEASURED.replace("report.accepted", "report.stopped"),
        str(tmp_path / "c.db"),
        str(path),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    stopped, _, grown_kib = result.stdout.split(";")
    assert "times as large as the file" in stopped
    assert int(grown_kib) < 120_000
    with ConsentLedger(tmp_path / "c.db") as ledger:
        assert ledger.head() == 1
        assert ledger.standing_rows().synced_at is None


def test_a_cut_gzip_file_keeps_what_came_before(file_ledger: ConsentLedger, tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    whole = gzip.compress(lines([_GOOD | {"event_id": f"e{n}"} for n in range(5000)]), mtime=0)
    path.write_bytes(whole[:-200])
    report = file_ledger.ingest_csv(path, NOW)
    assert report.stopped is not None
    assert "cut off" in report.stopped
    assert 0 < report.accepted < 5000
    assert file_ledger.snapshot(NOW).synced_at is None
    path.write_bytes(whole)
    again = file_ledger.ingest_csv(path, NOW)
    assert (again.accepted + again.repeated, again.stopped) == (5000, None)
    for data in (b"", b"not gzip", whole[:5]):
        path.write_bytes(data)
        with pytest.raises(HanseError):
            file_ledger.ingest_csv(path, NOW)


@settings(deadline=None)
@given(data=st.binary(max_size=300))
def test_reading_any_gzip_file_is_total(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("gzip") / "x.csv.gz"
    path.write_bytes(gzip.compress(lines([_GOOD]))[:40] + data)
    try:
        with open_csv(path) as source:
            took(source)
    except (PolicyError, ConfigurationError):
        pass


# --- queries


def test_rows_of_a_query(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/crm.db"
    engine = create_engine(url)
    rows = [
        ("e1", "C-1", "given", "scoring", "2026-01-20T10:00:00Z", True, 18),
        ("e2", "C-2", "given", "scoring", None, False, None),
        ("e3", "C-3", "given", "scoring", "2026-01-20", False, 18),
        ("e4", b"C-4", "given", "scoring", None, False, 18),
        ("e5", "C-5", "given", "scoring", None, False, 1.5),
        (6, "C-6", "given", "scoring", None, False, 18),
        ("e7", "=C", "given", "scoring", None, False, 18),
    ]
    names = ("event_id", "subject", "state", "purposes", "given_at", "preticked", "age_at_least")
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE consents ({', '.join(names)})"))
        for row in rows:
            connection.exec_driver_sql("INSERT INTO consents VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    query = "SELECT event_id, subject, state, purposes, given_at, age_at_least FROM consents ORDER BY rowid"
    with open_sql(url, query) as source:
        found = took(source, KEY)
    assert {number for number, taken in found.items() if isinstance(taken, tuple)} == {1, 2, 6}
    assert found[1][0].subject_ref == KEY.ref("C-1")
    assert found[1][0].age_at_least == 18
    assert found[2][0].given_ms is None
    assert "given_at" in found[3]
    assert found[4].startswith("subject: write text")
    assert found[5].startswith("age_at_least: write text")
    assert "formula" in found[7]
    assert not any(re.search("C-[0-9]", reason) for reason in found.values() if isinstance(reason, str))


BAD_QUERIES = {
    "no table": ("sqlite://", "SELECT * FROM nothing"),
    "no SQL": ("sqlite://", "hello"),
    "columns that mean nothing": ("sqlite://", "SELECT 1 AS a"),
    "no URL": ("hello", "SELECT 1"),
    "no driver": ("nosuch://x/y", "SELECT 1"),
    "nobody there": ("postgresql+psycopg://u:hunter2@127.0.0.1:1/x", "SELECT 1"),
}


@pytest.mark.parametrize(("url", "query"), BAD_QUERIES.values(), ids=BAD_QUERIES)
def test_a_query_that_cannot_be_read_is_an_error_of_ours(url: str, query: str) -> None:
    with pytest.raises((ConfigurationError, PolicyError)) as refusal, open_sql(url, query) as source:
        took(source)
    assert "hunter2" not in str(refusal.value)


def test_the_builder_is_needed(grant: Callable[..., ConsentEvent]) -> None:
    assert set(COLUMNS) == set(grant().model_dump()) - {"recorded_at"}
