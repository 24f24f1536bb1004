"""The commands of a witness: an auditor's folder, following the log, and looking at what was refused."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.evidence.conftest import AUDITOR, utc_now
from typer.testing import CliRunner

from hanse.audit import RefusalKind, WitnessRefusal, verify_log
from hanse.cli import audit_witness
from hanse.cli.main import app
from hanse.client.refusals import keep, require_none_open
from hanse.crypto import SigningKey
from hanse.errors import ConfigurationError
from hanse.policies import Identity

if TYPE_CHECKING:
    from pathlib import Path

    from tests.evidence.conftest import Hub


def hanse(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_init_auditor(tmp_path: Path) -> None:
    home = tmp_path / "watchdog"
    options = ("--name", "watchdog", "--organisation", "Watchdog KG", "--jurisdiction", "DE")
    result = hanse("init", "auditor", "--home", str(home), *options, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["role"] == "auditor"
    assert Identity.load(home / "identity.json").witness_key


@pytest.mark.parametrize("as_json", [False, True])
def test_a_witness_follows_until_it_is_stopped(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    stopping = threading.Event()
    monkeypatch.setattr(audit_witness, "stop_on_signals", lambda: stopping)
    with hub.serving() as serving:
        serving.grow(3)

        def stop_when_cosigned() -> None:
            serving.witnesses.wait(3, hub.policy(1), 30, lambda: False)
            stopping.set()

        ending = threading.Thread(target=stop_when_cosigned)
        ending.start()
        flags = ["--json"] if as_json else []
        result = hanse(
            "audit", "witness", "--home", str(hub.site(AUDITOR).root), "--address", hub.address, *flags
        )
        ending.join()
    assert result.exit_code == 0, result.output
    if as_json:
        assert json.loads(result.stdout) == {"cosigned": 3}
    else:
        assert "co-signed the log with 3 entries" in result.output


def test_a_member_is_told_that_its_node_is_its_witness(hub: Hub) -> None:
    result = hanse("audit", "witness", "--home", str(hub.site("brand").root))
    assert isinstance(result.exception, ConfigurationError)
    assert "a member's node is its witness by itself" in str(result.exception)


def test_refusals_are_listed_until_a_person_has_looked(hub: Hub) -> None:
    home = hub.site("brand")
    command = ("audit", "refusals", "--home", str(home.root))
    assert hanse(*command).exit_code == 0
    folder = keep(home, "hub", WitnessRefusal(RefusalKind.FORK, "two trees", b"submitted"), utc_now())
    listed = hanse(*command, "--json")
    assert listed.exit_code == 3
    [refusal] = json.loads(listed.stdout)
    assert (refusal["log"], refusal["kind"], refusal["folder"]) == ("hub", "fork", str(folder))
    assert refusal["reviewed_by"] is None
    assert "nobody" in hanse(*command).output
    assert hanse(*command, "--reviewed-by", "Berta Brand").exit_code == 0
    require_none_open(home)
    assert json.loads(hanse(*command, "--json").stdout)[0]["reviewed_by"] == "Berta Brand"
    entries = verify_log(home.log, SigningKey.load(home.node_key).verifier).entries
    last = entries[-1]
    assert (last.type, last.peer, last.detail) == ("witness.reviewed", "hub", "fork")
    assert "Berta" not in last.canonical().decode()
    assert hanse(*command, "--reviewed-by", "Somebody else").exit_code == 0
    assert len(entries) == len(verify_log(home.log, SigningKey.load(home.node_key).verifier).entries)
