"""``hanse audit rotate-key`` at each kind of site, interrupted anywhere; and what comes after it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.command import Command, command_for

from hanse.audit import Event, EventType, LogReader, verify_log
from hanse.cli.common import member_log, site_files, utc_now
from hanse.client.home import MemberHome
from hanse.client.peers import coordinator_keys
from hanse.crypto import SigningKey, VerifierKey
from hanse.policies import Identity
from hanse.policies.site_key import load_site_key, rotate_site_key, rotation_steps

if TYPE_CHECKING:
    from pathlib import Path

SITES = {"brand": "member", "hub": "coordinator", "watchdog": "auditor"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One site of each kind; making their keys takes longer than copying them."""
    folder = tmp_path_factory.mktemp("sites")
    with pytest.MonkeyPatch.context() as patch:
        for name, role in SITES.items():
            words = (
                f"init {role} --home {folder / name} --name {name} --organisation {name}-AG --jurisdiction DE"
            )
            patch.setattr("sys.argv", ["hanse", *words.split()])
            from hanse.cli.main import main

            with pytest.raises(SystemExit) as caught:
                main()
            assert not caught.value.code
    return folder


@pytest.fixture
def hanse(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Calls ``hanse`` beside the sites."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return command_for(monkeypatch, capsys)


def key_of(site: Path) -> VerifierKey:
    return VerifierKey.decode(Identity.load(site / "identity.json").node_key)


def role_of(site: Path) -> str:
    return "coordinator" if site.name == "hub" else "operator"


def write(site: Path, count: int = 1) -> None:
    log = member_log(MemberHome(site), role_of(site))
    log.append(*[Event(type=EventType.POLICY_ADOPTED)] * count)
    log.close()


@pytest.mark.parametrize("name", SITES)
def test_the_log_goes_on_under_the_new_key(hanse: Command, tmp_path: Path, name: str) -> None:
    site = tmp_path / name
    write(site)
    old = key_of(site)
    saved = hanse("audit", "verify", "--home", name, "--save", "before.checkpoint")
    assert saved.code == 0
    told = hanse("audit", "rotate-key", "--home", name, "--json").json
    new = key_of(site)
    assert (told["old_key"], told["new_key"]) == (old.encode(), new.encode())
    assert told["hand_out"] == f"{name}/identity.json"
    assert told["to_amend"] == []
    assert SigningKey.load(MemberHome(site).node_key).verifier == new != old
    write(site)
    for known in (old, new):
        log = MemberHome(site).log
        words = ("audit", "verify", "--log", log, "--key", known.encode(), "--since", "before.checkpoint")
        found = hanse(*words, "--json")
        assert found.code == 0, found.out
        assert found.json["findings"] == []
    said = hanse("audit", "rotate-key", "--home", name)
    assert said.code == 0
    for part in (key_of(site).encode(), "hanse enrol --replace", "hanse audit backup", "key id"):
        assert part in said.out
    assert len(list((site / "keys" / "former").iterdir())) == 2
    for path in (site / "keys" / "former").iterdir():
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("hanse")
@pytest.mark.parametrize("taken", range(6))
def test_killed_after_any_step_the_site_opens_and_the_command_goes_on(tmp_path: Path, taken: int) -> None:
    site = tmp_path / ("hub" if taken % 2 else "brand")
    files = site_files(site)
    old = key_of(site)
    steps = rotation_steps(files, role_of(site), utc_now)
    assert len(steps) == 5, "the kills are after each of the steps, and before the first"
    for step in steps[:taken]:
        step()
    write(site)  # opens, whatever was done
    changed = taken >= 2
    assert (key_of(site) != old) == changed
    assert load_site_key(files).verifier == key_of(site)
    assert files.following.exists() == (taken == 1)
    made = rotate_site_key(files, role_of(site), utc_now)
    assert key_of(site) == made.new
    assert not files.following.exists()
    assert len(verify_log(files.log, old).keys) == (3 if changed else 2)


@pytest.mark.parametrize("taken", [2, 3, 4])
def test_the_command_finishes_what_was_interrupted_and_changes_nothing_twice(
    hanse: Command, tmp_path: Path, taken: int
) -> None:
    files = site_files(tmp_path / "brand")
    for step in rotation_steps(files, "operator", utc_now)[:taken]:
        step()
    new = SigningKey.load(files.following).verifier
    assert hanse("audit", "rotate-key", "--home", "brand", "--json").json["new_key"] == new.encode()
    assert verify_log(files.log, new).keys[-1] == new


def test_refused_while_a_process_has_the_log_open(hanse: Command, tmp_path: Path) -> None:
    before = key_of(tmp_path / "hub")
    log = member_log(MemberHome(tmp_path / "hub"), "coordinator")
    refused = hanse("audit", "rotate-key", "--home", "hub")
    assert (refused.code, "stop the site's processes first" in refused.err) == (6, True)
    log.append(Event(type=EventType.RUN_STARTED))
    log.close()
    assert key_of(tmp_path / "hub") == before


@pytest.mark.slow
def test_backup_from_before_needs_the_old_key(hanse: Command, tmp_path: Path) -> None:
    site = tmp_path / "brand"
    home, old = MemberHome(site), key_of(site)
    write(site, 3)
    assert hanse("audit", "backup", "--home", "brand", "--out", "before.db").code == 0
    assert hanse("audit", "rotate-key", "--home", "brand").code == 0
    new = key_of(site)
    write(site)
    assert hanse("audit", "verify", "--home", "brand", "--save", "after.checkpoint").code == 0
    assert hanse("audit", "backup", "--home", "brand", "--out", "after.db").code == 0
    home.log.unlink()
    restore = ("audit", "restore", "--home", "brand", "--checkpoint", "after.checkpoint", "--from")

    lost = hanse(*restore, "before.db")
    assert (lost.code, "2 entries are missing" in lost.err) == (6, True), lost.err
    former = site / "keys" / "former" / f"{old.key_id}.key"
    away = former.rename(tmp_path / "safe.key")
    refused = hanse(*restore, "before.db", "--accept-loss")
    assert (refused.code, "put the key of that time back into keys/former/" in refused.err) == (6, True)
    assert not home.log.exists()
    assert hanse(*restore, "after.db").code == 0  # a newer backup needs nothing
    assert hanse("audit", "verify", "--home", "brand", "--since", "after.checkpoint").code == 0

    home.log.unlink()
    away.rename(former)
    assert hanse(*restore, "before.db", "--accept-loss").code == 0
    write(site)
    verified = verify_log(home.log, new)
    assert verified.keys == (old, new)
    types = [entry.type for entry in verified.entries]
    assert types[-3:] == [EventType.LOG_RESTORED, EventType.LOG_KEY_ROTATED, EventType.POLICY_ADOPTED]
    seen = hanse("audit", "verify", "--home", "brand", "--since", "after.checkpoint")
    assert seen.code == 6, "the loss cannot be hidden from who has a checkpoint"


def test_a_loss_in_the_middle_of_a_change_is_restored(hanse: Command, tmp_path: Path) -> None:
    """Killed after the log went over, then the disk with the log died: the backup ends under the next key."""
    files = site_files(tmp_path / "brand")
    steps = rotation_steps(files, "operator", utc_now)
    for step in steps[:2]:
        step()
    new = SigningKey.load(files.following).verifier
    shutil.copyfile(files.log, tmp_path / "b.db")
    MemberHome(tmp_path / "brand").log.unlink()
    assert hanse("audit", "restore", "--home", "brand", "--from", "b.db", "--accept-loss").code == 0
    write(tmp_path / "brand")
    assert key_of(tmp_path / "brand") == new
    with LogReader.open(files.log) as reader:
        assert reader.keys()[-1] == new
        assert len(reader.keys()) == 2


def test_a_new_identity_replaces_the_old_one_only_on_purpose(hanse: Command, tmp_path: Path) -> None:
    assert hanse("enrol", "--home", "brand", "hub/identity.json").code == 0
    old = key_of(tmp_path / "hub")
    assert hanse("audit", "rotate-key", "--home", "hub").code == 0
    refused = hanse("enrol", "--home", "brand", "hub/identity.json")
    assert (refused.code, "--replace" in refused.err) == (3, True)
    shown = hanse("enrol", "--replace", "--home", "brand", "hub/identity.json")
    assert (shown.code, key_of(tmp_path / "hub").key_id in shown.out) == (0, True)
    kept = tmp_path / "brand" / "peers" / "former" / f"hub-{old.key_id}.json"
    assert Identity.load(kept).node_key == old.encode()
    keys = coordinator_keys(MemberHome(tmp_path / "brand"))
    assert keys == (key_of(tmp_path / "hub"), old), "models that the old key signed are served still"
    assert hanse("enrol", "--home", "brand", "hub/identity.json", "--json").json[0]["name"] == "hub"
    assert json.loads(kept.read_text())["name"] == "hub"
