"""``hanse init`` and ``hanse enrol``: keys, identities and whom a site trusts."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.common import Home, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.auditor import init_auditor
from hanse.client.drafting import read_columns
from hanse.client.home import MemberHome
from hanse.client.peers import keep_former
from hanse.client.setup import DatasetHints, Organisation, init_member, read_notice
from hanse.crypto import write_atomic
from hanse.errors import ConfigurationError
from hanse.policies import DEFAULT_PACKS, Identity, builtin_pack
from hanse.server.setup import init_coordinator

init_app = typer.Typer(
    no_args_is_help=True,
    help="Make the folder of a member, the coordinator or an auditor: keys, identity, settings.",
)

Name = Annotated[str, typer.Option(help="Short name, as it appears in agreements and logs.")]
LegalName = Annotated[str, typer.Option(help="Legal name, as consents name it.")]
Jurisdiction = Annotated[str, typer.Option(help="Law that applies, two letters, for example DE.")]


@init_app.command("member")
def member(
    home: Home,
    name: Name,
    organisation: LegalName,
    jurisdiction: Jurisdiction,
    data: Annotated[
        Path | None, typer.Option(help="Parquet or CSV file, one row per subject.", dir_okay=False)
    ] = None,
    subject_column: Annotated[
        str, typer.Option(help="Column with this site's identifier of a subject.")
    ] = "subject_id",
    label_column: Annotated[str, typer.Option(help="Column with the label.")] = "label",
    columns: Annotated[
        Path | None,
        typer.Option(help="Data dictionary; only its columns are declared.", dir_okay=False),
    ] = None,
    storage_country: Annotated[
        str | None, typer.Option(help="Where the data is kept; default: the jurisdiction.")
    ] = None,
    notice: Annotated[
        Path | None,
        typer.Option(help="The privacy notice that the subjects were shown.", exists=True, dir_okay=False),
    ] = None,
    notice_version: Annotated[str, typer.Option(help="Its version, as 2.1.")] = "1",
    notice_published: Annotated[
        datetime | None, typer.Option(help="When it was published, UTC.", formats=["%Y-%m-%d"])
    ] = None,
    pack: Annotated[
        list[str] | None,
        typer.Option(help="Built-in rule pack to adopt; repeatable. Default: pipl and gdpr."),
    ] = None,
    audit_url: Annotated[
        str | None,
        typer.Option(
            envvar="HANSE_NODE_AUDIT_URL",
            help="PostgreSQL database for this site's log, postgresql+psycopg://…; default: a file.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Make a member's folder.

    Example: [bold]hanse init member --home brand --name brand --organisation "Brand AG"
    --jurisdiction DE --data customers.parquet --label-column y --columns columns.yaml
    --notice privacy.txt --notice-version 2.1 --notice-published 2026-01-01[/]

    Hand identity.json to the coordinator and the other members. The folder keys/ never leaves this site.
    """
    dictionary = () if columns is None else read_columns(columns)
    hints = DatasetHints(data, subject_column, label_column, dictionary)
    notices = () if notice is None else (read_notice(notice, notice_version, notice_published),)
    known = Organisation(name, organisation, jurisdiction, storage_country or jurisdiction, notices)
    packs = [builtin_pack(chosen) for chosen in pack or DEFAULT_PACKS]
    identity = init_member(home, known, hints, utc_now(), packs, audit_url)
    _show(home, identity, as_json=as_json)


@init_app.command("coordinator")
def coordinator(
    home: Home,
    name: Name,
    organisation: LegalName,
    jurisdiction: Jurisdiction,
    host: Annotated[
        list[str] | None, typer.Option(help="Host name or address that members use; repeatable.")
    ] = None,
    audit_url: Annotated[
        str | None,
        typer.Option(
            envvar="HANSE_SERVER_AUDIT_URL",
            help="PostgreSQL database for the shared log, postgresql+psycopg://…; default: a file.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Make the coordinator's folder: its identity, certificate authority and server certificate.

    Example: [bold]hanse init coordinator --home hub --name hub --organisation "Hub" --jurisdiction DE[/]
    """
    identity = init_coordinator(home, name, organisation, jurisdiction, host or [], utc_now(), audit_url)
    _show(home, identity, as_json=as_json)


@init_app.command("auditor")
def auditor(
    home: Home,
    name: Name,
    organisation: LegalName,
    jurisdiction: Jurisdiction,
    *,
    as_json: Json = False,
) -> None:
    """Make the folder of an outside auditor, who witnesses the coordinator's log and reads nothing else.

    Example: [bold]hanse init auditor --home watchdog --name watchdog --organisation "Watchdog KG"
    --jurisdiction DE[/]

    Hand identity.json to the coordinator and the members; enrol the coordinator's here. Then: hanse audit
    witness.
    """
    _show(home, init_auditor(home, name, organisation, jurisdiction, utc_now()), as_json=as_json)


def enrol(
    identities: Annotated[
        list[Path], typer.Argument(help="Identity files received from others.", exists=True, dir_okay=False)
    ],
    home: Home = Path(),
    *,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Take a new identity in the place of one of the same name."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Trust the identities of others, from now on and until their file in peers/ is removed.

    Example: [bold]hanse enrol --home hub brand/identity.json insurer/identity.json[/]

    Example, after somebody changed a key: [bold]hanse enrol --replace --home hub brand/identity.json[/]

    An identity that is replaced stays in peers/former/: models that its old key signed can still be served.
    Compare the printed key ids with their owners over another channel before you rely on them.
    """
    peers = home / "peers"
    if not peers.is_dir():
        raise ConfigurationError("config.missing-file", f"{home} is not a folder made by `hanse init`")
    accepted = [Identity.load(path) for path in identities]
    for identity in accepted:
        target = peers / f"{identity.name}.json"
        if target.exists() and Identity.load(target) != identity and not replace:
            raise ConfigurationError(
                "config.exists",
                f"{target} holds another identity; if {identity.name} changed a key, compare the key id over "
                "another channel and enrol with --replace",
            )
    for identity in accepted:
        keep_former(MemberHome(home), identity)
        identity.save(peers / f"{identity.name}.json")
        if identity.role == "coordinator" and identity.tls_certificate:
            write_atomic(MemberHome(home).authority, identity.tls_certificate.encode())
    if as_json:
        print_json([identity.model_dump(mode="json") for identity in accepted])
        return
    rows = [(i.name, i.role, i.organisation, i.jurisdiction, i.node_key.split("+")[1]) for i in accepted]
    console().print(table("Trusted from now on", ("name", "role", "organisation", "country", "key id"), rows))


def _show(home: Path, identity: Identity, *, as_json: bool) -> None:
    if as_json:
        print_json(identity.model_dump(mode="json"))
        return
    say(f"made {home} for {identity.role} {identity.name}; hand {home / 'identity.json'} to the others")
