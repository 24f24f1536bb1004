"""Packages of a real run: two members, their coordinator, and witnesses over gRPC; made by command."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import LocalFederation, copy_of, open_federation, utc_now
from tests.export.conftest import Outcome
from typer.testing import CliRunner

from hanse.audit import EventType, verify_log
from hanse.cli.main import app
from hanse.cli.output import EXIT_CODES
from hanse.client.home import MemberHome
from hanse.client.remote import CoordinatorClient
from hanse.client.shared_log import SharedLogClient
from hanse.crypto import VerifierKey, sha256_hex
from hanse.errors import HanseError
from hanse.evidence import verify
from hanse.evidence.follow import Follower
from hanse.policies import Identity
from hanse.policies.witnessing import trust_policy
from hanse.server.audit_service import AuditService
from hanse.server.coordinator import Coordinator, CoordinatorFolders, Evidence
from hanse.server.exchange import ExchangeService
from hanse.server.ports import free_port
from hanse.server.service import CoordinatorService, serve
from hanse.server.witnesses import Witnesses

pytestmark = pytest.mark.slow


class LocalEngine:
    """Runs the work on a transport to nodes in this process."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def register(self, member: str, flower_key: str) -> None:
        del member, flower_key

    def run(self, work: Callable[[Any], None], cancelled: Callable[[], bool]) -> None:
        del cancelled
        work(self.transport)


@dataclass
class Finished:
    """Sites after a run, their coordinator still answering."""

    local: LocalFederation
    address: str
    run: str

    @property
    def folder(self) -> Path:
        return self.local.federation.folder

    def hanse(self, *arguments: object) -> Any:
        """Calls a command; returns its JSON."""
        result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
        if isinstance(result.exception, HanseError):  # what `main` makes of it
            return {"error": result.exception.code}, EXIT_CODES[result.exception.code.split(".")[0]]
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return json.loads(result.stdout), result.exit_code


@pytest.fixture(scope="module")
def finished(templates: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    made, note = templates(2, 3.0, rounds=2)
    local = open_federation(copy_of(made, tmp_path_factory.mktemp("export") / "federation"), note)
    home, evidence = local.home, Evidence(local.statements, Witnesses(local.shared_log), timeout_s=30)
    folders = CoordinatorFolders(home.agreements, home.models, home.peers, home.packs)
    engine, identity = LocalEngine(local.transport()), Identity.load(home.identity)
    coordinator = Coordinator(
        folders, local.key, identity, local.shared_log, local.book, engine, evidence, local.hub, utc_now
    )
    coordinator.enrol_peers()
    address = f"127.0.0.1:{free_port()}"
    server = serve(
        CoordinatorService(coordinator, local.book),
        AuditService(coordinator, evidence.statements, evidence.witnesses),
        ExchangeService(coordinator, local.book, local.hub),
        address,
        home.server_key,
        home.server_certificate,
        lambda: [peer.tls_certificate or "" for peer in coordinator.peers().values()],
    )
    with local.witnesses(address):
        with CoordinatorClient(MemberHome(local.federation.folder / "brand"), address) as client:
            events = list(client.start(client.submit(note)))
        assert events[-1].type == "run.finished", events[-1]
        evidence.witnesses.wait(local.shared_log.size, _policy(local), 30, lambda: False)
        yield Finished(local, address, events[0].run)
    server.stop(0)


def _policy(local: LocalFederation) -> Any:
    return trust_policy(local.agreement)


def check(path: Path, outcome: Callable[..., Outcome]) -> Outcome:
    results = outcome(path.read_bytes())
    assert not [(name, told) for name, told in results.items() if told[0] == verify.FAIL]
    return results


def test_shared_log_of_the_coordinator(
    finished: Finished, tmp_path: Path, outcome: Callable[..., Outcome]
) -> None:
    out = tmp_path / "hub.zip"
    told, code = finished.hanse("audit", "export", "--home", finished.local.home.root, "--out", out)
    assert (code, told["fails"], told["sha256"]) == (0, [], sha256_hex(out.read_bytes()))
    results = check(out, outcome)
    assert results["witnesses"][0] == verify.OK
    assert "this is the quorum of log.policy" in results["witnesses"][1]
    files = verify.read_archive(out.read_bytes())
    assert f"agreements/{finished.local.signed.digest}.agreement" in files
    decisive = [json.loads(line) for line in files["entries.jsonl"].splitlines()]
    proven = {line["index"] for line in decisive if line["entry"]["type"] in verify.DECISIVE}
    assert {f"proofs/{index}.tlog-proof" for index in proven} == {n for n in files if n.startswith("proofs/")}
    assert {"model.registered", "round.aggregated", "round.submitted"} <= {
        line["entry"]["type"] for line in decisive
    }
    checks, code = finished.hanse("audit", "verify", "--package", out)
    assert (code, checks["verified"]) == (0, True), checks


def test_own_log_of_a_member(finished: Finished, tmp_path: Path, outcome: Callable[..., Outcome]) -> None:
    home, out = MemberHome(finished.folder / "brand"), tmp_path / "brand.zip"
    told, _ = finished.hanse("audit", "export", "--home", home.root, "--out", out)
    check(out, outcome)
    report = verify.read_archive(out.read_bytes())["report.html"].decode()
    assert finished.run in report
    assert "admitted" in report
    key = VerifierKey.decode(Identity.load(home.identity).node_key)
    last = list(verify_log(home.log, key).entries)[-1]
    assert (last.type, last.package, last.actor.role) == (
        EventType.AUDIT_EXPORTED,
        told["sha256"],
        "operator",
    )
    again, code = finished.hanse("audit", "export", "--home", home.root, "--out", out)
    assert (again["error"], code) == ("config.exists", 3)


def test_shared_log_from_a_member_and_one_run_of_it(
    finished: Finished, tmp_path: Path, outcome: Callable[..., Outcome]
) -> None:
    home = finished.folder / "insurer"
    for arguments, verdict in (((), verify.OK), (("--run", finished.run), verify.NOTE)):
        out = tmp_path / f"{len(arguments)}.zip"
        told, code = finished.hanse(
            "audit", "export", "--home", home, "--log", "shared", "--address", finished.address,
            "--out", out, *arguments,
        )  # fmt: skip
        assert (code, told["log"]) == (0, "hub")
        assert outcome(out.read_bytes())["entries"][0] == verdict


def test_package_against_a_saved_checkpoint(finished: Finished, tmp_path: Path) -> None:
    home, first, second = finished.folder / "brand", tmp_path / "1.zip", tmp_path / "2.zip"
    key, saved = Identity.load(MemberHome(home).identity).node_key, tmp_path / "saved"
    finished.hanse("audit", "export", "--home", home, "--out", first)
    told, code = finished.hanse("audit", "verify", "--package", first, "--key", key, "--save", saved)
    assert (code, told["verified"]) == (0, True), told
    finished.hanse("audit", "export", "--home", home, "--out", second)
    told, code = finished.hanse("audit", "verify", "--package", second, "--key", key, "--since", saved)
    assert {one["verdict"] for one in told["checks"] if one["check"] in ("saved", "log key")} == {"ok"}
    told, code = finished.hanse("audit", "verify", "--package", first, "--since", _checkpoint(second))
    assert (code, told["verified"]) == (6, False)


def _checkpoint(path: Path) -> Path:
    place = path.with_suffix(".checkpoint")
    place.write_bytes(verify.read_archive(path.read_bytes())["checkpoint"])
    return place


def test_tampered_package_is_refused_by_the_command(finished: Finished, tmp_path: Path) -> None:
    out = tmp_path / "hub.zip"
    finished.hanse("audit", "export", "--home", finished.local.home.root, "--out", out)
    data = bytearray(out.read_bytes())
    content = verify.read_archive(bytes(data))["csv/entries.csv"]
    data[data.index(content) + 40] ^= 1
    out.write_bytes(bytes(data))
    told, code = finished.hanse("audit", "verify", "--package", out)
    assert (code, told["verified"]) == (6, False)
    assert any("csv/entries.csv" in one["detail"] for one in told["checks"] if one["verdict"] == "FAIL")


def test_coordinator_has_no_member_log(finished: Finished, tmp_path: Path) -> None:
    told, code = finished.hanse(
        "audit", "export", "--home", finished.local.home.root, "--log", "member", "--out", tmp_path / "x.zip"
    )
    assert (code, told["error"]) == (3, "config.invalid")


def test_shared_log_can_be_followed_from_a_member(finished: Finished) -> None:
    home, stopping = MemberHome(finished.folder / "brand"), threading.Event()
    follower = Follower(finished.local.key.verifier)
    with SharedLogClient(home, finished.address) as client:
        note = next(iter(client.checkpoints(0, stopping)))
        rows = follower.take(note, client.entries(0, follower.claimed_size(note)))
    assert [index for index, _ in rows] == list(range(follower.size))
    assert EventType.MODEL_REGISTERED in {entry.type for _, entry in rows}
