"""``hanse model``: two people promote and retire, the gate keeps back, one person rolls back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.command import command_for
from tests.scoring.conftest import NOW, Keys, make_agreement, write_note, write_registration

from hanse.audit import EventType, verify_log
from hanse.audit.completeness import check_member
from hanse.cli.serve import scoring_settings
from hanse.client.consents import open_ledger
from hanse.client.home import MemberHome
from hanse.crypto import SigningKey, make_client_certificate
from hanse.learning.artifact import WEIGHTS_FILE, ModelManifest, encode_weights, write_model
from hanse.learning.transform import Transform
from hanse.policies import Identity

if TYPE_CHECKING:
    from pathlib import Path

    from hanse.policies import Agreement

INIT = "init member --home brand --name brand --jurisdiction DE --organisation Brand"
GOOD: dict[str, float | None] = {
    "auc": 0.75,
    "auc_standard_error": 0.01,
    "log_loss": 0.4,
    "noise_std": 0.0,
    "calibration_error": 0.02,
    "calibration_standard_error": 0.005,
}


class Member:
    """A member with a model of three versions, of which the second is not better than guessing."""

    def __init__(self, root: Path, invoke: Any, **changes: Any) -> None:
        self.invoke, self.root = invoke, root
        assert self.run(INIT)[0] == 0
        self.home = MemberHome(root / "brand")
        self.keys = Keys(
            node=SigningKey.load(self.home.node_key),
            approvers=(SigningKey.load(self.home.approver_key), SigningKey.generate("partner-dpo")),
        )
        self.agreement: Agreement = make_agreement(self.keys, **changes)
        for folder in (self.home.models, self.home.agreements, self.home.peers):
            folder.mkdir(exist_ok=True)
        write_note(self.home.agreements / f"{self.agreement.digest}.agreement", self.agreement, self.keys)
        certificate = make_client_certificate("hub", NOW, 30)[1].decode()
        Identity(
            name="hub", organisation="Hub", jurisdiction="DE", storage_country="DE", role="coordinator",
            node_key=self.keys.coordinator.verifier.encode(), tls_certificate=certificate,
        ).save(self.home.peers / "hub.json")  # fmt: skip
        for number, metrics in enumerate((GOOD, GOOD | {"auc": 0.501}, GOOD), start=1):
            self.register(number, metrics)

    def register(self, number: int, metrics: dict[str, float | None]) -> None:
        transform = Transform.fit(self.agreement.columns, None, 0.0)
        manifest = ModelManifest(
            name="propensity", version=number, agreement_digest=self.agreement.digest, run=f"run-{number}",
            purpose=self.agreement.purpose, label=self.agreement.label, transform=transform,
            training=self.agreement.training, metrics=metrics, privacy=self.agreement.privacy,
            epsilon={"brand": 2.5, "partner": 2.9}, members=("brand", "partner"), created_at=NOW,
        )  # fmt: skip
        weights = np.linspace(-1, 1, transform.n_features + 1, dtype=np.float32)
        folder = self.home.models / manifest.reference
        digest = write_model(folder, manifest, encode_weights(weights), self.keys.coordinator)
        write_registration(folder, self.agreement, self.keys, digest)

    def run(self, line: str, *more: str) -> tuple[int, str]:
        result = self.invoke(*line.split(), *more)
        return result.code, result.out + result.err

    def says(self, line: str, by: str = "Dora", reason: str = "as planned") -> tuple[int, str]:
        return self.run(f"model {line} --home brand --by {by}", "--reason", reason)

    def document(self, line: str) -> Any:
        code, printed = self.run(f"model {line} --home brand --json")
        assert code == 0, printed
        return json.loads(printed)

    def entries(self) -> list[Any]:
        return list(verify_log(self.home.log, self.keys.node.verifier, origin=None).entries)


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Member:
    monkeypatch.chdir(tmp_path)
    return Member(tmp_path, command_for(monkeypatch, capsys))


def test_life_of_a_model(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    code, printed = member.says("promote propensity@1")
    assert (code, "another person approves" in printed) == (0, True)
    assert member.says("approve propensity")[0] == 4  # Dora again, with the auditor's key
    assert member.says("approve propensity --key brand/keys/approver.key", by="Aud")[0] == 4
    code, printed = member.says("approve propensity", by="Aud")
    assert (code, "live version 1" in printed) == (0, True)

    code, printed = member.says("promote propensity@2")  # guessing
    assert (code, "model.gate" in printed, "quality" in printed) == (9, True, True)
    assert member.says("promote propensity@2 --override-gate", reason="it is all there is")[0] == 0
    assert member.says("approve propensity", by="Aud")[0] == 0
    assert member.entries()[-1].reasons == ("gate.quality",)

    assert member.says("canary propensity@3 --share 5")[0] == 0
    assert [row["role"] for row in member.document("list")] == ["previous", "live", "canary"]
    code, printed = member.says("rollback propensity")
    assert (code, "live version 2" in printed) == (0, True)
    code, printed = member.says("rollback propensity", reason="scores drift")
    assert (code, "live version 1" in printed) == (0, True)
    assert member.says("rollback propensity")[0] == 4  # nothing before it
    assert member.says("retire propensity@2")[0] == 0
    assert member.says("approve propensity", by="Aud")[0] == 0
    assert [row["role"] for row in member.document("list propensity")] == ["live", "retired", None]

    kinds = [entry.type.value for entry in member.entries() if entry.serving is not None]
    assert kinds == [
        "model.proposed", "model.promoted", "model.proposed", "model.promoted", "model.canary",
        "model.rolled-back", "model.rolled-back", "model.proposed", "model.retired",
    ]  # fmt: skip
    assert check_member(member.entries()) == []
    code, printed = member.run("model show propensity@2 --home brand")
    assert (code, "scores drift" in printed, "keeps back" in printed) == (0, True, True)
    monkeypatch.setenv("HANSE_SERVE_CALLERS__campaign", "campaign.crt")
    settings = scoring_settings(member.root / "brand", "propensity", None)
    assert settings.registry is not None
    assert settings.registry.approver == member.keys.approvers[0].verifier.encode()
    assert scoring_settings(member.root / "brand", "propensity@1", None).registry is None


def test_deciles_are_given_where_a_version_does_not_say_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, member: Member
) -> None:
    edges = "/".join(f"0.{number}" for number in range(1, 10))
    code, printed = member.says(f"promote propensity@1 --deciles {edges}")
    assert (code, "the agreement has no deciles" in printed) == (9, True)
    terms = member.agreement.scoring.model_dump(mode="json") | {"output": "decile"}
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    other = Member(tmp_path / "other", command_for(monkeypatch, capsys), scoring=terms)
    code, printed = other.says("promote propensity@1")
    assert (code, "--deciles" in printed) == (9, True)
    assert other.says("promote propensity@1 --deciles 0.1/0.2")[0] == 9
    assert other.says("promote propensity@1 --deciles 0.1/x")[0] == 3
    assert other.says(f"promote propensity@1 --deciles {edges}")[0] == 0
    assert other.says("approve propensity", by="Aud")[0] == 0
    code, printed = other.run("model show propensity@1 --home brand")
    assert (code, "with deciles" in " ".join(printed.split())) == (0, True)


def test_a_version_that_contains_withdrawn_is_shown_with_its_deadline(member: Member) -> None:
    with open_ledger(member.home) as ledger:
        ledger.withdraw("1" * 32, member.agreement.purpose, NOW)
    row = member.document("list")[0]
    assert (row["withdrawn"], row["exact"], row["overdue"]) == (1, False, False)
    assert row["deadline"].startswith((NOW + timedelta(days=30)).strftime("%Y-%m-%d"))


def test_an_altered_version_is_not_proposed(member: Member) -> None:
    (member.home.models / "propensity@1" / WEIGHTS_FILE).write_bytes(b"other")
    code, printed = member.says("promote propensity@1")
    assert (code, "model.invalid" in printed) == (9, True)
    assert [entry for entry in member.entries() if entry.type is EventType.MODEL_PROPOSED] == []


def test_serving_a_model_that_nobody_decided_on_says_what_to_do(member: Member) -> None:
    code, printed = member.run("serve propensity --home brand")
    assert (code, "hanse model promote propensity@1" in printed) == (9, True)


def test_a_gate_of_the_members_own(member: Member) -> None:
    member.home.serving.mkdir()
    (member.home.serving / "gate.yaml").write_text("schema_version: 1\nquality: {minimum_auc: 0.9}\n")
    checks = {check["check"]: check for check in member.document("show propensity@1")["gate"]}
    assert (checks["quality"]["outcome"], checks["quality"]["keeps_back"]) == ("failed", True)
    assert (checks["privacy"]["outcome"], checks["calibration"]["outcome"]) == ("passed", "passed")
    assert (checks["fairness"]["outcome"], checks["fairness"]["keeps_back"]) == ("unknown", False)
