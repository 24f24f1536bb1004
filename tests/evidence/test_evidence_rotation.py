"""The coordinator changes the key of the shared log, a member that of its witness: who goes on, and how."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.command import Command, command_for
from tests.evidence.conftest import until, utc_now

from hanse.audit import Event, EventType, parse_checkpoint, verify_log
from hanse.audit.policy_file import quorum_of
from hanse.audit.witness_keys import WitnessKeys
from hanse.client.peers import coordinator_of
from hanse.client.refusals import kept
from hanse.client.witness_rotation import chain_file, rotate_witness_key
from hanse.crypto import SigningKey, VerifierKey, unverified_text
from hanse.crypto.cosigning import CosignerVerifier
from hanse.policies import Identity

if TYPE_CHECKING:
    from pathlib import Path

    from tests.evidence.conftest import Hub

    from hanse.audit.policy_file import TrustPolicy


@pytest.fixture
def hanse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hub: Hub) -> Command:
    """Calls ``hanse`` beside the sites."""
    monkeypatch.chdir(hub.folder)
    return command_for(monkeypatch, capsys)


def witness_key(hub: Hub, name: str) -> CosignerVerifier:
    return CosignerVerifier.decode(str(Identity.load(hub.site(name).identity).witness_key))


def only(log: VerifierKey, witness: CosignerVerifier) -> TrustPolicy:
    return quorum_of(log, [witness], 1)


def grow(hub: Hub, *witnesses: str, entries: int = 2) -> int:
    """A coordinator's process that lives for a while: entries, and the witnesses' cosignatures."""
    with hub.serving() as serving:
        serving.log.append(*[Event(type=EventType.POLICY_ADOPTED)] * entries)
        for name in witnesses:
            hub.cosign_once(name, serving.log.size)
        serving.log.close()
        return serving.log.size


def standalone(package: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The verifier that is in a package, as a reviewer without Hanse runs it."""
    program = folder / "verify.py"
    with zipfile.ZipFile(package) as archive:
        program.write_bytes(archive.read("verify.py"))
    return subprocess.run(
        [sys.executable, "-I", str(program), str(package), *words],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_shared_log_changes_its_key_and_everybody_goes_on(
    hub: Hub, hanse: Command, tmp_path: Path
) -> None:
    old = hub.key.verifier
    grow(hub, "brand", "insurer")
    assert hanse("audit", "verify", "--home", "hub", "--save", "before.checkpoint").code == 0
    assert hanse("audit", "export", "--home", "hub", "--out", "early.zip").code == 0
    assert hanse("audit", "rotate-key", "--home", "hub").code == 0
    new = hub.key.verifier
    assert new != old

    # Nobody has enrolled the new key: the old one has announced it.
    size = grow(hub, "brand", "insurer")
    assert coordinator_of(hub.site("brand")).node_key == old.encode()
    assert not any(list(kept(hub.site(name))) for name in ("brand", "insurer"))
    for name in ("brand", "insurer"):
        with hub.open_log().reader() as reader:
            note = reader.note_at_least(size, only(new, witness_key(hub, name)).is_met)
        assert note is not None
    for known in (old, new):
        words = ("audit", "verify", "--log", hub.home.log, "--key", known.encode(), "--since")
        assert hanse(*words, "before.checkpoint", "--json").json["findings"] == []

    # The log that the hub exports, and a member that asks it, before and after enrolment.
    with hub.serving() as serving:
        remote = ("audit", "export", "--home", "brand", "--log", "shared", "--address", hub.address, "--json")
        exported = hanse(*remote, "--out", "remote-early.zip")
        assert exported.json["fails"] == []
        assert hanse("enrol", "--replace", "--home", "brand", "hub/identity.json").code == 0
        exported = hanse(*remote, "--out", "remote.zip")
        assert (exported.json["fails"], exported.json["log"]) == ([], "hub")
        serving.log.close()
    assert hanse("audit", "export", "--home", "hub", "--out", "own.zip").code == 0
    for package, known in (
        ("remote-early.zip", new),
        ("remote.zip", old),
        ("remote.zip", new),
        ("own.zip", old),
    ):
        checked = standalone(
            hub.folder / package, tmp_path, "--key", known.encode(), "--since", "before.checkpoint"
        )
        assert checked.returncode == 0, checked.stdout
        assert f"{old.name}+{old.key_id}, then {new.name}+{new.key_id}: you gave it" in checked.stdout
    thief = SigningKey.generate("hub").verifier.encode()
    assert standalone(hub.folder / "own.zip", tmp_path, "--key", thief).returncode == 1

    # The key that was enrolled lasts: the witness needs no announcement any more.
    assert grow(hub, "brand") > size


def test_a_log_that_never_had_the_enrolled_key_is_not_exported(hub: Hub, hanse: Command) -> None:
    foreign = hub.open_log(hub.folder / "foreign.db", SigningKey.generate("hub"))
    with hub.serving(foreign) as serving:
        serving.grow(2)
        words = ("--log", "shared", "--address", hub.address, "--out", "s.zip")
        refused = hanse("audit", "export", "--home", "brand", *words)
    assert (refused.code, "which is enrolled here" in refused.err) == (8, True)
    assert not (hub.folder / "s.zip").exists()


def test_a_change_that_the_enrolled_key_did_not_sign_is_refused_and_alarms(hub: Hub) -> None:
    """A coordinator's machine was taken over, without its key: the thief announces a key to itself."""
    grow(hub, "brand")
    stolen, thief = SigningKey.generate("hub"), SigningKey.generate("hub")
    log = hub.open_log(hub.folder / "foreign.db", stolen)
    with hub.serving(log) as serving:
        serving.grow(5)
        log.rotate(thief)
        with hub.witnessed("brand") as [witness]:
            until(lambda: bool(list(kept(hub.site("brand")))))
            del witness
    assert [one.kind for one in kept(hub.site("brand"))] == ["foreign-key"]


def test_a_witness_changes_its_key(hub: Hub, hanse: Command, caplog: pytest.LogCaptureFixture) -> None:
    log, brand, old = hub.key.verifier, hub.site("brand"), witness_key(hub, "brand")
    before = grow(hub, "brand")
    assert hanse("audit", "new-witness-key", "--home", "brand").code == 0
    new = witness_key(hub, "brand")

    # The wrong order: the coordinator has not enrolled it. Nothing counts, and the node's log says why.
    with hub.serving() as serving, hub.witnessed("brand"):
        serving.grow(2)
        until(lambda: "has to enrol this site's identity.json again" in caplog.text)
        with serving.witnesses.reader() as reader:
            assert reader.note_at_least(before + 1, only(log, new).is_met) is None
        serving.log.close()
    assert not list(kept(brand)), "a wrong order is no attack by the coordinator"

    assert hanse("enrol", "--replace", "--home", "hub", "brand/identity.json").code == 0
    after = grow(hub, "brand")
    with hub.open_log().reader() as reader:
        first, later = reader.note_at_least(before, only(log, old).is_met), reader.note_at_least(
            0, only(log, new).is_met
        )  # fmt: skip
    assert first is not None
    assert later is not None
    sizes = [parse_checkpoint(unverified_text(note)).size for note in (first, later)]
    assert sizes == [before, after], "the old cosignature counts still, the new key from the change on"
    assert not only(log, old).is_met(later)
    # An auditor who pinned the first key only takes the chain, and both keys as one witness.
    chain = WitnessKeys.parse(chain_file(brand).read_bytes())
    assert chain.verifiers(old) == (old, new)
    assert len(chain.cosigned_by(first, old)) == len(chain.cosigned_by(later, old)) == 1
    rotate_witness_key(brand, utc_now())
    assert verify_log(hub.home.log, log).size == after
