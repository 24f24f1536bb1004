"""A site gives its witness a new key; an interruption anywhere leaves a site that goes on."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hanse.audit.witness_keys import WitnessKeys, announce_key
from hanse.audit.witness_rules import WitnessRefusal
from hanse.audit.witness_state import WitnessState
from hanse.cli.main import app
from hanse.client.auditor import init_auditor
from hanse.client.home import MemberHome
from hanse.client.setup import new_witness_key
from hanse.client.witness_rotation import chain_file, read_chain, rotate_witness_key
from hanse.crypto import write_atomic
from hanse.crypto.cosigning import CosignerKey
from hanse.errors import ConfigurationError, IdentityError
from hanse.policies import Identity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> MemberHome:
    init_auditor(tmp_path / "watchdog", "watchdog", "Watchdog Ltd", "DE", NOW)
    return MemberHome(tmp_path / "watchdog")


def key_of(home: MemberHome) -> CosignerKey:
    return CosignerKey.load(home.witness_key)


def test_twice(home: MemberHome) -> None:
    keys = [key_of(home).verifier]
    for days in (1, 2):
        chain = rotate_witness_key(home, NOW + timedelta(days=days))
        keys.append(key_of(home).verifier)
        assert chain == read_chain(chain_file(home))
        assert list(chain.keys) == keys
        assert Identity.load(home.identity).witness_key == keys[-1].encode()
    assert len(set(keys)) == 3
    assert sorted(path.name for path in home.witness_key.parent.glob("witness*")) == [
        "witness-keys.json", "witness.key",
    ]  # fmt: skip


def test_interrupted_before_the_announcement(home: MemberHome) -> None:
    following = new_witness_key("watchdog")
    following.save(home.witness_key.with_name("witness-next.key"))
    assert rotate_witness_key(home, NOW).keys[-1] == following.verifier == key_of(home).verifier


@pytest.mark.parametrize("written", [False, True])
def test_interrupted_after_the_announcement(home: MemberHome, written: bool) -> None:
    old, following = key_of(home), new_witness_key("watchdog")
    following.save(home.witness_key.with_name("witness-next.key"))
    chain = announce_key(
        WitnessState.open(home.witness), WitnessKeys.begin(old.verifier), old, following, NOW
    )
    if written:
        write_atomic(chain_file(home), chain.encode())
    assert rotate_witness_key(home, NOW).keys == (old.verifier, following.verifier)
    assert key_of(home).verifier == following.verifier


def test_a_site_that_was_set_back_announces_no_other_successor(home: MemberHome) -> None:
    rotate_witness_key(home, NOW)
    old, chain = key_of(home), read_chain(chain_file(home))
    rotate_witness_key(home, NOW + timedelta(days=1))
    home.witness_key.unlink()
    old.save(home.witness_key)  # set back from a backup, with the chain
    write_atomic(chain_file(home), chain.encode())
    with pytest.raises(WitnessRefusal, match="fork"):  # its memory knows the successor that it announced
        rotate_witness_key(home, NOW + timedelta(days=2))


def test_a_lost_memory_begins_anew_with_the_new_key(home: MemberHome) -> None:
    old = key_of(home).verifier
    home.witness.unlink()
    chain = rotate_witness_key(home, NOW)
    assert chain.keys == (old, key_of(home).verifier)
    assert WitnessState.open(home.witness).newest(f"{old.name}/keys") is not None
    assert not list(home.witness.parent.glob("witness-new*"))


def test_commands(home: MemberHome) -> None:
    run, old = CliRunner(), key_of(home).verifier
    made = run.invoke(app, ["audit", "new-witness-key", "--home", str(home.root), "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["keys"] == [old.encode(), key_of(home).verifier.encode()]
    for extra in ([], ["--json"]):
        shown = run.invoke(
            app, ["audit", "witness-keys", str(chain_file(home)), "--pinned", old.encode(), *extra]
        )
        assert shown.exit_code == 0, shown.output
        assert old.key_id in shown.stdout or old.encode() in shown.stdout
    stranger = new_witness_key("watchdog").verifier.encode()
    refused = run.invoke(app, ["audit", "witness-keys", str(chain_file(home)), "--pinned", stranger])
    assert isinstance(refused.exception, IdentityError)


def test_a_missing_chain_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.missing-file"):
        read_chain(tmp_path / "nothing.json")
