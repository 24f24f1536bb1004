"""Two members and a coordinator, small enough to be made anew for every test that changes them."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import Actor, AuditLog, Entry, verify_log
from hanse.client.data import DataSource
from hanse.client.drafting import Draft, draft_agreement, known_identities
from hanse.client.gate import Gate, Step
from hanse.client.home import MemberHome
from hanse.client.kept import RunFile
from hanse.client.leaving import LeftRuns
from hanse.client.main import make_site
from hanse.client.node import Node
from hanse.client.session import SessionTools
from hanse.client.settings import NodeSettings
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.client.statements import Statements
from hanse.crypto import SigningKey, read_secret
from hanse.errors import TrainingError
from hanse.policies import (
    DEFAULT_PACKS,
    Agreement,
    Column,
    ConsentEvent,
    ConsentLedger,
    Identity,
    Notice,
    Pseudonymiser,
    SignedAgreement,
    Training,
    builtin_pack,
    merge,
    open_agreement,
    sign_agreement,
)
from hanse.policies.subject_sets import SubjectSets
from hanse.privacy import PrivacyLedger
from hanse.server.setup import init_coordinator
from hanse.server.wire import open_reply, sign_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hanse.client.sums import Channel
    from hanse.errors import HanseError

torch.set_num_threads(1)

ROWS = 160
MEMBERS = {"brand": "Brand AG", "insurer": "Insurer SE"}
TRAINING = Training(
    model="logistic",
    hidden=(),
    rounds=2,
    local_steps=2,
    sample_rate=0.2,
    learning_rate=1.0,
    clip_norm=1.0,
    max_update_norm=20.0,
    round_timeout_s=10,
    holdout_fraction=0.2,
)
COLUMNS = (
    Column(
        name="age", kind="numeric", classification="basic", edges=(30.0, 50.0), categories=(), necessity=None
    ),
    Column(
        name="job",
        kind="categorical",
        classification="behavioural",
        edges=(),
        categories=("a", "b"),
        necessity=None,
    ),
)
# The column `secret` is in the file and nowhere else.
HEADER = ("subject_id", "age", "job", "secret", "bought")
DECLARED = """
[[node.dataset.columns]]
name = "age"
kind = "numeric"
classification = "basic"
[[node.dataset.columns]]
name = "job"
kind = "categorical"
classification = "behavioural"
"""


def row(number: int) -> tuple[object, ...]:
    return (
        f"person-{number:04}",
        20 + number % 50,
        "ab"[number % 2],
        f"private-{number}",
        ("no", "yes")[number % 3 == 0],
    )


def notice(now: datetime) -> Notice:
    """What the subjects were shown."""
    return Notice(version="1", sha256="ab" * 32, published_at=now - timedelta(days=9))


def grant(ref: str, now: datetime, number: int) -> ConsentEvent:
    """A consent that every rule is satisfied with."""
    return ConsentEvent(
        event_id=f"grant-{number}",
        recorded_at=now - timedelta(days=1),
        subject_ref=ref,
        state="given",
        purposes=("joint_modelling.propensity",),
        given_at=now - timedelta(days=2),
        expires_at=now + timedelta(days=300),
        controller="Brand AG",
        recipients=("Insurer SE",),
        categories=("basic", "behavioural"),
        notice_version="1",
        notice_sha256="ab" * 32,
        notice_published_at=notice(now).published_at,
        legal_basis="consent",
        conditional=False,
        method="active_click",
        preticked=False,
        bundled=False,
        jurisdiction="DE",
        storage_country="DE",
    )


@dataclass
class SharedLog:
    """What the node hands in: kept, and refused where a test says so."""

    taken: list[tuple[bytes, int, Sequence[bytes]]] = field(default_factory=list)
    failure: HanseError | None = None
    size: int = 0

    def submitted(self) -> int:
        return self.size

    def submit(self, statement: bytes, old_size: int, proof: Sequence[bytes]) -> int:
        if self.failure is not None:
            raise self.failure
        self.taken.append((statement, old_size, proof))
        return len(self.taken) - 1


@dataclass
class World:
    """One member under test (``brand``), another one, and the coordinator's key."""

    folder: Path
    epsilon: float | None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    sequence: int = 0
    shared: SharedLog = field(default_factory=SharedLog)
    trusted: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.home = MemberHome(self.folder / "brand")
        if not self.folder.exists():
            self.make()
        self.coordinator = SigningKey.load(self.folder / "hub" / "keys" / "node.key")
        self.key = SigningKey.load(self.home.node_key)
        self.ref = Pseudonymiser(read_secret(self.home.pseudonym_key)).ref
        self.ledger = ConsentLedger(self.home.consent)
        self.signed = open_agreement((self.folder / "test.agreement").read_bytes())
        self.node = self.make_node()

    def make(self) -> None:
        """The folders, the data, the consents and the agreement."""
        hints = DatasetHints(None, "subject_id", "bought")
        for name, organisation in MEMBERS.items():
            init_member(
                self.folder / name,
                Organisation(name, organisation, "DE", "DE", (notice(self.now),)),
                hints,
                self.now,
            )
        init_coordinator(self.folder / "hub", "hub", "Hub", "DE", [], self.now)
        for name in ("insurer", "hub"):
            Identity.load(self.folder / name / "identity.json").save(self.home.peers / f"{name}.json")
        text = self.home.settings.read_text().replace("data.parquet", "data.csv")
        self.home.settings.write_text(text.replace("# Callers of", f"{DECLARED}\n# Callers of"))
        self.write([row(number) for number in range(ROWS)])
        ref = Pseudonymiser(read_secret(self.home.pseudonym_key)).ref
        with ConsentLedger(self.home.consent) as ledger:
            ledger.record(grant(ref(f"person-{n:04}"), self.now, n) for n in range(ROWS - 20))
            ledger.heartbeat(self.now)
        (self.folder / "test.agreement").write_bytes(self.agree().note)

    def clock(self) -> datetime:
        return self.now

    def write(self, rows: list[tuple[object, ...]]) -> None:
        with (self.home.root / "data.csv").open("w", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows])

    def draft(self, **changes: Any) -> Draft:
        fields: dict[str, Any] = {
            "identifier": "test",
            "title": "Test",
            "proposer": "a proposer",
            "auditor": "an auditor",
            "columns": COLUMNS,
            "label": "bought",
            "positive": "yes",
            "training": TRAINING,
            "epsilon": self.epsilon,
            "delta": 1e-5,
            "minimum_rows": 100,
            "minimum_members": 2,
            "callers": ["crm"],
            "assessment": "an assessment",
            "assessor": "an assessor",
            "packs": [builtin_pack(name).reference for name in DEFAULT_PACKS],
        }
        return Draft(**(fields | changes))

    def agreement(self, change: dict[str, Any] | None = None, **changes: Any) -> Agreement:
        """An agreement; ``change`` replaces whole top-level fields after drafting."""
        drafted = draft_agreement(self.draft(**changes), known_identities(self.home), self.now)
        return Agreement.model_validate({**drafted.model_dump(mode="json"), **(change or {})})

    def agree(self, change: dict[str, Any] | None = None, **changes: Any) -> SignedAgreement:
        note: Agreement | bytes = self.agreement(change, **changes)
        for name in MEMBERS:
            note = sign_agreement(note, SigningKey.load(MemberHome(self.folder / name).approver_key))
        assert isinstance(note, bytes)
        return open_agreement(note)

    def log(self) -> AuditLog:
        actor = Actor(organisation="brand", key_id=self.key.verifier.key_id, role="member")
        return AuditLog.open(self.home.log, self.key, actor)

    def source(self) -> DataSource:
        return DataSource(NodeSettings.load(self.home.root).dataset)

    def gate(self, source: DataSource | None = None, log: AuditLog | None = None) -> Gate:
        key = read_secret(self.home.pseudonym_key)
        sets = SubjectSets(self.home.subject_sets)
        return Gate(source or self.source(), self.ledger, key, sets, log or self.log(), self.clock)

    def make_node(self, gate: Gate | None = None) -> Node:
        tools = SessionTools(
            gate or self.gate(),
            PrivacyLedger(self.home.privacy),
            "customers",
            RunFile(self.home.run),
            LeftRuns(self.home.left),
        )
        log = self.log()
        statements = Statements("brand", log, self.key, self.shared, self.trusted)
        return Node(make_site(self.home, "brand", self.key), tools, log, statements, self.dial, self.clock)

    def dial(self, run: str, phase: str) -> Channel:
        """Two members take no part in phases; tests that have three say what the coordinator asks."""
        raise TrainingError("exchange.unknown-session", f"no phase {phase} of {run} here")

    def step(self, round_number: int = 0, signed: SignedAgreement | None = None) -> Step:
        signed = signed or self.signed
        policy = merge([builtin_pack(name) for name in DEFAULT_PACKS])
        return Step(signed.agreement, policy, "brand", signed.digest, "run-1", round_number)

    def entries(self) -> list[Entry]:
        return list(verify_log(self.home.log, self.key.verifier).entries)

    def command(self, **fields: Any) -> pb.Command:
        self.sequence += 1
        given: dict[str, Any] = {
            "protocol": 1,
            "agreement_digest": self.signed.digest,
            "run": "run-1",
            "member": "brand",
            "sequence": self.sequence,
        }
        return pb.Command(**(given | fields))

    def prepare(self, **fields: Any) -> pb.Command:
        return self.command(**({"prepare": pb.Prepare(agreement=self.signed.note)} | fields))

    def ask(self, command: pb.Command) -> pb.Reply:
        """Sends a command of the coordinator; the reply is checked as the coordinator checks it."""
        body = self.node.handle(sign_command(command, self.coordinator))
        return open_reply(body, command, self.key.verifier)

    def refused(self, command: pb.Command) -> pb.Refused:
        """Sends a command that must be refused; the refusal must be the log's last entry, without detail."""
        reply = self.ask(command)
        assert reply.WhichOneof("outcome") == "refused", reply
        last = self.entries()[-1]
        assert (last.type, last.decision, last.run) == ("run.refused", "deny", command.run)
        assert last.reasons == tuple(filter(None, (reply.refused.code, reply.refused.rule)))
        return reply.refused


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world that nobody uses: copying one is quicker than making its keys."""
    return World(tmp_path_factory.mktemp("made") / "world", None).folder


@pytest.fixture
def world(made: Path, tmp_path: Path) -> World:
    shutil.copytree(made, tmp_path / "world")
    return World(tmp_path / "world", None)


@pytest.fixture(scope="module")
def shared(made: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """For tests that change nothing."""
    folder = tmp_path_factory.mktemp("shared") / "world"
    shutil.copytree(made, folder)
    return World(folder, None)


@pytest.fixture(scope="module")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], World]:
    """A world with a privacy budget: ``make_world(epsilon)``."""
    return lambda epsilon: World(tmp_path_factory.mktemp("private") / "world", epsilon)
