"""Makes a member's folder: keys, identity, settings, and a log that starts with its own first entry."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_bytes

import duckdb

from hanse.audit import Actor, AuditLog, Event, EventType
from hanse.client.home import MemberHome
from hanse.crypto import (
    SigningKey,
    make_authority,
    make_client_certificate,
    make_flower_key,
    make_server_certificate,
    write_atomic,
)
from hanse.errors import ConfigurationError
from hanse.policies import ConsentLedger, Identity

CERTIFICATE_DAYS = 365
PSEUDONYM_KEY_BYTES = 32
SECRET_MODE = 0o600
NUMERIC_TYPES = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "REAL")


@dataclass(frozen=True, slots=True)
class DatasetHints:
    """What is known of the data set when the folder is made.

    Attributes:
        data: The file; None leaves the columns to be written by hand.
        subject_column: Column with the subject identifier.
        label_column: Column with the label.
    """

    data: Path | None
    subject_column: str
    label_column: str


def init_member(
    root: Path, name: str, organisation: str, jurisdiction: str, hints: DatasetHints, now: datetime
) -> Identity:
    """Makes the folder.

    Returns:
        The public identity, also written to ``identity.json``.

    Raises:
        ConfigurationError: ``config.exists`` when the folder has an identity already.
        PolicyError: ``policy.invalid`` when name, organisation or country are not valid.
    """
    home = MemberHome(root)
    if home.identity.exists():
        raise ConfigurationError(
            "config.exists", f"{home.identity} exists; this folder is somebody's already"
        )
    node_key, approver_key = SigningKey.generate(name), SigningKey.generate(f"{name}-approver")
    flower_key, flower_public = make_flower_key()
    tls_key, tls_certificate = make_client_certificate(name, now, CERTIFICATE_DAYS)
    identity = Identity(
        name=name,
        organisation=organisation,
        jurisdiction=jurisdiction,
        role="member",
        node_key=node_key.verifier.encode(),
        approver_key=approver_key.verifier.encode(),
        tls_certificate=tls_certificate.decode(),
        flower_key=flower_public.decode(),
    )
    settings = _settings(name, hints)
    for folder in (home.node_key.parent, home.log.parent, home.peers, home.models):
        folder.mkdir(parents=True, exist_ok=True)
    node_key.save(home.node_key)
    approver_key.save(home.approver_key)
    write_atomic(home.flower_key, flower_key, mode=SECRET_MODE)
    write_atomic(home.tls_key, tls_key, mode=SECRET_MODE)
    write_atomic(home.tls_certificate, tls_certificate)
    write_atomic(home.pseudonym_key, token_bytes(PSEUDONYM_KEY_BYTES), mode=SECRET_MODE)
    _serving_certificate(home, name, now)
    actor = Actor(organisation=name, key_id=node_key.verifier.key_id, role="operator")
    AuditLog.create(home.log, name, node_key)
    AuditLog.open(home.log, node_key, actor, lambda: now).append(Event(type=EventType.MEMBER_INITIALISED))
    ConsentLedger(home.consent)
    write_atomic(home.settings, settings.encode())
    identity.save(home.identity)
    return identity


def _serving_certificate(home: MemberHome, name: str, now: datetime) -> None:
    """The scorer's certificate; its authority's key is not kept, so that it signs nothing else."""
    authority_key, authority = make_authority(f"{name}-serving", now, CERTIFICATE_DAYS)
    key, certificate = make_server_certificate(
        authority_key, authority, ["localhost", "127.0.0.1"], now, CERTIFICATE_DAYS
    )
    write_atomic(home.serving_key, key, mode=SECRET_MODE)
    write_atomic(home.serving_certificate, certificate)
    write_atomic(home.serving_authority, authority)


def _settings(name: str, hints: DatasetHints) -> str:
    data = "data.parquet" if hints.data is None else str(hints.data.resolve())
    columns = "" if hints.data is None else "\n".join(_declared(hints))
    return SETTINGS.format(
        name=_toml(name),
        data=_toml(data),
        subject=_toml(hints.subject_column),
        label=_toml(hints.label_column),
        columns=columns,
    )


def _declared(hints: DatasetHints) -> list[str]:
    """Every column of the file but identifier and label, with the kind that its type suggests."""
    scan = "read_parquet" if str(hints.data).endswith(".parquet") else "read_csv"
    try:
        described = (
            duckdb.connect(":memory:")
            .execute(f"DESCRIBE SELECT * FROM {scan}($1)", [str(hints.data)])
            .fetchall()
        )  # noqa: S608 - a constant
    except duckdb.Error as error:
        raise ConfigurationError(
            "config.bad-data", f"cannot read {hints.data} ({type(error).__name__})"
        ) from None
    names = [row[0] for row in described]
    for column in (hints.subject_column, hints.label_column):
        if column not in names:
            raise ConfigurationError("config.bad-data", f"{hints.data} has no column {column}")
    return [
        COLUMN.format(
            name=_toml(name), kind="numeric" if str(kind).startswith(NUMERIC_TYPES) else "categorical"
        )
        for name, kind, *_ in described
        if name not in (hints.subject_column, hints.label_column)
    ]


def _toml(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


COLUMN = """\
[[node.dataset.columns]]
name = {name}
kind = "{kind}"
classification = "basic"
"""

SETTINGS = """\
# Settings of this member. Any value can be overridden by the environment: HANSE_NODE_FLEET_ADDRESS=…
# Secrets are never in this file; they are in keys/, readable by their owner only.

[node]
name = {name}
fleet_address = "127.0.0.1:9200"        # where the coordinator answers nodes
coordinator_address = "127.0.0.1:9201"  # where it answers people (`hanse run`)

# What this site declares for collaborations. Columns that are not declared are never read.
# Review every classification: basic, behavioural, transaction or sensitive.
[node.dataset]
name = "customers"
path = {data}
subject_column = {subject}
label_column = {label}

{columns}
# Callers of `hanse serve`: name as in the agreement, and the client certificate that identifies it.
# [serve.callers]
# crm = "callers/crm.crt"

[serve]
address = "127.0.0.1:9300"
"""
