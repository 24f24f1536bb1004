"""``hanse subject`` as a person or a script calls it."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from hanse.cli.main import app, main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.subjects.conftest import Asking

    from hanse.client.receipt_files import ReceiptFile

    Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hanse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Calls ``hanse subject`` in this process; gives exit code and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["hanse", "subject", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int | None)
        return caught.value.code or 0, captured.out, captured.err

    return call


def test_from_the_receipt_to_the_answer(
    hanse: Call, conducted: Asking, write_receipt_file: Callable[..., Path], tmp_path: Path
) -> None:
    receipt = str(write_receipt_file(conducted.receipts["left"]))
    at_the_member = ("prove", "--home", str(conducted.home.root), "--receipt", receipt)
    code, out, _ = hanse(*at_the_member, "--out", "bundle.json")
    assert code == 0
    assert "hand it to the person" in out
    assert stat.S_IMODE((tmp_path / "bundle.json").stat().st_mode) == 0o600
    assert hanse(*at_the_member, "--out", "bundle.json")[0] == 3  # not over another
    at_home = ("verify", "bundle.json", "--receipt", receipt, "--key", conducted.key)
    code, out, _ = hanse(*at_home)
    assert code == 0
    for words in ("propensity@1", "propensity@2", "not used", "preparation", "round 2", "does not prove"):
        assert words in out
    for words in ("P32", "what a processor read", "held out", "Other members"):
        assert words in out
    code, out, _ = hanse(*at_home, "--json")
    document: Any = json.loads(out)
    assert [run["verdict"] for run in document["runs"]] == ["used", "not used"]
    assert [run["model"]["reference"] for run in document["runs"]] == ["propensity@1", "propensity@2"]
    assert len(document["not_proven"]) == 5
    assert document["warnings"] == []


def test_receipt_and_secret_may_be_kept_apart(
    hanse: Call,
    conducted: Asking,
    write_receipt_file: Callable[[ReceiptFile, str], Path],
    tmp_path: Path,
) -> None:
    whole = conducted.receipts["stayed"]
    assert whole.secret is not None
    alone = str(write_receipt_file(whole._replace(secret=None), "alone.json"))
    (tmp_path / "secret").write_text(whole.secret.hex() + "\n")
    prove = ("prove", "--home", str(conducted.home.root), "--receipt", alone, "--out")
    assert hanse(*prove, "one.json", "--json")[0] == 0
    assert hanse(*prove, "two.json", "--secret", "secret", "--json")[0] == 0
    verify = ("verify", "one.json", "--receipt", alone, "--key", conducted.key)
    code, _, err = hanse(*verify)
    assert code == 4
    assert "--secret" in err
    code, out, _ = hanse(*verify, "--secret", "secret", "--json")
    assert code == 0
    assert {run["verdict"] for run in json.loads(out)["runs"]} == {"used"}
    other = write_receipt_file(conducted.receipts["left"], "other.json")
    assert hanse(*verify, "--secret", str(other))[0] == 4
    (tmp_path / "secret").write_text("no secret")
    assert hanse(*verify, "--secret", "secret")[0] == 4
    assert hanse(*prove, "three.json", "--secret", "secret")[0] == 4
    assert not (tmp_path / "three.json").exists()


def test_what_does_not_hold_has_an_exit_code(
    hanse: Call, conducted: Asking, write_receipt_file: Callable[..., Path], tmp_path: Path
) -> None:
    receipt = str(write_receipt_file(conducted.receipts["stayed"]))
    hanse("prove", "--home", str(conducted.home.root), "--receipt", receipt, "--out", "bundle.json")
    path = tmp_path / "bundle.json"
    verify = ("verify", "bundle.json", "--receipt", receipt, "--key", conducted.key)
    text = path.read_text()
    path.write_text(text.replace("round.admitted", "round.denied", 1))
    code, _, err = hanse(*verify)
    assert code == 6
    assert "audit.integrity" in err
    document = json.loads(text)
    one, other = document["sets"][0], document["sets"][1]
    one["proof"], other["proof"] = other["proof"], one["proof"]
    path.write_text(json.dumps(document))
    code, out, _ = hanse(*verify, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (6, "audit.subject-proof")
    path.write_text("{}")
    assert hanse(*verify)[0] == 8
    path.write_text(text)
    assert hanse(*verify[:-1], "nonsense")[0] == 8
    assert hanse(*verify)[0] == 0


def test_help_has_examples() -> None:
    for command in ("prove", "verify"):
        assert "hanse subject" in CliRunner().invoke(app, ["subject", command, "--help"]).output
