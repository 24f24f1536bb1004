"""A small federation in one process: real homes, ledgers, logs and nodes; only the network is left out."""

import copy
import dataclasses
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import create_engine, text
from tests.exchange.exchange_tools import MemoryDialler

from hanse.audit import Actor, AuditLog
from hanse.client.data import DataSource
from hanse.client.drafting import Draft
from hanse.client.evidence import SiteWitness, make_site_witness, witnessing
from hanse.client.exchange import ExchangeChannel
from hanse.client.gate import Gate
from hanse.client.home import MemberHome
from hanse.client.kept import RunFile
from hanse.client.leaving import LeftRuns
from hanse.client.main import alignment_history, make_site
from hanse.client.node import Node
from hanse.client.peers import coordinator_of
from hanse.client.session import SessionTools
from hanse.client.settings import NodeSettings
from hanse.client.shared_log import SharedLogClient
from hanse.client.statements import Statements as OwnStatements
from hanse.crypto import SigningKey, read_secret
from hanse.demo.data import load
from hanse.demo.federation import CALLER, Federation, Site
from hanse.demo.members import WrittenMember
from hanse.demo.partition import partition
from hanse.learning import recommend
from hanse.policies import (
    DEFAULT_PACKS,
    Agreement,
    ConsentLedger,
    SignedAgreement,
    builtin_pack,
    open_agreement,
)
from hanse.policies.subject_sets import SubjectSets
from hanse.privacy import PrivacyLedger
from hanse.server.exchange import Hub
from hanse.server.home import CoordinatorHome
from hanse.server.party import RunContext
from hanse.server.rounds import Means, Rounds
from hanse.server.runs import RunBook, RunRecord
from hanse.server.statements import Statements
from hanse.server.transport import Replies

torch.set_num_threads(1)

PLAIN = tuple(column for column in load().dictionary.columns if column.classification != "sensitive")
"""Columns of the bundled data that may be used without a privacy budget."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def draft(
    dictionary: Any, epsilon: float | None, rounds: int = 3, round_timeout_s: int = 30, **changes: Any
) -> Draft:
    """An agreement over the bundled data; short, so that tests are quick."""
    schedule = {"rounds": rounds, "round_timeout_s": round_timeout_s}
    schedule |= {name: changes.pop(name) for name in ("local_steps", "patience", "trials") if name in changes}
    training = recommend("logistic", 1000, 3, epsilon).model_copy(update=schedule)
    values = {
        "identifier": "propensity",
        "title": "Test",
        "proposer": "a proposer",
        "auditor": "an auditor",
        "columns": dictionary.columns,
        "label": dictionary.label,
        "positive": dictionary.positive,
        "training": training,
        "epsilon": epsilon,
        "delta": 1e-5,
        "minimum_rows": 100,
        "minimum_members": 2,
        "callers": [CALLER],
        "assessment": "assessment of the test",
        "assessor": "an assessor",
        "packs": [builtin_pack(name).reference for name in DEFAULT_PACKS],
        "form": {"output": "score"},
        # Local noise unless a test is about shared noise: commands that are answered by themselves.
        "mode": "secure" if epsilon is None else "individual",
    }
    return Draft(**(values | changes))


class LocalTransport:
    """Hands commands to nodes in this process; members can be cut off and bytes tampered with."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = nodes
        self.turns = {member: threading.Lock() for member in nodes}
        self.silent: set[str] = set()
        self.before: Callable[[Mapping[str, bytes]], None] = lambda _: None
        self.tamper: Callable[[str, bytes], bytes] = lambda _, body: body
        self.sent: list[Mapping[str, bytes]] = []

    def wait_for(self, members: frozenset[str], timeout_s: float) -> frozenset[str]:
        del timeout_s
        return members - self.silent

    def begin(self, commands: Mapping[str, bytes]) -> "LocalPending":
        self.before(commands)
        self.sent.append(dict(commands))
        return LocalPending(self, commands)


class LocalPending:
    """Commands that nodes answer in threads of their own, one command after the other each."""

    def __init__(self, transport: LocalTransport, commands: Mapping[str, bytes]) -> None:
        self._transport = transport
        self._silent = {m: "silent" for m in commands if m in transport.silent}
        self._bodies: dict[str, bytes] = {}
        self._errors: list[BaseException] = []
        self._threads = {
            m: threading.Thread(target=self._handle, args=(m, body), daemon=True)
            for m, body in commands.items()
            if m not in transport.silent
        }
        for thread in self._threads.values():
            thread.start()

    def collect(self, timeout_s: float) -> Replies:
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads.values():
            thread.join(max(0.0, deadline_s - time.monotonic()))
        for error in self._errors:
            raise error
        return Replies(dict(self._bodies), self._silent)

    def _handle(self, member: str, body: bytes) -> None:
        try:
            with self._transport.turns[member]:
                answer = self._transport.nodes[member].handle(body)
            self._bodies[member] = self._transport.tamper(member, answer)
        except BaseException as error:  # noqa: BLE001 - raised where the test is
            self._errors.append(error)


@dataclass
class LocalSharedLog:
    """What one member's node reaches of the coordinator, without the network."""

    member: str
    statements: Statements

    def submitted(self) -> int:
        return self.statements.submitted(self.member)

    def submit(self, statement: bytes, old_size: int, proof: Sequence[bytes]) -> int:
        return self.statements.submit(statement, old_size, proof, self.member)


@dataclass
class LocalFederation:
    federation: Federation
    agreement: Agreement
    signed: SignedAgreement
    key: SigningKey
    shared_log: AuditLog
    book: RunBook
    statements: Statements
    hub: Hub
    nodes: dict[str, Node] = field(default_factory=dict)

    @property
    def home(self) -> CoordinatorHome:
        return CoordinatorHome(self.federation.hub)

    def node(self, site: Site) -> Node:
        settings = NodeSettings.load(site.home.root)
        key = SigningKey.load(site.home.node_key)
        log = self.own_log(site)
        ledger = ConsentLedger(site.home.consent)
        sets = SubjectSets(site.home.subject_sets)
        key_of_site = read_secret(site.home.pseudonym_key)
        gate = Gate(DataSource(settings.dataset), ledger, key_of_site, sets, log, utc_now)
        privacy, kept = PrivacyLedger(site.home.privacy), RunFile(site.home.run)
        left, home, history = LeftRuns(site.home.left), site.home, alignment_history(site.home)
        tools = SessionTools(
            gate, privacy, settings.dataset.name, kept, left, home.audits, home.parts, history
        )
        shared = LocalSharedLog(settings.name, self.statements)
        statements = OwnStatements(settings.name, log, key, shared, lambda: None)
        return Node(
            make_site(site.home, settings.name, key), tools, log, statements, self.dial(site), utc_now
        )

    def dial(self, site: Site) -> Callable[[str, str], ExchangeChannel]:
        """Opens a site's sessions with the hub of this process."""

        def dial(run: str, phase: str) -> ExchangeChannel:
            dialler = MemoryDialler(self.hub, site.data.name, lambda _: None)
            return ExchangeChannel(dialler, run, phase)

        return dial

    def own_log(self, site: Site) -> AuditLog:
        key = SigningKey.load(site.home.node_key)
        actor = Actor(organisation=site.data.name, key_id=key.verifier.key_id, role="member")
        return AuditLog.open(site.home.log, key, actor)

    @contextmanager
    def witnesses(self, address: str) -> Iterator[list[SiteWitness]]:
        """The members' witnesses, over the network, as their nodes run them."""
        with ExitStack() as stack:
            made = []
            for site in self.federation.sites:
                shared = stack.enter_context(SharedLogClient(site.home, address))
                log = self.own_log(site)
                made.append(make_site_witness(site.home, coordinator_of(site.home), log, utc_now))
                stack.enter_context(witnessing(made[-1], shared))
            yield made

    def transport(self) -> LocalTransport:
        return LocalTransport(self.nodes)

    def rounds(self, transport: LocalTransport) -> tuple[Rounds, RunRecord]:
        record = self.book.new(secrets.token_hex(3), frozenset(self.nodes))
        context = RunContext(record.run, self.signed, self.signed.note)
        means = Means(transport, self.hub, self.statements)
        return Rounds(context, means, self.key, record, record), record


def make_template(
    folder: Path, members: int, epsilon: float | None, **changes: Any
) -> tuple[Federation, bytes]:
    """The sites of a federation, and the agreement that they signed."""
    data = load()
    federation = Federation(folder, partition(data, members), utc_now())
    federation.make_keys()
    federation.write_data("joint_modelling.propensity", "scoring.marketing", np.random.default_rng(7))
    return federation, federation.agree(draft(data.dictionary, epsilon, **changes))[1]


def copy_of(template: Federation, folder: Path) -> Federation:
    """The same sites in another folder: making keys, rows and consent anew for every test takes seconds."""
    shutil.copytree(template.folder, folder)
    copied = copy.copy(template)
    copied.folder, copied.hub = folder, folder / template.hub.name
    copied.sites = [
        Site(site.data, MemberHome(folder / site.data.name), _moved(site.written, folder / site.data.name))
        for site in template.sites
    ]
    return copied


def _moved(written: WrittenMember, folder: Path) -> WrittenMember:
    files = {name: folder / getattr(written, name).name for name in ("data", "consent", "manifest")}
    return dataclasses.replace(written, **files)


def open_federation(federation: Federation, note: bytes) -> LocalFederation:
    """Opens the sites in this process, with nodes that a :class:`LocalTransport` reaches."""
    key = SigningKey.load(federation.hub / "keys" / "node.key")
    actor = Actor(organisation="hub", key_id=key.verifier.key_id, role="coordinator")
    home = CoordinatorHome(federation.hub)
    log = AuditLog.open(home.log, key, actor)
    signed = open_agreement(note)
    book = RunBook(home.runs, log, utc_now)
    built = LocalFederation(federation, signed.agreement, signed, key, log, book, Statements(log), Hub())
    built.nodes = {site.data.name: built.node(site) for site in federation.sites}
    return built


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Federation, bytes]]:
    """Federations by their terms, each made once."""
    made: dict[str, tuple[Federation, bytes]] = {}

    def template(members: int, epsilon: float | None, **changes: Any) -> tuple[Federation, bytes]:
        terms = f"{members} {epsilon} {sorted(changes.items())}"
        if terms not in made:
            made[terms] = make_template(tmp_path_factory.mktemp("template"), members, epsilon, **changes)
        return made[terms]

    return template


@pytest.fixture
def federation(
    tmp_path: Path, templates: Callable[..., tuple[Federation, bytes]]
) -> Iterator[Callable[..., LocalFederation]]:
    """A federation over the bundled data: ``federation(members, epsilon, rounds=…)``."""
    with ExitStack() as stack:

        def build(members: int = 3, epsilon: float | None = 3.0, **changes: Any) -> LocalFederation:
            made, note = templates(members, epsilon, **changes)
            built = open_federation(copy_of(made, tmp_path / "federation"), note)
            stack.enter_context(built.hub)
            return built

        yield build


@pytest.fixture(scope="session")
def make_draft() -> Callable[..., Draft]:
    """Drafts an agreement over the bundled data: ``make_draft(dictionary, epsilon, rounds)``."""
    return draft


SUPERUSER = "hanse"
SERVER_USER = "nobody"  # a server refuses to run as root


def _programs() -> Path | None:
    """Folder of the server's programs; Debian keeps them off PATH."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("pg_ctl") is not None:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


def _as_server(*command: str) -> list[str]:
    if os.getuid() != 0:
        return list(command)
    return ["setpriv", f"--reuid={SERVER_USER}", "--regid=nogroup", "--clear-groups", *command]


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a private server; fails where continuous integration lacks one."""
    programs = _programs()
    if programs is None:
        reason = "PostgreSQL is not installed; on Debian: apt-get install postgresql"
        if os.environ.get("CI") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    # A socket's path is short, and pytest's folders are closed to other users.
    folder = Path("/tmp") / f"hanse-pg-{secrets.token_hex(4)}"  # noqa: S108
    folder.mkdir(mode=0o700)
    if os.getuid() == 0:
        shutil.chown(folder, SERVER_USER)
    data = folder / "data"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = str(programs / "pg_ctl"), "-D", str(data)
    options = (
        f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -p {port} -c shared_buffers=32MB"
    )
    log = tmp_path_factory.mktemp("postgresql") / "log"

    def run(*command: str) -> None:
        with log.open("ab") as output:
            subprocess.run(
                _as_server(*command),
                check=True,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd="/",
            )

    try:
        run(
            str(programs / "initdb"),
            "-D",
            str(data),
            "-U",
            SUPERUSER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        )
        run(*server, "-w", "-o", options, "-l", str(folder / "server.log"), "start")
        try:
            yield f"postgresql+psycopg://{SUPERUSER}@127.0.0.1:{port}/postgres"
        finally:
            run(*server, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(postgresql: str) -> str:
    """URL of a database with nothing in it."""
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # Dropping what another test made would wait for whatever of it still has a table open.
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return postgresql
