"""Puts the node's process together and keeps it running."""

import hmac
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.alignment.history import AlignmentHistory
from hanse.audit import Actor, AuditLog
from hanse.client.consents import open_ledger
from hanse.client.data import DataSource
from hanse.client.evidence import make_site_witness, witnessing
from hanse.client.exchange import open_exchange
from hanse.client.flower import prepare_environment
from hanse.client.gate import Gate
from hanse.client.home import MemberHome
from hanse.client.kept import RunFile
from hanse.client.leaving import LeftRuns
from hanse.client.logs import log_place
from hanse.client.packs import adopted
from hanse.client.peers import coordinator_of
from hanse.client.settings import NodeSettings
from hanse.client.shared_log import SharedLogClient
from hanse.client.software import software_digest
from hanse.client.versions import AgreementBook
from hanse.crypto import SigningKey, VerifierKey, read_secret
from hanse.policies import Identity
from hanse.policies.site_key import SiteFiles, load_site_key
from hanse.policies.subject_sets import SubjectSets
from hanse.privacy import PrivacyLedger

if TYPE_CHECKING:
    from hanse.client.node import Site


def utc_now() -> datetime:
    """The current time, aware, UTC."""
    return datetime.now(UTC)


def run_node(
    home_folder: Path, settings: NodeSettings, ready: Callable[[], None], stopping: threading.Event
) -> None:
    """Runs the node until ``stopping`` is set.

    Args:
        home_folder: The member's folder.
        settings: Its settings.
        ready: Called once the coordinator has accepted the node.
        stopping: Set by a signal handler.

    Raises:
        HanseError: When it cannot start or the coordinator refuses it; the error names what to change.
    """
    home = MemberHome(home_folder)
    home.flower_state.mkdir(parents=True, exist_ok=True)
    prepare_environment(home.flower_state)
    # Imported now: Flower reads its environment when it is first imported, and torch takes seconds.
    import torch  # noqa: PLC0415

    from hanse.client.flower import app  # noqa: PLC0415
    from hanse.client.flower.supernode import NodeConnection, SuperNode  # noqa: PLC0415
    from hanse.client.node import Node  # noqa: PLC0415
    from hanse.client.session import SessionTools  # noqa: PLC0415
    from hanse.client.statements import Statements  # noqa: PLC0415

    torch.set_num_threads(1)
    key = load_site_key(SiteFiles(home.node_key, home.identity, log_place(home)))
    audit_log = AuditLog.open(
        log_place(home), key, Actor(organisation=settings.name, key_id=key.verifier.key_id, role="member")
    )
    source = DataSource(settings.dataset)
    sets = SubjectSets(home.subject_sets)
    gate = Gate(source, open_ledger(home), read_secret(home.pseudonym_key), sets, audit_log, utc_now)
    ledger, kept = PrivacyLedger(home.privacy), RunFile(home.run)
    left, history = LeftRuns(home.left), alignment_history(home)
    tools = SessionTools(gate, ledger, settings.dataset.name, kept, left, home.audits, home.parts, history)
    site = make_site(home, settings.name, key)
    witness = make_site_witness(home, coordinator_of(home), audit_log, utc_now)
    connection = NodeConnection(settings.fleet_address, home.authority, home.flower_key, home.flower_state)
    with SharedLogClient(home, settings.coordinator_address) as shared:
        statements = Statements(settings.name, audit_log, key, shared, witness.require_trusted)
        dial = partial(open_exchange, home, settings.coordinator_address)
        node = Node(site, tools, audit_log, statements, dial, utc_now)
        app.install(node.handle)
        with witnessing(witness, shared):
            SuperNode(connection, node.bundle_refused, ready, stopping).serve()


def alignment_history(home: MemberHome) -> AlignmentHistory:
    """Which sets a site has aligned before, under a key that is made of its pseudonym key.

    Raises:
        AuditError: ``alignment.history`` if it cannot be opened.
    """
    key = hmac.digest(read_secret(home.pseudonym_key), b"hanse/alignment-history\0", "sha256")
    return AlignmentHistory(home.alignments, key)


def make_site(home: MemberHome, name: str, key: SigningKey) -> "Site":
    """Reads whom the site trusts.

    Raises:
        ConfigurationError: ``config.missing-file`` when no coordinator, or more than one, is enrolled.
    """
    from hanse.client.node import Site  # noqa: PLC0415

    own = Identity.load(home.identity)
    peers = [Identity.load(path) for path in sorted(home.peers.glob("*.json"))]
    trusted = {identity.name: identity for identity in (own, *peers)}
    return Site(
        name=name,
        key=key,
        identity=own,
        trusted=trusted,
        coordinator=VerifierKey.decode(coordinator_of(home).node_key),
        software_digest=software_digest(),
        adopted=partial(adopted, home),
        book=AgreementBook(home, trusted),
    )
