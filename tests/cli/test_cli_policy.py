"""``hanse policy``: rules and packs as people read them, and adoption by two of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.command import command_for

from hanse.audit import verify_log
from hanse.client.home import MemberHome
from hanse.client.packs import adopted, pack_keys, policy_of
from hanse.crypto import VerifierKey
from hanse.errors import ConfigurationError, PolicyError
from hanse.policies import BUILTIN, RULES, Agreement, Identity, RulePack, open_pack

if TYPE_CHECKING:
    from collections.abc import Callable

    Hanse = Callable[..., tuple[int, str]]

EXAMPLE = Path(__file__).parents[1] / "policies" / "example_agreement.yaml"
MEMBER = "init member --home brand --name brand --jurisdiction DE --organisation Brand"


@pytest.fixture
def hanse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Hanse:
    """Calls ``hanse`` below a folder of the test's own; exit code and what was printed."""
    monkeypatch.chdir(tmp_path)
    invoke = command_for(monkeypatch, capsys)

    def call(line: str) -> tuple[int, str]:
        result = invoke(*line.split())
        return result.code, result.out + result.err

    return call


@pytest.fixture
def home(hanse: Hanse, tmp_path: Path) -> MemberHome:
    assert hanse(MEMBER)[0] == 0
    return MemberHome(tmp_path / "brand")


def document(hanse: Hanse, line: str) -> Any:
    code, printed = hanse(f"{line} --json")
    assert code == 0
    return json.loads(printed)


def test_list_of_rules_in_both_languages(hanse: Hanse) -> None:
    assert [rule["id"] for rule in document(hanse, "policy list")] == list(RULES)
    ccpa = document(hanse, "policy list --pack ccpa")
    assert [rule["id"] for rule in ccpa] == [rule.id for rule in BUILTIN["ccpa"].rules]
    code, printed = hanse("policy list --pack pipl --lang zh")
    assert code == 0
    assert "单独同意" in printed
    assert "PIPL 29" in printed
    assert "GDPR" not in printed
    assert "Not legal advice" in printed


def test_show_a_rule(hanse: Hanse) -> None:
    code, printed = hanse("policy show p12")
    assert code == 0
    assert RULES["P12"].message.en in printed
    assert RULES["P12"].remedy.zh in printed
    assert "training.longest_run_days is at most retention.rows_days" in printed
    assert "days for which rows are kept" in printed
    facts = document(hanse, "policy show P12")
    assert facts["facts"]["lifecycle"] == [
        "artefact.age_days", "artefact.deleted", "artefact.deletion_logged", "artefact.keep_days",
    ]  # fmt: skip
    assert hanse("policy show P33")[0] == 4


def test_merge_shows_where_each_restriction_comes_from(hanse: Hanse) -> None:
    merged = document(hanse, "policy merge pipl gdpr")
    assert merged["thresholds"]["child_below_years"] == {"value": 16, "sources": ["gdpr/1"], "ours": False}
    assert merged["thresholds"]["suppress_below"]["ours"] is True
    assert merged["rules"]["P22"]["sources"] == ["pipl/1"]
    assert set(merged["packs"]) == {"pipl/1", "gdpr/1"}
    code, printed = hanse("policy merge pipl gdpr")
    assert code == 0
    assert "gdpr/1" in printed
    assert "default" in printed
    code, printed = hanse("policy merge lgpd")
    assert (code, "built in are pipl, gdpr, ccpa" in printed) == (4, True)


def test_a_new_member_adopts_the_packs_that_it_is_told(hanse: Hanse, tmp_path: Path) -> None:
    assert hanse(f"{MEMBER} --pack ccpa")[0] == 0
    assert adopted(MemberHome(tmp_path / "brand")) == (BUILTIN["ccpa"],)


def test_adopting_is_logged_and_listed(hanse: Hanse, home: MemberHome) -> None:
    assert adopted(home) == (BUILTIN["gdpr"], BUILTIN["pipl"])
    assert hanse("policy adopt ccpa --home brand")[0] == 0
    listed = {pack["id"]: pack["adopted"] for pack in document(hanse, "policy packs --home brand")}
    assert listed == {"pipl": True, "gdpr": True, "ccpa": True}
    assert not any(pack["adopted"] for pack in document(hanse, "policy packs"))
    node = VerifierKey.decode(Identity.load(home.identity).node_key)
    entry = verify_log(home.log, node, origin="brand").entries[-1]
    assert (entry.type, entry.actor.role, entry.policy_digest) == (
        "policy.adopted",
        "approver",
        BUILTIN["ccpa"].digest,
    )


def test_a_pack_of_ones_own_goes_from_hand_to_hand(hanse: Hanse, home: MemberHome, tmp_path: Path) -> None:
    new = "policy new-pack house.yaml --id house --title House --title-zh 内部规则"
    assert hanse(new)[0] == 0
    assert hanse(new)[0] == 3
    text = (tmp_path / "house.yaml").read_text()
    stricter = text.replace("thresholds: {}", "thresholds: {maximum_epsilon: 1.0}")
    assert stricter != text
    (tmp_path / "house.yaml").write_text(stricter)
    merged = document(hanse, "policy merge pipl house.yaml")
    assert merged["thresholds"]["maximum_epsilon"]["sources"] == ["house/1"]

    assert hanse("policy sign-pack house.yaml --key brand/keys/approver.key")[0] == 0
    code, printed = hanse("policy adopt house.pack --home brand")
    assert (code, "not signed by brand-auditor" in printed) == (4, True)
    assert hanse("policy sign-pack house.pack --key brand/keys/approver.key")[0] == 4
    assert hanse("policy sign-pack house.pack --key brand/keys/auditor.key")[0] == 0
    # The auditor's key has left the folder; its public half is enough.
    home.auditor_key.unlink()
    assert hanse("policy adopt house.pack --home brand")[0] == 0
    pack = open_pack((tmp_path / "house.pack").read_bytes(), pack_keys(home))
    assert pack in adopted(home)
    assert document(hanse, "policy merge house --home brand")["packs"] == {"house/1": pack.digest}
    assert hanse("policy adopt ccpa --home brand")[0] == 3


def test_what_is_no_pack(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe")
    assert hanse("policy merge bad.yaml")[0] == 4
    (tmp_path / "empty.yaml").write_text("id: house\n")
    code, printed = hanse("policy merge empty.yaml")
    assert (code, "thresholds: is missing; add it" in printed) == (4, True)


def test_a_folder_without_auditor_says_what_to_do(hanse: Hanse, home: MemberHome) -> None:
    home.auditor_verifier.unlink()
    home.auditor_key.unlink()
    with pytest.raises(ConfigurationError, match="hanse policy new-auditor --home"):
        adopted(home)
    code, printed = hanse("policy adopt ccpa --home brand")
    assert (code, "no auditor" in printed) == (3, True)
    assert hanse("policy new-auditor --home brand")[0] == 0
    assert hanse("policy new-auditor --home brand")[0] == 3
    # What another auditor signed no longer counts.
    with pytest.raises(PolicyError, match="not signed by brand-auditor"):
        adopted(home)


def test_an_agreement_runs_under_the_packs_that_it_names(home: MemberHome) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for name, pack in BUILTIN.items():
        text = text.replace(f"@{name}@", pack.digest)
    agreement = Agreement.from_yaml(text)
    packs = (BUILTIN["gdpr"].reference, BUILTIN["pipl"].reference)
    named = agreement.model_copy(update={"packs": packs})
    assert [source for source, _ in policy_of(home, named).packs] == ["gdpr/1", "pipl/1"]
    more = agreement.model_copy(update={"packs": (*packs, BUILTIN["ccpa"].reference)})
    with pytest.raises(PolicyError, match="ccpa/1 is not adopted here"):
        policy_of(home, more)


def test_packs_come_with_the_software_and_are_part_of_its_digest() -> None:
    from hanse.client.software import ENDINGS
    from hanse.policies.packs import builtin

    files = sorted((builtin._FOLDER).glob("*.yaml"))
    assert [path.stem for path in files] == sorted(BUILTIN)
    assert {path.suffix for path in files} <= ENDINGS
    for path in files:
        assert RulePack.from_yaml(path.read_text(encoding="utf-8")) == BUILTIN[path.stem]
