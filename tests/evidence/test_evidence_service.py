"""What the shared log's service gives to whom: members, auditors, and nobody else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from tests.evidence.conftest import AUDITOR, MEMBERS, utc_now

from hanse.audit import check_consistency, check_inclusion, open_checkpoint, verify_log
from hanse.client.auditor import AuditorSettings, init_auditor, run_auditor
from hanse.client.home import MemberHome
from hanse.client.remote import CoordinatorClient
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.crypto import SigningKey
from hanse.errors import ConfigurationError, HanseError
from hanse.policies import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.evidence.conftest import Hub


def code(call: Callable[[], object]) -> str:
    with pytest.raises(HanseError) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize("name", [MEMBERS[0], AUDITOR])
def test_whoever_takes_part_can_check_all_of_the_log(hub: Hub, name: str) -> None:
    with hub.serving() as serving, hub.client(name) as client:
        serving.grow(600)
        checkpoint = open_checkpoint(client.checkpoint(), hub.key.verifier)
        leaves = list(client.entries(0, checkpoint.size))
        assert leaves == list(serving.log.reader().leaves(0, 600))
        assert list(client.entries(300, 303)) == leaves[300:303]
        for index in (0, 299, 599):
            proof = client.inclusion(index, checkpoint.size)
            check_inclusion(leaves[index], index, checkpoint.size, checkpoint.root, proof)
        stopping = threading.Event()
        serving.grow()
        newer = open_checkpoint(next(client.checkpoints(checkpoint.size, stopping)), hub.key.verifier)
        proof = client.consistency(checkpoint.size, newer.size)
        check_consistency(checkpoint.size, checkpoint.root, newer.size, newer.root, proof)


@pytest.mark.parametrize("bad", [(0, 9), (9, 9), (3, 2)], ids=str)
def test_what_the_log_does_not_have_is_refused(hub: Hub, bad: tuple[int, int]) -> None:
    with hub.serving() as serving, hub.client("brand") as client:
        serving.grow(5)
        for ask in (
            lambda: list(client.entries(*bad)),
            lambda: client.consistency(*bad),
            lambda: client.inclusion(*bad),
        ):
            assert code(ask) == "audit.integrity"


def test_an_auditor_reads_and_cosigns_and_does_nothing_else(hub: Hub) -> None:
    with hub.serving() as serving, hub.client(AUDITOR) as client:
        serving.grow(2)
        hub.cosign_once(AUDITOR, 2)
        assert serving.log.reader().note_at_least(2, hub.policy(1).is_met)
        for forbidden in (client.submitted, lambda: client.submit(b"{}", 0, ())):
            assert code(forbidden) == "identity.unauthenticated"
        assert serving.log.size == 2
    with hub.serving(), CoordinatorClient(hub.site(AUDITOR), hub.address) as people:
        for call in (
            lambda: people.submit(b"note"),
            lambda: list(people.start("0" * 64)),
            lambda: list(people.watch("run-1")),
            lambda: people.cancel("run-1"),
            lambda: people.model("propensity@1"),
        ):
            assert code(call) == "identity.unauthenticated"


def test_a_stranger_and_a_caller_read_nothing(hub: Hub) -> None:
    identity = init_member(
        hub.folder / "stranger",
        Organisation("stranger", "S", "DE", "DE"),
        DatasetHints(None, "i", "y"),
        utc_now(),
    )
    (hub.site("stranger")).authority.write_bytes(hub.home.authority.read_bytes())
    with hub.serving(), hub.client("stranger") as client:
        assert code(client.checkpoint) in {"run.engine", "identity.unauthenticated"}
    changes = {"role": "caller", "approver_key": None, "witness_key": None}
    Identity.model_validate({**identity.model_dump(), **changes}).save(hub.home.peers / "stranger.json")
    with hub.serving(), hub.client("stranger") as client:
        for call in (
            client.checkpoint,
            lambda: list(client.entries(0, 0)),
            lambda: client.cosign(0, ""),
            client.submitted,
            lambda: next(client.checkpoints(None, threading.Event())),
        ):
            assert code(call) == "identity.unauthenticated"


def test_an_auditors_process_witnesses_until_it_is_stopped(hub: Hub) -> None:
    home, stopping = hub.site(AUDITOR), threading.Event()
    with hub.serving() as serving:
        serving.grow(3)
        run_auditor(home, hub.address, lambda size: stopping.set() if size == 3 else None, stopping, utc_now)
        assert serving.log.reader().note_at_least(3, hub.policy(1).is_met)
    with pytest.raises(ConfigurationError, match="no auditor's folder"):
        run_auditor(hub.site("brand"), None, lambda _: None, stopping, utc_now)


def test_an_auditors_folder(hub: Hub) -> None:
    home = hub.site(AUDITOR)
    identity = Identity.load(home.identity)
    assert (identity.role, identity.approver_key, identity.flower_key) == ("auditor", None, None)
    for path in (home.node_key, home.witness_key, home.tls_key, home.witness):
        assert path.stat().st_mode & 0o077 == 0
    entries = verify_log(home.log, SigningKey.load(home.node_key).verifier).entries
    assert [entry.type for entry in entries] == ["member.initialised"]
    assert AuditorSettings.load(home.root).coordinator_address == "127.0.0.1:9201"
    with pytest.raises(ConfigurationError, match="exists"):
        init_auditor(home.root, AUDITOR, "Watchdog KG", "DE", utc_now())
    with pytest.raises(ConfigurationError, match="jurisdiction"):
        init_auditor(hub.folder / "other", "other", "Other", "Germany", utc_now())
    assert not MemberHome(hub.folder / "other").identity.exists()
