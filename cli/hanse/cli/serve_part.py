"""``hanse serve-part``: answer a label holder about people whom it scores with a vertical model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hanse.cli.common import Home, site_key, utc_now
from hanse.cli.output import say
from hanse.cli.serve_settings import ServeSettings
from hanse.client.drafting import known_identities
from hanse.client.ended import ended_at
from hanse.client.features import make_features
from hanse.client.home import MemberHome
from hanse.client.logs import log_place
from hanse.client.settings import NodeSettings
from hanse.crypto import make_pinned_certificate, write_atomic
from hanse.errors import ConfigurationError, ServingError
from hanse.learning.vertical.runs.manifest import PART_FILE
from hanse.learning.vertical.serving.link import LINK_NAME, PartLink, sign_link
from hanse.learning.vertical.serving.people import AGREEMENT_FILE
from hanse.policies import Identity, open_agreement
from hanse.server.parts import PartSettings, run_part
from hanse.server.scoring.vertical.settings import PartnerSettings
from hanse.settings import load_settings

_CERTIFICATE_DAYS: Final = 730
_SECRET_MODE: Final = 0o600


def serve_part(
    model: Annotated[str, typer.Argument(help="Model version in parts/, as `hanse run` named it.")],
    home: Home = Path(),
    address: Annotated[str | None, typer.Option(help="host:port to listen on.")] = None,
    public_address: Annotated[
        str | None, typer.Option(help="host:port at which the label holder reaches it. Default: --address.")
    ] = None,
    link_only: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--link-only", help="Write part.link for the label holder, and end.")
    ] = False,
) -> None:
    """Answer the label holder of a vertical model about people whom it scores; each answer is logged first.

    Example: [bold]hanse serve-part vertical-propensity@1 --home insurer[/]

    Whoever is asked about needs a valid consent for scoring here too. The label holder needs the file
    part.link of this folder, which says where this site answers and is signed by it.
    """
    flags = {"part_address": address, "part_public_address": public_address}
    settings = load_settings(ServeSettings, MemberHome(home).settings, "serve", flags)
    link = write_link(home, settings.part_public_address or settings.part_address)
    if link_only:
        say(f"wrote {link}; hand it to the label holder")
        return
    run_part(
        part_settings(home, model, settings),
        make_features(NodeSettings.load(home).dataset),
        ended_at(MemberHome(home)).require_running,
    )


def part_settings(home: Path, model: str, settings: ServeSettings) -> PartSettings:
    """Puts the service's settings together from the member's folder.

    Raises:
        ServingError: ``model.not-found`` when there is no such part.
        ConfigurationError: ``config.missing-file`` when the label holder is not enrolled here.
    """
    site = MemberHome(home)
    folder = site.parts / model
    if not (folder / PART_FILE).is_file():
        known = ", ".join(sorted(path.name for path in site.parts.glob("*@*"))) or "none"
        raise ServingError("model.not-found", f"no part of {model} in {site.parts}; there are: {known}")
    agreement = folder / AGREEMENT_FILE
    if not agreement.is_file():
        raise ServingError("model.invalid", f"{folder} has no {AGREEMENT_FILE}: train the model anew")
    return PartSettings(
        address=settings.part_address,
        part=folder,
        agreement=agreement,
        **of_site(home),
        label_holder=_label_holder(site, agreement),
        tls_key=site.part_key,
        tls_certificate=site.part_certificate,
        keep_s=settings.part_keep_s,
    )


def of_site(home: Path) -> dict[str, Any]:
    """What every service needs of the member's folder (:class:`hanse.server.site_settings.SiteSettings`)."""
    site = MemberHome(home)
    site_key(home)  # the last steps of a change of the key are taken before the service reads the file
    return {
        "packs": site.packs,
        "auditor": site.auditor_verifier,
        "consent_ledger": site.consent,
        "consent_url": NodeSettings.load(home).consent_url,
        "pseudonym_key": site.pseudonym_key,
        "log": log_place(site),
        "signing_key": site.node_key,
    }


def write_link(home: Path, address: str) -> Path:
    """Writes where this site answers, signed; makes the certificate when there is none.

    Args:
        home: The member's folder.
        address: ``host:port`` at which the label holder reaches it.

    Returns:
        The file, for the label holder.
    """
    site, name = MemberHome(home), Identity.load(MemberHome(home).identity).name
    if not site.part_certificate.is_file():
        key, certificate = make_pinned_certificate(name, LINK_NAME, utc_now(), _CERTIFICATE_DAYS)
        write_atomic(site.part_key, key, mode=_SECRET_MODE)
        write_atomic(site.part_certificate, certificate)
    link = PartLink(member=name, address=address, certificate=site.part_certificate.read_text())
    write_atomic(site.link, sign_link(link, site_key(home)))
    return site.link


def partner_settings(
    site: MemberHome, links: Mapping[str, Path], patience_s: float
) -> PartnerSettings | None:
    """What the scorer of a vertical model needs beside what every scorer needs; None without any part.

    Args:
        site: The label holder's folder.
        links: Link file of each feature holder, relative to the folder.
        patience_s: Longest time to wait for one, seconds.
    """
    if not site.parts.is_dir():
        return None
    return PartnerSettings(
        parts=site.parts,
        links={name: site.root / path for name, path in links.items()},
        known_by={one.name: one.node_key for one in known_identities(site) if one.role == "member"},
        tls_key=site.tls_key,
        tls_certificate=site.tls_certificate,
        patience_s=patience_s,
    )


def _label_holder(site: MemberHome, agreement: Path) -> Path:
    """Certificate of the label holder, from its identity, which must be the one that the agreement names."""
    document = open_agreement(agreement.read_bytes()).agreement
    name = "" if document.vertical is None else document.vertical.label_holder
    member = document.member(name)
    identity = Identity.load(site.peers / f"{name}.json")
    if member is None or identity.node_key != member.node_key or identity.tls_certificate is None:
        raise ConfigurationError(
            "config.missing-file",
            f"{name or 'the label holder'} is enrolled here under another key than the agreement names, or "
            "without a certificate; `hanse enrol` its identity",
        )
    path = site.root / "keys" / f"label-holder-{name}.crt"
    write_atomic(path, identity.tls_certificate.encode())
    return path
