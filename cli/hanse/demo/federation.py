"""Sets up a whole federation below one folder: what several sites would do, each on its own machine.

Everything here is what a person does with the commands (docs/how-to-two-terminals.md): ``hanse init``,
``hanse enrol``, ``hanse consent import``, ``hanse agreement new``, ``check`` and ``sign``, ``hanse server``,
``hanse client``. The demo calls the functions below the commands, and starts the same processes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from hanse.audit import Actor, AuditLog, ConsentState, Counts, Event, EventType
from hanse.client.drafting import Draft, draft_agreement, known_identities
from hanse.client.home import MemberHome
from hanse.client.packs import policy_of
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.crypto import SigningKey, make_client_certificate, read_secret, write_atomic
from hanse.demo.kinds import Situation
from hanse.demo.members import (
    PROFILES,
    SUBJECT_COLUMN,
    ConsentTerms,
    WrittenMember,
    generated_notices,
    write_member,
)
from hanse.demo.partition import MemberData
from hanse.demo.processes import Processes
from hanse.policies import (
    DEFAULT_PACKS,
    Agreement,
    ConsentLedger,
    Pseudonymiser,
    RulePack,
    builtin_pack,
    open_agreement,
    require_no_gap,
    sign_agreement,
)
from hanse.server.ports import free_port
from hanse.server.setup import init_coordinator

COORDINATOR = "hub"
COUNTRY = "DE"
CALLER = "crm"
CALLER_CERTIFICATE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of one federation."""

    fleet: int
    people: int


@dataclass(frozen=True, slots=True)
class Site:
    """One member of the demo: its data, its folder, and what was generated for it."""

    data: MemberData
    home: MemberHome
    written: WrittenMember


@dataclass(frozen=True, slots=True)
class Cast:
    """Who the members and the coordinator are; by default, those of the demo.

    Attributes:
        coordinator: Short name of the coordinator.
        country: Law that the coordinator is under, and members that are not listed.
        organisations: What is known of members, by name.
        packs: Rule packs that every member adopts.
    """

    coordinator: str = COORDINATOR
    country: str = COUNTRY
    organisations: Mapping[str, Organisation] = field(default_factory=dict)
    packs: Sequence[RulePack] = tuple(builtin_pack(name) for name in DEFAULT_PACKS)


class Federation:
    """A coordinator and its members, below one folder.

    Args:
        folder: Existing folder.
        members: Who takes part, with which rows.
        now: The current time, UTC.
        cast: Who they are.
    """

    def __init__(
        self, folder: Path, members: Sequence[MemberData], now: datetime, cast: Cast | None = None
    ) -> None:
        self.cast = Cast() if cast is None else cast
        self.folder = folder.resolve()
        self.hub = self.folder / self.cast.coordinator
        self.ports = Ports(free_port(), free_port())
        self._now = now
        self._members = members
        self.sites: list[Site] = []

    def make_keys(self) -> None:
        """``hanse init`` for all, then ``hanse enrol`` of everybody at everybody."""
        name, country = self.cast.coordinator, self.cast.country
        init_coordinator(self.hub, name, f"Coordinator {name}", country, [], self._now)
        for member in self._members:
            hints = DatasetHints(None, SUBJECT_COLUMN, member.dictionary.label)
            root = self.folder / member.name
            init_member(root, self._organisation(member), hints, self._now, self.cast.packs)
        homes = [self.hub, *(self.folder / member.name for member in self._members)]
        for home in homes:
            for other in homes:
                if other != home:
                    write_atomic(
                        home / "peers" / f"{other.name}.json", (other / "identity.json").read_bytes()
                    )
        for member in self._members:
            authority = (self.hub / "keys" / "authority.crt").read_bytes()
            write_atomic(MemberHome(self.folder / member.name).authority, authority)

    def _organisation(self, member: MemberData) -> Organisation:
        country = self.cast.country
        demo = Organisation(member.name, member.organisation, country, country, generated_notices(self._now))
        return self.cast.organisations.get(member.name, demo)

    def write_data(self, purpose: str, scoring_purpose: str, rng: np.random.Generator) -> None:
        """Writes every member's rows and the demo's consent events, and imports the events."""
        terms = ConsentTerms(
            organisations=tuple(member.organisation for member in self._members),
            country=self.cast.country,
            purpose=purpose,
            scoring_purpose=scoring_purpose,
            now=self._now,
        )
        for member in self._members:
            self.write_site(member, terms.situation(member.organisation, member.dictionary.columns), rng)

    def write_site(
        self,
        member: MemberData,
        situation: Situation,
        rng: np.random.Generator,
        shares: Mapping[str, float] = PROFILES,
    ) -> None:
        """Writes one member's rows, makes its subjects' consent events, and imports them."""
        home = MemberHome(self.folder / member.name)
        ref = Pseudonymiser(read_secret(home.pseudonym_key)).ref
        written = write_member(member, home.root, rng, situation, ref, shares)
        write_atomic(home.settings, self._settings(member, written).encode())
        self._import_consent(member, home, written)
        self.sites.append(Site(member, home, written))

    def _import_consent(self, member: MemberData, home: MemberHome, written: WrittenMember) -> None:
        with ConsentLedger(home.consent) as ledger:
            report = ledger.ingest_csv(written.consent, self._now)
            head = ledger.head()
        rows = report.accepted + report.repeated + report.refused_total
        event = Event(
            type=EventType.CONSENT_RECORDED,
            counts=Counts(rows_in=rows, rows_out=report.accepted),
            consent=ConsentState(head=head, size=report.accepted),
        )
        self._log(home, member.name, "operator").append(event)

    def agree(self, draft: Draft) -> tuple[Agreement, bytes]:
        """Drafts the agreement at the first member, and has every member's approver check and sign it."""
        identities = known_identities(self.sites[0].home)
        agreement = draft_agreement(draft, identities, self._now)
        return agreement, self.sign(agreement)

    def sign(self, agreement: Agreement) -> bytes:
        """Has every member's approver check and sign an agreement; returns the signed note."""
        note: Agreement | bytes = agreement
        for site in self.sites:
            require_no_gap(agreement, policy_of(site.home, agreement), self._now + timedelta(seconds=1))
            note = sign_agreement(note, SigningKey.load(site.home.approver_key))
            event = Event(
                type=EventType.AGREEMENT_SIGNED, agreement=agreement.digest, purpose=agreement.purpose
            )
            self._log(site.home, site.data.name, "approver").append(event)
        signed = open_agreement(note if isinstance(note, bytes) else b"")
        write_atomic(self.folder / f"{agreement.id}.agreement", signed.note)
        return signed.note

    def start(self, processes: Processes) -> None:
        """``hanse server``, then ``hanse client`` for every member; returns when all are connected."""
        arguments = ["--fleet-port", str(self.ports.fleet), "--port", str(self.ports.people)]
        name = self.cast.coordinator
        processes.start(name, ["server", "--home", str(self.hub), *arguments], {})
        processes.wait_until_ready(name)
        for site in self.sites:
            self.start_node(processes, site)
        for site in self.sites:
            processes.wait_until_ready(site.data.name)

    def start_node(self, processes: Processes, site: Site) -> None:
        """``hanse client`` for one member."""
        processes.start(site.data.name, ["client", "--home", str(site.home.root)], {})

    def make_callers(self, names: Iterable[str]) -> dict[str, Path]:
        """Makes calling systems' certificates and lists them in the first member's settings.

        Returns:
            Folder with key and certificate of each, by name.
        """
        folders = {name: self.folder / "callers" / name for name in names}
        for name, folder in folders.items():
            folder.mkdir(parents=True)
            key, certificate = make_client_certificate(name, self._now, CALLER_CERTIFICATE_DAYS)
            write_atomic(folder / "tls.key", key, mode=0o600)
            write_atomic(folder / "tls.crt", certificate)
        settings = self.sites[0].home.settings
        listed = "".join(
            f'"{name}" = "{(folder / "tls.crt").as_posix()}"\n' for name, folder in folders.items()
        )
        write_atomic(settings, f"{settings.read_text()}\n[serve.callers]\n{listed}".encode())
        return folders

    def withdraw(self, site: Site, subject_id: str, purpose: str, now: datetime) -> None:
        """``hanse consent withdraw`` for one generated subject, while the run goes on."""
        ref = Pseudonymiser(read_secret(site.home.pseudonym_key)).ref(subject_id)
        with ConsentLedger(site.home.consent) as ledger:
            head = ledger.withdraw(ref, purpose, now)
        event = Event(
            type=EventType.CONSENT_WITHDRAWN, purpose=purpose, consent=ConsentState(head=head, size=1)
        )
        self._log(site.home, site.data.name, "operator").append(event)

    def _log(self, home: MemberHome, name: str, role: str) -> AuditLog:
        key = SigningKey.load(home.node_key)
        return AuditLog.open(home.log, key, Actor(organisation=name, key_id=key.verifier.key_id, role=role))

    def _settings(self, member: MemberData, written: WrittenMember) -> str:
        """``hanse.toml`` as an operator would write it after ``hanse init``."""
        columns = "".join(
            f'[[node.dataset.columns]]\nname = "{column.name}"\nkind = "{column.kind}"\n'
            f'classification = "{column.classification}"\n\n'
            for column in member.dictionary.columns
        )
        label = f'label_column = "{member.dictionary.label}"\n' if member.labelled else ""
        known = "".join(f'"{kind}" = "{kind}"\n' for kind in member.identifiers)
        identifiers = f"[node.dataset.identifiers]\n{known}\n" if known else ""
        return (
            f'[node]\nname = "{member.name}"\n'
            f'fleet_address = "127.0.0.1:{self.ports.fleet}"\n'
            f'coordinator_address = "127.0.0.1:{self.ports.people}"\n\n'
            f'[node.dataset]\nname = "customers"\npath = "{written.data.name}"\n'
            f'subject_column = "{SUBJECT_COLUMN}"\n{label}'
            f'note = "identifiers and consent events are generated"\n\n{identifiers}{columns}'
            f'[serve]\naddress = "127.0.0.1:0"\n'
        )
