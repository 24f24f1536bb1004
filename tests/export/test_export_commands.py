"""``hanse audit export``, ``verify --package`` and ``watch`` as people call them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.command import command_for
from tests.conftest import utc_now
from tests.export.conftest import events_of_run

from hanse.audit import Event, EventType, LogReader
from hanse.cli import audit_watch
from hanse.cli.common import member_log
from hanse.client.home import MemberHome
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.crypto import VerifierKey
from hanse.evidence import verify
from hanse.evidence.follow import Follower
from hanse.policies import Identity


@pytest.fixture(scope="module")
def made_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A member's folder with a log; copying it is quicker than making its keys."""
    home = tmp_path_factory.mktemp("site") / "brand"
    init_member(home, Organisation("brand", "Brand AG", "DE", "DE"), DatasetHints(None, "id", "y"), utc_now())
    log = member_log(MemberHome(home), "member")
    log.append(
        Event(type=EventType.POLICY_ADOPTED), Event(type=EventType.AGREEMENT_SIGNED, agreement="ab" * 32)
    )
    log.close()
    return home


@pytest.fixture
def hanse(
    made_site: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Calls ``hanse`` beside a member's folder; returns exit code and what it printed."""
    shutil.copytree(made_site, tmp_path / "brand")
    monkeypatch.chdir(tmp_path)
    invoke = command_for(monkeypatch, capsys)

    def call(line: str) -> tuple[int, str]:
        result = invoke(*line.split())
        return result.code, result.out + result.err

    return call


def test_export_and_verify(hanse: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, told = hanse("audit export --home brand --out p.zip")
    assert code == 0
    assert "logged as audit.exported" in told
    code, told = hanse("audit verify --package p.zip --save mine.checkpoint")
    assert code == 0, told
    assert "trust on first use" in told
    assert "verified; mind the notes" in told
    assert "What this does not show" in told
    code, told = hanse("audit verify --package p.zip --since mine.checkpoint")
    assert (code, "are still those of the checkpoint that you saved" in told) == (0, True)
    data = bytearray((tmp_path / "p.zip").read_bytes())
    data[data.index(verify.read_archive(bytes(data))["report.html"]) + 700] ^= 4
    (tmp_path / "p.zip").write_bytes(bytes(data))
    code, told = hanse("audit verify --package p.zip --save other.checkpoint")
    assert code == 6
    assert "NOT VERIFIED" in told
    assert "report.html" in told
    assert not (tmp_path / "other.checkpoint").exists()


def test_what_the_log_does_not_account_for_is_told(
    hanse: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    log = member_log(MemberHome(tmp_path / "brand"), "member")
    log.append(*events_of_run()[2:])
    log.close()
    code, told = hanse("audit export --home brand --out p.zip")
    assert code == 0
    assert "a reviewer will see that this does not hold: run-unstarted: entry 3" in told
    code, told = hanse("audit verify --package p.zip")
    assert (code, "run-unstarted" in told, "budget-unplanned" in told) == (6, True, True)
    report = verify.read_archive((tmp_path / "p.zip").read_bytes())["report.html"].decode()
    assert "of the checks below do not hold" in report


def test_export_is_logged_before_anything_leaves(hanse: Callable[..., tuple[int, str]]) -> None:
    code, told = hanse("audit export --home brand --out nowhere/p.zip")
    assert (code, "config.unwritable" in told) == (3, True)
    code, told = hanse("audit show --home brand --last 1 --json")
    assert json.loads(told)[0]["type"] == "audit.exported"


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("audit export --home brand --out p.zip --run run-x", 3, "there is no entry of a run run-x"),
        ("audit export --home brand --out brand", 2, "is a directory"),
        ("audit export --home nobody --out p.zip", 3, "config.missing-file"),
        ("audit export --home brand --log shared --out p.zip", 3, "enrol"),
        ("audit verify --package brand/hanse.toml", 6, "file 1 of the archive"),
        ("audit verify --package brand/hanse.toml --key nonsense", 3, "is no verifier key"),
        ("audit watch --home nobody", 3, "config.missing-file"),
        ("audit watch --home brand --since brand/hanse.toml", 8, "protocol.malformed"),
    ],
)
def test_errors_say_what_to_do(
    hanse: Callable[..., tuple[int, str]], line: str, code: int, told: str
) -> None:
    exit_code, printed = hanse(line)
    assert (exit_code, told in printed) == (code, True), printed


def test_watch_shows_a_table_in_plain_words(
    made_site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    log = MemberHome(made_site).log
    follower = Follower(VerifierKey.decode(Identity.load(MemberHome(made_site).identity).node_key))
    stopping = threading.Event()
    stopping.set()  # one look
    audit_watch.show(audit_watch.from_database(log, follower, stopping), follower, 2)
    told = capsys.readouterr().out
    assert "3 entries, verified up to root" in told
    assert "The agreement was signed here" in told
    assert "The site was set up" not in told  # only the last two


@pytest.mark.slow
def test_watch_follows_until_ctrl_c(made_site: Path, tmp_path: Path) -> None:
    shutil.copytree(made_site, tmp_path / "brand")
    home = MemberHome(tmp_path / "brand")
    with LogReader.open(home.log) as reader:
        before = reader.size
    process = subprocess.Popen(
        [sys.executable, "-m", "hanse.cli", "audit", "watch", "--home", str(home.root), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(before + 1)]
        assert [line["index"] for line in lines[:-1]] == list(range(before))
        assert lines[-1]["verified"]["entries"] == before
        log = member_log(home, "member")
        log.append(Event(type=EventType.CONSENT_WITHDRAWN))
        log.close()
        assert json.loads(process.stdout.readline())["says"] == "Consent was withdrawn"
        assert json.loads(process.stdout.readline())["verified"]["entries"] == before + 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.wait()
