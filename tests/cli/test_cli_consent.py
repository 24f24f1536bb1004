"""``hanse consent`` as a person or a script calls it: sources, folding, receipts, expiry, heartbeat."""

from __future__ import annotations

import gzip
import json
import stat
from typing import TYPE_CHECKING

import duckdb
import pytest
from sqlalchemy import create_engine, text
from tests.command import Result, command_for
from typer.testing import CliRunner

from hanse.audit import verify_log
from hanse.cli.main import app
from hanse.client.home import MemberHome
from hanse.crypto import VerifierKey
from hanse.policies import ConsentLedger, Identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADER = "event_id,subject,state,purposes,given_at,expires_at,notice_version"
GRANT = "given,joint_modelling,2026-01-01T00:00:00Z,2099-01-01T00:00:00Z,2.1"
TABLE = "subject_id,age,job,label\np-1,33,a,yes\np-2,44,b,no\n"


@pytest.fixture
def hanse(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Result]:
    """Calls ``hanse consent`` in this process, in the folder of a brand."""
    monkeypatch.chdir(tmp_path)
    invoke = command_for(monkeypatch, capsys)
    (tmp_path / "data.csv").write_text(TABLE)

    def call(*words: str, group: str = "consent") -> Result:
        return invoke(group, *words)

    identity = "--home brand --name brand --organisation Brand-AG --jurisdiction DE --data data.csv"
    assert call("member", *identity.split(), group="init").code == 0
    monkeypatch.setenv("HANSE_HOME", "brand")
    return call


def rows(count: int) -> str:
    return "\n".join([HEADER, *(f"e{i},p-{i},{GRANT}" for i in range(count)), ""])


def types_of(folder: Path) -> list[str]:
    home = MemberHome(folder / "brand")
    key = VerifierKey.decode(Identity.load(home.identity).node_key)
    return [str(entry.type) for entry in verify_log(home.log, key).entries]


def test_every_kind_of_source(hanse: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(rows(3))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(rows(4).encode()))
    duckdb.sql(f"COPY (FROM read_csv('{tmp_path}/a.csv', all_varchar=true)) TO '{tmp_path}/c.parquet'")
    engine = create_engine(f"sqlite:///{tmp_path}/crm.db")
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE consents ({HEADER})"))
        values = [line.split(",") for line in rows(6).splitlines()[1:]]
        for value in values:
            connection.execute(
                text("INSERT INTO consents VALUES (:a, :b, :c, :d, :e, :f, :g)"),
                dict(zip("abcdefg", value, strict=True)),
            )
    assert hanse("import", "a.csv", "--json").json["accepted"] == 3
    again = hanse("import", "b.csv.gz", "--json").json
    assert (again["accepted"], again["repeated"]) == (1, 3)
    assert hanse("import", "c.parquet", "--json").json["repeated"] == 3
    query = ("--sql", f"sqlite:///{tmp_path}/crm.db", "--query", "SELECT * FROM consents")
    from_sql = hanse("import", *query, "--json").json
    assert (from_sql["accepted"], from_sql["repeated"]) == (2, 4)
    assert types_of(tmp_path).count("consent.recorded") == 4
    assert b"p-1" not in MemberHome(tmp_path / "brand").consent.read_bytes()


def test_a_source_has_to_be_named(hanse: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(rows(1))
    for words in ((), ("--sql", "sqlite://"), ("a.csv", "--query", "SELECT 1")):
        assert hanse("import", *words).code == 2
    assert hanse("import", "--sql", "nonsense", "--query", "SELECT 1").code == 3
    assert hanse("import", "--sql", f"sqlite:///{tmp_path}/x.db", "--query", "SELECT nothing").code == 3


def test_a_file_that_is_cut_off_is_said_to_be(hanse: Callable[..., Result], tmp_path: Path) -> None:
    whole = gzip.compress(rows(2000).encode(), mtime=0)
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    result = hanse("import", "cut.csv.gz", "--json")
    assert result.code == 3
    assert 0 < json.JSONDecoder().raw_decode(result.out)[0]["accepted"] < 2000
    assert "damaged or was cut off" in result.out + result.err
    with ConsentLedger(MemberHome(tmp_path / "brand").consent) as ledger:
        assert ledger.standing_rows().synced_at is None


def test_show_fold_and_unfold(hanse: Callable[..., Result], tmp_path: Path) -> None:
    assert "nothing is recorded" in hanse("show", "p-1").out
    (tmp_path / "a.csv").write_text(rows(2))
    hanse("import", "a.csv")
    fold = ("fold", "p-1", "--purpose", "joint_modelling")
    assert hanse(*fold).code == 2
    assert hanse(*fold, "--nothing", "--column", "age").code == 2
    assert hanse(*fold, "--category", "everything").code == 4
    folded = hanse(*fold, "--column", "age", "--category", "behavioural", "--json").json
    assert (folded["head"], folded["hidden_columns"]) == (3, ["age"])
    shown = {fact["purpose"]: fact for fact in hanse("show", "p-1", "--json").json["purposes"]}
    assert shown["joint_modelling.propensity"]["hidden_columns"] == ["age"]
    assert shown["joint_modelling"]["state"] == "given"
    assert shown["joint_modelling"]["expires_at"] == "2099-01-01 00:00 UTC"
    people = hanse("show", "p-1").out
    assert "age, behavioural" in people
    assert "2.1" in people
    assert "nothing" in hanse(*fold, "--nothing").out
    assert hanse("show", "p-1", "--json").json["purposes"][0]["hidden_columns"] == []
    assert hanse("show", "p-0", "--json").json["purposes"][0]["hidden_columns"] == []
    assert types_of(tmp_path)[-2:] == ["consent.folded", "consent.folded"]


def test_receipts(hanse: Callable[..., Result], tmp_path: Path) -> None:
    ask = ("receipt", "p-1", "--purpose", "joint_modelling", "--out", "receipt.json")
    assert hanse(*ask).code == 4
    (tmp_path / "a.csv").write_text(rows(2))
    hanse("import", "a.csv")
    assert "hand it to the subject" in hanse(*ask).out
    assert hanse(*ask).code == 3  # not over another
    assert hanse("forget", "p-1").code == 4  # the consent is in force
    path = tmp_path / "receipt.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    checked = hanse("check-receipt", "receipt.json", "--json").json
    assert checked == {"recorded": True, "secret": True, "states": {"joint_modelling": "given"}}
    hanse("withdraw", "p-1", "--purpose", "joint_modelling")
    assert "withdrawn" in hanse("check-receipt", "receipt.json").out
    secret = json.loads(path.read_text())["receipt_secret"]

    def holders() -> set[str]:
        """The files of the site that hold the secret."""
        files = [file for file in (tmp_path / "brand").rglob("*") if file.is_file()]
        held = {file.name for file in files if bytes.fromhex(secret) in file.read_bytes()}
        assert not [file for file in files if secret.encode() in file.read_bytes()]
        return {name.removesuffix("-wal") for name in held}

    assert holders() == {"consent.db"}
    again = json.loads((tmp_path / "receipt.json").read_text())
    hanse("receipt", "p-1", "--purpose", "joint_modelling", "--out", "second.json")
    assert json.loads((tmp_path / "second.json").read_text())["receipt_secret"] == again["receipt_secret"]
    assert hanse("forget", "p-1", "--json").json == {"forgotten": True}
    assert holders() == set()
    assert "no secret" in hanse("forget", "p-1").out
    assert types_of(tmp_path).count("consent.forgotten") == 1
    path.write_text(json.dumps({"receipt": again["receipt"]}))
    assert hanse("check-receipt", "receipt.json", "--json").json["secret"] is False
    for bad in ("{}", "not json", '{"receipt": 1, "receipt_secret": "zz"}'):
        path.write_text(bad)
        assert hanse("check-receipt", "receipt.json").code == 4
    assert "consent.receipt" in types_of(tmp_path)


def test_heartbeat_and_expiry(hanse: Callable[..., Result], tmp_path: Path) -> None:
    ended = rows(2).replace("2099", "2026")
    (tmp_path / "a.csv").write_text(ended.replace("2026-01-01T00:00:00Z,2.1", "2026-01-02T00:00:00Z,2.1"))
    hanse("import", "a.csv")
    assert hanse("show", "p-1", "--json").json["purposes"][0]["state"] == "expired"
    assert hanse("expire", "--json").json == {"head": 4, "expired": 2}
    assert "0 consents recorded" in hanse("expire").out
    assert hanse("heartbeat", "--json").json["head"] == 4
    assert "in step" in hanse("heartbeat").out
    assert types_of(tmp_path)[-4:] == [
        "consent.expired",
        "consent.expired",
        "consent.synced",
        "consent.synced",
    ]


def test_a_database_that_is_not_supported_is_named_and_its_password_is_not(
    hanse: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSE_NODE_CONSENT_URL", "mysql://hanse:hunter2@db/consent")
    result = hanse("heartbeat")
    assert result.code == 3
    assert "postgresql+psycopg" in result.err
    assert "hunter2" not in result.err


def test_help_has_examples() -> None:
    for command in (
        "import",
        "withdraw",
        "fold",
        "show",
        "receipt",
        "check-receipt",
        "forget",
        "heartbeat",
        "expire",
    ):
        shown = CliRunner().invoke(app, ["consent", command, "--help"])
        assert "hanse consent" in shown.output
