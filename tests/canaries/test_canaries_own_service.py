"""Whoever is asked about by subject, nothing of them is in the log, errors, state or on the console."""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import grpc
import pytest
from tests.canaries.conftest import Places, mail, person, phone
from tests.scoring.conftest import CALLER, PURPOSE, MemberSite, RunningScorer, make_grant, make_site
from typer.testing import CliRunner

from hanse.api.v1 import scoring_pb2 as pb
from hanse.api.v1.scoring_pb2_grpc import ScoringStub
from hanse.audit.canaries import Canary
from hanse.cli.main import app
from hanse.client.data import DatasetManifest, DeclaredColumn
from hanse.client.features import make_features
from hanse.client.scoring.job import state_path
from hanse.server.scoring import Local

SUBJECTS = [mail("brand", 1), phone("brand", 2), person("brand", 3), "KD-7Q4ZX-3041-canary"]
UNKNOWN = "KD-7Q4ZX-3042-unknown"
REFUSED = "KD-7Q4ZX-3043-refused"
VALUE = "row-value-9a3b-canary"
TEXT = "free-text-61c9-canary"


@pytest.fixture
def site(tmp_path: Path) -> MemberSite:
    site = make_site(tmp_path)
    with site.ledger as ledger:
        ledger.record(make_grant(site.ref(subject)) for subject in (*SUBJECTS, UNKNOWN))
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (id VARCHAR, age DOUBLE, job VARCHAR)")
        rows = [(subject, 41.0, VALUE) for subject in (*SUBJECTS, REFUSED)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        connection.execute(f"COPY t TO '{tmp_path}/crm.parquet' (FORMAT parquet)")
    return site


@pytest.fixture
def scorer(site: MemberSite) -> Iterator[RunningScorer]:
    columns = (
        DeclaredColumn(name="age", kind="numeric", classification="basic"),
        DeclaredColumn(name="job", kind="categorical", classification="basic"),
    )
    path = site.root / "crm.parquet"
    features = make_features(DatasetManifest(name="crm", path=path, subject_column="id", columns=columns))
    with RunningScorer(site.settings, local=Local(features, lambda _: None)) as running:
        yield running


def wrong(stub: ScoringStub, site: MemberSite) -> Iterator[tuple[str, grpc.RpcError]]:
    """Calls that are refused, each with something of somebody in it."""
    asked: dict[str, Any] = {"model": "propensity", "purpose": PURPOSE, "subject_ids": SUBJECTS}

    def request_with(**changes: Any) -> pb.ScoreRequest:
        return pb.ScoreRequest(**(asked | changes))

    opening = pb.StreamOpening(model="propensity", purpose=PURPOSE)
    chunk = pb.StreamChunk(sequence=7, subject_ids=SUBJECTS)
    for name, request in [
        ("a use that is none", request_with(purpose=TEXT)),
        ("a model that is none", request_with(model=TEXT)),
        ("the unknown and the refused", request_with(subject_ids=[UNKNOWN, REFUSED])),
        ("a blank beside others", request_with(subject_ids=[*SUBJECTS, " "])),
        ("somebody too long", request_with(subject_ids=[SUBJECTS[0] * 60])),
    ]:
        with pytest.raises(grpc.RpcError) as caught:
            stub.Score(request)
        yield name, caught.value
    with pytest.raises(grpc.RpcError) as caught:
        list(
            stub.ScoreStream(
                iter([pb.ScoreStreamRequest(opening=opening), pb.ScoreStreamRequest(chunk=chunk)])
            )
        )
    yield "a chunk that is not due", caught.value
    # The member's file turns into something that quotes a value when it is read.
    (site.root / "crm.parquet").write_bytes(f"{SUBJECTS[0]},{VALUE}".encode())
    with pytest.raises(grpc.RpcError) as caught:
        stub.Score(pb.ScoreRequest(**asked))
    yield "a broken file", caught.value


def test_no_canary_leaves_the_scorer_or_the_command(
    scorer: RunningScorer,
    site: MemberSite,
    places: Places,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    source, caller = tmp_path / "in.csv", tmp_path / "crm"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([["subject_id"], *([one] for one in [*SUBJECTS, UNKNOWN, REFUSED])])
    caller.mkdir()
    for old, new in [("authority.crt", "serving-authority.crt"), (f"{CALLER}.crt", "tls.crt")]:
        (caller / new).write_bytes((site.root / old).read_bytes())
    (site.root / f"{CALLER}.key").rename(caller / "tls.key")
    line = ["score", "--in", str(source), "--out", str(tmp_path / "out.csv"), "--model", "propensity"]
    line += ["--purpose", PURPOSE, "--server", scorer.address, "--caller", str(caller), "--batch-rows", "2"]
    states: list[bytes] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "hanse.client.scoring.job.write_table",
            lambda *_: states.append(state_path(tmp_path / "out.csv").read_bytes()),
        )
        done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    assert len(states[0].splitlines()) == 4
    places.add("state", states[0])
    places.add("output of the command", done.output)
    (caller / "tls.key").rename(site.root / f"{CALLER}.key")
    with grpc.secure_channel(scorer.address, site.credentials(CALLER)) as channel:
        refused = dict(wrong(ScoringStub(channel), site))
    for name, error in refused.items():
        places.add(f"error: {name}", f"{error.details()} {error.trailing_metadata()}")
    assert len(site.calls()) == 3 + len(refused)
    places.add_log("log", site.root / "audit.db")
    places.add("messages of the program", caplog.text)
    printed = capfd.readouterr()
    places.add("stdout", printed.out)
    places.add("stderr", printed.err)
    everybody = [*SUBJECTS, UNKNOWN, REFUSED]
    values = [*everybody, VALUE, TEXT, *map(site.ref, everybody)]
    places.canaries = [Canary("planted", number, value) for number, value in enumerate(values, 1)]
    assert places.found() == {}
