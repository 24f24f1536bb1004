"""Where the commands find a log: this site's own database, or the coordinator's service."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hanse.client.home import MemberHome
from hanse.client.peers import coordinator_of
from hanse.client.settings import NodeSettings
from hanse.client.shared_log import SharedLogClient
from hanse.crypto import VerifierKey
from hanse.errors import ConfigurationError, HanseError
from hanse.policies import Identity, read_unverified


class Which(StrEnum):
    """Which log of a site."""

    MEMBER = "member"
    SHARED = "shared"


Choice = Annotated[
    Which | None,
    typer.Option("--log", help="This member's own log, or the coordinator's shared one. Default: the own."),
]
Address = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of the coordinator, for the shared log. Default: as in hanse.toml."),
]


def is_remote(identity: Identity, which: Which | None) -> bool:
    """Whether the log has to be asked for from the coordinator.

    Args:
        identity: Of the site.
        which: What was asked for.

    Raises:
        ConfigurationError: ``config.invalid`` if the site has no such log.
    """
    if identity.role == "coordinator" and which is Which.MEMBER:
        raise ConfigurationError("config.invalid", "a coordinator has the shared log only; leave out --log")
    return identity.role != "coordinator" and which is Which.SHARED


def shared_log(home: MemberHome, identity: Identity, address: str | None) -> SharedLogClient:
    """Connects to the shared log.

    Args:
        home: A member's or an auditor's folder.
        identity: Of the site.
        address: Where the coordinator answers; from the settings if it is not given.

    Raises:
        ConfigurationError: As the settings, or if no coordinator is enrolled.
    """
    if identity.role == "member":
        address = address or NodeSettings.load(home.root).coordinator_address
    if address is None:
        raise ConfigurationError("config.invalid", "say where the coordinator is: --address HOST:PORT")
    return SharedLogClient(home, address)


def key_of(home: MemberHome, identity: Identity, *, remote: bool) -> VerifierKey:
    """A key of the log that this site has pinned: its own, or that of the coordinator.

    Args:
        home: The site's folder.
        identity: Of the site.
        remote: Whether it is the coordinator's log, read from a member or an auditor.

    Raises:
        ConfigurationError: ``config.missing-file`` if no coordinator is enrolled.
    """
    return VerifierKey.decode((coordinator_of(home) if remote else identity).node_key)


def signed_agreements(home: Path) -> dict[str, bytes]:
    """The agreements that a site has, by digest.

    Args:
        home: A member's, auditor's or coordinator's folder.
    """
    found: dict[str, bytes] = {}
    for path in sorted(_files(home)):
        note = path.read_bytes()
        try:
            found[read_unverified(note).digest] = note
        except HanseError:  # something else that lies there
            continue
    return found


def _files(home: Path) -> Iterator[Path]:
    for folder in (MemberHome(home).agreements, home / "state" / "agreements"):
        yield from folder.glob("*.agreement")
