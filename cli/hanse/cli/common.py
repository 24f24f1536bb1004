"""Options and start-up steps that several commands share."""

import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hanse.audit import Actor, AuditLog
from hanse.client.home import MemberHome
from hanse.client.logs import log_place
from hanse.crypto import SigningKey
from hanse.errors import ConfigurationError
from hanse.policies import Identity
from hanse.policies.site_key import SiteFiles, load_site_key

if TYPE_CHECKING:
    from hanse.learning import Recommended

Home = Annotated[
    Path,
    typer.Option(
        "--home",
        "-C",
        envvar="HANSE_HOME",
        help="Folder of this site, made by `hanse init`.",
        file_okay=False,
    ),
]


def utc_now() -> datetime:
    """The current time, aware, UTC."""
    return datetime.now(UTC)


def model_kind(name: str) -> "Recommended":
    """The value of an option ``--model``.

    Raises:
        ConfigurationError: ``config.invalid`` when there is no such model.
    """
    if name not in ("logistic", "mlp", "trees"):
        raise ConfigurationError("config.invalid", f"--model is logistic, mlp or trees, not {name}")
    return cast("Recommended", name)


def own_log(home: Path) -> Path | str:
    """Where a site keeps its log: the file in its folder, or the database of its settings.

    Args:
        home: Folder of a member, an auditor or the coordinator.

    Returns:
        A path, or a URL.

    Raises:
        ConfigurationError: As the settings of the site.
    """
    site = MemberHome(home)
    if not site.identity.is_file():
        return site.log
    identity = Identity.load(site.identity)
    if identity.role == "coordinator":
        # Imported here: no other command of a member needs the server's settings.
        from hanse.server.settings import ServerSettings  # noqa: PLC0415

        return ServerSettings.load(home).audit_url or site.log
    return log_place(site) if identity.role == "member" else site.log


def site_files(home: Path) -> SiteFiles:
    """What a change of a site's node key touches.

    Args:
        home: Folder of a member, an auditor or the coordinator.

    Raises:
        ConfigurationError: As :func:`own_log`.
    """
    site = MemberHome(home)
    return SiteFiles(site.node_key, site.identity, own_log(home))


def site_key(home: Path) -> SigningKey:
    """The key of a site, as :func:`hanse.policies.site_key.load_site_key` finds it."""
    return load_site_key(site_files(home))


def member_log(home: MemberHome, role: str) -> AuditLog:
    """Opens a site's own log, wherever it is kept, to write as the given role."""
    identity = Identity.load(home.identity)
    key = site_key(home.root)
    actor = Actor(organisation=identity.name, key_id=key.verifier.key_id, role=role)
    return AuditLog.open(own_log(home.root), key, actor, utc_now)


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set, so that a service ends cleanly."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
