"""Makes the coordinator's folder: identity, certificate authority, server certificate, shared log."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import make_url

from hanse.audit import AuditLog
from hanse.crypto import SigningKey, make_authority, make_server_certificate, write_atomic
from hanse.errors import ConfigurationError
from hanse.policies import Identity
from hanse.policies.fields import problems
from hanse.server.home import CoordinatorHome

CERTIFICATE_DAYS = 365
SECRET_MODE = 0o600
LOOPBACK = ("localhost", "127.0.0.1")

SETTINGS = """\
# Settings of the coordinator. Any value can be overridden by the environment: HANSE_SERVER_PORT=…

[server]
name = "{name}"
host = "127.0.0.1"
fleet_port = 9200  # members' nodes: Flower over TLS, fleet routes only
port = 9201        # people and tools: gRPC over mutual TLS
"""


def init_coordinator(
    root: Path,
    name: str,
    organisation: str,
    jurisdiction: str,
    hosts: Sequence[str],
    now: datetime,
    audit_url: str | None = None,
) -> Identity:
    """Makes the folder.

    Args:
        root: The folder.
        name: Short name, as in agreements.
        organisation: Legal name.
        jurisdiction: Two-letter country code.
        hosts: Host names and addresses that members use, beside loopback.
        now: The current time.
        audit_url: PostgreSQL database for the shared log, ``postgresql+psycopg://…``; a file in the folder if
            None. A URL with a password is not written to the settings: it is to come from the environment.

    Raises:
        ConfigurationError: ``config.exists`` when the folder has an identity already, or the database a log;
            ``config.invalid`` naming the field that is not valid.
        AuditError: ``audit.unavailable`` when the database refuses.
    """
    home = CoordinatorHome(root)
    if home.identity.exists():
        raise ConfigurationError(
            "config.exists", f"{home.identity} exists; this folder is somebody's already"
        )
    key = SigningKey.generate(name)
    authority_key, authority = make_authority(name, now, CERTIFICATE_DAYS)
    server_key, server_certificate = make_server_certificate(
        authority_key, authority, list(dict.fromkeys([*LOOPBACK, *hosts])), now, CERTIFICATE_DAYS
    )
    try:
        identity = Identity(
            name=name,
            organisation=organisation,
            jurisdiction=jurisdiction,
            storage_country=jurisdiction,
            role="coordinator",
            node_key=key.verifier.encode(),
            tls_certificate=authority.decode(),
        )
    except ValidationError as error:
        raise ConfigurationError("config.invalid", "; ".join(problems(error))) from error
    for folder in (home.node_key.parent, home.log.parent, home.peers, home.models):
        folder.mkdir(parents=True, exist_ok=True)
    AuditLog.create(audit_url or home.log, name, key)  # first: a URL is what is most easily wrong
    key.save(home.node_key)
    write_atomic(home.authority_key, authority_key, mode=SECRET_MODE)
    write_atomic(home.authority, authority)
    write_atomic(home.server_key, server_key, mode=SECRET_MODE)
    write_atomic(home.server_certificate, server_certificate)
    write_atomic(home.settings, (SETTINGS.format(name=name) + _audit_setting(audit_url)).encode())
    identity.save(home.identity)
    return identity


def _audit_setting(audit_url: str | None) -> str:
    """The line of the settings that says where the shared log is."""
    if audit_url is None:
        return ""
    if make_url(audit_url).password is not None:
        return "# The shared log is in a database: HANSE_SERVER_AUDIT_URL\n"
    return f'audit_url = "{audit_url}"\n'
