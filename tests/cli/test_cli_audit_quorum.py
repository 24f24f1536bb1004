"""``hanse audit verify --policy``: how far a quorum of witnesses vouches for a log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.command import Command, command_for

from hanse.audit import Event, EventType
from hanse.audit.policy_file import format_policy, quorum_of
from hanse.cli.common import member_log
from hanse.client.home import MemberHome
from hanse.crypto import VerifierKey, unverified_text
from hanse.crypto.cosigning import CosignerKey
from hanse.policies import Identity
from hanse.server.setup import init_coordinator

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 6, 1, tzinfo=UTC)
KEYS = [CosignerKey.generate(name, "ed25519") for name in ("brand", "insurer")]


@pytest.fixture
def hanse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return command_for(monkeypatch, capsys)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A coordinator whose first entry has a quorum of two, and whose second has not; and policies."""
    root = tmp_path / "hub"
    init_coordinator(root, "hub", "Hub", "DE", [], AT)
    log, event = member_log(MemberHome(root), "coordinator"), Event(type=EventType.AGREEMENT_ACCEPTED)
    for signers in (KEYS, KEYS[:1]):
        log.append(event)
        for key in signers:
            log.cosign(log.size, key.cosign(unverified_text(log.checkpoint()), AT))
    log.close()
    verifier = VerifierKey.decode(Identity.load(root / "identity.json").node_key)
    cosigners = [key.verifier for key in KEYS]
    (tmp_path / "two.policy").write_bytes(format_policy(quorum_of(verifier, cosigners, 2)))
    strangers = [CosignerKey.generate("brand", "ed25519").verifier]
    (tmp_path / "strangers.policy").write_bytes(format_policy(quorum_of(verifier, strangers, 1)))
    return root


def test_quorum_is_told(hanse: Command, hub: Path) -> None:
    people = hanse("audit", "verify", "--home", hub, "--policy", "two.policy")
    assert people.code == 0
    told = "the newest checkpoint of hub with the quorum of the policy has 1 entries; 1 entries lie after it"
    assert told in people.out
    quorum = hanse("audit", "verify", "--home", hub, "--policy", "two.policy", "--json").json["quorum"]
    assert [(one["log"], one["entries"], one["later"]) for one in quorum] == [("hub", 1, 1)]
    assert hanse("audit", "verify", "--home", hub, "--json").json["quorum"] == []


def test_no_quorum_is_a_finding(hanse: Command, hub: Path) -> None:
    result = hanse("audit", "verify", "--home", hub, "--policy", "strangers.policy", "--json")
    assert result.code == 6
    assert [finding["kind"] for finding in result.json["findings"]] == ["quorum-missing"]
    assert result.json["quorum"] == [{"log": "hub", "entries": None, "root": None, "later": 2}]


def test_policy_is_about_one_of_the_logs(hanse: Command, hub: Path) -> None:
    words = ["--name", "brand", "--organisation", "Brand", "--jurisdiction", "DE"]
    assert hanse("init", "member", "--home", "brand", *words).code == 0
    alone = hanse("audit", "verify", "--home", "brand", "--policy", "two.policy")
    assert (alone.code, "the policy is about hub" in alone.err.replace("\n", " ")) == (3, True)
    key = Identity.load(hub / "identity.json").node_key
    shared = ["--shared", MemberHome(hub).log, "--trust", key]
    beside = hanse("audit", "verify", "--home", "brand", *shared, "--policy", "two.policy", "--json")
    assert beside.code == 0, beside.out
    assert [one["log"] for one in beside.json["quorum"]] == ["hub"]


def test_file_that_is_no_policy(hanse: Command, hub: Path) -> None:
    result = hanse("audit", "verify", "--home", hub, "--policy", hub / "hanse.toml")
    assert (result.code, "protocol.malformed" in result.err) == (8, True)
    package = hanse("audit", "verify", "--package", "two.policy", "--policy", "two.policy")
    assert (package.code, "leave out --policy" in package.err) == (3, True)
