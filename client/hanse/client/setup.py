"""Makes a member's folder: keys, identity, settings, and a log that starts with its own first entry."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes

import duckdb
from pydantic import ValidationError
from sqlalchemy import make_url

from hanse.audit import Actor, AuditLog, Event, EventType
from hanse.audit.witness_state import WitnessState
from hanse.client.home import MemberHome
from hanse.client.packs import make_auditor, pack_keys, sign_with_both
from hanse.crypto import (
    SigningKey,
    make_authority,
    make_client_certificate,
    make_flower_key,
    make_server_certificate,
    sha256_hex,
    write_atomic,
)
from hanse.crypto.cosigning import CosignerKey
from hanse.errors import ConfigurationError
from hanse.policies import (
    DEFAULT_PACKS,
    Column,
    ConsentLedger,
    Identity,
    Notice,
    RulePack,
    adopt_pack,
    builtin_pack,
)
from hanse.policies.fields import problems

CERTIFICATE_DAYS = 365
PSEUDONYM_KEY_BYTES = 32
SECRET_MODE = 0o600
NUMERIC_TYPES = frozenset(
    {
        *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"),
        *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
    }
)
"""DuckDB's names, without precision."""

DEFAULT = tuple(map(builtin_pack, DEFAULT_PACKS))
"""Rule packs that a new member adopts unless somebody says otherwise."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who the member is.

    Attributes:
        name: Short name.
        legal_name: Legal name, as consents name it.
        jurisdiction: Law that it processes under, two letters.
        storage_country: Where it keeps its data, two letters.
        notices: The privacy notices that its subjects were shown.
    """

    name: str
    legal_name: str
    jurisdiction: str
    storage_country: str
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetHints:
    """What is known of the data set when the folder is made.

    Attributes:
        data: The file; None leaves the columns to be written by hand.
        subject_column: Column with the subject identifier.
        label_column: Column with the label.
        dictionary: Columns to declare, as agreed with the others; without it, all of the file are declared,
            as ``basic``, to be reviewed.
    """

    data: Path | None
    subject_column: str
    label_column: str
    dictionary: tuple[Column, ...] = ()


def init_member(
    root: Path,
    organisation: Organisation,
    hints: DatasetHints,
    now: datetime,
    packs: Sequence[RulePack] = DEFAULT,
    audit_url: str | None = None,
) -> Identity:
    """Makes the folder.

    Args:
        root: The folder.
        organisation: Who the member is.
        hints: What is known of its data set.
        now: The current time.
        packs: Rule packs to adopt, by the approver and the auditor whose keys are made here.
        audit_url: PostgreSQL database for the site's own log; a file in the folder if None.

    Returns:
        The public identity, also written to ``identity.json``.

    Raises:
        ConfigurationError: ``config.exists`` when the folder has an identity already.
        ConfigurationError: ``config.invalid`` when name, organisation or country are not valid,
            ``config.bad-data`` when the data set cannot be read or lacks a column.
        IdentityError: ``identity.bad-key`` when the name cannot be that of a key.
        AuditError: ``audit.unavailable`` when the database refuses.
    """
    home = MemberHome(root)
    if home.identity.exists():
        raise ConfigurationError(
            "config.exists", f"{home.identity} exists; this folder is somebody's already"
        )
    name = organisation.name
    node_key, approver_key = SigningKey.generate(name), SigningKey.generate(f"{name}-approver")
    flower_key, flower_public = make_flower_key()
    witness_key = new_witness_key(name)
    tls_key, tls_certificate = make_client_certificate(name, now, CERTIFICATE_DAYS)
    try:
        identity = Identity(
            name=name,
            organisation=organisation.legal_name,
            jurisdiction=organisation.jurisdiction,
            storage_country=organisation.storage_country,
            role="member",
            node_key=node_key.verifier.encode(),
            approver_key=approver_key.verifier.encode(),
            witness_key=witness_key.verifier.encode(),
            tls_certificate=tls_certificate.decode(),
            flower_key=flower_public.decode(),
            notices=organisation.notices,
        )
    except ValidationError as error:
        raise ConfigurationError("config.invalid", "; ".join(problems(error))) from error
    settings = _settings(name, hints, audit_url)
    for folder in (home.node_key.parent, home.log.parent, home.peers, home.models):
        folder.mkdir(parents=True, exist_ok=True)
    AuditLog.create(audit_url or home.log, name, node_key)  # first: a URL is what is most easily wrong
    node_key.save(home.node_key)
    approver_key.save(home.approver_key)
    witness_key.save(home.witness_key)
    WitnessState.create(home.witness)
    make_auditor(home, name)
    write_atomic(home.flower_key, flower_key, mode=SECRET_MODE)
    write_atomic(home.tls_key, tls_key, mode=SECRET_MODE)
    write_atomic(home.tls_certificate, tls_certificate)
    write_atomic(home.pseudonym_key, token_bytes(PSEUDONYM_KEY_BYTES), mode=SECRET_MODE)
    _serving_certificate(home, name, now)
    actor = Actor(organisation=name, key_id=node_key.verifier.key_id, role="operator")
    log = AuditLog.open(audit_url or home.log, node_key, actor, lambda: now)
    log.append(Event(type=EventType.MEMBER_INITIALISED))
    ConsentLedger(home.consent)
    write_atomic(home.settings, settings.encode())
    identity.save(home.identity)
    for pack in packs:
        adopt_pack(home.packs, sign_with_both(home, pack), pack_keys(home))
    return identity


def new_witness_key(name: str) -> CosignerKey:
    """A key for a new witness: ML-DSA-44, which quantum computers do not break, as C2SP recommends.

    Args:
        name: Short name of the member or auditor.
    """
    return CosignerKey.generate(f"{name}-witness", "ml-dsa-44")


def read_notice(path: Path, version: str, published: datetime | None) -> Notice:
    """Describes a privacy notice by the digest of its exact bytes.

    Args:
        path: The notice.
        version: Its version, as 2.1.
        published: When it was published, UTC.

    Raises:
        ConfigurationError: ``config.invalid`` when the version or the time is missing or not one.
    """
    if published is None:
        raise ConfigurationError("config.invalid", "say when the notice was published: --notice-published")
    try:
        return Notice(
            version=version, sha256=sha256_hex(path.read_bytes()), published_at=published.replace(tzinfo=UTC)
        )
    except ValidationError as error:
        raise ConfigurationError("config.invalid", f"notice: {'; '.join(problems(error))}") from error


def _serving_certificate(home: MemberHome, name: str, now: datetime) -> None:
    """The scorer's certificate; its authority's key is not kept, so that it signs nothing else."""
    authority_key, authority = make_authority(f"{name}-serving", now, CERTIFICATE_DAYS)
    key, certificate = make_server_certificate(
        authority_key, authority, ["localhost", "127.0.0.1"], now, CERTIFICATE_DAYS
    )
    write_atomic(home.serving_key, key, mode=SECRET_MODE)
    write_atomic(home.serving_certificate, certificate)
    write_atomic(home.serving_authority, authority)


def _settings(name: str, hints: DatasetHints, audit_url: str | None) -> str:
    data = "data.parquet" if hints.data is None else str(hints.data.resolve())
    columns = "" if hints.data is None else "\n".join(_declared(hints))
    return SETTINGS.format(
        name=_toml(name),
        audit=_audit_setting(audit_url),
        data=_toml(data),
        subject=_toml(hints.subject_column),
        label=_toml(hints.label_column),
        columns=columns,
    )


def _audit_setting(audit_url: str | None) -> str:
    """The line of the settings that says where the site's log is."""
    if audit_url is None:
        return ""
    if make_url(audit_url).password is not None:
        return "# The log of this site is in a database: HANSE_NODE_AUDIT_URL\n"
    return f"audit_url = {_toml(audit_url)}\n"


def _declared(hints: DatasetHints) -> list[str]:
    """The dictionary's columns; without one, every other column of the file, as its type suggests."""
    path = str(hints.data)
    with duckdb.connect(":memory:") as connection:
        try:
            if path.endswith(".parquet"):
                relation = connection.read_parquet(path)
            else:
                relation = connection.read_csv(path, header=True)
            kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
        except duckdb.Error as error:
            raise ConfigurationError(
                "config.bad-data", f"cannot read {path} ({type(error).__name__})"
            ) from None
    for column in (hints.subject_column, hints.label_column):
        if kinds.pop(column, None) is None:
            raise ConfigurationError("config.bad-data", f"{path} has no column {column}")
    if absent := sorted({column.name for column in hints.dictionary} - set(kinds)):
        raise ConfigurationError("config.bad-data", f"{path} has no column {', '.join(absent)}")
    declared = [(column.name, column.kind, column.classification) for column in hints.dictionary]
    guessed = [(name, _kind(kind), "basic") for name, kind in kinds.items()]
    return [
        COLUMN.format(name=_toml(name), kind=kind, classification=classification)
        for name, kind, classification in declared or guessed
    ]


def _kind(type_name: str) -> str:
    """What a type of DuckDB's suggests; ``DECIMAL(10,2)`` is a ``DECIMAL``."""
    return "numeric" if type_name.partition("(")[0] in NUMERIC_TYPES else "categorical"


def _toml(text: str) -> str:
    """A TOML basic string: that of JSON, but for one control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


COLUMN = """\
[[node.dataset.columns]]
name = {name}
kind = "{kind}"
classification = "{classification}"
"""

SETTINGS = """\
# Settings of this member. Any value can be overridden by the environment: HANSE_NODE_FLEET_ADDRESS=…
# Secrets are never in this file; they are in keys/, readable by their owner only.

[node]
name = {name}
fleet_address = "127.0.0.1:9200"        # where the coordinator answers nodes
coordinator_address = "127.0.0.1:9201"  # where it answers people (`hanse run`)
{audit}
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
