"""``hanse audit backup`` and ``restore`` as an operator calls them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from tests.command import command_for

from hanse.audit import (
    Event,
    EventType,
    LogReader,
    Witness,
    WitnessRefusal,
    WitnessState,
    consistency_proof,
    verify_log,
)
from hanse.cli.common import member_log
from hanse.client.home import MemberHome
from hanse.crypto import VerifierKey
from hanse.crypto.cosigning import CosignerKey
from hanse.policies import Identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hanse.audit import Entry

RESTORE = "audit restore --home brand --from b.db"


@pytest.fixture
def hanse(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    """Calls ``hanse`` beside a member and a coordinator; returns exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    invoke = command_for(monkeypatch, capsys)

    def call(line: str) -> tuple[int, str]:
        result = invoke(*line.split())
        return result.code, result.out + result.err

    for role, name in (("member", "brand"), ("coordinator", "hub")):
        line = f"init {role} --home {name} --name {name} --organisation {name}-AG --jurisdiction DE"
        assert call(line)[0] == 0
    return call


def append(folder: Path, count: int, *events: Event) -> bytes:
    """Entries in a site's log; returns the checkpoint over them."""
    log = member_log(MemberHome(folder), "member")
    log.append(*events, *[Event(type=EventType.RUN_STARTED)] * count)
    log.close()
    return log.checkpoint()


def entries(folder: Path) -> list[Entry]:
    home = MemberHome(folder)
    return list(verify_log(home.log, VerifierKey.decode(Identity.load(home.identity).node_key)).entries)


def test_backup_and_restore(hanse: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    brand = tmp_path / "brand"
    append(brand, 4)
    assert hanse("audit verify --home brand --save brand.checkpoint")[0] == 0
    code, out = hanse("audit backup --home brand --out b.db")
    assert (code, "5 entries" in out) == (0, True)
    assert hanse("audit backup --home brand --out b.db")[0] == 3, "a backup is never overwritten"
    key = Identity.load(brand / "identity.json").node_key
    assert hanse(f"audit verify --log b.db --key {key}")[0] == 0

    MemberHome(brand).log.unlink()
    code, out = hanse(f"{RESTORE} --checkpoint brand.checkpoint")
    assert code == 0, out
    assert "nothing is missing that brand.checkpoint knows of (5 entries)" in out
    assert hanse("audit verify --home brand --since brand.checkpoint")[0] == 0
    assert entries(brand)[-1].type == EventType.LOG_RESTORED
    assert entries(brand)[-1].actor.role == "operator"


def test_loss_is_named_by_whoever_knows_of_it(hanse: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    brand, hub = tmp_path / "brand", tmp_path / "hub"
    assert hanse("audit backup --home brand --out b.db --json")[0] == 0
    note = append(brand, 3)
    append(hub, 1, Event(type=EventType.ROUND_SUBMITTED, peer="brand", member_checkpoint=note.decode()))
    shutil.copyfile(MemberHome(hub).log, tmp_path / "hub.db")
    MemberHome(brand).log.unlink()

    code, out = hanse(RESTORE)
    assert (code, "nothing to compare" in out) == (6, True)
    code, out = hanse(f"{RESTORE} --shared hub.db")
    assert code == 6
    assert "audit.loss" in out
    assert "3 entries are missing: the backup has 1, the shared log hub.db knows 4" in out
    assert not MemberHome(brand).log.exists()

    code, out = hanse(f"{RESTORE} --shared hub.db --accept-loss --json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    assert (found["entries"], found["newest_known"], found["missing"]) == (1, 4, 3)
    restored = entries(brand)[-1].restored
    assert restored is not None
    assert (restored.size, restored.known_size) == (1, 4)


def test_witness_knows_of_a_loss_and_refuses_what_follows(
    hanse: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    hub = MemberHome(tmp_path / "hub")
    append(hub.root, 2)
    assert hanse("audit backup --home hub --out b.db")[0] == 0
    note = append(hub.root, 3)
    key = CosignerKey.generate("brand/witness", "ed25519")
    state = WitnessState.create(tmp_path / "witness.db")
    verifier = VerifierKey.decode(Identity.load(hub.identity).node_key)
    witness = Witness("hub", [verifier], key, state)
    witness.add_checkpoint(0, (), note)
    hub.log.unlink()

    restore = "audit restore --home hub --from b.db --witness witness.db"
    code, out = hanse(restore)
    assert (code, "3 entries are missing: the backup has 2, the witness witness.db knows 5" in out) == (
        6,
        True,
    )
    assert hanse(f"{restore} --accept-loss")[0] == 0
    append(hub.root, 4)
    with LogReader.open(hub.log) as reader, pytest.raises(WitnessRefusal) as caught:
        witness.add_checkpoint(5, consistency_proof(5, reader.size, reader.hashes), reader.note)
    assert caught.value.kind == "rewrite"


def test_log_that_is_not_there_is_not_backed_up(
    hanse: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    assert hanse("audit backup --home hub --out b.db")[0] == 0
    MemberHome(tmp_path / "hub").log.unlink()
    code, out = hanse("audit backup --home hub --out c.db")
    assert (code, "audit.unavailable" in out, "audit.db" in out) == (6, True, True)
    assert not (tmp_path / "c.db").exists()
