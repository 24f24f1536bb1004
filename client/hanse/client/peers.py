"""Whom a site has enrolled. Apart from the node, which takes seconds to load: commands ask as well."""

from hanse.client.home import MemberHome
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
