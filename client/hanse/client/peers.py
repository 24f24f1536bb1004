"""Whom a site has enrolled, and under which keys. Apart from the node, which takes seconds to load."""

from pathlib import Path

from hanse.audit import LogReader
from hanse.client.home import MemberHome
from hanse.client.logs import log_place
from hanse.crypto import VerifierKey
from hanse.errors import ConfigurationError
from hanse.policies import Identity


def coordinator_of(home: MemberHome) -> Identity:
    """The coordinator that a site has enrolled.

    Raises:
        ConfigurationError: ``config.missing-file`` when no coordinator, or more than one, is enrolled.
    """
    peers = (Identity.load(path) for path in sorted(home.peers.glob("*.json")))
    coordinators = [peer for peer in peers if peer.role == "coordinator"]
    if len(coordinators) != 1:
        raise ConfigurationError(
            "config.missing-file",
            f"{len(coordinators)} coordinators are enrolled in {home.peers}; enrol exactly one",
        )
    return coordinators[0]


def keep_former(home: MemberHome, identity: Identity) -> None:
    """Keeps the identity that another one of the same name is about to replace, if it has another key.

    Args:
        home: The site's folder.
        identity: The one that is to come.

    Raises:
        ConfigurationError: ``config.invalid`` if the one that is there is none, ``config.unwritable``.
    """
    there = home.peers / f"{identity.name}.json"
    known = Identity.load(there) if there.exists() else identity
    if known.node_key == identity.node_key:
        return
    former = _former(home)
    try:
        former.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot make {former}: {error.strerror}") from error
    known.save(former / f"{known.name}-{VerifierKey.decode(known.node_key).key_id}.json")


def coordinator_keys(home: MemberHome) -> tuple[VerifierKey, ...]:
    """The key of the enrolled coordinator, then those that it had before and that were enrolled here.

    Raises:
        ConfigurationError: As :func:`coordinator_of`.
    """
    own = coordinator_of(home)
    former = (Identity.load(path) for path in sorted(_former(home).glob("*.json")))
    same = (peer.node_key for peer in former if (peer.name, peer.role) == (own.name, own.role))
    return tuple(VerifierKey.decode(key) for key in dict.fromkeys((own.node_key, *same)))


def own_keys(home: MemberHome) -> tuple[VerifierKey, ...]:
    """Every key that a site has had: that of its identity, then those that its own log names.

    Raises:
        AuditError: If the log cannot be read.
        ConfigurationError: If the identity cannot be read.
    """
    with LogReader.open(log_place(home)) as reader:
        return tuple(
            dict.fromkeys((VerifierKey.decode(Identity.load(home.identity).node_key), *reader.keys()))
        )


def _former(home: MemberHome) -> Path:
    return home.peers / "former"
