"""A member's log that witnesses have seen, and one that was made for a person who asks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.command import Command, command_for

from hanse.audit import Actor, AuditLog, Checkpoint, Event, EventType, LogReader, parse_checkpoint
from hanse.audit.policy_file import TrustPolicy, format_policy, quorum_of
from hanse.audit.statement import sign_statement
from hanse.client.subject_anchor import check_anchor, make_anchor
from hanse.crypto import SigningKey, VerifierKey, unverified_text
from hanse.crypto.cosigning import CosignerKey
from hanse.errors import AuditError, IdentityError
from hanse.evidence import Evidence, collect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.subjects.conftest import Asking

    from hanse.client.subject_bundle import Anchor

AT = datetime(2026, 6, 1, tzinfo=UTC)
EVENT = Event(type=EventType.ROUND_ADMITTED)


class Member:
    """A member's log, and the shared log in which it states its checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.hub = SigningKey.generate("brand"), SigningKey.generate("hub")
        self.witnesses = [CosignerKey.generate(name, "ed25519") for name in ("brand", "insurer")]
        self.shared = self.log("hub.db", self.hub)

    def log(self, name: str, key: SigningKey) -> AuditLog:
        place = self.folder / name
        AuditLog.create(place, key.name, key)
        actor = Actor(organisation=key.name, key_id=key.verifier.key_id, role="member")
        return AuditLog.open(place, key, actor)

    def state(self, own: AuditLog) -> None:
        """Has a checkpoint in the shared log, which is then co-signed."""
        event = Event(
            type=EventType.ROUND_SUBMITTED,
            agreement="ab" * 32,
            run="run-1",
            purpose="joint_modelling",
            peer="brand",
            detail="trained",
            member_checkpoint=own.checkpoint().decode(),
        )
        self.shared.append(Event.model_validate_json(sign_statement(event, self.key)))
        for witness in self.witnesses:
            line = witness.cosign(unverified_text(self.shared.checkpoint()), AT)
            self.shared.cosign(self.shared.size, line)

    def policy(self, quorum: int = 2) -> TrustPolicy:
        return quorum_of(self.hub.verifier, [witness.verifier for witness in self.witnesses], quorum)

    def evidence(self) -> Evidence:
        return collect(self.shared.place, lambda _: self.policy())

    def anchor(self, own: AuditLog) -> Anchor | None:
        with LogReader.open(own.place) as reader:
            return make_anchor(self.evidence(), [self.key.verifier], reader.size, reader.hashes)

    def check(self, anchor: Anchor | None, own: AuditLog, *keys: VerifierKey) -> int:
        return check_anchor(anchor, self.policy(), keys or [self.key.verifier], checkpoint_of(own))


def checkpoint_of(log: AuditLog) -> Checkpoint:
    return parse_checkpoint(unverified_text(log.checkpoint()))


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(tmp_path)


def test_covers_the_log_up_to_the_newest_statement(member: Member) -> None:
    own = member.log("own.db", member.key)
    assert member_without_statements(member, own) is None
    for _ in range(3):
        own.append(EVENT, EVENT)
        member.state(own)
    own.append(EVENT)
    assert member.check(member.anchor(own), own) == 7
    other = SigningKey.generate("brand").verifier
    assert member.check(member.anchor(own), own, other, member.key.verifier) == 7


def member_without_statements(member: Member, own: AuditLog) -> Anchor | None:
    own.append(EVENT)
    member.shared.append(Event(type=EventType.RUN_STARTED))
    return member.anchor(own)


def test_log_that_was_made_for_one_person_is_not_the_stated_one(member: Member) -> None:
    own, forged = member.log("own.db", member.key), member.log("forged.db", member.key)
    own.append(EVENT, EVENT)
    member.state(own)
    forged.append(EVENT.model_copy(update={"round": 2}), EVENT, EVENT)
    for anchor in (member.anchor(own), member.anchor(forged)):
        with pytest.raises(AuditError, match=r"audit\.integrity"):
            member.check(anchor, forged)


def test_log_that_was_cut_has_no_newer_statement(member: Member) -> None:
    own, short = member.log("own.db", member.key), member.log("short.db", member.key)
    own.append(EVENT, EVENT)
    member.state(own)
    short.append(EVENT)
    with pytest.raises(AuditError, match=r"audit\.quorum.*--shared"):
        member.check(member.anchor(short), short)
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        member.check(member.anchor(own), short)


def test_statement_of_another_and_too_few_witnesses(member: Member) -> None:
    own = member.log("own.db", member.key)
    own.append(EVENT)
    member.state(own)
    anchor = member.anchor(own)
    assert anchor is not None
    with pytest.raises(IdentityError):
        member.check(anchor, own, SigningKey.generate("insurer").verifier)
    stranger = quorum_of(member.hub.verifier, [CosignerKey.generate("brand", "ed25519").verifier], 1)
    with pytest.raises(AuditError, match=r"audit\.quorum"):
        check_anchor(anchor, stranger, [member.key.verifier], checkpoint_of(own))
    altered = anchor.model_copy(update={"statement": anchor.statement.replace('"run-1"', '"run-2"')})
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        member.check(altered, own)


@pytest.fixture
def hanse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return command_for(monkeypatch, capsys)


def test_person_who_requires_the_quorum(
    hanse: Command, conducted: Asking, write_receipt_file: Callable[..., Path], tmp_path: Path
) -> None:
    receipt = write_receipt_file(conducted.receipts["left"])
    prove = ("subject", "prove", "--home", conducted.home.root, "--receipt", receipt, "--out")
    assert hanse(*prove, "bundle.json", "--shared", conducted.shared).code == 0
    assert hanse(*prove, "bare.json").code == 0
    verify = ("--receipt", receipt, "--key", conducted.key)

    unchecked = hanse("subject", "verify", "bundle.json", *verify)
    assert (unchecked.code, "cosignatures were not checked" in unchecked.out) == (0, True)
    policy = ("--policy", conducted.agreement)
    checked = hanse("subject", "verify", "bundle.json", *verify, *policy)
    assert checked.code == 0, checked.err
    assert "the quorum of the policy co-signed" in checked.out.replace("\n", " ")
    answer = hanse("subject", "verify", "bundle.json", *verify, *policy, "--json").json
    assert [run["verdict"] for run in answer["runs"]] == ["used", "not used"]
    assert 0 < answer["cosigned"] <= answer["log_size"]
    assert answer["warnings"] == []

    bare = hanse("subject", "verify", "bare.json", *verify, *policy)
    assert (bare.code, "audit.quorum" in bare.err) == (6, True)
    hub = VerifierKey.decode(
        json.loads((conducted.agreement.parent / "identity.json").read_text())["node_key"]
    )
    strangers = [CosignerKey.generate("brand", "ed25519").verifier]
    (tmp_path / "strangers.policy").write_bytes(format_policy(quorum_of(hub, strangers, 1)))
    refused = hanse("subject", "verify", "bundle.json", *verify, "--policy", "strangers.policy")
    assert (refused.code, "audit.quorum" in refused.err) == (6, True)
