"""`hanse score` against a real scorer: every row in the output, cut or not, by subject or with columns."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import grpc
import pytest
from tests.scoring.conftest import (
    AGES,
    CALLER,
    GRANTED,
    JOBS,
    PURPOSE,
    UNKNOWN,
    MemberSite,
    RunningScorer,
    make_grant,
    make_site,
)
from typer.testing import CliRunner

from hanse.cli.main import app
from hanse.client.data import DatasetManifest, DeclaredColumn
from hanse.client.features import make_features
from hanse.client.scoring.calls import Asking, BySubject, Question
from hanse.client.scoring.job import Job, run_job, state_path
from hanse.client.scoring.state import Answered
from hanse.client.scoring.tables import InputFile
from hanse.errors import HanseError, ServingError
from hanse.server.scoring import Local

PEOPLE = tuple(f"person-{number:03d}" for number in range(60))
ROWS = [
    (person, AGES[number % 8], JOBS[number % 8]) for number, person in enumerate((*PEOPLE, UNKNOWN, *GRANTED))
]
DECLARED = (
    DeclaredColumn(name="age", kind="numeric", classification="basic"),
    DeclaredColumn(name="job", kind="categorical", classification="basic"),
)
Output = list[dict[str, str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> MemberSite:
    site = make_site(tmp_path_factory.mktemp("bulk"))
    with site.ledger as ledger:
        ledger.record(make_grant(site.ref(person)) for person in PEOPLE[:50])
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (subject_id VARCHAR, age DOUBLE, job VARCHAR)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", ROWS[:-2])
        connection.execute(f"COPY t TO '{site.root}/crm.parquet' (FORMAT parquet)")
    (site.root / "crm").mkdir()
    for source, target in [
        ("authority.crt", "serving-authority.crt"),
        (f"{CALLER}.key", "tls.key"),
        (f"{CALLER}.crt", "tls.crt"),
    ]:
        (site.root / "crm" / target).write_bytes((site.root / source).read_bytes())
    (site.root / "crm" / "tls.key").chmod(0o600)
    return site


@pytest.fixture(scope="module")
def scorer(site: MemberSite) -> Iterator[RunningScorer]:
    manifest = DatasetManifest(
        name="crm", path=site.root / "crm.parquet", subject_column="subject_id", columns=DECLARED
    )
    with RunningScorer(site.settings, local=Local(make_features(manifest), lambda _: None)) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with (tmp_path / "in.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("subject_id", "age", "job"), *ROWS])
    return tmp_path / "in.csv"


def arguments(site: MemberSite, address: str, source: Path, out: Path) -> list[str]:
    fixed = ["--model", "propensity", "--purpose", PURPOSE, "--caller", str(site.root / "crm")]
    return ["score", "--in", str(source), "--out", str(out), "--server", address, *fixed]


def invoke(site: MemberSite, scorer: RunningScorer, source: Path, out: Path, *more: str) -> Any:
    line = [*arguments(site, scorer.address, source, out), "--batch-rows", "8", *more]
    return CliRunner().invoke(app, line, catch_exceptions=True)


def read(path: Path) -> Output:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_is_in_the_output_with_a_score_or_a_rule(
    site: MemberSite, scorer: RunningScorer, source: Path, tmp_path: Path
) -> None:
    done = invoke(site, scorer, source, tmp_path / "out.csv", "--json")
    assert done.exit_code == 0, done.output
    output = read(tmp_path / "out.csv")
    assert [row["subject_id"] for row in output] == [row[0] for row in ROWS]
    admitted = [number < 50 or 61 <= number < 67 for number in range(len(ROWS))]
    assert [row["decision"] == "permit" for row in output] == admitted
    assert {row["rule"] for row in output} == {"", "P26"}
    assert all(bool(row["score"]) is (row["decision"] == "permit") for row in output)
    assert all(len(row["score"]) <= 4 for row in output)  # as rounded, not as float32 writes it
    told = json.loads(done.stdout)
    assert (told["rows"], told["scored"], told["refused"]) == (69, 56, {"P26": 13})
    assert (told["model"], told["opt_out_available"]) == ("propensity@3", True)
    first, last = told["log"]
    assert last - first == 8  # nine batches, one entry each; in two of them nobody is admitted
    assert not state_path(tmp_path / "out.csv").exists()


def test_the_columns_of_the_file_give_the_same_scores(
    site: MemberSite, scorer: RunningScorer, source: Path, tmp_path: Path
) -> None:
    assert invoke(site, scorer, source, tmp_path / "by-id.csv").exit_code == 0
    lines = source.read_text().splitlines()
    lines[3] = lines[3].replace(str(AGES[2]), "thirty")
    source.write_text("\n".join(lines) + "\n")
    done = invoke(site, scorer, source, tmp_path / "sent.csv", "--columns")
    assert done.exit_code == 0, done.output
    by_id, sent = read(tmp_path / "by-id.csv"), read(tmp_path / "sent.csv")
    assert (sent[2]["decision"], sent[2]["rule"]) == ("deny", "scoring.bad-input")
    assert [row for number, row in enumerate(by_id[:67]) if number != 2] == [
        row for number, row in enumerate(sent[:67]) if number != 2
    ]
    assert [row["decision"] for row in sent[67:]] == ["permit"] * 2  # whom only the file knows
    assert "scoring.bad-input" in done.output


class Cutting:
    """A scorer that is lost after so many answers, again and again."""

    def __init__(self, inner: Asking, after: int) -> None:
        self._inner = inner
        self._after = after
        self.asked: list[int] = []

    def answers(
        self, batches: Callable[[int], Iterator[Any]], first: int, version: str
    ) -> Iterator[Answered]:
        stream = self._inner.answers(batches, first, version)
        with contextlib.closing(stream):  # type: ignore[type-var]
            for number, answered in enumerate(stream):
                if number == self._after:
                    raise ServingError("scoring.unreachable", "cut")
                self.asked.append(answered.sequence)
                yield answered


@pytest.mark.parametrize("after", [1, 2])
def test_a_stream_that_is_cut_again_and_again_gives_the_same_output(
    site: MemberSite, scorer: RunningScorer, source: Path, tmp_path: Path, after: int
) -> None:
    question = Question("propensity", "", PURPOSE)
    with grpc.secure_channel(scorer.address, site.credentials(CALLER)) as channel:
        whole = Job(InputFile(source, "subject_id"), tmp_path / "whole.csv", question, None, 8)
        run_job(whole, BySubject(channel, question), lambda *_: None)
        job = Job(InputFile(source, "subject_id"), tmp_path / "cut.csv", question, None, 8)
        cutting = Cutting(BySubject(channel, question), after)
        with pytest.raises(HanseError):  # no patience: each start gets so far, as killed processes do
            run_job(job, cutting, lambda *_: None, patience_s=0)
        assert not job.output.exists()
        run_job(job, cutting, lambda *_: None, patience_s=60)
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert cutting.asked == list(range(9))


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_and_a_scorer_that_restarts_is_waited_for(
    site: MemberSite, source: Path, tmp_path: Path
) -> None:
    manifest = DatasetManifest(
        name="crm", path=site.root / "crm.parquet", subject_column="subject_id", columns=DECLARED
    )
    local = Local(make_features(manifest), lambda _: None)
    out = tmp_path / "out.csv"
    with RunningScorer(site.settings, local=local) as first:
        address = first.address
        line = [*arguments(site, address, source, out), "--batch-rows", "1"]
        command = [sys.executable, "-m", "hanse.cli", *line]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        state = state_path(out)
        until = time.monotonic() + 60
        while not (state.exists() and state.read_bytes().count(b"\n") > 5) and time.monotonic() < until:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
        answered = state.read_bytes().count(b"\n") - 1
        assert 5 <= answered < len(ROWS)
        assert not out.exists()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while state.read_bytes().count(b"\n") <= answered + 5:
            assert process.poll() is None
    # The first scorer is gone in the middle of the second process; one on the same port takes over.
    again = site.settings.model_copy(update={"address": address})
    with RunningScorer(again, local=local):
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert b"56 of 69 rows have a score" in printed
        output = out.read_bytes()
        assert CliRunner().invoke(app, [*line[:-1], "64", "--overwrite"]).exit_code == 0
    assert out.read_bytes() == output


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--id-column", "customer"], "config.bad-data", "--id-column"),
        (["--purpose", "scoring.pricing"], "policy.denied", "the scorer answered"),
        (["--model", "other"], "model.not-found", "the scorer answered"),
        (["--caller", "nowhere"], "config.missing-file", "nowhere"),
        (["--server", "127.0.0.1:1", "--patience", "0"], "scoring.unreachable", "is it running?"),
        (["--batch-rows", "65"], "scoring.bad-input", "the scorer answered"),
        (["--columns", "--purpose", "scoring.pricing"], "policy.denied", "the scorer answered"),
    ],
)
def test_what_cannot_be_done_is_said(
    site: MemberSite,
    scorer: RunningScorer,
    source: Path,
    tmp_path: Path,
    more: list[str],
    code: str,
    said: str,
) -> None:
    done = invoke(site, scorer, source, tmp_path / "out.csv", *more)
    assert isinstance(done.exception, HanseError)
    assert done.exception.code == code
    assert said in done.exception.detail
    assert not (tmp_path / "out.csv").exists()


def test_an_output_that_is_there_is_kept(
    site: MemberSite, scorer: RunningScorer, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"mine")
    done = invoke(site, scorer, source, out)
    assert isinstance(done.exception, HanseError)
    assert done.exception.code == "config.exists"
    assert out.read_bytes() == b"mine"
    assert invoke(site, scorer, source, out, "--overwrite").exit_code == 0
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT count(*), count(score), count(rule) FROM read_parquet(?)", [str(out)]
        ).fetchone()
    assert found == (69, 56, 13)


def test_a_job_that_was_begun_otherwise_is_not_mixed_with_this_one(
    site: MemberSite, scorer: RunningScorer, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    begun = invoke(site, scorer, source, out, "--server", "127.0.0.1:1", "--patience", "0")
    assert isinstance(begun.exception, HanseError)
    source.write_text(source.read_text() + f"{PEOPLE[0]}-x,1,admin\n")
    done = invoke(site, scorer, source, out)
    assert isinstance(done.exception, HanseError)
    assert "another job (input, rows)" in done.exception.detail
    assert invoke(site, scorer, source, out, "--restart").exit_code == 0
    assert len(read(out)) == 70
