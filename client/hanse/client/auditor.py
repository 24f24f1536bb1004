"""An outside auditor as a witness: keys and a log of its own, and a process that follows the shared log.

An auditor needs no agreement, no data and no node. What it may do at the coordinator is read the shared log
and hand in cosignatures. Its folder has the layout of a member's, without what only members have.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from hanse.audit import Actor, AuditLog, Event, EventType
from hanse.audit.witness_state import WitnessState
from hanse.client.evidence import make_site_witness
from hanse.client.home import MemberHome
from hanse.client.peers import coordinator_of
from hanse.client.setup import CERTIFICATE_DAYS, SECRET_MODE, new_witness_key
from hanse.client.shared_log import SharedLogClient
from hanse.crypto import SigningKey, make_client_certificate, write_atomic
from hanse.errors import ConfigurationError
from hanse.policies import Identity
from hanse.policies.fields import problems
from hanse.policies.site_key import load_site_key
from hanse.settings import LayeredSettings, load_settings

ROLE: Final = "auditor"

SETTINGS = """\
# Settings of this auditor. The environment overrides them: HANSE_AUDITOR_COORDINATOR_ADDRESS=…

[auditor]
coordinator_address = "127.0.0.1:9201"  # where the coordinator answers people and witnesses
"""


class AuditorSettings(LayeredSettings):
    """What an auditor needs to know beyond its folder.

    Attributes:
        coordinator_address: ``host:port`` where the coordinator answers people and witnesses.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="HANSE_AUDITOR_", env_nested_delimiter="__"
    )

    coordinator_address: str = Field(default="127.0.0.1:9201", min_length=1)

    @classmethod
    def load(cls, home: Path, coordinator_address: str | None = None) -> "AuditorSettings":
        """Loads the settings of the auditor's folder.

        Raises:
            ConfigurationError: As :func:`hanse.settings.load_settings`.
        """
        return load_settings(cls, home / "hanse.toml", ROLE, {"coordinator_address": coordinator_address})


def init_auditor(root: Path, name: str, organisation: str, jurisdiction: str, now: datetime) -> Identity:
    """Makes an auditor's folder.

    Args:
        root: The folder.
        name: Short name.
        organisation: Legal name.
        jurisdiction: Two-letter country code.
        now: The current time.

    Returns:
        The public identity, also written to ``identity.json``.

    Raises:
        ConfigurationError: ``config.exists`` when the folder has an identity already, ``config.invalid``
            naming the field that is not valid.
        IdentityError: ``identity.bad-key`` when the name cannot be that of a key.
    """
    home = MemberHome(root)
    if home.identity.exists():
        raise ConfigurationError(
            "config.exists", f"{home.identity} exists; this folder is somebody's already"
        )
    key, witness_key = SigningKey.generate(name), new_witness_key(name)
    tls_key, tls_certificate = make_client_certificate(name, now, CERTIFICATE_DAYS)
    try:
        identity = Identity(
            name=name,
            organisation=organisation,
            jurisdiction=jurisdiction,
            storage_country=jurisdiction,
            role=ROLE,
            node_key=key.verifier.encode(),
            witness_key=witness_key.verifier.encode(),
            tls_certificate=tls_certificate.decode(),
        )
    except ValidationError as error:
        raise ConfigurationError("config.invalid", "; ".join(problems(error))) from error
    for folder in (home.node_key.parent, home.log.parent, home.peers):
        folder.mkdir(parents=True, exist_ok=True)
    key.save(home.node_key)
    witness_key.save(home.witness_key)
    write_atomic(home.tls_key, tls_key, mode=SECRET_MODE)
    write_atomic(home.tls_certificate, tls_certificate)
    WitnessState.create(home.witness)
    AuditLog.create(home.log, name, key)
    _log(home, identity, key, lambda: now).append(Event(type=EventType.MEMBER_INITIALISED))
    write_atomic(home.settings, SETTINGS.encode())
    identity.save(home.identity)
    return identity


def run_auditor(
    home: MemberHome,
    address: str | None,
    cosigned: Callable[[int], None],
    stopping: threading.Event,
    clock: Callable[[], datetime],
) -> None:
    """Witnesses the coordinator's log until told to stop.

    Args:
        home: The auditor's folder.
        address: ``host:port`` where the coordinator answers; None for what the folder's settings say.
        cosigned: Told the size of each checkpoint that was co-signed.
        stopping: Set to end it.
        clock: The current time, aware.

    Raises:
        ConfigurationError: ``config.invalid`` if the folder is no auditor's, ``config.missing-file`` if not
            exactly one coordinator is enrolled.
        HanseError: When the keys or the memory cannot be read.
    """
    identity = Identity.load(home.identity)
    if identity.role != ROLE:
        raise ConfigurationError(
            "config.invalid", f"{home.root} is no auditor's folder; a member's node is its witness by itself"
        )
    settings = AuditorSettings.load(home.root, address)
    log = _log(home, identity, load_site_key(home.site_files()), clock)
    witness = make_site_witness(home, coordinator_of(home), log, clock, cosigned)
    with SharedLogClient(home, settings.coordinator_address) as shared:
        witness.follow(shared, stopping)


def _log(home: MemberHome, identity: Identity, key: SigningKey, clock: Callable[[], datetime]) -> AuditLog:
    actor = Actor(organisation=identity.name, key_id=key.verifier.key_id, role=ROLE)
    return AuditLog.open(home.log, key, actor, clock)
