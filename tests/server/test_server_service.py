"""The coordinator's gRPC service over mutual TLS; the engine below it hands work to nodes in this process."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.conftest import PLAIN

from hanse.audit import RefusalKind, WitnessRefusal, verify_log
from hanse.audit.completeness import check_shared
from hanse.client.home import MemberHome
from hanse.client.models import fetch_model
from hanse.client.refusals import keep
from hanse.client.remote import CoordinatorClient
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.crypto import sha256_hex, write_atomic
from hanse.errors import AuditError, HanseError, TrainingError
from hanse.learning.artifact import MANIFEST_FILE
from hanse.policies import Identity
from hanse.policies.witnessing import PROOF_FILE, WITHHELD_FILE, check_registration
from hanse.server.audit_service import AuditService
from hanse.server.coordinator import Coordinator, CoordinatorFolders, Evidence
from hanse.server.exchange import ExchangeService
from hanse.server.listener import Listener
from hanse.server.ports import free_port
from hanse.server.runs import RunBook
from hanse.server.service import CoordinatorService, serve
from hanse.server.witnesses import Witnesses


class LocalEngine:
    """Runs the work on a transport to nodes in this process; one run at a time, as the real one."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.registered: dict[str, str] = {}
        self.failure: Exception | None = None

    def register(self, member: str, flower_key: str) -> None:
        self.registered[member] = flower_key

    def run(self, work: Callable[[Any], None], cancelled: Callable[[], bool]) -> None:
        del cancelled
        if self.failure is not None:
            raise self.failure
        work(self.transport)


@dataclass
class Served:
    local: Any
    engine: LocalEngine
    coordinator: Coordinator
    server: Listener
    address: str

    def client(self, name: str = "brand") -> CoordinatorClient:
        return CoordinatorClient(MemberHome(self.local.federation.folder / name), self.address)


@pytest.fixture
def served(federation: Callable[..., Any]) -> Iterator[Served]:
    with serving(federation(2, None, rounds=1, columns=PLAIN)) as made:
        yield made


@contextmanager
def serving(local: Any) -> Iterator[Served]:
    """The coordinator of a federation in this process, with witnesses over the network."""
    engine = LocalEngine(local.transport())
    home = local.home
    evidence = Evidence(local.statements, Witnesses(local.shared_log), timeout_s=5)
    coordinator = Coordinator(
        CoordinatorFolders(home.agreements, home.models, home.peers, home.packs),
        local.key,
        Identity.load(home.identity),
        local.shared_log,
        local.book,
        engine,
        evidence,
        local.hub,
        local_now,
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
        yield Served(local, engine, coordinator, server, address)
    server.stop(0)


def local_now() -> datetime:
    return datetime.now(UTC)


def code(call: Callable[[], Any]) -> str:
    with pytest.raises(HanseError) as error:
        call()
    return error.value.code


def test_submit_run_watch_and_fetch(served: Served) -> None:
    with served.client() as client:
        digest = client.submit(served.local.signed.note)
        assert digest == served.local.signed.digest
        events = list(client.start(digest))
        assert events[-1].type == "run.finished"
        assert [e.type for e in client.watch(events[0].run)] == [e.type for e in events]
        home = MemberHome(served.local.federation.folder / "brand")
        folder, model = fetch_model(client, home, str(events[-1].facts["model"]), served.local.signed)
        again, _ = fetch_model(client, home, str(events[-1].facts["model"]), served.local.signed)
        assert folder == again
        assert (model.manifest.name, model.manifest.version) == ("propensity", 1)
    assert served.engine.registered.keys() == {"brand", "insurer"}


def test_an_unsigned_or_altered_agreement_is_refused(served: Served) -> None:
    note = served.local.signed.note
    with served.client() as client:
        assert code(lambda: client.submit(note[: note.rindex(b"\xe2\x80\x94")])) == "policy.unsigned"
        assert code(lambda: client.submit(note.replace(b'"rounds":1', b'"rounds":9'))) == "policy.invalid"
        assert code(lambda: client.submit(b"\xff")) == "policy.invalid"
        assert code(lambda: list(client.start("0" * 64))) == "policy.invalid"
        assert code(lambda: list(client.start("../" * 3))) == "policy.invalid"


def test_an_enrolled_stranger_to_the_agreement_gets_nothing(served: Served) -> None:
    folder = served.local.federation.folder
    identity = init_member(
        folder / "other",
        Organisation("other", "Other Ltd", "DE", "DE"),
        DatasetHints(None, "subject_id", "y"),
        local_now(),
    )
    write_atomic(MemberHome(folder / "other").authority, (served.local.home.authority).read_bytes())
    identity.save(served.local.home.peers / "other.json")
    served.coordinator.enrol_peers()
    served.server.renew()
    with served.client() as client:
        events = list(client.start(client.submit(served.local.signed.note)))
    with served.client("other") as client:
        assert code(lambda: client.submit(served.local.signed.note)) == "policy.denied"
        assert code(lambda: list(client.start(served.local.signed.digest))) == "policy.denied"
        assert code(lambda: list(client.watch(events[0].run))) == "run.unknown"
        assert code(lambda: client.cancel(events[0].run)) == "run.unknown"
        assert code(lambda: client.model("propensity@1")) == "model.not-found"


def test_an_unenrolled_certificate_does_not_connect(served: Served) -> None:
    folder = served.local.federation.folder
    init_member(
        folder / "stranger",
        Organisation("stranger", "Ltd", "DE", "DE"),
        DatasetHints(None, "s", "y"),
        local_now(),
    )
    write_atomic(MemberHome(folder / "stranger").authority, (served.local.home.authority).read_bytes())
    with served.client("stranger") as client:
        assert code(lambda: client.submit(served.local.signed.note)) in {
            "run.engine",
            "identity.unauthenticated",
        }


@pytest.mark.parametrize("reference", ["propensity@7", "../state", "", ".", "propensity@1/../propensity@1"])
def test_what_is_not_a_model_is_not_found(served: Served, reference: str) -> None:
    with served.client() as client:
        assert code(lambda: client.model(reference)) == "model.not-found"


def test_a_failing_engine_ends_the_run_by_name_and_says_no_more(served: Served) -> None:
    with served.client() as client:
        digest = client.submit(served.local.signed.note)
        served.engine.failure = TrainingError("run.busy", "internal detail")
        assert [e.facts["code"] for e in client.start(digest)] == ["run.busy"]
        served.engine.failure = RuntimeError("internal detail")
        events = list(client.start(digest))
    assert events[-1].facts == {"code": "internal.error", "message": "internal.error"}


def test_without_a_quorum_of_witnesses_there_is_no_model(served: Served) -> None:
    sites = served.local.federation.sites
    for site in sites[1:]:
        refusal = WitnessRefusal(RefusalKind.FORK, "two trees", b"submitted")
        keep(site.home, "hub", refusal, local_now())  # its witness signs nothing more until somebody looks
    with served.client() as client:
        events = list(client.start(client.submit(served.local.signed.note)))
        assert events[-1].facts["code"] == "audit.quorum"
        assert code(lambda: client.model("propensity@1")) == "model.not-found"
    assert not list(served.local.home.models.iterdir())
    entries = verify_log(served.local.home.log, served.local.key.verifier).entries
    assert (entries[-1].type, entries[-1].reasons) == ("run.failed", ("audit.quorum",))


def test_a_model_whose_registration_no_quorum_saw_is_withheld(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wait fails: there is a model and an entry by then, and the log says what became of them."""
    waits = []
    wait = Witnesses.wait

    def first_only(self: Witnesses, *args: Any) -> bytes:
        waits.append(args)
        if len(waits) > 1:
            raise AuditError("audit.quorum", "nobody")
        return wait(self, *args)

    monkeypatch.setattr(Witnesses, "wait", first_only)
    with served.client() as client:
        events = list(client.start(client.submit(served.local.signed.note)))
        reference = "propensity@1"
        assert [event.type for event in events[-3:]] == ["model.registered", "model.withheld", "run.failed"]
        assert events[-2].facts == {"model": reference, "code": "audit.quorum"}
        assert code(lambda: client.model(reference)) == "model.not-found"
    verified = verify_log(served.local.home.log, served.local.key.verifier)
    registered, withheld, failed = verified.entries[-3:]
    assert (withheld.type, withheld.reasons) == ("model.withheld", ("audit.quorum",))
    assert (withheld.model_out, withheld.run) == (registered.model_out, registered.run)
    assert failed.type == "run.failed"
    assert [found.kind for found in check_shared(verified.entries) if not found.is_note] == []
    folder = served.local.home.models / reference
    assert json.loads((folder / WITHHELD_FILE).read_bytes()) == {"code": "audit.quorum"}
    (folder / PROOF_FILE).write_bytes(b"a proof that comes too late")
    with served.client() as client:
        assert code(lambda: client.model(reference)) == "model.not-found"


def test_a_model_that_was_interrupted_before_its_proof_is_withheld_at_the_next_start(served: Served) -> None:
    with served.client() as client:
        list(client.start(client.submit(served.local.signed.note)))
    folder = served.local.home.models / "propensity@1"
    assert served.coordinator.withhold_unproven() == []
    (folder / PROOF_FILE).unlink()
    assert served.coordinator.withhold_unproven() == ["propensity@1"]
    assert served.coordinator.withhold_unproven() == []
    verified = verify_log(served.local.home.log, served.local.key.verifier)
    last = verified.entries[-1]
    digest = sha256_hex((folder / MANIFEST_FILE).read_bytes())
    assert (last.type, last.reasons, last.model_out) == ("model.withheld", ("run.interrupted",), digest)
    assert [found.kind for found in check_shared(verified.entries) if not found.is_note] == []


def test_a_model_comes_with_the_proof_of_its_registration(served: Served) -> None:
    with served.client() as client:
        events = list(client.start(client.submit(served.local.signed.note)))
        reference = str(events[-1].facts["model"])
        model = client.model(reference)
        digest = str(events[-1].facts.get("manifest_digest") or events[-2].facts["manifest_digest"])
    check_registration(model.registration, model.proof, served.local.agreement, digest)
    (served.local.home.models / reference / PROOF_FILE).unlink()
    with served.client() as client:
        assert code(lambda: client.model(reference)) == "model.not-found"


def test_runs_that_were_interrupted_are_closed_at_the_next_start(served: Served) -> None:
    record = served.local.book.new("abcdef", frozenset({"brand"}))
    assert served.coordinator.take_up() == [record.run]
    again = RunBook(served.local.home.runs, served.local.shared_log, local_now)
    assert again.get(record.run).finished
    assert not again.active()
    assert code(lambda: again.get("run-unknown")) == "run.unknown"


def test_a_cut_off_event_line_is_ignored(served: Served) -> None:
    with served.client() as client:
        events = list(client.start(client.submit(served.local.signed.note)))
    path = served.local.home.runs / events[0].run / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    record = RunBook(served.local.home.runs, served.local.shared_log, local_now).get(events[0].run)
    assert not record.finished
    deadline_s = time.monotonic() + 5
    seen = list(record.watch(lambda: time.monotonic() < deadline_s - 4))
    assert len(seen) == len(events) - 1
